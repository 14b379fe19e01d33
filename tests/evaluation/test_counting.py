"""Three ways to count, each against a literal count; and compiled code: the same digits, or quietly none."""

from __future__ import annotations

import sys
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.cli import main
from duskmatch.evaluation import compiled, counting, score_distances
from duskmatch.records import Scores

HUGE = 1 << 60  # a matrix worth any import
WAYS = ["compare", "sort", "compiled"]


@pytest.fixture(autouse=True)
def anew():
    forget = compiled._kernel.cache_clear
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def kernels():
    """Compiled once for all examples of this file."""
    pytest.importorskip("numba", reason="numba is not installed: pip install 'duskmatch[speed]'")
    found = {dtype: compiled.kernel(np.dtype(dtype), HUGE) for dtype in ("float32", "float64")}
    assert all(found.values())
    return found


def literal(dist, values, n):
    below, up_to = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.int64)
    for row in range(len(dist)):
        for place in range(n[row]):
            below[row, place] = sum(x < values[row, place] for x in dist[row].tolist())
            up_to[row, place] = sum(x <= values[row, place] for x in dist[row].tolist())
    return below, up_to


@st.composite
def problems(draw):
    """Few distinct distances, infinities as the camera rule leaves them, rows with none to many values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows, width = draw(st.integers(1, 90)), draw(st.integers(1, 70))
    levels = draw(st.sampled_from([1, 3, 1000]))
    dist = (rng.integers(-levels, levels + 1, (n_rows, width)) / levels).astype(draw(st.sampled_from(["f4", "f8"])))
    dist[rng.random(dist.shape) < 0.05] = np.inf
    most = draw(st.integers(1, width))
    n = rng.integers(0, most + 1, n_rows)
    values = np.sort(dist[:, rng.permutation(width)[:most]], axis=1)
    return dist, values, n


@pytest.mark.parametrize("way", WAYS[:2])
@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_counts_equal_the_literal_ones(way, problem):
    check(getattr(counting, way), problem)


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_compiled_counts_equal_the_literal_ones(kernels, problem):
    check(kernels[problem[0].dtype.name], problem)


def check(count, problem):
    found = np.zeros(problem[1].shape, np.int64), np.zeros(problem[1].shape, np.int64)
    count(*problem, *found)
    for got, expected in zip(found, literal(*problem), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_row_of_more_than_a_thousand_words_is_counted_whole():
    dist = np.zeros((3, 20_011), np.float32)  # eleven times what one byte can hold
    found = np.zeros((3, 1), np.int64), np.zeros((3, 1), np.int64)
    counting.compare(dist, np.ones((3, 1), np.float32), np.array([1, 0, 1]), *found)
    assert found[0].tolist() == found[1].tolist() == [[20_011], [0], [20_011]]


def problem_of_scores(dtype, n_pids):
    rng = np.random.default_rng(7)
    dist = rng.random((150, 2000)).astype(np.float16).astype(dtype)  # ties in most rows
    labels = [rng.integers(0, high, n) for n in (150, 2000) for high in (n_pids, 6)]
    return dist, *labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_pids", [12, 400])
def test_scores_are_the_same_to_the_bit_with_and_without(dtype, n_pids, monkeypatch):
    pytest.importorskip("numba", reason="numba is not installed: pip install 'duskmatch[speed]'")
    problem = problem_of_scores(dtype, n_pids)
    monkeypatch.setattr(compiled, "LEAST_ENTRIES", 1)
    assert compiled.kernel(np.dtype(dtype), problem[0].size)
    by_machine_code = score_distances(*problem, camera_rule="same-pid-same-camera")
    monkeypatch.setenv("DUSKMATCH_COMPILED", "off")
    assert compiled.kernel(np.dtype(dtype), problem[0].size) is None
    by_numpy = score_distances(*problem, camera_rule="same-pid-same-camera")
    assert by_numpy.n_ties > 50
    for field in fields(Scores):
        one, other = (np.asarray(getattr(scores, field.name)) for scores in (by_machine_code, by_numpy))
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes(), field.name


def test_a_small_matrix_never_asks_for_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(compiled, "_kernel", None)  # calling it would raise
    assert compiled.kernel(np.dtype(np.float32), compiled.LEAST_ENTRIES - 1) is None


def test_without_numba_the_scores_are_numpys(monkeypatch, capsys):
    problem = problem_of_scores(np.float32, 50)
    expected = score_distances(*problem, camera_rule="none")
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ModuleNotFoundError
    monkeypatch.setattr(compiled, "LEAST_ENTRIES", 1)
    assert compiled.kernel(np.dtype(np.float32), HUGE) is None
    assert score_distances(*problem, camera_rule="none").mean_average_precision == expected.mean_average_precision
    assert compiled.state() == "not installed"
    assert main(["doctor"]) == 0
    assert "compiled scoring           not installed" in capsys.readouterr().out


def test_no_place_to_keep_it_means_compiling_without_keeping(monkeypatch):
    numba = pytest.importorskip("numba", reason="numba is not installed: pip install 'duskmatch[speed]'")
    real, asked = numba.njit, []

    def njit(*, nogil, cache):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function 'count_rows': no locator available for file")
        return real(nogil=nogil, cache=cache)

    monkeypatch.setattr(numba, "njit", njit)
    kernel = compiled.kernel(np.dtype(np.float32), HUGE)
    assert asked == [True, False]
    check(kernel, (np.array([[3, 1, 2]], np.float32), np.array([[1, 3]], np.float32), np.array([2])))


def test_a_numba_that_cannot_compile_is_left_alone(monkeypatch):
    numba = pytest.importorskip("numba", reason="numba is not installed: pip install 'duskmatch[speed]'")
    monkeypatch.setattr(numba, "njit", lambda **_: lambda function: 1 / 0)
    assert compiled.kernel(np.dtype(np.float32), HUGE) is None
    assert compiled.state() == f"numba {numba.__version__}, does not compile"


def test_doctor_says_that_it_works_or_is_off(monkeypatch, capsys):
    numba = pytest.importorskip("numba", reason="numba is not installed: pip install 'duskmatch[speed]'")
    assert main(["doctor"]) == 0
    assert f"compiled scoring           numba {numba.__version__}, works" in capsys.readouterr().out
    monkeypatch.setenv("DUSKMATCH_COMPILED", "off")
    assert main(["doctor"]) == 0
    assert "compiled scoring           off (DUSKMATCH_COMPILED=off)" in capsys.readouterr().out

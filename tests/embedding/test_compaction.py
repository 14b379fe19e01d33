"""The projection of compact vectors against literal loops, and a compacted RUN in a RUN's place."""

import numpy as np
import pytest
import torch

from duskmatch.embedding.compaction import (
    POWER,
    RIDGE,
    Scatter,
    check_width,
    completed,
    learn,
)
from duskmatch.errors import DataError, SettingsError
from duskmatch.records import MODALITIES, Embeddings
from tests.oracle.compaction import learned, projected


def drawn(n: int, d: int, seed: int = 0) -> Embeddings:
    """Unit vectors with axes of unequal variance and a mean of each modality."""
    rng = np.random.default_rng(seed)
    modalities = [MODALITIES[i % 2] for i in range(n)]
    vectors = rng.normal(size=(n, d)) * 0.6 ** np.arange(d) + 0.3 * np.array([[m == "visible"] for m in modalities])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(unit, np.arange(n) // 4, np.zeros(n), modalities)


def scattered(embeddings: Embeddings, block: int = 7) -> Scatter:
    scatter = Scatter(len(embeddings), embeddings.vectors.shape[1])
    for begin in range(0, len(embeddings), block):
        part = embeddings.take(range(begin, min(begin + block, len(embeddings))))
        scatter.add(part.vectors, part.pids, part.modalities)
    return scatter


@pytest.mark.parametrize(("n", "d"), [(64, 6), (10, 16)])  # more rows than numbers in a row, and fewer
def test_the_projection_is_that_of_literal_sums(n, d):
    embeddings = drawn(n, d)
    expected = learned(embeddings.vectors, embeddings.pids, embeddings.modalities, 4, POWER, RIDGE)
    found = learn(scattered(embeddings), 4)
    assert found.n_learned == 4
    for row, other in zip(found.weight, expected, strict=True):
        assert np.allclose(row, other, atol=1e-3) or np.allclose(row, -other, atol=1e-3)


def test_a_projection_is_that_of_a_literal_loop_and_its_first_rows_are_the_smaller_one():
    embeddings = drawn(40, 9)
    found = learn(scattered(embeddings), 5)
    means = dict(zip(MODALITIES, found.means, strict=True))
    expected = [projected(x, means[m], found.weight[:3]) for x, m in zip(embeddings.vectors, embeddings.modalities)]
    assert np.allclose(found.narrowed(3)(embeddings).vectors, expected, atol=1e-5)
    assert np.allclose(np.abs(learn(scattered(embeddings), 3).weight), np.abs(found.weight[:3]), atol=1e-4)


def test_axes_beyond_the_training_people_are_at_right_angles():
    embeddings = drawn(6, 20)
    found = learn(scattered(embeddings), 10)
    assert found.width == 10 and found.n_learned == 4  # six rows, less two means
    assert np.linalg.matrix_rank(found.weight, tol=1e-3) == 10
    assert np.allclose(found.weight[:4] @ found.weight[4:].T, 0, atol=1e-3)  # what was learned comes first
    assert torch.allclose(completed(torch.eye(5)[:2], 5) @ torch.eye(5)[:2].T, torch.eye(5)[:, :2], atol=1e-6)


def test_equal_vectors_and_one_modality_alone_are_refused():
    same = Scatter(4, 3)
    same.add(np.ones((4, 3), np.float32), np.arange(4) // 2, ["visible", "visible", "infrared", "infrared"])
    with pytest.raises(DataError, match="the embeddings of training people are all equal; take a RUN that was trained"):
        learn(same, 2)
    one = Scatter(4, 3)
    one.add(np.eye(4, 3, dtype=np.float32), np.arange(4), ["visible"] * 4)
    with pytest.raises(DataError, match="must be seen in both modalities; no infrared tracklet was embedded"):
        learn(one, 2)
    with pytest.raises(SettingsError, match="--width must be from 1 to 2, below the 3 of the RUN; got 3"):
        check_width(3, 3)

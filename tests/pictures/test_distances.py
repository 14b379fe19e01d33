"""Histograms of distances: figures of the evaluation room, drawn to equal areas."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from duskmatch.evaluation import Separation, separation, separation_within
from duskmatch.pictures.distances import auc_table, distances_section, draw_distances, save_distances, separations


@pytest.fixture(scope="module")
def found(compared):
    return [separations(run.evaluation) for run in compared]


def test_each_kind_has_the_pairs_it_says(compared, found):
    evaluation = compared[0].evaluation
    infrared, visible = (evaluation.query[d].embeddings for d in ("infrared_to_visible", "visible_to_infrared"))
    rule = evaluation.camera_rule
    assert found[0]["visible"].auc == separation_within(visible, camera_rule=rule).auc
    assert found[0]["infrared"].auc == separation_within(infrared, camera_rule=rule).auc
    assert found[0]["across"].auc == separation(infrared, visible, camera_rule=rule).auc
    assert found[0]["visible"].n_same == 8 * 3 and found[0]["across"].n_same == 8 * 6  # eight people, three cameras


def test_the_section_states_every_area(compared, found):
    parts = distances_section(compared, found)
    text = "".join(parts)
    assert "SYNTHETIC data" in parts[0] and "0.5 is blind" in parts[0]
    for of_run in found:
        for of in of_run.values():
            assert text.count(f"{of.auc:.3f}") >= 2  # in the table and over the histogram
    assert text.count('role="img"') == 6


def test_where_nobody_is_seen_twice_the_table_says_so(compared):
    nobody = Separation(np.linspace(0, 2, 3), np.zeros(2, np.int64), np.array([1, 2]), None)
    text = auc_table(compared[:1], [{"visible": nobody, "infrared": nobody, "across": nobody}])
    assert "nobody seen by two cameras" in text
    axes = Figure().add_subplot()
    draw_distances("t", nobody, (0, 2), True, axes)
    assert len(axes.patches) == 2  # one kind, outlined and filled


def test_both_kinds_have_the_same_area():
    axes = Figure().add_subplot()
    of = Separation(np.linspace(0, 1, 5), np.array([0, 3, 1, 0]), np.array([10, 20, 30, 40]), 0.7)
    draw_distances("t", of, (0, 1), False, axes)
    areas = [patch.get_data().values.sum() for patch in axes.patches]
    assert areas == pytest.approx([1, 1, 1, 1])


def test_the_same_models_give_the_same_bytes(compared, found, tmp_path):
    made = [save_distances(tmp_path / name, compared, found, "note").read_bytes() for name in ("a.png", "b.png")]
    assert made[0] == made[1] and len(made[0]) > 20_000

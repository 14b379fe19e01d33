"""The chart of A: its figures, its scale, and models that have none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from duskmatch.embedding.highlights import Spread
from duskmatch.pictures.part_weights import draw_parts, part_figures, parts_section, save_parts, spread_in_words


def test_figures_are_mean_and_deviation_over_clips(compared):
    baseline, full = compared
    assert part_figures(baseline) is None
    for modality, of in part_figures(full).items():
        weights = full.weights[modality]
        assert weights.shape == (24, 3) and of["clips"] == 24
        assert of["mean"] == pytest.approx([weights[:, k].mean() for k in range(3)])
        assert of["std"] == pytest.approx([weights[:, k].std() for k in range(3)])
        assert all(0 < mean < 1 for mean in of["mean"])
        spread = full.spreads[modality]
        assert (of["near_0"], of["near_1"], of["between_clips"]) == (
            spread.near_0,
            spread.near_1,
            spread.between_clips,
        )
    without = part_figures(replace(full, spreads=None))
    assert all(set(of) == {"mean", "std", "clips"} for of in without.values())


def test_the_section_says_what_was_drawn_and_who_has_none(compared):
    caption, charts, said = parts_section(compared)
    assert "SYNTHETIC data" in caption and "Without A: Baseline." in caption
    assert "full: Visible, A is under 0.01 or over 0.99 for 0.0 % of its values" in said and "fixed" not in said
    assert charts.count('role="img"') == 1 and "visible: part 1 " in charts and "infrared, 24 clips" in charts
    means = np.concatenate([of.mean(axis=0) for of in compared[1].weights.values()])
    assert f"All points lie between {means.min():.5f} and {means.max():.5f}." in caption


def test_where_no_model_has_a_it_says_so_and_writes_no_file(compared, tmp_path):
    (said,) = parts_section(compared[:1])
    assert "None of these models" in said
    assert save_parts(tmp_path / "p.png", compared[:1], "note") == [] and not list(tmp_path.iterdir())


def test_points_stand_at_their_means_from_head_to_foot(compared):
    axes = Figure().add_subplot()
    weights = {"visible": np.array([[0.2, 0.5, 0.9], [0.4, 0.5, 0.7]]), "infrared": np.full((1, 3), 0.6)}
    draw_parts("$t$", weights, (0.1, 1.0), True, axes)
    visible, infrared = axes.lines[:2]
    assert visible.get_xdata() == pytest.approx([0.3, 0.5, 0.8]) and infrared.get_xdata() == pytest.approx([0.6] * 3)
    assert (np.diff(visible.get_ydata()) > 0).all() and axes.get_ylim()[0] > axes.get_ylim()[1]  # y points downwards
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1 head", "2", "3 feet"]
    assert (visible.get_ydata() < infrared.get_ydata()).all()


def test_models_of_other_levels_get_scales_of_one_width(compared, tmp_path):
    full = compared[1]
    higher = replace(full, name="higher", weights={m: 0.3 + 0.1 * w for m, w in full.weights.items()})
    _, charts, *_ = parts_section([full, higher])
    assert charts.count('role="img"') == 2
    (path,) = save_parts(tmp_path / "p.png", [full, higher], "note")
    assert cv2.imread(str(path)).shape[1] == 2 * 5.2 * 150


def test_a_fixed_choice_is_called_so_only_where_both_thresholds_hold(compared):
    full = compared[1]
    fixed = {"visible": Spread(0.54, 0.43, 0.0001, 24), "infrared": Spread(0.5, 0.46, 0.00001, 24)}
    assert spread_in_words("", fixed) == (
        "Visible, A is under 0.01 or over 0.99 for 97.0 % of its values (54.0 % under, 43.0 % over); between clips a "
        "feature's A varies by 0.0001 (standard deviation): a fixed choice of features. Infrared, A is under 0.01 or "
        "over 0.99 for 96.0 % of its values (50.0 % under, 46.0 % over); between clips a feature's A varies by less "
        "than 0.0001 (standard deviation): a fixed choice of features."
    )
    *_, rule = parts_section([replace(full, spreads=fixed)])
    assert "Called a fixed choice of features if at least 95 % of values are so near 0 or 1 and the deviation" in rule
    for spread in (Spread(0.5, 0.44, 0.0001, 24), Spread(0.54, 0.43, 0.01, 24)):
        assert "fixed" not in spread_in_words("a", {"visible": spread})
        assert "fixed" not in "".join(parts_section([replace(full, spreads={"visible": spread})]))

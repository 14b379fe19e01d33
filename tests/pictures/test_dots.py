"""Dots with intervals: where they stand, what the key names, rows that have none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from duskmatch.pictures.charts import SERIES
from duskmatch.pictures.dots import Dot, DotChart, Dots, dots_figure, row_in_lines, save_dots

CHART = DotChart(
    "rank-1 (SYNTHETIC)",
    ["first run", "second run"],
    [
        Dots("in order", SERIES[0], [Dot(30, 20, 41), Dot(10, 5, 15)]),
        Dots("shuffled", SERIES[1], [Dot(25, 20, 30), None], marker="x", filled=False),
    ],
    x_label="rank-1, %",
    chance=2.0,
    x_range=(0, 50),
)


def test_each_dot_stands_at_its_figure_between_its_ends() -> None:
    (axes,) = dots_figure([CHART]).axes
    bars = axes.containers
    assert [list(bar.lines[0].get_xdata()) for bar in bars] == [[30, 10], [25]]
    ends = [[segment[:, 0].tolist() for segment in bar.lines[2][0].get_segments()] for bar in bars]
    assert ends == [[[20, 41], [5, 15]], [[20, 30]]]
    assert axes.get_xlim() == (0, 50) and axes.get_xlabel() == "rank-1, %"


def test_rows_run_from_top_to_bottom_and_series_in_each_row() -> None:
    (axes,) = dots_figure([CHART]).axes
    first, second = (bar.lines[0].get_ydata() for bar in axes.containers)
    assert -0.5 < first[0] < second[0] < 0.5 < first[1] < 1.5
    assert axes.get_ylim() == (1.5, -0.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first run", "second run"]


def test_one_key_names_every_series_once() -> None:
    drawn = dots_figure([CHART, CHART, CHART])
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["in order", "shuffled", "chance"]
    assert len(drawn.legends) == 1 and len(drawn.axes) == 3


def test_panels_of_other_series_have_their_own_keys() -> None:
    other = DotChart("mAP", ["row"], [Dots("mAP", SERIES[3], [Dot(1, 0, 2)])], chance=0, line="no difference")
    drawn = dots_figure([CHART, other])
    keys = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in drawn.axes]
    assert keys == [["in order", "shuffled", "chance"], ["mAP", "no difference"]] and not drawn.legends


def test_a_series_beside_another_stays_near_its_line_and_one_without_a_label_is_not_in_the_key() -> None:
    hollow = Dots("", SERIES[0], [Dot(20, 18, 22), Dot(9, 8, 10)], filled=False, beside=True)
    below = Dots("below", SERIES[1], [Dot(1, 1, 1), Dot(2, 2, 2)])
    drawn = dots_figure([DotChart("", ["a", "b"], [CHART.series[0], hollow, below])])
    first, second, third = (list(bar.lines[0].get_ydata()) for bar in drawn.axes[0].containers)
    assert first[0] < second[0] < third[0] and third[0] - first[0] > 2 * (second[0] - first[0])
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["in order", "below"]


def test_a_long_title_and_a_long_name_are_broken_where_their_place_ends() -> None:
    (axes,) = dots_figure(
        [DotChart("one word after the other " * 4 + "\nbelow", ["a row with a long name, too"], [])]
    ).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a row with a long\nname, too"]
    lines = axes.get_title(loc="left").split("\n") if axes.get_title(loc="left") else axes.get_title().split("\n")
    assert len(lines) > 3 and max(map(len, lines)) <= 36 and lines[-1] == "below"


@pytest.mark.parametrize("n", [1, 3])
def test_the_picture_is_written_and_is_not_blank(tmp_path, n: int) -> None:
    save_dots([CHART] * n, tmp_path / "dots.png")
    picture = cv2.imread(str(tmp_path / "dots.png"))
    assert (picture < 128).any() and (picture == 255).mean() > 0.5
    save_dots([CHART] * n, tmp_path / "again.png")
    assert (cv2.imread(str(tmp_path / "again.png")) == picture).all()


def test_an_interval_that_leaves_its_figure_out_is_drawn_without_that_end() -> None:
    odd = DotChart("", ["row"], [Dots("a", SERIES[0], [Dot(0.5, 0.6, 0.7)])])
    (axes,) = dots_figure([odd]).axes
    (segment,) = axes.containers[0].lines[2][0].get_segments()
    assert np.allclose(segment[:, 0], [0.5, 0.7])


def test_a_long_rows_name_breaks_behind_a_plus_and_not_inside_a_part():
    assert row_in_lines("Baseline+ASAM+ADM+FRM-STIG*") == "Baseline+ASAM+ADM+\nFRM-STIG*"
    assert row_in_lines("Baseline+ADM") == "Baseline+ADM"
    assert row_in_lines("15, triplet of the group's code") == "15, triplet of the\ngroup's code"

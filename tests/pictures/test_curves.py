"""Training curves from any log: numeric columns in their panels, holes and words left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from duskmatch.errors import DataError
from duskmatch.pictures import curves, read_log
from duskmatch.pictures.charts import _draw as draw_chart
from duskmatch.pictures.curves import MAX_POINTS, training_charts


def test_columns_go_to_their_panels(log):
    charts = {chart.title: chart for chart in training_charts(log)}
    assert list(charts) == ["loss terms", "validation", "accuracy on training clips", "gradient norms", "learning rate"]
    assert [line.label for line in charts["loss terms"].lines] == ["defense identity", "confusion"]
    validation = charts["validation"].lines[0]
    assert list(validation.x) == [0, 100, 200, 300] and list(validation.y) == [0.3] * 4
    assert len(charts["loss terms"].lines[1].x) == 39  # the NaN is a hole
    assert charts["gradient norms"].log and not charts["loss terms"].log


def test_unknown_columns_are_drawn_and_words_are_not():
    charts = training_charts([{"step": 1, "new_term": 2.0, "note": "hello"}, {"step": 2, "new_term": 1.0, "late": 3}])
    assert [(c.title, [x.label for x in c.lines]) for c in charts] == [("loss terms", ["new term", "late"])]


def test_zeros_are_holes_on_a_logarithmic_axis():
    rows = [{"step": i, "attack_stem_gradient": float(i % 2), "joint_stem_gradient": 0} for i in range(6)]
    (chart,) = training_charts(rows)
    assert chart.log and [line.label for line in chart.lines] == ["attack stem gradient"]
    assert list(chart.lines[0].x) == [1, 3, 5]


def test_a_logarithmic_axis_is_labelled_by_plain_numbers():
    from matplotlib.figure import Figure

    (chart,) = training_charts([{"step": i, "attack_stem_gradient": 10.0**-i} for i in range(4)])
    axes = Figure().add_subplot()
    draw_chart(chart, False, axes)
    axes.figure.draw_without_rendering()
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert {"0.001", "0.01", "0.1", "1"} <= set(labels) and not any("$" in label for label in labels)


def test_a_long_log_is_averaged_not_cut():
    rows = [{"step": i, "loss": float(i)} for i in range(10_000)]
    (line,) = training_charts(rows)[0].lines
    assert len(line.x) == MAX_POINTS
    np.testing.assert_allclose(line.x, line.y)
    assert line.x[0] == pytest.approx(12) and line.x[-1] == pytest.approx(9987)


def test_the_picture_is_written_and_is_not_blank(log, tmp_path):
    curves(log, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[1] == 1560 and (picture < 128).any() and (picture == 255).mean() > 0.5


def test_an_empty_log_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        curves([], tmp_path / "c.png")
    assert str(caught.value) == (
        "no curve can be drawn: the log holds no row with a number in it; train some steps first"
    )


def test_logs_are_read_as_they_stand_and_cut_rows_are_left_out(tmp_path):
    assert read_log(tmp_path / "log.csv") is None
    (tmp_path / "log.csv").write_text("step,loss\n1,2.5\n2,")
    assert read_log(tmp_path / "log.csv") == [{"step": "1", "loss": "2.5"}, {"step": "2", "loss": ""}]
    (tmp_path / "log.csv").write_text("step,loss\n1,2.5\n2")
    assert read_log(tmp_path / "log.csv") == [{"step": "1", "loss": "2.5"}]

"""Training curves from any log: numeric columns in their panels, holes and words left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib import rc_context

from duskmatch.errors import DataError
from duskmatch.pictures import charts as charts_module
from duskmatch.pictures import curves, read_log
from duskmatch.pictures.charts import SERIES, Chart, Line
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


@pytest.mark.parametrize(
    ("values", "least"),
    [
        ([1, 0.1, 0.01, 0.001], {"0.001", "0.01", "0.1", "1"}),
        ([0.2, 6], {"0.2", "0.5", "1", "2", "5"}),
        ([1.1, 1.3], {"1.2"}),
    ],
    ids=["decades", "one decade", "narrow"],
)  # fmt: skip
def test_a_logarithmic_axis_is_labelled_by_plain_numbers(values, least):
    whole = charts_module.figure(training_charts([{"step": i, "stem_gradient": y} for i, y in enumerate(values)]))
    whole.draw_without_rendering()
    (axes,) = whole.axes
    labels = [text.get_text() for text in axes.get_yticklabels(which="both")]
    assert least <= set(labels) and not any("$" in label for label in labels)


def boxes(whole):
    """What the panels' curves and the keys cover, in pixels."""
    whole.draw_without_rendering()
    legends = [axes.get_legend() for axes in whole.axes if axes.get_legend()] + whole.legends
    return [axes.bbox for axes in whole.axes], [legend.get_window_extent() for legend in legends]


def test_keys_lie_over_no_curve_and_inside_the_picture(log):
    with rc_context(charts_module.STYLE):
        whole = charts_module.figure(training_charts(log), columns=2, width=5.2, height=3.5)
        panels, keys = boxes(whole)
    assert len(keys) == 4  # the title says what the learning rate is
    assert not any(key.overlaps(panel) for key in keys for panel in panels)
    assert all(whole.bbox.x0 <= key.x0 and key.x1 <= whole.bbox.x1 and key.y0 >= whole.bbox.y0 for key in keys)


def test_equal_keys_are_drawn_once():
    lines = [Line("rank-1", [1, 2], [3, 4], SERIES[0]), Line("mAP", [1, 2], [1, 2], SERIES[1], "--")]
    whole = charts_module.figure([Chart("a", lines), Chart("b", lines)])
    assert [axes.get_legend() for axes in whole.axes] == [None, None]
    assert [text.get_text() for text in whole.legends[0].get_texts()] == ["rank-1", "mAP"]


@pytest.mark.parametrize(("n", "columns", "rows"), [(9, 2, [2, 2, 2, 2, 1]), (7, 3, [3, 2, 2]), (4, 3, [2, 2])])
def test_every_row_of_panels_is_as_wide_as_the_picture(n, columns, rows):
    whole = charts_module.figure(
        [Chart(str(i), [Line("", [1, 2], [1, 2], SERIES[0])]) for i in range(n)], columns=columns
    )
    spans = [axes.get_subplotspec() for axes in whole.axes]
    found = [[s for s in spans if s.rowspan.start == row] for row in range(len(rows))]
    assert [len(row) for row in found] == rows
    assert all(sum(len(s.colspan) for s in row) == spans[0].get_gridspec().ncols for row in found)


def test_a_line_of_zeros_has_no_scale_below_zero():
    (axes,) = charts_module.figure(training_charts([{"step": i, "n_clipped": 0} for i in range(3)])).axes
    assert axes.get_ylim()[0] > -0.1 and axes.get_ylim()[1] == 1


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

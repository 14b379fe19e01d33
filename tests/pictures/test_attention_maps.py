"""Where models look: heat that reads in grey, rows and frames that belong together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from duskmatch.data import decode_frame, segment_indices
from duskmatch.pictures.attention import attention_rows, frames_differ, seen, tiles_of
from duskmatch.pictures.attention_maps import attention_page, attention_section
from duskmatch.pictures.overlays import overlay, scale_of_heat
from duskmatch.pictures.side_by_side import compared_cases
from duskmatch.records import DIRECTIONS
from tests.pictures.conftest import BASELINE, compared_run


def grey(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int)


@pytest.fixture(scope="module")
def rows(compared):
    return attention_rows(compared, {d: compared_cases(compared, d, 8) for d in DIRECTIONS})


def test_warmer_is_brighter_in_grey_print_too():
    scale = grey(scale_of_heat(200, 9))[4]
    line = np.abs(np.arange(200) - 100) < 4  # round half of the scale, white on purpose
    assert (np.diff(scale[~line]) >= -1).all() and scale[-1] - scale[0] > 80  # 1: rounding
    fifths = scale[~line][:: (200 - 7) // 5]
    assert (np.diff(fifths) > 5).all()


def test_heat_lies_where_it_belongs_and_is_as_large_as_the_frame():
    frame = np.full((120, 50, 3), 128, np.uint8)
    heat = np.zeros((6, 3), np.float32)
    heat[0, 2] = 1  # above, at the right
    made = overlay(frame, heat)
    assert made.shape == frame.shape and frame.min() == frame.max() == 128
    y, x = np.unravel_index(grey(made).argmax(), made.shape[:2])
    assert y < 40 and x > 25
    corner = grey(made)[:10, -8:].mean()
    assert corner > grey(made)[60:].mean() + 60


def test_a_clip_without_heat_is_cold_and_no_line_is_drawn():
    made = overlay(np.full((40, 20, 3), 90, np.uint8), np.zeros((6, 3)))
    assert len(np.unique(made.reshape(-1, 3), axis=0)) == 1


def test_each_kind_has_one_row_and_its_similarity_is_that_of_the_ranking(compared, rows):
    assert [(row.direction, row.kind) for row in rows] == [
        (d, kind) for d in DIRECTIONS for kind in compared_cases(compared, d, 8)
    ]
    for row in rows:
        for run, of in zip(compared, row.seen, strict=True):
            place = run.evaluation.query[row.direction].tracklets.index(row.query)
            ranking = run.evaluation.rankings[row.direction]
            gallery = run.evaluation.gallery[row.direction].tracklets
            assert of.hit == gallery[ranking.indices[place, 0]] and of.match == (of.hit.pid == row.query.pid)
            assert 1 - of.sim == pytest.approx(float(ranking.dist[place, 0]), abs=1e-5)


def test_frames_are_read_as_the_run_reads_them(people):
    run = compared_run("scaled", people, *BASELINE, "data.height=48", "data.width=24", "data.jpeg_scaling=true")
    (of,) = seen([run], "visible_to_infrared", 0)
    dist = float(run.evaluation.rankings["visible_to_infrared"].dist[0, 0])
    assert 1 - of.sim == pytest.approx(dist, abs=1e-5)


def test_models_of_equal_clips_share_a_frame_of_the_clip(compared, rows):
    assert not frames_differ(rows)
    for row in rows:
        frames = [decode_frame(row.query.frames[i]) for i in segment_indices(len(row.query), 2, None)]
        assert any(np.array_equal(row.seen[0].frame, frame) for frame in frames)
        peak = min(float(of.grad_cam.max()) for of in row.seen)
        assert peak > 0  # no model is cold all over where there is a choice
    columns = [[tile.column for tile in group] for group in tiles_of(rows[0], False)]
    assert columns == [["frame", "activation", "Grad-CAM", "first hit"], ["activation", "Grad-CAM", "first hit"]]


def test_models_of_clips_of_other_lengths_show_their_own_frames(people, compared):
    longer = compared_run("longer", people, *BASELINE, "data.frames_per_clip=3")
    runs = [compared[0], longer]
    rows = attention_rows(runs, {d: compared_cases(runs, d, 8) for d in DIRECTIONS})
    assert frames_differ(rows)
    assert all(group[0].column == "frame" for group in tiles_of(rows[0], True))
    assert attention_section(runs, rows)[2].count(">frame</th>") == 2


def test_the_chosen_frame_is_where_the_weakest_peak_is_highest(compared, monkeypatch):
    from duskmatch.embedding.saliency import SaliencyMaps
    from duskmatch.pictures import attention

    peaks = iter([[1.0, 0.5], [0.2, 1.0]])

    def fake(embedder, clip, towards):
        maps = np.array(next(peaks), np.float32)[:, None, None] * np.ones((2, 6, 3), np.float32)
        return SaliencyMaps(maps, maps, 0.5)

    monkeypatch.setattr(attention, "saliency_maps", fake)
    found = seen(compared, "infrared_to_visible", 0)
    assert [float(of.grad_cam.max()) for of in found] == [0.5, 1.0]  # the second frame: 0.5 is more than 0.2


def test_the_table_names_models_over_their_columns(compared, rows):
    caption, scale, table = attention_section(compared, rows)
    assert caption.startswith('<p class="small soft">SYNTHETIC data, Duskwalk 1, test split.')
    assert "L2 norm over channels" in caption and "largest" in scale
    assert '<th colspan="3" scope="colgroup">Baseline</th><th colspan="3" scope="colgroup">full</th>' in table
    assert table.count("<img") == len(rows) * 7
    assert table.count('class="right"') == sum(of.match for row in rows for of in row.seen)


def test_the_page_is_a_picture_with_every_row(compared, rows, tmp_path):
    page = cv2.imread(str(attention_page(tmp_path / "a.png", compared, rows, "note")))
    assert page.shape[0] > len(rows) * 192 and page.shape[1] > 7 * 96
    assert (page < 100).any(axis=2).any(axis=1).sum() > len(rows) * 192

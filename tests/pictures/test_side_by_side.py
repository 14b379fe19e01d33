"""Strips side by side: which queries, and marks that follow each model's ranking."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from duskmatch.pictures.cases import shown_cases
from duskmatch.pictures.sheets import RIGHT, WRONG, left_of
from duskmatch.pictures.side_by_side import DIFFER, HEAD_PX, STRIP_PX, block, compared_cases, strip_pages
from duskmatch.pictures.thumbnails import HEIGHT_PX, WIDTH_PX
from duskmatch.records import DIRECTIONS

NOTE = "SYNTHETIC data (Duskwalk 1)"


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("n", [1, 2, 4, 5, 8, 12])
def test_half_by_the_first_models_scores_half_where_models_differ_most(compared, direction, n):
    scores = [run.evaluation.scores[direction] for run in compared]
    cases = compared_cases(compared, direction, n)
    differing = cases.pop(DIFFER, [])
    assert cases == shown_cases(scores[0], n - len(differing))
    chosen = [row for rows in (*cases.values(), differing) for row in rows]
    assert len(chosen) == len(set(chosen)) == n
    assert len(differing) == {1: 0, 2: 1, 4: 1, 5: 1, 8: 4, 12: 6}[n]
    spread = np.abs(scores[0].average_precision - scores[1].average_precision)
    place = {int(row): i for i, row in enumerate(scores[0].scored)}
    pids = {row: scores[0].query_pids[place[row]] for row in place}
    taken = {row for rows in cases.values() for row in rows}
    for row in differing:
        others = {r for r in place if r not in taken and spread[place[r]] > 0}
        fresh = {r for r in others if pids[r] not in {pids[t] for t in taken}}
        assert spread[place[row]] == max(spread[place[r]] for r in fresh or others)
        taken.add(row)


def test_one_model_is_shown_by_the_rule_alone_and_equal_ones_do_not_differ(compared):
    direction = "infrared_to_visible"
    alone = compared_cases(compared[:1], direction, 8)
    assert alone == shown_cases(compared[0].evaluation.scores[direction], 8)
    twice = compared_cases([compared[0], replace(compared[0], name="again")], direction, 8)
    assert DIFFER not in twice


def test_a_block_has_every_models_hits_with_its_own_marks(compared):
    direction, row = "visible_to_infrared", 3
    markup = block(compared, direction, row, "good")
    hits = [run.evaluation.rankings[direction].matches[row] for run in compared]
    assert markup.count('class="right"') == sum(int(h.sum()) for h in hits)
    assert markup.count('class="wrong"') == sum(int((~h).sum()) for h in hits)
    assert markup.count("✓") == markup.count(", right: person") and markup.count("✗") == markup.count(", wrong: person")
    assert markup.count("<b>Baseline</b>") == markup.count("<b>full</b>") == 1
    assert markup.count("query: person") == 1 and "2 matches in the gallery" in markup


def frame_of(page, place, top):
    """The pixels round a tile."""
    left = left_of(place)
    around = page[top - 6 : top + HEIGHT_PX + 6, left - 6 : left + WIDTH_PX + 6].astype(int)
    return np.concatenate([around[:, :6].reshape(-1, 3), around[:, -6:].reshape(-1, 3)])


def has(pixels, colour):
    return bool((np.abs(pixels - 255 * np.array(to_rgb(colour))).sum(axis=1) < 30).any())


def test_pages_mark_each_models_hits(compared, tmp_path):
    cases = {d: compared_cases(compared, d, 5) for d in DIRECTIONS}
    pages = strip_pages(tmp_path, compared, cases, NOTE)
    names = [f"side-by-side-{d.replace('_', '-')}-00{n}.png" for d in DIRECTIONS for n in (1, 2)]
    assert [page.name for page in pages] == names == [n for n in names if (tmp_path / n).is_file()]
    page = cv2.imread(str(pages[0]))[:, :, ::-1]
    row = next(iter(cases["infrared_to_visible"].values()))[0]
    seen = set()
    for which, run in enumerate(compared):
        top = HEAD_PX + HEAD_PX + which * (HEAD_PX + STRIP_PX) + HEAD_PX
        for place, match in enumerate(run.evaluation.rankings["infrared_to_visible"].matches[row], start=1):
            around = frame_of(page, place, top)
            assert has(around, RIGHT) is bool(match) and has(around, WRONG) is not bool(match)
            seen.add(bool(match))
    assert seen == {True, False}


def test_the_same_models_give_the_same_bytes(compared, tmp_path):
    cases = {d: compared_cases(compared, d, 1) for d in DIRECTIONS}
    made = [[p.read_bytes() for p in strip_pages(tmp_path / name, compared, cases, NOTE)] for name in "ab"]
    assert made[0] == made[1]

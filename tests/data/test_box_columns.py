"""What the columns of a box file mean: confidence, class, ids of any length, and boxes in other units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from duskmatch.data.cutting import Cut, Plan
from duskmatch.data.mot import read_boxes
from duskmatch.errors import DataError, SettingsError

FLAG = "--min-confidence 0 keeps them"


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def make(rows: Sequence[str], **settings: Any) -> Plan:
        path = tmp_path / "mot.txt"
        path.write_text("\n".join(rows))
        return Plan(read_boxes(path), Cut(**{"modality": "infrared", "camid": 1, **settings}), (160, 120), path)

    return make


def why(plan: Plan) -> dict[str, int]:
    return dict(Counter(plan.dropped.values()))


def test_a_confidence_that_is_0_in_every_row_says_nothing(plan: Any) -> None:
    made = plan([f"{f} 3 10 10 40 60 0 0 -1" for f in range(1, 5)])
    assert (len(made.wanted_boxes), why(made)) == (4, {})
    assert made.hints == ["the confidence is 0 in every row, so it says nothing and no box was left out for it"]


def test_confidence_0_beside_others_is_left_out_and_a_flag_keeps_it(plan: Any) -> None:
    rows = ["1,3,10,10,40,60,0,-1,-1,-1", "2,3,10,10,40,60,1,-1,-1,-1"]
    made = plan(rows)
    assert why(made) == {"confidence 0": 1}
    assert [hint for hint in made.hints if hint.endswith(FLAG)]
    kept = plan(rows, min_confidence=0.0)
    assert (why(kept), kept.hints) == ({}, [])


def test_boxes_below_a_confidence_are_left_out_for_that_reason(plan: Any) -> None:
    rows = ["1,3,10,10,40,60,0.2", "2,3,10,10,40,60,0", "3,3,10,10,40,60,0.5", "4,3,10,10,40,60,0.9"]
    assert why(plan(rows, min_confidence=0.5)) == {"confidence below 0.5": 2}
    with pytest.raises(DataError, match=r"all are dropped: 4 confidence below 0\.95"):
        plan(rows, min_confidence=0.95)
    with pytest.raises(DataError, match="--min-confidence needs a confidence in column 7; the file has 6 columns"):
        plan(["1,3,10,10,40,60"], min_confidence=0.5)
    with pytest.raises(SettingsError, match="min-confidence must be a finite number; got nan"):
        plan(rows, min_confidence=float("nan"))


def test_ignored_regions_may_share_an_id_in_a_frame(plan: Any) -> None:
    made = plan(["1,0,5,5,20,20,0,0,0,0", "1,0,50,5,20,20,0,0,0,0", "1,1,10,10,40,60,1,1,0,0"])
    assert (why(made), list(made.tracks)) == ({"confidence 0": 2}, ["0001"])
    made = plan(["1,-1,5,5,20,20,0,0,0,0", "1,1,5,5,0,20,1,1,0,0", "1,1,10,10,40,60,1,1,0,0"])
    assert (why(made), list(made.tracks)) == ({"confidence 0": 1, "no area": 1}, ["0001"])


def test_boxes_that_are_cut_have_a_track_and_one_place_in_a_frame(plan: Any, tmp_path: Path) -> None:
    path = tmp_path / "mot.txt"
    with pytest.raises(DataError) as error:
        plan(["9,9,1,2,3,4,1", "9,9,1,2,3,4,1"])
    rule = "each track has one box in a frame; frame 9, track 9 is in line 1 too"
    assert str(error.value) == f"{path}, line 2: {rule}; remove one"
    with pytest.raises(DataError) as error:
        plan(["9,9,1,2,3,4,1", "1,-1,1,2,3,4,1"])
    rule = "id must be the number of a track, at least 0; got -1"
    assert str(error.value) == f"{path}, line 2: {rule}; run a tracker first"


CLASSES = ["1,7,10,10,40,60,1,1,1.0", "1,8,60,20,80,40,1,3,1.0", "2,7,10,10,40,60,1,1,1.0", "2,9,60,20,8,40,0,12,0.5"]


def test_classes_in_column_8_are_said_and_chosen(plan: Any) -> None:
    text = "column 8 holds 2 classes, and all were cut: 1 (2 boxes), 3 (1 boxes); choose with --class N"
    assert text in plan(CLASSES).hints
    chosen = plan(CLASSES, classes=(1,))
    assert (list(chosen.tracks), why(chosen)) == (["0007"], {"of another class": 2})
    assert chosen.hints == []
    assert list(plan(CLASSES, classes=(1, 3)).tracks) == ["0007", "0008"]
    with pytest.raises(DataError, match="all are dropped: 4 of another class"):
        plan(CLASSES, classes=(2,))


def test_ids_that_start_again_for_each_class(plan: Any) -> None:
    rows = ["5 1 10 10 40 60 1 1 -1", "5 1 60 20 80 40 1 2 -1"]
    with pytest.raises(DataError, match=r"is in line 1 too, of another class \(1, 2\); choose one with --class N"):
        plan(rows)
    assert list(plan(rows, classes=(2,)).tracks) == ["0001"]


@pytest.mark.parametrize("last", ["-1,-1,-1", "1.25,3.5,0", "person,1,1"])
def test_what_is_no_class_is_not_taken_for_one(plan: Any, last: str) -> None:
    rows = [f"1,1,10,10,40,60,0.9,{last}", f"2,1,10,10,40,60,0.9,{last}"]
    assert plan(rows).hints == []
    with pytest.raises(DataError, match="--class needs a class in column 8, a whole number; the file has none"):
        plan(rows, classes=(1,))


def test_a_comma_at_the_end_is_no_further_column(plan: Any) -> None:
    assert list(plan(["1,1,10,10,40,60,0.9,-1,-1,-1,"]).tracks) == ["0001"]


def test_ids_of_any_length_stay_apart(plan: Any) -> None:
    a, b = 2**53, 2**53 + 1  # one number as fp64
    made = plan([f"1,{a},10,10,40,60,1", f"1,{b},60,10,40,60,1", "1,7.0,60,10,40,60,1"])
    assert list(made.tracks) == ["0007", str(a), str(b)]
    assert made.pids == {7: 7, a: a, b: b}
    a, b = 5908367352543543296, 18446744073709551615
    made = plan([f"1,{b},10,10,40,60,1", f"1,{a},60,10,40,60,1", "2,7,60,10,40,60,0.5"])
    assert (list(made.tracks), made.pids) == (["0007", str(a), str(b)], {7: 1, a: 2, b: 3})
    assert made.hints == ["ids are too long for tracklets.csv: its pid counts them from 1, tracklet_id holds them"]


def test_fractions_of_the_picture_are_refused_with_what_reads_them(plan: Any, tmp_path: Path) -> None:
    rows = ["1,1,0.25,0.5,0.25,0.5,1"]
    with pytest.raises(DataError) as error:
        plan(rows)
    assert str(error.value) == (
        f"{tmp_path / 'mot.txt'}, line 1: boxes must be in pixels; all lie between 0 and 1 like fractions of the "
        "picture, the first is 0.25,0.5,0.25,0.5; then pass --boxes-size 1x1 --pixels-from 0, or --scale 1 if they are "
        "pixels"
    )
    ((_, place, _),) = plan(rows, boxes_size=(1, 1), pixels_from=0).wanted_boxes[1]
    assert (place.left, place.top, place.right, place.bottom) == (40, 60, 80, 120)


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        (
            ["1,1,0,0,160,120,1"],
            "the boxes fit the picture to the pixel if they count from 0: then pass --pixels-from 0",
        ),
        (
            ["1,1,50,50,100,110,1"],
            "columns 5 and 6 look like the right and lower edge; they must hold width and height",
        ),
        (
            ["1,1,10,10,40,60,1", "2,1,140,10,80,60,1"],
            "1 boxes lie more than half outside the picture, the first in line 2; if they were made for another size, "
            "pass --boxes-size WxH",
        ),
    ],
)
def test_boxes_that_do_not_look_like_pixels_are_said(plan: Any, rows: list[str], hint: str) -> None:
    assert plan(rows).hints == [hint]


def test_boxes_that_reach_outside_a_little_are_nothing_to_say(plan: Any) -> None:
    assert plan(["1,1,-3,10,40,60,1", "2,1,130,80,40,60,1", "3,1,1,1,160,120,1"]).hints == []

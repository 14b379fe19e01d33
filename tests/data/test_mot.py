"""MOTChallenge text: what is read, what is refused, and where a box lies in the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duskmatch.data.mot import Box, read_boxes, rectangle, split_tracks
from duskmatch.errors import DataError


def boxes(tmp_path: Path, text: str) -> list[Box]:
    (tmp_path / "mot.txt").write_text(text)
    return read_boxes(tmp_path / "mot.txt")


def box(frame: int = 1, track: int = 1, x: float = 1, y: float = 1, w: float = 10, h: float = 20) -> Box:
    return Box(frame, frame, track, float(x), float(y), float(w), float(h), 1.0)


def test_rows_in_any_order_come_out_by_frame(tmp_path: Path) -> None:
    found = boxes(tmp_path, "3,1,1,2,3,4,1,-1,-1,-1\n\n1,2,5.5,6,7,8,0.5,-1,-1,-1\r\n1.0,1,1,2,3,4,1,-1,-1,-1\n")
    assert [(b.line, b.frame, b.track) for b in found] == [(3, 1, 2), (4, 1, 1), (1, 3, 1)]
    assert found[0] == Box(3, 1, 2, 5.5, 6.0, 7.0, 8.0, 0.5)


def test_confidence_and_commas_may_be_missing(tmp_path: Path) -> None:
    assert boxes(tmp_path, "1 1 1 2 3 4\n") == [Box(1, 1, 1, 1.0, 2.0, 3.0, 4.0)]


ROWS = [
    ("1,1,1,2,3", "a row must have 6 to 10 columns, as many as the first one (7): "
     "frame,id,x,y,w,h,confidence,...; got 5"),
    ("1,1,1,2,3,4,1,1", "a row must have 6 to 10 columns, as many as the first one (7): "
     "frame,id,x,y,w,h,confidence,...; got 8"),
    ("1,1,nan,2,3,4,1", "x must be a finite number; got 'nan'; remove the row or mend it"),
    ("1,1,1,2,3,inf,1", "h must be a finite number; got 'inf'; remove the row or mend it"),
    ("1,1,1,2,3,1e300,1", "h must be a finite number; got '1e300'; remove the row or mend it"),
    ("1,1,1,,3,4,1", "y must be a finite number; got ''; remove the row or mend it"),
    ("one,1,1,2,3,4,1", "frame must be a whole number; got 'one'"),
    ("1.5,1,1,2,3,4,1", "frame must be a whole number; got '1.5'"),
    ("0,1,1,2,3,4,1", "frames count from 1; got 0; add 1 to each if they count from 0"),
    ("9" * 11 + ",1,1,2,3,4,1", "frame must be at most 1000000000; got '99999999999'"),
    ("1," + "9" * 41 + ",1,2,3,4,1", "id must have at most 40 digits; got '" + "9" * 41 + "'"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ROWS)
def test_a_broken_row_is_refused_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        boxes(tmp_path, f"9,9,1,2,3,4,1\n{row}\n")
    assert str(error.value) == f"{tmp_path / 'mot.txt'}, line 2: {message}"


def test_no_boxes_and_no_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mot.txt"
    with pytest.raises(DataError) as error:
        read_boxes(path)
    assert str(error.value) == f"{path}: the boxes cannot be read (No such file or directory); check the path"
    with pytest.raises(DataError) as error:
        boxes(tmp_path, "\n\n")
    assert str(error.value) == f"{path} must hold boxes, one a line: frame,id,x,y,w,h,confidence; it holds none"


def test_an_id_that_comes_back_after_the_gap_is_a_new_tracklet() -> None:
    found = [box(frame) for frame in (1, 2, 5, 9)] + [box(3, track=2)]
    frames = {name: [b.frame for b in own] for name, own in split_tracks(found, max_gap=2).items()}
    assert frames == {"0001": [1, 2, 5], "0001-2": [9], "0002": [3]}
    assert [len(own) for own in split_tracks(found, max_gap=3).values()] == [4, 1]


def test_pixels_count_from_one_or_from_zero() -> None:
    place = rectangle(box(x=1, y=1), (1.0, 1.0), 64, 48)
    assert place is not None
    assert (place.left, place.top, place.right, place.bottom, place.clipped) == (0, 0, 10, 20, False)
    place = rectangle(box(x=0, y=0), (1.0, 1.0), 64, 48, pixels_from=0)
    assert place is not None
    assert (place.left, place.top, place.right, place.bottom, place.clipped) == (0, 0, 10, 20, False)


def test_a_scaled_box_covers_every_pixel_it_touches() -> None:
    place = rectangle(box(x=4, y=7, w=9, h=10), (0.5, 1 / 3), 64, 48)
    assert place is not None
    assert (place.left, place.top, place.right, place.bottom) == (1, 2, 6, 6)


@given(*[st.floats(-200, 200) for _ in range(2)], *[st.floats(0.5, 300) for _ in range(2)])
def test_a_box_is_cut_as_the_pixels_say(x: float, y: float, w: float, h: float) -> None:
    """Against a picture asked pixel by pixel: which lie in the box, and whether any of the box lies outside."""
    width, height = 13, 7
    columns = [c for c in range(width) if c + 1 > x - 1 + 2e-6 and c < x - 1 + w - 2e-6]
    rows = [r for r in range(height) if r + 1 > y - 1 + 2e-6 and r < y - 1 + h - 2e-6]
    place = rectangle(box(x=x, y=y, w=w, h=h), (1.0, 1.0), width, height)
    if place is None:
        assert not columns or not rows
        return
    inner = {(c, r) for c in columns for r in rows}
    cut = {(c, r) for c in range(place.left, place.right) for r in range(place.top, place.bottom)}
    assert inner <= cut
    assert len(range(place.left, place.right)) - len(columns) in (0, 1, 2) and 0 <= place.left < place.right <= width
    assert 0 <= place.top < place.bottom <= height
    assert not place.clipped or min(x - 1, y - 1) < 0 or x - 1 + w > width or y - 1 + h > height


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_are_read(end: str, tmp_path: Path) -> None:
    (tmp_path / "mot.txt").write_bytes(f"1,3,1,1,2,2,1{end}{end}2,3,1,1,2,2,1{end}".encode())
    assert [(box.line, box.frame) for box in read_boxes(tmp_path / "mot.txt")] == [(1, 1), (3, 2)]

"""Whatever the bytes of a file are, the answer is data or a DataError: never a crash, a hang or a way out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duskmatch.data import Problem, open_dataset, open_tracklets
from duskmatch.data.decoding import decode_bgr, decode_bytes
from duskmatch.data.mot import read_boxes
from duskmatch.data.tracklets import COLUMNS
from duskmatch.errors import DataError, FrameError
from tests.data.tree import Tree

INFO = ("train_name.txt", "track_train_info.txt", "test_name.txt", "track_test_info.txt", "query_IDX.txt")
words = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(
        ["0001M1D1T1F101.jpg", "../x", "/etc/passwd", "nan", "1e999", "", "\x00", "²", "١", "C:\\x", ";", '"', "'"]
    ),
    st.text(max_size=12),
)
lines = st.lists(words, max_size=11).map(" ".join)
files = st.lists(lines, max_size=6).map("\n".join).map(lambda text: text.encode("utf-8", errors="replace"))
JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (24, 12, 3), dtype=np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = Tree(tmp_path_factory.mktemp("hostile") / "set")
    made.write()
    return made


@given(st.sampled_from(INFO), st.integers(0, 400), lines, st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_line_is_read_or_refused_and_a_report_hears_at_least_the_first(
    tree: Tree, name: str, at: int, line: str, whole: bool
) -> None:
    path = tree.file(name)
    before = path.read_bytes()
    try:
        old = before.decode().splitlines()
        path.write_text(line if whole else "\n".join([*old[:at], line, *old[at + 1 :]]), errors="replace")
        problems: list[Problem] = []
        dataset = open_dataset(tree.root, problems.append)
        inside = [frame for t in dataset.train + dataset.test for frame in t.frames]
        assert all(frame.is_relative_to(tree.root) and ".." not in frame.parts for frame in inside)
        if not problems:
            open_dataset(tree.root)
            return
        with pytest.raises(DataError) as error:
            open_dataset(tree.root)
        assert str(error.value) == f"{tree.root}: {problems[0]}"
    finally:
        path.write_bytes(before)


@given(files)
@settings(max_examples=150, deadline=None)
def test_any_boxes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile_mot.txt"
    path.write_bytes(data)
    try:
        boxes = read_boxes(path)
    except DataError as error:
        assert str(error).startswith(str(path))
    else:
        assert all(np.isfinite([box.x, box.y, box.w, box.h, box.confidence or 0.0]).all() for box in boxes)


@given(st.lists(st.lists(words, min_size=6, max_size=8).map(",".join), max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_table_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile_tracklets"
    folder.mkdir(exist_ok=True)
    text = "\n".join([",".join(COLUMNS), *rows])
    (folder / "tracklets.csv").write_bytes(text.encode("utf-8", errors="replace"))
    try:
        tracklets = open_tracklets(folder)
    except DataError as error:
        assert str(error).startswith(f"{folder}: tracklets.csv, line ")
    else:
        root = folder.resolve()
        assert all(Path(frame).resolve().is_relative_to(root) for t in tracklets for frame in t.frames)


@given(st.integers(0, len(JPEG)), st.binary(max_size=40), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_picture_or_refused(at: int, junk: bytes, cut: int) -> None:
    data = JPEG[:at] + junk + JPEG[at + cut :]
    try:
        picture = decode_bytes(data, "x.jpg")
    except FrameError as error:
        assert str(error).startswith("x.jpg: ")
    else:
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    try:
        small = decode_bgr(data, "x.jpg", at_least=(12, 6))
    except FrameError as error:
        assert str(error).startswith("x.jpg: ")
    else:
        assert small.dtype == np.uint8 and small.ndim == 3 and small.shape[2] == 3

"""Places that are written: what may be emptied, what must not, and what is refused before any work."""

from __future__ import annotations

import errno
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from duskmatch.errors import DuskmatchError, OutputError
from duskmatch.evaluation import load_embeddings
from duskmatch.files import (
    LOCK,
    MARK,
    check_file,
    check_folder,
    claimed,
    entries,
    only_writer,
    prepare_folder,
    read_regular,
    refusal,
    write_text,
    write_whole,
)
from duskmatch.pickled import read_pickle
from duskmatch.weights import read_weights


def full(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("keep")
    return folder


def test_overwrite_empties_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "out"
    write_text(place / "ranking.csv", "")
    write_text(place / "strips-001.png", "")
    assert list(prepare_folder(place, overwrite=True).iterdir()) == []


# What each command leaves, finished, by versions without a mark as well.
FINISHED = {
    "train": ("settings.yaml", "VERSION", "log.csv", "curves.png", "state/000000002/progress.json", "scores.json",
              "scores.validation.json", "report.html", "report.validation.html", "model.safetensors", "health.json"),
    "rank": ("ranking.csv", "ranking.json", "strips-001.png"),
    "synth": ("duskwalk.json", "info/test_name.txt", "0001/ir/D1/1.jpg"),
    "film": ("duskwalk.json", "film.json"),
    "ingest": ("ingest.json", "tracklets.csv", "0001/000001.jpg", "0001-2/000009.jpg"),
    "halves": ("ingest.json", "first/tracklets.csv", "second/tracklets.csv"),
    "export": ("export.json", "visible.xml", "visible.bin", "infrared.onnx"),
    "compare": ("compare.json", "compare.html", "side-by-side-infrared-to-visible-001.png", "embedding-maps.png"),
    "counterfactual": ("plan.json", "films/view-1/duskwalk.json", "rank1_infrared_to_visible.png", "shift.png",
                       "counterfactual.md"),
    "demo": ("data/duskwalk.json", "run/settings.yaml", "scores.json", "report.html"),
}  # fmt: skip


@pytest.mark.parametrize("command", FINISHED)
def test_overwrite_knows_what_each_command_wrote_and_spares_what_is_not_of_it(command: str, tmp_path: Path) -> None:
    place = tmp_path / "out"
    for name in FINISHED[command]:
        write_text(place / name, "")
    check_folder(place, overwrite=True)
    (place / "my notes.txt").write_text("keep")
    message = f"--overwrite must not remove what duskmatch did not write; {place} holds my notes.txt; move it away or"
    with pytest.raises(OutputError, match=f"^{message} choose another OUT$"):
        prepare_folder(place, overwrite=True)
    assert (place / "my notes.txt").read_text() == "keep" and (place / FINISHED[command][0]).is_file()


@pytest.mark.parametrize("names", [("VERSION",), ("data/mine.txt", "run/mine.txt"), ("0001/a.jpg",)])
def test_overwrite_spares_a_folder_that_nothing_marks_as_ours(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        write_text(tmp_path / name, "keep")
    with pytest.raises(OutputError, match=r"holds no file that shows it did .* empty it yourself or choose"):
        prepare_folder(tmp_path, overwrite=True)
    assert all((tmp_path / name).is_file() for name in names)


def test_a_folder_that_a_killed_command_left_can_be_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(target=begin_and_die, args=(place,))
    process.start()
    process.join()
    assert {path.name for path in place.iterdir()} == {"0001", MARK, LOCK}
    with claimed(place, overwrite=True):
        assert entries(place) == [] and (place / MARK).is_file()
        write_text(place / "duskwalk.json", "{}")
    assert [path.name for path in place.iterdir()] == ["duskwalk.json"]


def begin_and_die(place: Path) -> None:
    with claimed(place, overwrite=False):
        write_text(place / "0001" / "a.jpg", "")
        os._exit(9)


def test_a_second_writer_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    place = tmp_path / "out"
    with claimed(place, overwrite=False):
        write_text(place / "ranking.csv", "first")
        message = "out is being written by another process; wait for it or choose another OUT$"
        with pytest.raises(OutputError, match=message), claimed(place, overwrite=True):
            raise AssertionError
        assert [path.name for path in entries(place)] == ["ranking.csv"] and (place / MARK).is_file()
    assert [path.name for path in place.iterdir()] == ["ranking.csv"]


def test_writers_that_wait_for_each_other_write_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")

    def add(_: int) -> None:
        with only_writer(tmp_path, busy=None):
            (tmp_path / "count").write_text(str(int((tmp_path / "count").read_text()) + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))
    processes = [multiprocessing.get_context("fork").Process(target=add, args=(0,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "count").read_text() == "15" and [path.name for path in tmp_path.iterdir()] == ["count"]


def test_a_place_where_no_lock_can_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"^cannot write .*/file: "), only_writer(tmp_path / "file"):
        raise AssertionError


@pytest.mark.parametrize("there", [False, True])
def test_what_ends_before_anything_is_written_leaves_nothing(there: bool, tmp_path: Path) -> None:
    place = tmp_path / "new" / "out"
    if there:
        place.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), claimed(place, overwrite=False):
        raise KeyboardInterrupt
    assert list(tmp_path.rglob("*")) == ([place.parent, place] if there else [])


def test_threads_may_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_text(path, f"{n}" * 1000), range(240)))
    text = path.read_text()
    assert len(set(text.split(text[:1]))) == 1 or text in {f"{n}" * 1000 for n in range(240)}
    assert [p.name for p in tmp_path.iterdir()] == ["one.txt"]


def test_a_full_disk_is_named_with_its_room_and_what_to_do(tmp_path: Path) -> None:
    said = str(refusal(tmp_path / "x", OSError(errno.ENOSPC, "No space left on device")))
    assert said.startswith(f"cannot write {tmp_path / 'x'}: the disk is full (/")
    assert " MiB free); free some space there, then run the command again, with --overwrite where it left" in said


def test_what_a_library_in_rust_says_of_a_full_disk_is_understood(tmp_path: Path) -> None:
    class SafetensorError(Exception):
        pass

    def write(_: Path) -> Any:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(OutputError, match=r"x\.safetensors: the disk is full \("):
        write_whole(tmp_path / "x.safetensors", write)


@pytest.mark.parametrize("which", ["home", "above home", "here", "above here", "..", "root"])
def test_overwrite_never_removes_home_here_or_a_disk(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = full(tmp_path / "homes" / "me"), full(tmp_path / "work" / "here")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    above = {"home": home, "above home": home.parent, "here": here, "above here": here.parent, "..": Path("..")}
    with pytest.raises(OutputError, match=r"^--overwrite must not remove .* is or holds it; choose another OUT$"):
        check_folder({**above, "root": Path(here.anchor)}[which], overwrite=True)
    if which != "root":
        with pytest.raises(OutputError):
            prepare_folder(above[which], overwrite=True)
    assert (home / "mine.txt").read_text() == (here / "mine.txt").read_text() == "keep"


def test_overwrite_never_removes_what_is_read(tmp_path: Path) -> None:
    place = full(tmp_path / "out")
    message = f"--overwrite must not remove what is read; {place / 'mine.txt'} lies in {place}; choose another OUT"
    with pytest.raises(OutputError) as refused:
        check_folder(place, overwrite=True, inputs=[place / "mine.txt"])
    assert str(refused.value) == message
    (place / "mine.txt").rename(place / "ranking.csv")
    check_folder(place, overwrite=True, inputs=[tmp_path / "other"])


def test_a_place_without_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for refused in (lambda: write_text(tmp_path / "file" / "x", "y"), lambda: check_file(tmp_path / "file" / "x")):
        with pytest.raises(OutputError, match=r"^cannot write .*/file/x: "):
            refused()
    with pytest.raises(OutputError, match="must be a file's name; a folder has it; choose another"):
        check_file(tmp_path)


def test_looking_at_a_place_leaves_nothing(tmp_path: Path) -> None:
    check_file(tmp_path / "new" / "scores.json")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_no_pipe_device_or_file_that_is_read_is_replaced(tmp_path: Path) -> None:
    """A result takes its name by a rename, which would put a file in the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(OutputError, match="must be a file's name; a pipe or device has it; choose another"):
            check_file(place)
        with pytest.raises(OutputError, match="must be a file's name; a pipe or device has it; choose another"):
            write_text(place, "x")
    read = tmp_path / "features.npz"
    read.write_text("mine")
    (tmp_path / "link").symlink_to(read)
    for place in (read, tmp_path / "link", tmp_path / "." / "features.npz"):
        with pytest.raises(OutputError, match="must not be replaced: it is an input; choose another"):
            check_file(place, inputs=[tmp_path / "missing", read])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.timeout(60)
def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.csv")
    with pytest.raises(OSError, match="it is a pipe, socket or device"):
        read_regular(tmp_path / "log.csv")


def test_a_file_without_permission_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers' libraries call it missing or damaged."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "w.safetensors").write_bytes(b"")
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("torch.load", refuse)
    for read in (read_weights, read_pickle, load_embeddings):
        with pytest.raises(DuskmatchError, match="cannot be read: no permission; change its owner"):
            read(tmp_path / "w.safetensors")


def test_a_name_longer_than_a_file_system_takes_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 300}.json"
    for attempt in (lambda: write_text(path, "{}"), lambda: check_file(path)):
        with pytest.raises(OutputError, match="File name too long"):
            attempt()
    assert not list(tmp_path.iterdir())

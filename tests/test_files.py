"""Places that are written: what may be emptied, what must not, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from duskmatch.errors import OutputError
from duskmatch.files import check_file, check_folder, prepare_folder, write_text


def full(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("keep")
    return folder


def test_overwrite_empties_a_folder(tmp_path: Path) -> None:
    place = full(tmp_path / "out")
    assert list(prepare_folder(place, overwrite=True).iterdir()) == []


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

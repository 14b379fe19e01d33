"""A video as a folder of numbered pictures, as MOTChallenge and `ffmpeg -i v.mp4 %06d.jpg` write it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from duskmatch.data.decoding import NEXT, Picture, decode_bgr, decode_grey16, read_bytes
from duskmatch.data.images import PICTURES, is_picture
from duskmatch.data.levels import Levels
from duskmatch.errors import DataError, FrameError

INFO = "seqinfo.ini"
FRAMES = (*PICTURES, ".tif", ".tiff")


class PictureFolder:
    """The pictures by number: the number in a name is the frame's, one more where they count from 0."""

    def __init__(self, path: Path, levels: Levels, fps: float | None = None) -> None:
        self.path, self.levels = path, levels
        self.info = _read_info(path)
        self.folder = _folder(path, self.info)
        self.pictures = _numbered(self.folder)
        self.first, self.n_frames = min(self.pictures), max(self.pictures)
        self.fps = fps or _positive(self.info, "framerate")
        height, width = self._read(self.first).shape[:2]
        self.size = (width, height)

    def __enter__(self) -> PictureFolder:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def frames(self, last: int, wanted: Callable[[int], bool]) -> Iterator[tuple[int, float | None, Picture | None]]:
        """(number, seconds, BGR picture) up to frame `last`; no picture where none is wanted, missing ones left out."""
        for number in sorted(self.pictures):
            if number > last:
                return
            time = (number - 1) / self.fps if self.fps else None
            rule = f"{self.pictures[number]}: all pictures must have one size"
            yield number, time, of_size(self._read(number), self.size, rule) if wanted(number) else None

    def times(self) -> str:
        """The source of the times."""
        return f"{self.fps:g} frames a second" if self.fps else "none"

    def hints(self) -> list[str]:
        """Remarks on contradictions in the folder."""
        n_missing = self.n_frames - self.first + 1 - len(self.pictures)
        found = []
        if self.pictures[self.first].stem.endswith("0") and self.first == 1:
            found.append(f"the pictures count from 0: frame 1 is {self.pictures[1].name}")
        if n_missing:
            gap = next(n for n in range(self.first, self.n_frames) if n not in self.pictures)
            found.append(f"{n_missing} pictures are missing among the numbers, the first for frame {gap}")
        if self.first > 1:
            found.append(f"the pictures begin with frame {self.first}, after which frames are counted")
        return found + self._against_info()

    def _against_info(self) -> list[str]:
        named = tuple(_positive(self.info, key) for key in ("imwidth", "imheight"))
        found = []
        if all(named) and named != self.size:
            size = f"{named[0]:.0f}x{named[1]:.0f}"
            now = f"{self.size[0]}x{self.size[1]}"
            found.append(f"{INFO} says {size}, the pictures are {now}: boxes made for it need --boxes-size {size}")
        length = _positive(self.info, "seqlength")
        if length and length != len(self.pictures):
            found.append(f"{INFO} says {length:.0f} pictures; there are {len(self.pictures)}")
        return found

    def _read(self, number: int) -> Picture:
        path = self.pictures[number]
        try:
            data = read_bytes(path)
            plain, grey = decode_bgr(data, path), decode_grey16(data)
        except FrameError as error:
            raise DataError(str(error).replace(NEXT, "copy it again")) from error
        return plain if grey is None else self.levels.picture(grey, 16, plain)


def of_size(picture: Picture, size: tuple[int, int], rule: str) -> Picture:
    """The picture, if it has this (width, height)."""
    height, width = picture.shape[:2]
    if (width, height) != size:
        raise DataError(f"{rule}; it changes from {size[0]}x{size[1]} to {width}x{height}; re-encode it")
    return picture


def _folder(path: Path, info: dict[str, str]) -> Path:
    """The folder of the pictures themselves: the one named, or the imDir of a sequence."""
    name = info.get("imdir", "")
    inner = path / name
    return inner if name and name == Path(name).name and inner.is_dir() else path


def _read_info(path: Path) -> dict[str, str]:
    """The entries of seqinfo.ini in the folder or the one above; nothing if there is none."""
    above = path.resolve().parent / INFO
    if (path / INFO).is_file():
        return _sequence(path / INFO)
    if above.is_file() and (info := _sequence(above)).get("imdir") == path.resolve().name:
        return info
    return {}


def _sequence(place: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(place.read_bytes().decode("utf-8-sig", errors="replace"))
        return dict(parser["Sequence"])
    except (configparser.Error, KeyError) as error:
        rule = "it must hold a section [Sequence] with lines like frameRate=30"
        raise DataError(f"{place}: {rule}; correct it or remove it") from error


def _positive(info: dict[str, str], key: str) -> float | None:
    text = info.get(key, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) or float(text) <= 0:
        raise DataError(
            f"{INFO}: {key} must be a number above 0, of at most 9 digits; got {text[:40]!r}; correct or remove it"
        )
    return float(text)


def _numbered(folder: Path) -> dict[int, Path]:
    """The pictures by the last number in their names, moved up by one where they count from 0."""
    found: dict[int, Path] = {}
    prefixes: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if is_picture(path.name, FRAMES)):
        prefix, digits = re.fullmatch(r"(.*?)(\d*)", path.stem, re.ASCII | re.DOTALL).groups()  # type: ignore[union-attr]
        prefixes.setdefault(prefix, path)
        if not digits or len(digits) > 9 or len(prefixes) > 1:
            first = next(iter(prefixes.values())).name
            rule = f"frames must have one name with a number at its end, such as 000001.jpg; the first is {first}"
            raise DataError(f"{path}: {rule}; move other pictures out of the folder")
        if (before := found.setdefault(int(digits), path)) is not path:
            raise DataError(f"{path}: each number must be there once; {before.name} has it too; remove one")
    if not found:
        raise DataError(f"{folder}: a folder of frames must hold pictures called by number, 000001.jpg; none does")
    return {number + 1: path for number, path in found.items()} if 0 in found else found

"""What a disk holds after power was lost, from what strace saw: nothing that no fsync had put there.

A file holds what it held at its last fsync; a folder has the names it had at its own last fsync. That is the worst a
POSIX file system may do. `some` lets single later writes through, in any order, which it may do too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TRACED = "openat,pwrite64,write,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir"
STRACE = ("strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={TRACED}", "-o")
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
HEX = r"((?:\\x[0-9a-f]{2})*)"


class Call(NamedTuple):
    """A system call that succeeded: the paths of its descriptors, its texts, its plain arguments and its result."""

    name: str
    files: list[str]
    texts: list[bytes]
    numbers: list[int]
    flags: str


def calls(log: Path) -> Iterator[Call]:
    for line in log.read_text(encoding="ascii").splitlines():
        found = CALL.match(line)
        if found and int(found[3]) >= 0:
            name, words = found[1], found[2]
            files = [_plain(text).decode() for text in re.findall(f"<{HEX}>", words)]
            texts = [_plain(text) for text in re.findall(f'"{HEX}"', words)]
            rest = re.sub(f'"{HEX}"|<{HEX}>', "", words)
            numbers = [int(number) for number in re.findall(r"(?<![\w.])\d+(?!\w)", rest.partition(",")[2])]
            yield Call(name, files, texts, numbers, rest)


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(eq=False)
class File:
    """Bytes as processes see them, as the disk has them, and the writes between."""

    now: bytearray = field(default_factory=bytearray)
    kept: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset and bytes, or None: cut there

    def write(self, offset: int, data: bytes | None) -> None:
        _apply(self.now, offset, data)
        self.since.append((offset, data))

    def sync(self) -> None:
        self.kept, self.since = bytes(self.now), []

    def after_loss(self, draw: random.Random | None) -> bytes:
        found = bytearray(self.kept)
        for offset, data in self.since if draw else []:
            if draw and draw.random() < 0.5:
                _apply(found, offset, data)
        return bytes(found)


def _apply(target: bytearray, offset: int, data: bytes | None) -> None:
    end = offset if data is None else offset + len(data)
    target.extend(bytes(max(0, end - len(target))))
    if data is None:
        del target[offset:]
    else:
        target[offset:end] = data


@dataclass(eq=False)
class Folder:
    now: dict[str, File | Folder] = field(default_factory=dict)
    kept: dict[str, File | Folder] = field(default_factory=dict)

    def sync(self) -> None:
        self.kept = dict(self.now)


class Disk:
    """The part of a disk below `root`, driven by system calls."""

    def __init__(self, root: Path) -> None:
        self.root, self.top = root, Folder()

    def do(self, call: Call) -> None:
        match call.name:
            case "openat" if "O_CREAT" in call.flags:
                self._make(call.texts[0], File())
            case "mkdir" | "mkdirat":
                self._make(call.texts[0], Folder())
            case "pwrite64" if isinstance(file := self._at(call.files[0]), File):
                file.write(call.numbers[-1], call.texts[0])
            case "write" if isinstance(file := self._at(call.files[0]), File):
                file.write(len(file.now), call.texts[0])
            case "ftruncate" if isinstance(file := self._at(call.files[0]), File):
                file.write(call.numbers[-1], None)
            case "fsync" | "fdatasync" if (node := self._at(call.files[0])) is not None:
                node.sync()
            case "unlink" | "unlinkat" | "rmdir":
                self._take(call.texts[0])
            case "rename" | "renameat" | "renameat2" if (node := self._take(call.texts[0])) is not None:
                self._make(call.texts[1], node, replace=True)

    def write_to(self, place: Path, draw: random.Random | None = None) -> None:
        """What is left after power was lost now; with `draw`, half of the writes since the last fsync too."""
        _write(self.top, place, draw)

    def _parts(self, path: str | bytes) -> Sequence[str] | None:
        whole = Path(path.decode() if isinstance(path, bytes) else path)
        return whole.relative_to(self.root).parts if whole.is_relative_to(self.root) else None

    def _at(self, path: str | bytes) -> File | Folder | None:
        parts, node = self._parts(path), self.top
        found: File | Folder | None = None if parts is None else node
        for part in parts or ():
            found = found.now.get(part) if isinstance(found, Folder) else None
        return found

    def _parent(self, path: bytes) -> tuple[Folder, str] | None:
        parts = self._parts(path)
        folder = self._at(str(self.root.joinpath(*parts[:-1]))) if parts else None
        return (folder, parts[-1]) if parts and isinstance(folder, Folder) else None

    def _make(self, path: bytes, node: File | Folder, *, replace: bool = False) -> None:
        if (place := self._parent(path)) and (replace or place[1] not in place[0].now):
            place[0].now[place[1]] = node

    def _take(self, path: bytes) -> File | Folder | None:
        place = self._parent(path)
        return place[0].now.pop(place[1], None) if place else None


def _write(folder: Folder, place: Path, draw: random.Random | None) -> None:
    place.mkdir(parents=True)
    for name, node in folder.kept.items():
        if isinstance(node, Folder):
            _write(node, place / name, draw)
        else:
            (place / name).write_bytes(node.after_loss(draw))

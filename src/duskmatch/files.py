"""Files that are never left half written: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import itertools
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from duskmatch.errors import OutputError

logger = logging.getLogger("duskmatch")
BUSY = "is being written by another process; wait for it or choose another OUT"
AGAIN = "run the command again, with --overwrite where it left files"

MARK = ".duskmatch"  # in a folder while a command writes it; a killed command leaves it there
LOCK = ".duskmatch.lock"  # held by the process that writes into the folder; not by one that was killed
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)  # file systems that cannot lock
# A finished folder of duskmatch, also of an earlier version, holds one of these.
SIGNS = (
    "settings.yaml", "ranking.csv", "ranking.json", "duskwalk.json", "ingest.json", "export.json", "compare.json",
    "plan.json", "info/walks.csv", "data/duskwalk.json", "run/settings.yaml",
)  # fmt: skip
# Everything that commands write at the top of their folder, killed processes leave there, or systems put there.
WRITTEN = re.compile(
    r"VERSION|settings\.yaml|log\.csv|state|tensorboard|health\.json|curves\.png|(model|best)\.safetensors"
    r"|(scores|report)(\.\w+)?\.(json|html)"
    r"|ranking\.(csv|json)|strips-\d+\.png"
    r"|duskwalk\.json|film\.json|info|\d{4,}(-\d+)?"
    r"|tracklets\.csv|ingest\.json|first|second"
    r"|compact\.json|export\.json|(visible|infrared)\.(onnx|onnx\.data|xml|bin)"
    r"|compare\.(json|html)|side-by-side-[\w-]+\.png|(attention|part-weights|distances|embedding-maps)\.png"
    r"|plan\.json|films|check|embeddings|counterfactual\.\w+|shift\.png|(rank1|mAP)_\w+\.png"
    r"|data|run"
    r"|\.duskmatch(\.lock)?|.*\.(part|probe)|\.DS_Store|Thumbs\.db|desktop\.ini"
)
_numbers = itertools.count()  # for temporary names: threads may write the same file


def write_whole(path: Path, write: Callable[[Path], object], *, make_folder: bool = True) -> None:
    """Makes `path` by `write(temporary)`; synced before it gets the name, so a killed process leaves the old file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}.part")
    try:
        with writing(path):
            _check_no_device(path)
            if make_folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        with suppress(OSError):  # if the folder is missing, the error above reports it
            temporary.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses while `path` is written, and a library reports in its own way, becomes an OutputError."""
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error
    except OutputError:
        raise
    except Exception as error:
        if refused := system_error(error):
            raise refusal(path, refused) from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    write_whole(path, lambda temporary: temporary.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, with_escapes(text).encode())


def write_json(path: Path, value: Any) -> None:
    """JSON with two spaces and a last newline; NaN and infinity are refused, they are not JSON."""
    write_text(path, as_json(value) + "\n")


def as_json(value: Any) -> str:
    """JSON text that every reader accepts, even if a name holds bytes that are not UTF-8."""
    text = json.dumps(value, indent=2, allow_nan=False)
    return json.dumps(_escaped_inside(value), indent=2, allow_nan=False) if "\\udc" in text else text


def with_escapes(text: str) -> str:
    """The text with bytes that are not UTF-8, which Python keeps as lone surrogates, written as \\xff."""
    return re.sub("[\udc80-\udcff]", lambda half: f"\\x{ord(half[0]) - 0xDC00:02x}", text)


def _escaped_inside(value: Any) -> Any:
    if isinstance(value, str):
        return with_escapes(value)
    if isinstance(value, Mapping):
        return {_escaped_inside(key): _escaped_inside(item) for key, item in value.items()}
    return [_escaped_inside(item) for item in value] if isinstance(value, list | tuple) else value


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """A table that a spreadsheet opens without running it: text cells that begin like a formula get a leading quote."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(columns), lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: escape_cell(v) for k, v in row.items()})
    write_text(path, out.getvalue())


def escape_cell(value: Any) -> Any:
    """The value; text that a spreadsheet would take for a formula gets a leading quote."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def sync(path: Path) -> None:
    """Puts a file or folder on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle for a folder; the rename itself is durable there
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Creates a folder and its parents where they are missing; OutputError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(path, error) from error


@contextmanager
def claimed(path: Path, *, overwrite: bool | None = None, busy: str = BUSY) -> Iterator[Path]:
    """Creates the folder `path` if needed and keeps other processes from writing into it meanwhile.

    overwrite: it must be empty, or is emptied, as by `prepare_folder`; None: its contents stay. New folders in which
    nothing was written are removed again.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    _check_place(path)
    make_folder(path)
    try:
        with only_writer(path, busy):
            if overwrite is not None:
                prepare_folder(path, overwrite=overwrite)
            with _marked(path):
                yield path
    finally:
        for folder in made:
            with suppress(OSError):  # only empty ones can be removed
                folder.rmdir()


@contextmanager
def only_writer(folder: Path, busy: str | None = BUSY) -> Iterator[None]:
    """Keeps other processes from writing into this folder; the lock of a killed process does not last.

    busy: the message if another process holds the lock; None: wait for that process.
    """
    from filelock import FileLock, Timeout  # takes a tenth of a second, too long for `--help`

    lock = FileLock(folder / LOCK, timeout=-1 if busy is None else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(f"{folder} {busy}") from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise refusal(folder, error) from error
        logger.debug("%s: this file system has no locks", folder)
    try:
        yield
    finally:
        with suppress(OSError):  # while held: later it could be another's; Windows removes it on release
            (folder / LOCK).unlink()
        lock.release()


@contextmanager
def _marked(path: Path) -> Iterator[None]:
    """Marks an empty folder, or one of duskmatch's, so that what a killed command leaves can be overwritten."""
    mark = path / MARK
    if not entries(path) or (_signed(path) and not foreign_names(path)):
        write_text(mark, "Written by duskmatch and not finished, or finished while this file could not be removed.\n")
    try:
        yield
    except BaseException:
        if not entries(path) or _signed(path):
            mark.unlink(missing_ok=True)
        raise
    mark.unlink(missing_ok=True)


def prepare_folder(path: Path, *, overwrite: bool = False) -> Path:
    """An empty folder at `path`; files in it are refused, or removed with `overwrite` if duskmatch wrote them."""
    check_folder(path, overwrite=overwrite)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for entry in entries(path):  # the folder itself stays: it may be locked
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    except OSError as error:
        raise refusal(path, error) from error
    return path


def check_folder(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Refuses what `prepare_folder` would refuse, and a folder that holds one of the `inputs`; touches nothing."""
    try:
        _check_place(path)
        if not path.is_dir() or not entries(path):
            return
    except OSError as error:
        raise refusal(path, error) from error
    if not overwrite:
        raise OutputError(f"{path} must be empty; it holds files; choose another OUT or pass --overwrite")
    place = path.resolve()
    for kept in _user_folders():  # a file system's root is a parent of them
        if kept.is_relative_to(place):
            raise OutputError(f"--overwrite must not remove {kept}; {path} is or holds it; choose another OUT")
    if place == Path(place.anchor) or os.path.ismount(place):
        raise OutputError(f"--overwrite must not remove a whole disk; {path} is the root of one; choose another OUT")
    for kept in inputs:
        if kept.expanduser().resolve().is_relative_to(place):
            raise OutputError(f"--overwrite must not remove what is read; {kept} lies in {path}; choose another OUT")
    _check_ours(path)


def _check_place(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"{path} must be a folder; a file or link has that name; choose another OUT")


def entries(folder: Path) -> list[Path]:
    """The contents of a folder besides our mark and lock."""
    return [entry for entry in folder.iterdir() if entry.name not in (MARK, LOCK)]


def foreign_names(folder: Path) -> list[str]:
    """The names in a folder that no command of duskmatch writes."""
    return sorted(entry.name for entry in entries(folder) if not WRITTEN.fullmatch(entry.name))


def _signed(folder: Path) -> bool:
    return any((folder / sign).is_file() for sign in SIGNS)


def _check_ours(path: Path) -> None:
    """Refuses to empty a folder that holds what duskmatch did not write."""
    if found := foreign_names(path):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise OutputError(
            f"--overwrite must not remove what duskmatch did not write; {path} holds {found[0]}{more}; "
            "move it away or choose another OUT"
        )
    if not (path / MARK).is_file() and not _signed(path):
        raise OutputError(
            f"--overwrite must not remove what duskmatch did not write; {path} holds no file that shows it did "
            f"({', '.join(SIGNS[:-2])}); empty it yourself or choose another OUT"
        )


def check_file(path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Refuses a path that cannot be written or is one of the `inputs`; called before the work for it starts."""
    probe = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}.probe")
    try:
        if path.is_dir():
            raise OutputError(f"{path} must be a file's name; a folder has it; choose another")
        _check_no_device(path)
        if any(path.exists() and kept.exists() and path.samefile(kept) for kept in inputs):
            raise OutputError(f"{path} must not be replaced: it is an input; choose another")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0")
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with suppress(OSError):
            probe.unlink()


def _check_no_device(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OutputError(f"{path} must be a file's name; a pipe or device has it; choose another")


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; OSError for a pipe or device, whose reading might never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a pipe, socket or device", str(path))
    return path.read_bytes()


def file_hash(*paths: Path) -> str:
    """The SHA-256 of the files' bytes, one file after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def user_folder(kind: Literal["cache", "state"]) -> Path:
    """DUSKMATCH_CACHE or DUSKMATCH_STATE, else the system's own place; RuntimeError if there is no home folder."""
    if own := os.environ.get(f"DUSKMATCH_{kind.upper()}"):
        return Path(own)
    import platformdirs

    place = platformdirs.user_cache_path if kind == "cache" else platformdirs.user_state_path
    return place("duskmatch", appauthor=False).expanduser()  # without a home folder its ~ is left


def refusal(path: Path, error: OSError, then: str = AGAIN) -> OutputError:
    """The OutputError for a place that cannot be written; `then`: the next step once a full disk has room."""
    reason = {
        errno.ENOSPC: f"the disk is full{_room(path)}; free some space there, then {then}",
        errno.EDQUOT: f"the disk quota is used up{_room(path)}; free some space there, then {then}",
        errno.EFBIG: "the file would be larger than this disk or `ulimit -f` allows; choose another place",
        errno.EACCES: "no permission to write there; choose another place",
        errno.EROFS: "the disk is read-only; choose another place",
    }.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {reason}")


def system_error(error: Exception) -> OSError | None:
    """The operating system's error that a Rust library, such as safetensors, gives as text: "(os error 28)"."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


def _room(path: Path) -> str:
    """The disk of a path and its free space, in brackets."""
    place = next((folder for folder in path.absolute().parents if folder.is_dir()), Path(path.anchor))
    try:
        size = shutil.disk_usage(place)
    except OSError:
        return ""
    while not os.path.ismount(place) and place != place.parent:
        place = place.parent
    return f" ({place}: {size.free / 2**20:.0f} of {size.total / 2**20:.0f} MiB free)"


def _user_folders() -> list[Path]:
    """The current folder and the home folder, if there is one."""
    found = [Path.cwd().resolve()]
    with suppress(RuntimeError):
        found.append(Path.home().resolve())
    return found

"""A gallery's folder: of one user, on a disk with locks, whole or not there."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from duskmatch.errors import GalleryError, OutputError
from duskmatch.files import refusal, sync

DATABASE = "gallery.sqlite"
LOCK = "gallery.lock"
MAKER = "maker.lock"  # held by the process that makes the folder
LOCK_WAIT_S = 60.0
POLL_S = 0.002
# File systems whose locks or whose order of writes another machine may not see.
NETWORK = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2",
    "ncpfs", "coda", "vboxsf", "prl_fs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs",
    "fuse.rclone", "fuse.gcsfuse", "fuse.goofys", "fuse.davfs2", "fuse.juicefs",
))  # fmt: skip


@contextmanager
def locked(folder: Path, wait_s: float = LOCK_WAIT_S, name: str = LOCK) -> Iterator[None]:
    """While it lasts nobody else writes to the gallery or checkpoints it; a killed process leaves nothing held.

    Raises GalleryError where another process holds it for longer than `wait_s`.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, which `--help` must not take

    lock = FileLock(folder / name, mode=0o600)
    try:
        lock.acquire(timeout=wait_s, poll_interval=POLL_S)
    except Timeout as error:
        raise GalleryError(f"{folder} is being written by another process; try again when it is done") from error
    except OSError as error:
        raise refusal(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def check_free(folder: Path) -> None:
    """Refuses a place where something is already."""
    if folder.is_symlink() or folder.exists():
        raise OutputError(f"{folder} already exists; choose another name for the gallery")


def check_local(folder: Path) -> None:
    """Refuses a folder on a network file system, where locks and the order of writes cannot be relied on."""
    kind = file_system(folder)
    if kind in NETWORK or (sys.platform == "win32" and str(folder.absolute()).startswith("\\\\")):
        raise GalleryError(
            f"{folder} lies on a network file system ({kind or 'a share'}), which has no reliable locks; "
            "keep the gallery on a disk of this machine"
        )


def file_system(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system that a folder, which need not be there, lies on; nothing where the system has no table.

    Source: proc(5): fields 5 (mount point) and, behind the lone hyphen, 1 (kind).
    """
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place, found, kind = folder.expanduser().resolve(), Path(), ""
    for fields in (line.split() for line in lines):
        mounted = Path(fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if place.is_relative_to(mounted) and len(mounted.parts) >= len(found.parts):  # a later mount hides an earlier
            found, kind = mounted, fields[fields.index("-") + 1]
    return kind


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A private folder that becomes `folder` when the work in it has ended well, and is removed where it has not.

    Raises OutputError where something is there already, GalleryError on a network file system.
    """
    check_free(folder)
    check_local(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        part = folder.with_name(f".{folder.name}.{os.getpid()}.{time.time_ns()}.part")
        part.mkdir(mode=0o700)
        part.chmod(0o700)  # whatever the umask
    except OSError as error:
        raise refusal(folder, error) from error
    try:
        with locked(part, name=MAKER):  # tells `sweep` that its maker lives
            yield part
            (part / MAKER).unlink()
            _put_in_place(part, folder)
    except OSError as error:
        raise refusal(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put_in_place(part: Path, folder: Path) -> None:
    for file in part.iterdir():
        sync(file)
    sync(part)
    part.rename(folder)
    sync(folder.parent)


def sweep(folder: Path) -> None:
    """Removes what killed processes left beside `folder` while they made it: it holds people's vectors."""
    for part in folder.parent.glob(f".{_escaped(folder.name)}.*.part"):
        with suppress(GalleryError, OutputError), locked(part, 0, MAKER):
            shutil.rmtree(part, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)

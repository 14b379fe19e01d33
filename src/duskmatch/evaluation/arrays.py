"""Readers of arrays in .npz, .npy, .safetensors and .mat files.

Sizes that a file declares are compared with its own size before anything is read, and nothing pickled is read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from duskmatch.errors import EvaluationError

HEADER_KEY = "duskmatch"
ARRAYS = ("vectors", "pids", "camids", "modalities")
# A query and a gallery in one file, as Market-1501's programs write them.
SIDE_ARRAYS = tuple(f"{side}_{what}" for side in ("query", "gallery") for what in ("f", "label", "cam"))
NAMES = (*ARRAYS, *SIDE_ARRAYS)
# A zip bomb is an array of more bytes than this that is over 50 times as large as in the file; embeddings are 10 times.
LARGE_BYTES, MOST_PACKED = 1 << 28, 50
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Header = dict[str, Any]
Reader = Callable[[Path], tuple[Arrays, Header]]


def read_safetensors(path: Path) -> tuple[Arrays, Header]:
    """The arrays named in NAMES, and the header under `duskmatch`; number formats that NumPy lacks become fp32."""
    with refused_if_damaged(path, "a safetensors file"), safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        arrays = {name: _tensor(path, file, name) for name in set(file.keys()) & set(NAMES)}
    try:
        header = json.loads(metadata.get(HEADER_KEY, "{}"))
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: its {HEADER_KEY} header is not JSON: {error}; write it again") from error
    if not isinstance(header, dict):
        raise EvaluationError(f"{path}: its {HEADER_KEY} header must be an object; got {type(header).__name__}")
    return arrays, header


def _tensor(path: Path, file: Any, name: str) -> Array:
    declared = file.get_slice(name).get_dtype()
    try:
        return as_array(file.get_tensor(name))
    except (SafetensorError, AttributeError, KeyError, TypeError, RuntimeError) as error:
        text = f"{name} is {declared}, which is not read; save float32 or whole numbers"
        raise EvaluationError(f"{path}: {text}") from error


def as_array(tensor: torch.Tensor) -> Array:
    """The tensor as a NumPy array; bf16 and 8-bit floats become fp32, which holds them exactly."""
    known = (torch.float16, torch.float32, torch.float64)
    plain = tensor.float() if tensor.is_floating_point() and tensor.dtype not in known else tensor
    return np.asarray(plain.numpy())


def read_npz(path: Path) -> tuple[Arrays, Header]:
    """The arrays named in NAMES, and an empty header; a zip bomb is refused."""
    with refused_if_damaged(path, "a .npz archive"):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip file")
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.removesuffix(".npy") in NAMES:
                    _refuse_bomb(path, entry.filename, entry.file_size, entry.compress_size)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in NAMES if name in file.files}, {}


def read_npy(path: Path) -> Array:
    """The array of a .npy file, memory-mapped, which refuses a declared size beyond the file's before reading."""
    with refused_if_damaged(path, "a .npy array"):
        return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))


def read_mat(path: Path) -> tuple[Arrays, Header]:
    """The arrays named in NAMES of a MATLAB file (before 7.3), labels as `_flat_labels`, and an empty header."""
    from scipy.io import loadmat, whosmat

    with refused_if_damaged(path, "a MATLAB file"):
        try:
            arrays = whosmat(str(path))
        except NotImplementedError as error:
            raise EvaluationError(f"{path} is a MATLAB 7.3 file, which is not read; save it with -v7") from error
        for name, shape, kind in arrays:
            if name in NAMES:
                item = {"double": 8, "int64": 8, "uint64": 8}.get(kind, 4)
                _refuse_bomb(path, name, item * int(np.prod(shape, dtype=object)), path.stat().st_size)
        found = loadmat(str(path), variable_names=list(NAMES))
    return {
        name: found[name] if name.endswith(("_f", "vectors")) else _flat_labels(found[name])
        for name in NAMES
        if name in found
    }, {}


def _flat_labels(array: Array) -> Array:
    """Labels as (n,), whole numbers as integers: MATLAB has rows or columns, and stores whole numbers as floats."""
    flat = array.reshape(-1)
    whole = (
        flat.dtype.kind == "f"
        and np.isfinite(flat).all()
        and (flat == np.rint(flat)).all()
        and (abs(flat) < 2**53).all()
    )
    return flat.astype(np.int64) if whole else flat


def _refuse_bomb(path: Path, name: str, unpacked: int, packed: int) -> None:
    if unpacked > LARGE_BYTES and unpacked > MOST_PACKED * packed:
        raise EvaluationError(
            f"{path}: {name} would unpack to {unpacked:,} bytes from {packed:,}, which no real vectors do; "
            "it was not read; write the file again"
        )


@contextmanager
def refused_if_damaged(path: Path, what: str) -> Iterator[None]:
    """Turns any exception of a reader into an EvaluationError that names the file; damaged files may raise any."""
    try:
        yield
    except EvaluationError:
        raise
    except Exception as error:
        if "Object arrays" in str(error) or "Python objects" in str(error):
            rule = "holds Python objects, which are never loaded; save plain numbers and words"
            raise EvaluationError(f"{path} {rule}") from error
        raise EvaluationError(f"{path} is damaged or not {what}: {error}; write it again") from error

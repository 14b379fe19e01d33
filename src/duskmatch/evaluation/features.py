"""Vectors on disk: what `duskmatch embed` writes, and features made by any other program.

| array | of | is |
|---|---|---|
| vectors | (n d), any float | one embedding a row |
| pids, camids | (n), any integer | who, and which camera |
| modalities | (n) | 1 = infrared, 2 = visible, or in .npz the words |

A .safetensors file may carry a JSON header under "duskmatch": {"modality_words": {"1": "infrared", "2": "visible"},
"sources": [n names], "meta": {...}}. Nothing pickled is read.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from duskmatch.errors import DataError, EvaluationError
from duskmatch.files import write_whole
from duskmatch.records import MODALITIES, Embeddings, Modality

HEADER_KEY = "duskmatch"
FORMAT = 1
# Source: REFERENCE.md 1.1, HITSZ-VCM's own coding.
MODALITY_CODES: dict[int, Modality] = {1: "infrared", 2: "visible"}
ARRAYS = ("vectors", "pids", "camids", "modalities")
# What NumPy and zipfile raise on damaged archives.
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)
Arrays = Mapping[str, npt.NDArray[Any]]


def save_embeddings(path: str | Path, embeddings: Embeddings) -> None:
    """Writes the file that `load_embeddings` and any safetensors reader can open; whole or not at all."""
    codes = {word: code for code, word in MODALITY_CODES.items()}
    tensors: dict[str, npt.NDArray[Any]] = {
        "vectors": embeddings.vectors,
        "pids": embeddings.pids,
        "camids": embeddings.camids,
        "modalities": np.array([codes[word] for word in embeddings.modalities], np.uint8),
    }
    header = {
        "format": FORMAT,
        "modality_words": {str(code): word for code, word in MODALITY_CODES.items()},
        "sources": list(embeddings.sources),
        "meta": embeddings.meta,
    }
    metadata = {HEADER_KEY: json.dumps(header)}
    write_whole(Path(path), lambda temporary: save_file(tensors, temporary, metadata=metadata))


def load_embeddings(path: str | Path) -> Embeddings:
    """All rows of a .safetensors or .npz file, in its order; anything wrong in it is refused by name."""
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"{path} is missing; name a .npz or .safetensors file with {', '.join(ARRAYS)}")
    if path.suffix not in READERS:
        raise EvaluationError(f"{path} must end in {' or '.join(READERS)}; got {path.suffix or 'no ending'!r}")
    arrays, header = READERS[path.suffix](path)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise EvaluationError(f"{path} must hold {', '.join(ARRAYS)}; {', '.join(missing)} missing; add them to it")
    try:
        return Embeddings(
            vectors=_numbers(arrays["vectors"], "vectors", "f"),
            pids=_numbers(arrays["pids"], "pids", "iu"),
            camids=_numbers(arrays["camids"], "camids", "iu"),
            modality=_words(arrays["modalities"], header),
            sources=_sources(header),
            meta=_meta(header),
        )
    except (DataError, EvaluationError) as error:
        raise EvaluationError(f"{path}: {error}") from error


def load_features(*paths: str | Path) -> tuple[Embeddings, Embeddings]:
    """(infrared, visible): the two sides of one file or of several, in the files' order."""
    everyone = _joined([load_embeddings(path) for path in paths], paths)
    words = np.array(everyone.modalities)
    for word in MODALITIES:
        if word not in words:
            raise EvaluationError(
                f"{' and '.join(map(str, paths))}: both modalities are needed, one side is looked for among the other; "
                f"no row is {word}; put both sides into one file, or name a file for each"
            )
    return everyone.take(words == "infrared"), everyone.take(words == "visible")


def _joined(parts: list[Embeddings], paths: Sequence[str | Path]) -> Embeddings:
    widths = {part.vectors.shape[1]: path for part, path in zip(parts, paths, strict=True)}
    if len(widths) > 1:
        found = ", ".join(f"{width} in {path}" for width, path in widths.items())
        raise EvaluationError(f"vectors must be of one width; got {found}; embed both with the same model")
    if len(parts) == 1:
        return parts[0]
    named = all(part.sources for part in parts)
    meta = {key: value for key, value in parts[0].meta.items() if all(part.meta.get(key) == value for part in parts)}
    if any(part.meta.get("synthetic") is True for part in parts):
        meta["synthetic"] = True  # one generated side makes the score one on generated people
    return Embeddings(
        vectors=np.concatenate([part.vectors for part in parts]),
        pids=np.concatenate([part.pids for part in parts]),
        camids=np.concatenate([part.camids for part in parts]),
        modality=[word for part in parts for word in part.modalities],
        sources=[name for part in parts for name in part.sources] if named else (),
        meta=meta,
    )


def _read_safetensors(path: Path) -> tuple[Arrays, dict[str, Any]]:
    try:
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
            names = set(file.keys())
            arrays = {name: file.get_tensor(name) for name in ARRAYS if name in names}
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise EvaluationError(f"{path} is damaged or no safetensors file: {error}; write it again") from error
    try:
        header = json.loads(metadata.get(HEADER_KEY, "{}"))
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: its {HEADER_KEY} header is not JSON: {error}; write it again") from error
    if not isinstance(header, dict):
        raise EvaluationError(f"{path}: its {HEADER_KEY} header must be an object; got {type(header).__name__}")
    return arrays, header


def _read_npz(path: Path) -> tuple[Arrays, dict[str, Any]]:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no zip file")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ARRAYS if name in file.files}, {}
    except DAMAGE as error:
        if "Object arrays" in str(error):
            rule = "holds Python objects, which are never loaded; save plain numbers and words"
            raise EvaluationError(f"{path} {rule}") from error
        raise EvaluationError(f"{path} is damaged or no .npz archive: {error}; write it again") from error


READERS = {".npz": _read_npz, ".safetensors": _read_safetensors}


def _numbers(array: npt.NDArray[Any], name: str, kinds: str) -> npt.NDArray[Any]:
    n_axes = 2 if name == "vectors" else 1
    if array.dtype.kind not in kinds or array.ndim != n_axes:
        shape = "(n, d) floating-point" if name == "vectors" else "(n,) whole"
        raise EvaluationError(f"{name} must be {shape} numbers; got shape {array.shape} of {array.dtype}")
    return array


def _words(array: npt.NDArray[Any], header: Mapping[str, Any]) -> list[Modality]:
    if array.ndim != 1 or array.dtype.kind not in "iuUS":
        raise EvaluationError(f"modalities must be (n,) words or codes; got shape {array.shape} of {array.dtype}")
    known = header.get("modality_words")
    codes = known if isinstance(known, dict) else {str(code): word for code, word in MODALITY_CODES.items()}
    values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.tolist()]
    words = [codes.get(value, value) for value in values]
    wrong = next((row for row, word in enumerate(words) if word not in MODALITIES), None)
    if wrong is not None:
        raise EvaluationError(
            f"modalities must be 1 or infrared, 2 or visible; row {wrong} has {words[wrong]!r}; correct it"
        )
    return words


def _sources(header: Mapping[str, Any]) -> list[str]:
    sources = header.get("sources", [])
    if not isinstance(sources, list) or not all(isinstance(name, str) for name in sources):
        raise EvaluationError("sources in the header must be a list of names; write the file again")
    return sources


def _meta(header: Mapping[str, Any]) -> dict[str, Any]:
    meta = header.get("meta", {})
    if not isinstance(meta, dict):
        raise EvaluationError(f"meta in the header must be an object; got {type(meta).__name__}; write the file again")
    return meta

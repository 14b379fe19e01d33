"""Embeddings on disk: the files of `duskmatch embed`, and features made by any other program.

| array | shape, type | holds |
|---|---|---|
| vectors | (n d), any float | one embedding a row |
| pids, camids | (n), any integer | the person (-1: unknown), and the camera |
| modalities | (n) | 1 = infrared, 2 = visible, or in .npz the words |

A .safetensors file may carry a JSON header under "duskmatch": {"modality_words": {"1": "infrared", "2": "visible"},
"sources": [n names], "begin_s": [n seconds or null], "end_s": ..., "meta": {...}}. Nothing pickled is read.

A file may instead hold a query and a gallery: query_f, query_label, query_cam, gallery_f, ... A pair of .npy files is
vectors and their labels, whose columns are pid, or pid and camid, or pid, camid and modality. For files without
modalities the query's modality must be given.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from duskmatch.errors import DataError, EvaluationError
from duskmatch.evaluation.arrays import (
    ARRAYS,
    HEADER_KEY,
    Array,
    Arrays,
    Header,
    Reader,
    read_mat,
    read_npy,
    read_npz,
    read_safetensors,
)
from duskmatch.files import write_whole
from duskmatch.records import DIRECTIONS, MODALITIES, Embeddings, Ints, Modality

FORMAT = 1
# HITSZ-VCM's own coding. Source: docs/datasets.md, "HITSZ-VCM's layout".
MODALITY_CODES: dict[int, Modality] = {1: "infrared", 2: "visible"}
READERS: dict[str, Reader] = {".npz": read_npz, ".safetensors": read_safetensors, ".mat": read_mat}
LABELS = ("pids", "camids", "modalities")  # the columns of a .npy file of labels
TIMES = ("begin_s", "end_s")
ROLES = ("query", "gallery")
DIRECTION_HINT = f"pass --direction {' or '.join(DIRECTIONS)}, which begins with the query's modality"


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
        **{
            name: list(getattr(embeddings, name))
            for name in TIMES
            if any(t is not None for t in getattr(embeddings, name))
        },
        "meta": embeddings.meta,
    }
    metadata = {HEADER_KEY: json.dumps(header)}
    write_whole(Path(path), lambda temporary: save_file(tensors, temporary, metadata=metadata))


def load_embeddings(
    path: str | Path, *, query: Modality | None = None, readers: Mapping[str, Reader] | None = None
) -> Embeddings:
    """All rows of a file, in its order, a query before its gallery; EvaluationError where the file is invalid.

    `query`: the modality of the query, for files that hold a query and a gallery but no modalities; `readers`: more
    readers, by file ending.
    """
    path = Path(path)
    known = {**READERS, **(readers or {})}
    if not path.is_file():
        raise EvaluationError(f"{path} is missing; name a .npz or .safetensors file with {', '.join(ARRAYS)}")
    if not os.access(path, os.R_OK):
        raise EvaluationError(f"{path} cannot be read: no permission; change its owner or mode")
    if path.suffix not in known:
        raise EvaluationError(
            f"{path} must end in {', '.join(sorted(known))}, or be one of a pair of .npy files, vectors and labels; "
            f"got {path.suffix or 'no ending'!r}"
        )
    arrays, header = known[path.suffix](path)
    return _embeddings(path, arrays, header, query)


def load_features(
    *paths: str | Path, query: Modality | None = None, readers: Mapping[str, Reader] | None = None
) -> tuple[Embeddings, Embeddings]:
    """(infrared, visible): the rows of one file or several, by modality; arguments as in `load_embeddings`."""
    parts = list(_parts([Path(path) for path in paths], query, readers))
    everyone = _joined([part for _, part in parts], [path for path, _ in parts])
    words = np.array(everyone.modalities)
    for word in MODALITIES:
        if word not in words:
            raise EvaluationError(
                f"{' and '.join(map(str, paths))}: rows of both modalities are needed, since one is searched with the "
                f"other; no row is {word}; put both into one file, or name a file for each"
            )
    return everyone.take(words == "infrared"), everyone.take(words == "visible")


def _parts(
    paths: list[Path], query: Modality | None, readers: Mapping[str, Reader] | None
) -> Iterator[tuple[Path, Embeddings]]:
    """(file, its rows); a .npy file takes the next one as its labels."""
    modalities = iter(MODALITIES if query == MODALITIES[0] else MODALITIES[::-1])  # of pairs: query, then gallery
    remaining = iter(paths)
    for path in remaining:
        if path.suffix != ".npy":
            yield path, load_embeddings(path, query=query, readers=readers)
            continue
        labels = next(remaining, None)
        if labels is None or labels.suffix != ".npy":
            raise EvaluationError(
                f"{path}: a .npy file of vectors must be followed by one of labels; got {labels or 'none'}"
            )
        yield path, _pair(path, labels, next(modalities, None) if query else None)


def _pair(path: Path, labels: Path, modality: Modality | None) -> Embeddings:
    """Vectors and labels (n,) or (n, up to 3): pid, camid, modality; `modality` where there is no third column."""
    for file in (path, labels):
        if not file.is_file():
            raise EvaluationError(f"{file} is missing; name two .npy files, vectors and their labels")
    vectors, table = read_npy(path), read_npy(labels)
    columns = table[:, None] if table.ndim == 1 else table
    if columns.ndim != 2 or not 1 <= columns.shape[1] <= len(LABELS):
        raise EvaluationError(f"{labels}: labels must be (n,) pids or (n, 3) {', '.join(LABELS)}; got {table.shape}")
    arrays = {"vectors": vectors, **{name: columns[:, i] for i, name in enumerate(LABELS[: columns.shape[1]])}}
    if "modalities" not in arrays:
        if modality is None:
            raise EvaluationError(f"{labels} holds no modalities; {DIRECTION_HINT}; the first pair is the query")
        arrays["modalities"] = np.full(len(columns), modality)
    arrays.setdefault("camids", np.full(len(columns), -1))
    return _embeddings(path, arrays, {}, None)


def _embeddings(path: Path, arrays: Arrays, header: Header, query: Modality | None) -> Embeddings:
    try:
        if "query_f" in arrays or "gallery_f" in arrays:
            arrays = _one_table(arrays, query)
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise EvaluationError(f"must hold {', '.join(ARRAYS)}; {', '.join(missing)} missing; add what is missing")
        begin_s, end_s = (_times(header, name) for name in TIMES)
        return Embeddings(
            vectors=_vectors(arrays["vectors"], "vectors"),
            pids=_people(arrays["pids"], "pids"),
            camids=_whole(arrays["camids"], "camids"),
            modality=_modalities(arrays["modalities"], header),
            sources=_sources(header),
            meta=_meta(header),
            begin_s=begin_s,
            end_s=end_s,
        )
    except (DataError, EvaluationError) as error:
        raise EvaluationError(f"{path}: {error}") from error


def _one_table(arrays: Arrays, query: Modality | None) -> Arrays:
    """A query and a gallery as one table, the query first; cameras may be missing, and are then unknown (-1)."""
    missing = [f"{side}_{what}" for side in ROLES for what in ("f", "label") if f"{side}_{what}" not in arrays]
    if missing:
        raise EvaluationError(f"must hold query_f, query_label, gallery_f, gallery_label; {', '.join(missing)} missing")
    if query is None:
        raise EvaluationError(f"it holds a query and a gallery but no modalities; {DIRECTION_HINT}")
    vectors = [_vectors(arrays[f"{side}_f"], f"{side}_f") for side in ROLES]
    if len({part.shape[1] for part in vectors}) > 1:
        raise EvaluationError(
            f"query_f and gallery_f must be of one width; got {' and '.join(str(v.shape) for v in vectors)}"
        )
    unknown = [np.full(len(part), -1) for part in vectors]
    asked = [query, next(word for word in MODALITIES if word != query)]
    return {
        "vectors": np.concatenate(vectors),
        "pids": np.concatenate([_people(arrays[f"{side}_label"], f"{side}_label") for side in ROLES]),
        "camids": np.concatenate(
            [_whole(arrays.get(f"{side}_cam", none), f"{side}_cam") for side, none in zip(ROLES, unknown, strict=True)]
        ),
        "modalities": np.repeat(asked, [len(part) for part in vectors]),
    }


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
        **{name: _all_times(parts, name) for name in TIMES},
    )


def _all_times(parts: list[Embeddings], name: str) -> list[float | None]:
    """The times of all rows, None for rows of a part without times; empty if no part has any."""
    times = [list(getattr(part, name)) or [None] * len(part) for part in parts]
    return [time for own in times for time in own] if any(getattr(part, name) for part in parts) else []


def _vectors(array: Array, name: str) -> npt.NDArray[np.float32]:
    """The array (n d) in fp32; refuses numbers that would overflow and vectors that would become zero."""
    if array.dtype.kind != "f" or array.ndim != 2:
        raise EvaluationError(f"{name} must be (n, d) floating-point numbers; got shape {array.shape} of {array.dtype}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = array.astype(np.float32)
    if array.dtype.itemsize > narrow.itemsize:
        lost = np.isfinite(array) & ~np.isfinite(narrow)
        lost[array.any(axis=1) & ~narrow.any(axis=1)] = True
        if lost.any():
            row, column = np.argwhere(lost)[0]
            value = f"row {row} has {array[row, column]:.6g} in column {column}"
            raise EvaluationError(f"{name} must be numbers that fp32 holds, up to 3e38; {value}; scale its vector")
    return narrow


def _whole(array: Array, name: str) -> Ints:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise EvaluationError(f"{name} must be (n,) whole numbers; got shape {array.shape} of {array.dtype}")
    if array.dtype.kind == "u" and (far := np.flatnonzero(array > np.iinfo(np.int64).max)).size:
        raise EvaluationError(f"{name} must be below 2**63; row {far[0]} has {array[far[0]]}; renumber them")
    return np.asarray(array, np.int64)


def _people(array: Array, name: str) -> Ints:
    pids = _whole(array, name)
    if (wrong := np.flatnonzero(pids < -1)).size:
        raise EvaluationError(
            f"{name} must be -1 (unknown person), 0 or more; row {wrong[0]} has {pids[wrong[0]]}; correct it"
        )
    return pids


def _modalities(array: npt.NDArray[Any], header: Mapping[str, Any]) -> list[Modality]:
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


def _times(header: Mapping[str, Any], name: str) -> list[float | None]:
    times = header.get(name, [])
    if not isinstance(times, list) or not all(t is None or _is_time(t) for t in times):
        raise EvaluationError(f"{name} in the header must be a list of seconds or null; write the file again")
    return times


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # NaN and infinity are not


def _meta(header: Mapping[str, Any]) -> dict[str, Any]:
    meta = header.get("meta", {})
    if not isinstance(meta, dict):
        raise EvaluationError(f"meta in the header must be an object; got {type(meta).__name__}; write the file again")
    return meta

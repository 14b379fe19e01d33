"""Features files: round trips, other programs' files, and every way one can be wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from scipy.io import savemat

from duskmatch.errors import EvaluationError
from duskmatch.evaluation import arrays as arrays_module
from duskmatch.evaluation import load_embeddings, load_features, save_embeddings
from duskmatch.records import Embeddings


def arrays(**changes):
    plain = {
        "vectors": np.eye(4, dtype=np.float32),
        "pids": np.array([1, 2, 1, 2]),
        "camids": np.array([1, 1, 2, 2]),
        "modalities": np.array([1, 1, 2, 2], np.uint8),
    }
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    rng = np.random.default_rng(0)
    given = Embeddings(
        rng.standard_normal((5, 7)).astype(np.float32),
        np.array([-1, 2, 3, 4, 2**40]),
        np.array([0, 1, 2, 3, 4]),
        ["infrared", "visible", "visible", "infrared", "infrared"],
        sources=["a", "<b>", "ü", "", "e/../e"],
        meta={"precision": "fp32", "n_frames": 6, "nested": {"x": None}},
        begin_s=[0.0, None, 1.5, 2.25, None],
    )
    save_embeddings(tmp_path / "e.safetensors", given)
    back = load_embeddings(tmp_path / "e.safetensors")
    np.testing.assert_array_equal(back.vectors, given.vectors)
    np.testing.assert_array_equal(back.pids, given.pids)
    np.testing.assert_array_equal(back.camids, given.camids)
    assert back.modalities == given.modalities
    assert (list(back.sources), back.meta) == (list(given.sources), given.meta)
    assert (back.begin_s, back.end_s) == (given.begin_s, [])
    assert [p.name for p in tmp_path.iterdir()] == ["e.safetensors"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("words", [False, True, "bytes"])
def test_npz_of_other_programs_with_codes_or_words(tmp_path, dtype, words):
    modalities = {
        False: [1, 1, 2, 2],
        True: ["infrared"] * 2 + ["visible"] * 2,
        "bytes": [b"infrared"] * 2 + [b"2"] * 2,
    }
    np.savez_compressed(
        tmp_path / "f.npz", **arrays(vectors=np.eye(4, dtype=dtype), modalities=np.array(modalities[words]))
    )
    infrared, visible = load_features(tmp_path / "f.npz")
    assert infrared.vectors.dtype == np.float32 and infrared.vectors.tolist() == np.eye(4)[:2].tolist()
    assert (infrared.pids.tolist(), visible.camids.tolist()) == ([1, 2], [2, 2])
    assert (set(infrared.modalities), set(visible.modalities)) == ({"infrared"}, {"visible"})


def test_safetensors_without_a_header_and_with_codes_of_its_own(tmp_path):
    save_file(arrays(), tmp_path / "plain.safetensors")
    assert [len(side) for side in load_features(tmp_path / "plain.safetensors")] == [2, 2]
    header = {"duskmatch": json.dumps({"modality_words": {"0": "visible", "7": "infrared"}})}
    save_file(arrays(modalities=np.array([0, 0, 0, 7])), tmp_path / "own.safetensors", metadata=header)
    assert [len(side) for side in load_features(tmp_path / "own.safetensors")] == [1, 3]


BAD_NPZ = [
    (
        arrays(pids=None, camids=None),
        "must hold vectors, pids, camids, modalities; pids, camids missing; add what is missing",
    ),
    (arrays(pids=np.arange(3)), "embeddings: pids must have 4 entries, one for each vector; got 3"),
    (arrays(modalities=np.ones(5, int)), "embeddings: modality must be one word or 4 of them; got 5"),
    (
        arrays(vectors=np.array([[1.0], [np.nan], [1.0], [np.inf]])),
        "embeddings: vectors must be finite; 2 of 4 hold NaN or infinity, the first in row 1",
    ),
    (
        arrays(vectors=np.ones(4)),
        "vectors must be (n, d) floating-point numbers; got shape (4,) of float64",
    ),
    (arrays(vectors=np.ones((4, 2), int)), "vectors must be (n, d) floating-point numbers; got shape (4, 2) of int64"),
    (arrays(pids=np.ones(4)), "pids must be (n,) whole numbers; got shape (4,) of float64"),
    (
        arrays(vectors=np.array([[1.0], [1e300], [1.0], [1.0]])),
        "vectors must be numbers that fp32 holds, up to 3e38; row 1 has 1e+300 in column 0; scale its vector",
    ),
    (
        arrays(vectors=np.array([[1.0], [1.0], [1e-300], [1.0]])),
        "vectors must be numbers that fp32 holds, up to 3e38; row 2 has 1e-300 in column 0; scale its vector",
    ),
    (
        arrays(pids=np.array([1, 2**64 - 1, 1, 2], np.uint64)),
        "pids must be below 2**63; row 1 has 18446744073709551615; renumber them",
    ),
    (arrays(pids=np.array([1, 2, -5, 1])), "pids must be -1 (unknown person), 0 or more; row 2 has -5; correct it"),
    (
        arrays(vectors=np.ones((4, 2), complex)),
        "vectors must be (n, d) floating-point numbers; got shape (4, 2) of complex128",
    ),
    (arrays(pids=np.ones(4, bool)), "pids must be (n,) whole numbers; got shape (4,) of bool"),
    (
        arrays(modalities=np.array([1, 2, 3, 1])),
        "modalities must be 1 or infrared, 2 or visible; row 2 has '3'; correct it",
    ),
    (arrays(modalities=np.ones(4)), "modalities must be (n,) words or codes; got shape (4,) of float64"),
    (
        arrays(modalities=np.ones(4, int)),
        "rows of both modalities are needed, since one is searched with the other; no row is visible; "
        "put both into one file, or name a file for each",
    ),
    (
        arrays(pids=np.array([1, 2, 3, None], object)),
        "holds Python objects, which are never loaded; save plain numbers and words",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_NPZ, ids=[m[:30] for _, m in BAD_NPZ])
def test_what_is_wrong_in_a_file_is_named(tmp_path, content, message):
    path = tmp_path / "f.npz"
    np.savez(path, **content)
    with pytest.raises(EvaluationError) as caught:
        load_features(path)
    assert str(caught.value).replace(f"{path}: ", "").replace(f"{path} ", "") == message


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "text"])
def test_damaged_files_are_refused_in_one_line(tmp_path, suffix, damage):
    path = tmp_path / f"f{suffix}"
    np.savez(path, **arrays()) if suffix == ".npz" else save_file(arrays(), path)
    whole = path.read_bytes()
    noise = np.random.default_rng(0).bytes(len(whole))
    path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "noise": noise, "text": b"hello\n"}[damage])
    with pytest.raises(EvaluationError, match="is damaged or not a ") as caught:
        load_features(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_any_cut_or_flipped_byte_loads_or_is_refused_but_never_crashes(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, **arrays())
    else:
        save_embeddings(path, Embeddings(np.eye(3), [1, 2, 3], [1, 1, 1], "visible", sources=["a", "b", "c"]))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        hurt = bytearray(whole[: rng.integers(0, len(whole) + 1)] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, max(1, len(hurt)), 2):
            if at < len(hurt):
                hurt[at] = rng.integers(0, 256)
        path.write_bytes(bytes(hurt))
        try:
            load_embeddings(path)
        except EvaluationError as error:
            assert str(error).startswith(str(path))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("[" * 100_000, "its duskmatch header is not JSON"),
        ("[1]", "its duskmatch header must be an object; got list"),
        ('{"sources": [1]}', "sources in the header must be a list of names; write the file again"),
        ('{"sources": ["a"]}', "embeddings: sources must be empty or have 4 entries; got 1"),
        ('{"meta": 3}', "meta in the header must be an object; got int; write the file again"),
    ],
)
def test_hostile_headers_are_refused(tmp_path, header, message):
    path = tmp_path / "f.safetensors"
    save_file(arrays(), path, metadata={"duskmatch": header})
    with pytest.raises(EvaluationError) as caught:
        load_embeddings(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_missing_file_and_another_kind_are_refused(tmp_path):
    with pytest.raises(EvaluationError) as caught:
        load_features(tmp_path / "no.npz")
    assert str(caught.value) == (
        f"{tmp_path / 'no.npz'} is missing; name a .npz or .safetensors file with vectors, pids, camids, modalities"
    )
    (tmp_path / "f.pkl").write_bytes(b"x")
    with pytest.raises(EvaluationError) as caught:
        load_features(tmp_path / "f.pkl")
    assert str(caught.value) == (
        f"{tmp_path / 'f.pkl'} must end in .mat, .npz, .safetensors, or be one of a pair of .npy files, vectors and "
        "labels; got '.pkl'"
    )


def test_two_files_are_two_sides(tmp_path):
    infrared = Embeddings(np.eye(3), [1, 2, 3], [1, 1, 1], "infrared", ["a", "b", "c"], {"precision": "fp32", "x": 1})
    visible = Embeddings(
        2 * np.eye(3), [1, 2, 3], [2, 2, 2], "visible", ["d", "e", "f"], {"precision": "fp32", "synthetic": True}
    )
    for name, side in (("q", infrared), ("g", visible)):
        save_embeddings(tmp_path / f"{name}.safetensors", side)
    query, gallery = load_features(tmp_path / "q.safetensors", tmp_path / "g.safetensors")
    np.testing.assert_array_equal(query.vectors, infrared.vectors)
    np.testing.assert_array_equal(gallery.vectors, visible.vectors)
    assert list(gallery.sources) == ["d", "e", "f"] and gallery.meta == {"precision": "fp32", "synthetic": True}


def test_two_files_of_unlike_width_are_refused(tmp_path):
    for d in (2, 3):
        np.savez(tmp_path / f"{d}.npz", **arrays(vectors=np.ones((4, d))))
    with pytest.raises(EvaluationError) as caught:
        load_features(tmp_path / "2.npz", tmp_path / "3.npz")
    assert str(caught.value) == (
        f"vectors must be of one width; got 2 in {tmp_path / '2.npz'}, 3 in {tmp_path / '3.npz'}; "
        "embed both with the same model"
    )


def made(dtype):
    return torch.eye(4).to(dtype)


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_every_float_that_safetensors_knows_is_read(tmp_path, dtype):
    tensors = {name: torch.from_numpy(array) for name, array in arrays(vectors=None).items()}
    save_tensors({**tensors, "vectors": made(dtype)}, tmp_path / "f.safetensors")
    found = load_embeddings(tmp_path / "f.safetensors")
    np.testing.assert_array_equal(found.vectors, np.eye(4, dtype=np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.uint64])
def test_every_whole_number_is_an_identity(tmp_path, dtype):
    save_file(arrays(pids=np.array([1, 2, 1, 2], dtype)), tmp_path / "f.safetensors")
    assert load_embeddings(tmp_path / "f.safetensors").pids.tolist() == [1, 2, 1, 2]


def test_a_format_that_is_no_vector_is_refused_by_its_name(tmp_path):
    path = tmp_path / "f.safetensors"
    save_tensors({"vectors": made(torch.complex64), "pids": torch.ones(4, dtype=torch.int64)}, path)
    with pytest.raises(EvaluationError, match="camids, modalities missing"):
        load_embeddings(path)
    tensors = {name: torch.from_numpy(array) for name, array in arrays(vectors=None).items()}
    save_tensors({**tensors, "vectors": made(torch.complex64)}, path)
    with pytest.raises(EvaluationError, match=r"vectors must be \(n, d\) floating-point numbers; got .* of complex64"):
        load_embeddings(path)


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_what_unpacks_to_far_more_than_it_is_is_not_read(tmp_path, monkeypatch, kind):
    path = tmp_path / f"f.{kind}"
    big = np.zeros((4, 1 << 19), np.float32)  # 8 MiB
    if kind == "npz":
        np.savez_compressed(path, **arrays(vectors=big))
    else:
        savemat(str(path), {"query_f": big, "gallery_f": big}, do_compression=True)
    monkeypatch.setattr(arrays_module, "LARGE_BYTES", 1 << 20)
    monkeypatch.setattr(np, "load", None)  # nothing of it is read
    with pytest.raises(EvaluationError) as caught:
        load_embeddings(path, query="infrared")
    assert str(caught.value).startswith(f"{path}: ") and " bytes from " in str(caught.value)
    assert "would unpack to 8,388," in str(caught.value)


def market(**changes):
    """Two queries and three entries, as Market-1501's programs write them."""
    rng = np.random.default_rng(0)
    plain = {
        "query_f": rng.standard_normal((2, 4)).astype(np.float32),
        "query_label": [1, 2],
        "query_cam": [1, 1],
        "gallery_f": rng.standard_normal((3, 4)).astype(np.float32),
        "gallery_label": [1.0, -1.0, 2.0],  # MATLAB keeps whole numbers in floats
        "gallery_cam": [2, 2, 3],
    }
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


@pytest.mark.parametrize("cams", [True, False])
@pytest.mark.parametrize("query", ["infrared", "visible"])
def test_a_matlab_file_of_query_and_gallery(tmp_path, cams, query):
    given = market(**({} if cams else {"query_cam": None, "gallery_cam": None}))
    savemat(str(tmp_path / "f.mat"), given)
    infrared, visible = load_features(tmp_path / "f.mat", query=query)
    asked, searched = (infrared, visible) if query == "infrared" else (visible, infrared)
    np.testing.assert_array_equal(asked.vectors, given["query_f"])
    np.testing.assert_array_equal(searched.vectors, given["gallery_f"])
    assert (asked.pids.tolist(), searched.pids.tolist()) == ([1, 2], [1, -1, 2])
    assert searched.camids.tolist() == ([2, 2, 3] if cams else [-1] * 3)


SIDED_FAULTS = [
    ({}, None, "it holds a query and a gallery but no modalities; pass --direction infrared_to_visible or "),
    ({"gallery_f": None}, "visible", "must hold query_f, query_label, gallery_f, gallery_label; gallery_f missing"),
    ({"gallery_label": [1.5, 2, 3]}, "visible", "gallery_label must be (n,) whole numbers; got shape (3,) of float64"),
    ({"gallery_f": np.ones((3, 5))}, "visible", "query_f and gallery_f must be of one width; got (2, 4) and (3, 5)"),
]


@pytest.mark.parametrize(("changes", "query", "message"), SIDED_FAULTS, ids=[m[:30] for *_, m in SIDED_FAULTS])
def test_what_is_wrong_with_query_and_gallery_is_named(tmp_path, changes, query, message):
    path = tmp_path / "f.mat"
    savemat(str(path), market(**changes))
    with pytest.raises(EvaluationError) as caught:
        load_features(path, query=query)
    assert str(caught.value).startswith(f"{path}: {message}")
    path.write_bytes(b"no matrix")
    with pytest.raises(EvaluationError, match="is damaged or not a MATLAB file"):
        load_features(path, query="visible")


def saved(tmp_path, **arrays_by_name):
    for name, array in arrays_by_name.items():
        np.save(tmp_path / f"{name}.npy", array)
    return [tmp_path / f"{name}.npy" for name in arrays_by_name]


def test_pairs_of_npy_files(tmp_path):
    plain = arrays()
    table = np.stack([plain["pids"], plain["camids"], plain["modalities"]], axis=1)
    infrared, visible = load_features(*saved(tmp_path, v=plain["vectors"], t=table))
    assert (len(infrared), visible.pids.tolist(), visible.camids.tolist()) == (2, [1, 2], [2, 2])
    sides = saved(
        tmp_path, q=np.eye(4)[:2], ql=np.array([7, 8]), g=np.eye(4)[1:], gl=np.array([[7, 2], [8, 2], [-1, 2]])
    )
    infrared, visible = load_features(*sides, query="visible")
    assert (visible.pids.tolist(), infrared.pids.tolist()) == ([7, 8], [7, 8, -1])
    assert (visible.camids.tolist(), infrared.camids.tolist()) == ([-1, -1], [2, 2, 2])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("v", "v.npy: a .npy file of vectors must be followed by one of labels; got none"),
        ("v l", "l.npy holds no modalities; pass --direction infrared_to_visible or "),
        ("v wide", "wide.npy: labels must be (n,) pids or (n, 3) pids, camids, modalities; got (2, 4)"),
        ("v no", "no.npy is missing; name two .npy files, vectors and their labels"),
        ("v objects", "objects.npy holds Python objects, which are never loaded; save plain numbers and words"),
        ("v short", "v.npy: embeddings: pids must have 2 entries, one for each vector; got 1"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(tmp_path, chosen, message):
    saved(tmp_path, v=np.eye(2), l=np.array([1, 2]), wide=np.ones((2, 4), int), short=np.array([[1, 2, 1]]))
    np.save(tmp_path / "objects.npy", np.array([1, None], object), allow_pickle=True)
    with pytest.raises(EvaluationError) as caught:
        load_features(*(tmp_path / f"{name}.npy" for name in chosen.split()))
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize("time", [float("nan"), float("inf"), 10**400, True, "1"])
def test_times_are_seconds(tmp_path, time):
    header = {"duskmatch": json.dumps({"begin_s": [0, None, 1.5, time]})}
    save_file(arrays(), tmp_path / "f.safetensors", metadata=header)
    with pytest.raises(EvaluationError, match="begin_s in the header must be a list of seconds or null"):
        load_embeddings(tmp_path / "f.safetensors")


def test_a_format_that_torch_cannot_turn_into_numbers_is_refused_by_its_name(tmp_path):
    header = json.dumps({"vectors": {"dtype": "F4", "shape": [2, 2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "f.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"00")
    with pytest.raises(EvaluationError, match="vectors is F4, which is not read; save float32 or whole numbers"):
        load_embeddings(tmp_path / "f.safetensors")

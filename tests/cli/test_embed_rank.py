"""embed and rank, from the command line to the files they leave."""

import csv
import json
import sys
from dataclasses import replace
from itertools import pairwise

import cv2
import pytest
from safetensors import SafetensorError

from duskmatch.cli import main
from duskmatch.config import load_settings
from duskmatch.data import loose_pictures, open_dataset, write_tracklets
from duskmatch.embedding import load_embedder
from duskmatch.evaluation import load_embeddings
from duskmatch.training import train
from tests.data.tree import Tree
from tests.training.conftest import FAST


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set marked as generated and a run trained on it."""
    root = tmp_path_factory.mktemp("place")
    people = {"train": range(1, 5), "test": range(5, 9)}
    Tree(root / "data", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
    train(load_settings("tiny", overrides=FAST), open_dataset(root / "data"), root / "run")
    return root


def test_embed_writes_vectors_with_who_and_where(place, tmp_path, capsys):
    out = tmp_path / "e.safetensors"
    assert main(["embed", str(place / "run"), f"{place / 'data'}:query", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    embeddings = load_embeddings(out)
    assert said["tracklets"] == len(embeddings) == 8 and said["width"] == embeddings.vectors.shape[1]
    assert set(embeddings.modalities) == {"infrared"} and embeddings.meta["synthetic"] is True
    assert embeddings.meta["precision"] == "fp32" and embeddings.meta["frames_per_clip"] == 2
    assert embeddings.sources[0] == open_dataset(place / "data").direction("infrared_to_visible").query[0].tracklet_id


def test_embed_does_not_replace_a_file_unasked(place, tmp_path, capsys):
    out = tmp_path / "e.safetensors"
    out.write_bytes(b"mine")
    assert main(["embed", str(place / "run"), f"{place / 'data'}:query", "--out", str(out)]) == 2
    assert "exists; choose another FILE or pass --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"


def test_rank_leaves_a_table_and_pictures_and_says_synthetic(place, tmp_path, capsys):
    command = [
        "rank",
        str(place / "run"),
        "--query",
        f"{place / 'data'}:query",
        "--gallery",
        f"{place / 'data'}:gallery",
    ]
    assert (
        main([*command, "--camera-rule", "same-pid-same-camera", "--out", str(tmp_path / "r"), "--top", "3", "-q"]) == 0
    )
    out = capsys.readouterr().out
    assert "SYNTHETIC data" in out and "trained on synthetic people" in out and "rank-1" in out
    rows = list(csv.DictReader((tmp_path / "r" / "ranking.csv").open()))
    assert len(rows) == 8 * 3 and [row["rank"] for row in rows[:3]] == ["1", "2", "3"]
    assert all(float(a["dist"]) <= float(b["dist"]) for a, b in pairwise(rows) if a["query"] == b["query"])
    assert not any(
        row["query_pid"] == row["gallery_pid"] and row["query_camid"] == row["gallery_camid"] for row in rows
    )
    document = json.loads((tmp_path / "r" / "ranking.json").read_text())
    assert document["synthetic"] is True and len(document["ranking"]) == 24
    assert cv2.imread(document["pictures"][0]).shape[2] == 3


def test_people_nobody_knows_are_ranked_and_not_scored(place, tmp_path, capsys):
    dataset = open_dataset(place / "data")
    folder = tmp_path / "unknown"
    folder.mkdir()
    tracklets = []
    for i, tracklet in enumerate(dataset.test[:3]):
        copies = []
        for frame in tracklet.frames:
            copy = folder / f"{i}-{frame.name}"
            copy.write_bytes(frame.read_bytes())
            copies.append(copy)
        tracklets.append(replace(tracklet, frames=tuple(copies), pid=-1, tracklet_id=f"=evil{i}"))
    write_tracklets(folder, tracklets)
    command = ["rank", str(place / "run"), "--query", str(folder), "--gallery", f"{place / 'data'}:gallery"]
    assert main([*command, "--camera-rule", "none", "--out", str(tmp_path / "r"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rank1"] is None and said["not_scored"]
    assert (tmp_path / "r" / "ranking.csv").read_text().splitlines()[1].startswith("'=evil0")


def test_rank_refuses_a_folder_that_holds_files_before_it_embeds(place, tmp_path, capsys):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine.txt").write_text("keep")
    command = [
        "rank",
        str(place / "run"),
        "--query",
        f"{place / 'data'}:query",
        "--gallery",
        f"{place / 'data'}:gallery",
    ]
    assert main([*command, "--camera-rule", "none", "--out", str(tmp_path / "r")]) == 2
    assert "must be empty; it holds files; choose another OUT or pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "r" / "mine.txt").read_text() == "keep"


def test_an_empty_gallery_is_refused(place, tmp_path, capsys):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "tracklets.csv").write_text("tracklet_id,pid,camid,modality,begin_s,end_s,frames\n")
    command = ["rank", str(place / "run"), "--query", f"{place / 'data'}:query", "--gallery", str(tmp_path / "g")]
    assert main([*command, "--camera-rule", "none", "--out", str(tmp_path / "r"), "-q"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "tracklet" in message


EMPTY = "tracklet_id,pid,camid,modality,begin_s,end_s,frames\n"


def test_what_holds_no_tracklet_is_refused_by_name_before_anything_is_embedded(place, tmp_path, capsys, monkeypatch):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "tracklets.csv").write_text(EMPTY)
    monkeypatch.setattr("duskmatch.embedding.Embedder.embed_rows", lambda *_: pytest.fail("embedded"))
    message = (
        f"duskmatch: {tmp_path / 'g'}: tracklets.csv, line 1: the table must have rows below the names of its columns; "
        "it has none; add a row for each tracklet\n"
    )
    assert main(["embed", str(place / "run"), str(tmp_path / "g"), "--out", str(tmp_path / "e.safetensors")]) == 2
    assert capsys.readouterr().err == message
    sides = ["--query", f"{place / 'data'}:query", "--gallery", str(tmp_path / "g"), "--camera-rule", "none"]
    assert main(["rank", str(place / "run"), *sides, "--out", str(tmp_path / "r")]) == 2
    assert capsys.readouterr().err == message
    assert not (tmp_path / "r").exists() and not (tmp_path / "e.safetensors").exists()


def test_embed_writes_only_what_can_be_read_again(place, tmp_path, capsys):
    assert main(["embed", str(place / "run"), f"{place / 'data'}:query", "--out", str(tmp_path / "e.bin")]) == 2
    assert capsys.readouterr().err == f"duskmatch: {tmp_path / 'e.bin'}: the name must end in .safetensors\n"


def test_the_precision_is_that_of_the_embedding_not_of_the_training(place):
    embedder = load_embedder(place / "run")
    embedder.header["precision"] = "bf16"
    embeddings = embedder.embed(open_dataset(place / "data").test[:1])
    assert embeddings.meta["precision"] == "fp32" and embeddings.meta["frames_per_clip"] == 2


def cut_out(dataset, folder, video):
    """A folder as `ingest` leaves it: tracks numbered from 1, the account of the video beside them."""
    tracklets = []
    for number, tracklet in enumerate(dataset.test[:: len(dataset.test) // 3][:3], start=1):
        copies = []
        for frame in tracklet.frames:
            copies.append(folder / "pictures" / f"{number}-{frame.name}")
            copies[-1].parent.mkdir(parents=True, exist_ok=True)
            copies[-1].write_bytes(frame.read_bytes())
        tracklets.append(replace(tracklet, frames=tuple(copies), pid=number, tracklet_id=f"track-{number}"))
    write_tracklets(folder, tracklets)
    (folder.parent if folder.name in ("first", "second") else folder).joinpath("ingest.json").write_text(video)
    return folder


def test_track_numbers_of_two_videos_are_not_scored(place, tmp_path, capsys):
    dataset = open_dataset(place / "data")
    day, night = (cut_out(dataset, tmp_path / name, f'{{"video": "{name}.mp4"}}') for name in ("day", "night"))
    command = ["rank", str(place / "run"), "--query", str(day), "--gallery", str(night)]
    assert main([*command, "--camera-rule", "none", "--out", str(tmp_path / "r"), "-q"]) == 0
    said = (
        f"not scored: the pids of {day} and {night} are track numbers of two videos, so equal pids are not the same "
        "person; to score, give each person one pid in both tracklets.csv and remove both ingest.json"
    )
    assert said in capsys.readouterr().out
    document = json.loads((tmp_path / "r" / "ranking.json").read_text())
    assert document["rank1"] is None and not any(row["match"] for row in document["ranking"])
    assert {row["query_pid"] for row in document["ranking"]} == {-1}


def test_halves_of_one_video_are_scored_each_with_its_own_pictures(place, tmp_path, capsys, monkeypatch):
    dataset = open_dataset(place / "data")
    first, second = (cut_out(dataset, tmp_path / "one" / half, '{"video": "one.mp4"}') for half in ("first", "second"))
    shown = {}

    def keep(folder, query, gallery, ranking, tracklets, *, gallery_tracklets, title, note):
        shown.update(query=tracklets, gallery=gallery_tracklets, title=title, note=note)
        return []

    monkeypatch.setattr("duskmatch.pictures.ranked_strips", keep)
    command = ["rank", str(place / "run"), "--query", str(first), "--gallery", str(second)]
    assert main([*command, "--camera-rule", "none", "--out", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rank1"] == 1.0  # the same pictures lie in both
    assert shown["title"] == "Nearest to each query, by run" and "trained on" in shown["note"]
    for side, folder in (("query", first), ("gallery", second)):
        assert shown[side]["track-1"].frames[0].is_relative_to(folder.resolve())


@pytest.mark.parametrize("name", ["model.safetensors", "state/../model.safetensors"])
def test_embed_replaces_nothing_of_the_run(name, place, capsys):
    before = (place / "run" / "model.safetensors").read_bytes()
    command = ["embed", str(place / "run"), f"{place / 'data'}:query", "--out", str(place / "run" / name)]
    assert main([*command, "--overwrite"]) == 2
    assert "must not be replaced: it is an input; choose another" in capsys.readouterr().err
    assert (place / "run" / "model.safetensors").read_bytes() == before


def one_picture(place, tmp_path):
    """A picture and a folder of one person's, of the first infrared tracklet."""
    frames = open_dataset(place / "data").direction("infrared_to_visible").query[0].frames
    picture, folder = tmp_path / "seen.jpg", tmp_path / "crops"
    folder.mkdir()
    picture.write_bytes(frames[0].read_bytes())
    for i, frame in enumerate(frames):
        (folder / f"{i}.jpg").write_bytes(frame.read_bytes())
    (folder / "notes.txt").write_text("not a picture")
    return picture, folder


def test_a_picture_and_a_folder_of_pictures_are_looked_for(place, tmp_path, capsys):
    gallery = ["--gallery", f"{place / 'data'}:gallery", "--camera-rule", "same-pid-same-camera"]
    for query in one_picture(place, tmp_path):
        out = tmp_path / f"of-{query.stem}"
        command = ["rank", str(place / "run"), "--query", str(query), *gallery, "--out", str(out)]
        assert main([*command, "--query-modality", "infrared", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["queries"] == 1 and said["rank1"] is None and "have -1 (unknown)" in said["not_scored"]
        first = json.loads((out / "ranking.json").read_text())["ranking"][0]
        assert first["query"] == query.name and first["query_camid"] == first["query_pid"] == -1
        assert first["query_modality"] == "infrared" and not first["match"]
    whole = open_dataset(place / "data").direction("infrared_to_visible").query[0]
    embed = load_embedder(place / "run").embed
    alike = embed([whole]), embed([replace(whole, frames=loose_pictures(str(tmp_path / "crops")))])
    assert (alike[0].vectors == alike[1].vectors).all()


def test_pictures_need_their_modality_and_tables_have_it(place, tmp_path, capsys):
    picture, folder = one_picture(place, tmp_path)
    side = f"{place / 'data'}:query"
    rest = ["--camera-rule", "none", "--out", str(tmp_path / "r")]
    for query, gallery, more, message in (
        (picture, side, (), f"nothing says which modality {picture} is; pass --query-modality visible or infrared\n"),
        (side, folder, (), f"nothing says which modality {folder} is; pass --gallery-modality visible or infrared\n"),
        (side, side, ("--query-modality", "visible"), "--query-modality is for a picture or a folder without "),
    ):
        assert main(["rank", str(place / "run"), "--query", str(query), "--gallery", str(gallery), *rest, *more]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"duskmatch: {message}") and said.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_embedding_onto_a_full_disk_is_one_line_and_leaves_no_half_file(place, tmp_path, capsys, monkeypatch):
    import resource

    out = tmp_path / "e.safetensors"
    command = ["embed", str(place / "run"), f"{place / 'data'}:query", "--out", str(out), "--engine", "torch", "-q"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        status = main(command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    allows = "the file would be larger than this disk or `ulimit -f` allows; choose another place"
    assert status == 2 and capsys.readouterr().err == f"duskmatch: cannot write {out}: {allows}\n"
    assert list(tmp_path.iterdir()) == []

    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("duskmatch.evaluation.features.save_file", half)
    out.write_bytes(b"of an earlier run")
    assert main([*command, "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"duskmatch: cannot write {out}: the disk is full (") and said.count("\n") == 1
    assert out.read_bytes() == b"of an earlier run" and list(tmp_path.iterdir()) == [out]

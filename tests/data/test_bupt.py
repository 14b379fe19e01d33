"""BUPTCampus: a tree made of Duskwalk's tiny people, each way to break it, its pairs, its protocols, its counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duskmatch.cli import main
from duskmatch.config import read_settings
from duskmatch.data import Problem, bupt, bupt_protocol, decode_frame, open_dataset
from duskmatch.data.bupt import aligned_pairs, fake_infrared
from duskmatch.errors import DataError, FrameError, SettingsError
from duskmatch.evaluation import dataset_facts, evaluate_dataset, scores_document, scores_in_words
from duskmatch.evaluation.words import ARROWS, FURTHER
from duskmatch.records import Embeddings
from duskmatch.synthetic.generate import generate
from tests.data.bupt_tree import BuptTree, official_lists


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> BuptTree:
    place = tmp_path_factory.mktemp("bupt")
    generate(place / "duskwalk", preset="tiny", seed=0, size=(32, 16), n_processes=1)
    return BuptTree(place / "bupt").write(open_dataset(place / "duskwalk"))


@pytest.fixture
def tree(written: BuptTree, tmp_path: Path) -> BuptTree:
    """A copy to break."""
    root = Path(shutil.copytree(written.root, tmp_path / "set"))
    return BuptTree(
        root, lists={k: list(v) for k, v in written.lists.items()}, paths=json.loads(json.dumps(written.paths))
    )


def test_the_lists_become_tracks(written: BuptTree) -> None:
    dataset = open_dataset(written.root)
    assert (dataset.name, dataset.synthetic, dataset.version) == ("BUPTCampus layout", False, "")
    assert {split: len(rows.kept()) for split, rows in dataset.splits.items()} == {
        "train": 8 * 3 * 2, "auxiliary": 4 * 2, "test": 12 + 12 * 2 * 2,
    }  # fmt: skip
    first = dataset.train[0]
    pid, _, camera, track = written.lists["train.txt"][0].split()
    assert (str(first.pid), first.modality, len(first)) == (pid, "visible", 10)
    assert first.tracklet_id == f"{pid}_RGB_{camera}_{track}"
    assert first.camid == {"LS3": 0, "G25": 1, "CQ1": 2, "W4": 3, "TSG1": 4, "TSG2": 5}[camera]
    assert first.frames[0] == written.root / "DATA" / written.paths[pid]["RGB"][camera][track][0]
    assert all(frame.is_file() for rows in dataset.splits.values() for t in rows.kept() for frame in t.frames)


def test_aligned_pairs_and_generated_infrared(written: BuptTree) -> None:
    dataset = open_dataset(written.root)
    for split, n in (("train", 24), ("auxiliary", 4)):
        pairs = aligned_pairs(dataset, split)
        assert len(pairs) == n
        for visible, infrared in pairs:
            assert (visible.modality, infrared.modality) == ("visible", "infrared")
            assert (visible.pid, visible.camid, len(visible)) == (infrared.pid, infrared.camid, len(infrared))
    visible, infrared = aligned_pairs(dataset)[0]
    fake = fake_infrared(visible)
    assert fake.modality == "infrared" and fake.tracklet_id == visible.tracklet_id.replace("RGB", "FakeIR")
    assert (decode_frame(fake.frames[3]) == decode_frame(infrared.frames[3])).all()
    with pytest.raises(DataError, match="only visible tracks of BUPTCampus have a FakeIR one; got"):
        fake_infrared(infrared)
    with pytest.raises(DataError, match=r"FakeIR/.* must hold FakeIR pictures; there is no such folder"):
        fake_infrared(dataset.test[1])
    with pytest.raises(DataError, match="aligned pairs are in train and auxiliary of BUPTCampus; got 'test'"):
        aligned_pairs(dataset, "test")


def test_four_pairs_of_modalities_and_all_together(written: BuptTree) -> None:
    dataset = open_dataset(written.root)
    sizes = {p.name: tuple(map(len, dataset.pair(p.name))) for p in dataset.protocol.pairs}
    assert sizes == {
        "infrared_to_visible": (6, 24),
        "visible_to_infrared": (6, 24),
        "visible_to_visible": (6, 24),
        "infrared_to_infrared": (6, 24),
        "omni": (12, 48),
    }
    pair = dataset.pair("infrared_to_visible")
    assert {t.modality for t in pair.query} == {"infrared"} and {t.modality for t in pair.gallery} == {"visible"}
    assert (dataset.protocol.camera_rule, dataset.protocol.frames_per_clip) == ("none", 10)


def test_the_fingerprint_follows_every_list_and_the_paths(tree: BuptTree) -> None:
    before = open_dataset(tree.root).fingerprint
    seen = {before}
    for name in tree.lists:
        tree.lists[name].reverse()
        tree.save()
        seen.add(open_dataset(tree.root).fingerprint)
    assert len(seen) == 5


Break = Callable[[BuptTree], None]
NO_LIST = "data_paths.json: a track must be a list with one path or more; "


def unequal(tree: BuptTree) -> None:
    pid, _, camera, track = tree.lists["train.txt"][1].split()
    del tree.paths[pid]["IR"][camera][track][-1]
    tree.save()


def bad_json(tree: BuptTree) -> None:
    lines = (tree.root / "data_paths.json").read_text().splitlines()
    (tree.root / "data_paths.json").write_text("\n".join([*lines[:6], "}", *lines[6:]]))


def set_paths(tree: BuptTree, change: Callable[[list[str]], object]) -> None:
    pid, word, camera, track = tree.lists["query.txt"][0].split()
    found = tree.paths[pid][word][camera]
    found[track] = change(found[track])
    tree.save()


def person_in_both(tree: BuptTree) -> None:
    tree.lists["gallery.txt"].append(tree.lists["train.txt"][0].replace("RGB/IR", "IR"))
    tree.save()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda t: (t.root / "query.txt").unlink(), "query.txt: this list is missing; copy it from the data set"),
        (
            lambda t: (t.root / "data_paths.json").unlink(),
            "data_paths.json: this file is missing or a link that leaves the data set; copy it from the data set",
        ),
        (bad_json, "data_paths.json, line 7: it must be JSON: "),
        (
            lambda t: (t.root / "data_paths.json").write_text("[1]"),
            "data_paths.json: it must hold people by pid; got [1]",
        ),
        (
            lambda t: (t.root / "data_paths.json").write_text('{"1": 1, "1": 2}'),
            "data_paths.json: each key must be there once; '1' is there twice",
        ),
        (
            lambda t: t.edit("train.txt", 3, "1 RGB/IR G25"),
            "train.txt, line 3: a line must be four words: pid modality camera track; got '1 RGB/IR G25'",
        ),
        (
            lambda t: t.edit("train.txt", 2, "one RGB/IR G25 1"),
            "train.txt, line 2: pid must be a whole number and track letters or digits; got 'one RGB/IR G25 1'",
        ),
        (
            lambda t: t.edit("train_auxiliary.txt", 1, "9 RGB G25 1"),
            "train_auxiliary.txt, line 1: modality must be RGB/IR in this list; got '9 RGB G25 1'",
        ),
        (
            lambda t: t.edit("gallery.txt", 4, "9 RGB/IR G25 1"),
            "gallery.txt, line 4: modality must be RGB or IR in this list; got '9 RGB/IR G25 1'",
        ),
        (
            lambda t: t.edit("gallery.txt", 4, "9 RGB G35 1"),
            "gallery.txt, line 4: camera must be one of LS3, G25, CQ1, W4, TSG1, TSG2; did you mean G25?; "
            "got '9 RGB G35 1'",
        ),
        (
            lambda t: t.edit("query.txt", 2, t.lists["query.txt"][0]),
            "query.txt, line 2: each track must be there once; it is in line 1 too",
        ),
        (
            lambda t: t.edit("query.txt", 1, "999 RGB G25 1"),
            "query.txt, line 1: data_paths.json must list the pictures of every track; "
            "it has none of 999 > RGB > G25 > 1",
        ),
        (lambda t: set_paths(t, lambda paths: []), NO_LIST),
        (lambda t: set_paths(t, lambda paths: {"1": paths}), NO_LIST),
        (lambda t: set_paths(t, lambda paths: [*paths, 3]), "data_paths.json, line "),
        (lambda t: set_paths(t, lambda paths: [*paths, "../" + paths[0]]), "must look like "),
        (lambda t: set_paths(t, lambda paths: [*paths, paths[2]]), "is there twice"),
        (
            unequal,
            "train.txt, line 2: an aligned pair must have as many visible as infrared pictures; "
            "got 10 visible and 9 infrared",
        ),
        (person_in_both, "train and test people must be different ones; person "),
    ],
)
def test_what_is_broken_is_refused_with_file_and_line(tree: BuptTree, break_it: Break, message: str) -> None:
    break_it(tree)
    with pytest.raises(DataError) as caught:
        open_dataset(tree.root)
    assert str(caught.value).startswith(f"{tree.root}: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)
    problems: list[Problem] = []
    open_dataset(tree.root, problems.append)  # all are collected, none stops the reading
    assert any(message in str(problem) for problem in problems)


def test_a_bad_path_is_named_with_its_line(tree: BuptTree) -> None:
    set_paths(tree, lambda paths: [*paths[:-1], "/etc/passwd"])
    line = 1 + (tree.root / "data_paths.json").read_text().splitlines().index(next(
        text for text in (tree.root / "data_paths.json").read_text().splitlines() if "/etc/passwd" in text
    ))  # fmt: skip
    pid, word, camera, track = tree.lists["query.txt"][0].split()
    name = f"{pid}_{word}_{camera}_{track}"
    with pytest.raises(DataError) as caught:
        open_dataset(tree.root)
    assert str(caught.value) == (
        f"{tree.root}: data_paths.json, line {line}: a path of track {name} must look like "
        f'{pid}/{word}/{camera}/{name}_1.jpg; got "/etc/passwd"'
    )


def test_a_folder_that_leads_out_is_refused(tree: BuptTree, tmp_path: Path) -> None:
    folder = open_dataset(tree.root).test[0].frames[0].parent
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match="pictures must lie inside the data set's own folder; this is a link that leaves"
    ):
        open_dataset(tree.root)


def test_a_cut_off_picture_is_met_where_it_is_read(tree: BuptTree) -> None:
    frame = open_dataset(tree.root).train[0].frames[0]
    frame.write_bytes(frame.read_bytes()[:-20])
    with pytest.raises(FrameError, match=frame.name):
        decode_frame(frame)


def test_a_copy_that_claims_to_be_the_real_one_is_held_to_its_counts(tree: BuptTree, monkeypatch) -> None:
    (tree.root / "BUPTCampus").touch()
    with pytest.raises(DataError) as caught:
        open_dataset(tree.root)
    message = str(caught.value)
    assert "this copy claims to be BUPTCampus but its counts differ (train people: expected 1074, found 8; " in message
    assert "gallery visible frames: expected 298771, found 240" in message
    dataset = open_dataset(tree.root, lambda problem: None)
    assert dataset.name == "BUPTCampus layout"
    monkeypatch.setattr(bupt, "OFFICIAL_COUNTS", bupt.count_lists(dataset.splits))
    assert open_dataset(tree.root).name == "BUPTCampus"


def point_of_each_person(tracklets):
    """Vectors that need no pictures."""
    rng = np.random.default_rng(0)
    centres = {pid: rng.standard_normal(8) for pid in sorted({t.pid for t in tracklets})}
    vectors = np.stack([centres[t.pid] + 0.8 * rng.standard_normal(8) for t in tracklets])
    labels = np.array([t.pid for t in tracklets]), np.array([t.camid for t in tracklets])
    words = [t.modality for t in tracklets]
    return Embeddings(vectors.astype(np.float32), *labels, words, [t.tracklet_id for t in tracklets])


def test_lists_of_the_official_sizes_give_the_official_numbers_of_tracks(tmp_path: Path, monkeypatch) -> None:
    official_lists(tmp_path / "set")
    monkeypatch.setattr(bupt, "OFFICIAL_PEOPLE", {"train": -1})  # tracks of one frame: not the real set's counts
    found = bupt.count_lists(open_dataset(tmp_path / "set").splits)
    for what, n in bupt.OFFICIAL_COUNTS.items():
        if not what.endswith("frames"):
            assert found[what] == n, what


def test_legacy_drop_gives_the_denominators_of_auxnets_rows(tmp_path: Path, monkeypatch) -> None:
    official_lists(tmp_path / "set")
    monkeypatch.setattr(bupt, "OFFICIAL_PEOPLE", {"train": -1})
    whole = open_dataset(tmp_path / "set")
    assert {p.name: tuple(map(len, whole.pair(p.name))) for p in whole.protocol.pairs}["omni"] == (1076, 4844)
    cut = open_dataset(tmp_path / "set", protocol="legacy_drop")
    assert {p.name: tuple(map(len, cut.pair(p.name))) for p in cut.protocol.pairs} == {
        "infrared_to_visible": (536, 2368),
        "visible_to_infrared": (512, 2422),
        "visible_to_visible": (512, 2368),
        "infrared_to_infrared": (536, 2422),
        "omni": (1048, 4790),
    }
    found = evaluate_dataset(point_of_each_person, cut)
    scores = found.scores
    scored = {name: one.n_queries - one.n_left_out for name, one in scores.items()}
    assert scored["infrared_to_visible"] == 522 and scored["visible_to_infrared"] == 512
    assert (scores["infrared_to_visible"].rank1 * 522) % 1 == pytest.approx(0, abs=1e-9)
    document = scores_document(found, dataset_facts(cut, found), synthetic=False)
    assert document["pairs"]["omni"]["n_queries"] == 1048
    said = "BUPTCampus, legacy_drop (visible lists cut to a multiple of 64, to match AuxNet's rows)"
    assert document["protocol"]["name"] == said and document["protocol"]["variant"] == "legacy_drop"
    words = scores_in_words(document)
    assert f"protocol: {said}" in words
    assert "visible → infrared: every visible query up to a multiple of 64 among every infrared gallery track" in words
    full = evaluate_dataset(point_of_each_person, whole).scores
    assert {full[d].n_queries - full[d].n_left_out for d in ("infrared_to_visible", "visible_to_infrared")} == {
        536,
        540,
    }


SMALL = ["--data.height", "48", "--data.width", "24", "--model.n_parts", "3", "--train.stage1_epochs", "1"]
SMALL += [
    "--train.stage2_epochs",
    "1",
    "--train.steps_per_epoch",
    "2",
    "--train.pids_per_batch",
    "2",
    "--device",
    "cpu",
]


def test_check_counts_the_lists_and_names_what_is_broken(tree: BuptTree, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tree.root), "--frames", "all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["problems"]) == ("BUPTCampus layout", [])
    assert found["people"] == {"train": 8, "auxiliary": 4, "test": 12}
    counts = {row["what"]: (row["found"], row["expected"]) for row in found["counts"]}
    assert counts["query infrared tracks"] == (6, 536) and counts["gallery visible frames"] == (240, 298771)
    first, last = (open_dataset(tree.root).splits[split].kept()[-1].frames for split in ("train", "test"))
    first[3].unlink()
    last[4].write_bytes(last[4].read_bytes()[:-20])
    tree.edit("train_auxiliary.txt", 1, "9 RGB/IR G35 1")
    assert main(["check", str(tree.root), "--frames", "all", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [(p["kind"], p["file"], p["line"]) for p in problems] == [
        ("malformed", "train_auxiliary.txt", 1),
        ("missing", "train.txt", 24),
        ("unreadable", "gallery.txt", 48),
    ]


def test_a_run_is_trained_and_scored_in_five_pairs_with_the_protocol_beside(
    written: BuptTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = tmp_path / "run", ["--data", str(written.root)]
    assert main(["train", *data, "--preset", "tiny", "--out", str(run), *SMALL]) == 0
    settings = read_settings(run / "settings.yaml").data
    assert (settings.frames_per_clip, settings.sampling) == (10, "uniform")
    capsys.readouterr()
    assert main(["evaluate", str(run), *data, "--rerank", "temporal", "--no-report"]) == 0
    words = capsys.readouterr().out
    assert (
        "BUPTCampus layout: real data" in words and "re-ranking: temporal k-reciprocal, k1 5, k2 3, lambda 0" in words
    )
    for arrow in ("infrared → visible", "visible → infrared", "visible → visible", "infrared → infrared", "all → all"):
        assert f"\n{arrow} " in words
    assert "frames per clip: 10\nsampling: frames at even steps from the first" in words
    assert "camera rule: none" in words
    document = json.loads((run / "scores.json").read_text())
    assert document["pairs"]["omni"]["n_queries"] == 12 and document["pairs"]["omni"]["n_gallery"] == 48
    flags = ["--camera-rule", "same-pid-same-camera", "--json", "--no-report"]
    assert main(["evaluate", str(run), *data, *flags]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["camera_rule"] == "same-pid-same-camera"
    assert main(["evaluate", str(run), *data, "--protocol", "legacy_drop", "--no-report"]) == 2
    assert "must hold at least one embedding" in capsys.readouterr().err  # six visible queries: none fills a batch


def test_a_person_may_ask_for_other_clips_than_the_protocols(written: BuptTree, capsys) -> None:
    flags = ["train", "--data", str(written.root), "--print_config"]
    assert main(flags) == 0
    assert "frames_per_clip: 10\n  sampling: uniform\n" in capsys.readouterr().out
    assert main([*flags, "--data.frames_per_clip", "6", "--data.sampling", "segments"]) == 0
    assert "frames_per_clip: 6\n  sampling: segments\n" in capsys.readouterr().out


def test_the_page_says_of_every_pair_who_is_looked_for_among_whom() -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for protocol in bupt_protocol.PROTOCOLS:
        for pair in protocol.pairs:
            start = f"| BUPTCampus | `{protocol.variant}` | {(ARROWS | FURTHER)[pair.name]} | "
            assert (
                f"{start}{pair.query} | {pair.gallery} | nothing | every entry | 1: none, nothing is drawn |\n" in page
            )


def test_a_multiple_of_the_batch_stays_whole() -> None:
    from tests.data.tree import fake_tracklets

    tracklets = fake_tracklets(4, infrared=3, visible=128)
    assert len(bupt_protocol.legacy_cut(tracklets)) == 131
    assert [t.modality for t in bupt_protocol.legacy_cut(fake_tracklets(4, infrared=3, visible=63))] == ["infrared"] * 3


def test_an_unknown_variant_is_refused(written: BuptTree) -> None:
    with pytest.raises(SettingsError, match="did you mean legacy_drop"):
        open_dataset(written.root, protocol="legacydrop")

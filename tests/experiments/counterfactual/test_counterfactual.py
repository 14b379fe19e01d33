"""The whole test: its figures against plain evaluation, its files, going on after a stop, what it refuses and says."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from duskmatch import load_embedder
from duskmatch.data import open_dataset
from duskmatch.errors import CheckpointError, DataError, OutputError, SettingsError
from duskmatch.evaluation import count_test_reads, evaluate_dataset, score
from duskmatch.experiments.counterfactual import experiment
from duskmatch.experiments.counterfactual import films as films_module
from duskmatch.experiments.counterfactual import shelf as subjects_module
from duskmatch.experiments.counterfactual.document import Counterfactual
from duskmatch.experiments.counterfactual.experiment import Listener, Request
from duskmatch.files import only_writer
from duskmatch.records import DIRECTIONS
from duskmatch.synthetic import generate
from duskmatch.weights import HEADER_KEY, read_weights
from tests import forked
from tests.data.tree import Tree
from tests.experiments.counterfactual.conftest import SEED
from tests.training.headers import with_data


@pytest.fixture(scope="module")
def answer(base, runs, tmp_path_factory):
    """All four people, two factors, pictures kept; read by the tests, never written to."""
    out = tmp_path_factory.mktemp("answer") / "dir"
    options = {"device": "cpu", "engine": "torch"}
    question = Request(
        runs, base, out, factors=("modality", "view"), severities=(4,), seed=7, keep_films=True, n_processes=1,
        embedder_options=options,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUSKMATCH_STATE", str(tmp_path_factory.mktemp("state")))
        document = counterfactual(question)
    return out, document


def counterfactual(request, *more):
    """The document, as its JSON has it."""
    return experiment.counterfactual(request, *more).model_dump(mode="json")


def read(out):
    return Counterfactual.model_validate_json((out / "counterfactual.json").read_bytes())


def points(document, **wanted):
    return [p for p in document["points"] if all(p[key] == value for key, value in wanted.items())]


def test_severity_0_is_the_plain_evaluation_and_has_no_shift(answer, base, runs):
    _, document = answer
    scores = evaluate_dataset(load_embedder(runs[0], device="cpu").embed, open_dataset(base)).scores
    start = points(document, run="first", severity=0)
    assert [point["factor"] for point in start] == ["view", "modality"]
    for point in start:
        for direction in DIRECTIONS:
            found = point[direction]
            assert found["rank1"]["value"] == pytest.approx(scores[direction].rank1, abs=1e-12)
            assert found["mAP"]["value"] == pytest.approx(scores[direction].mean_average_precision, abs=1e-12)
            for change in ("rank1_change", "mAP_change"):
                assert found[change] == {"value": 0.0, "interval": [0.0, 0.0]}
        for figure in point["shift"].values():
            assert figure == {"value": 0.0, "interval": [0.0, 0.0]}


def test_changed_tracks_are_looked_for_among_the_unchanged_gallery(answer, base, runs):
    out, document = answer
    embedder = load_embedder(runs[1], device="cpu")
    unchanged = embedder.embed(open_dataset(base).test)
    changed = embedder.embed(open_dataset(out / "films" / "view-4").test)
    infrared = np.array(unchanged.modalities) == "infrared"
    (point,) = points(document, run="second", factor="view", severity=4)
    for direction, of_query in zip(DIRECTIONS, (infrared, ~infrared), strict=True):
        after, before = (score(side.take(of_query), unchanged.take(~of_query)) for side in (changed, unchanged))
        found = point[direction]
        assert found["rank1"]["value"] == pytest.approx(after.rank1, abs=1e-12)
        change = after.average_precision - before.average_precision
        assert found["mAP_change"]["value"] == pytest.approx(change.mean(), abs=1e-12)
        low, high = found["mAP_change"]["interval"]
        by_person = [change[before.query_pids == pid].mean() for pid in np.unique(before.query_pids)]
        assert min(by_person) - 1e-12 <= low <= change.mean() <= high <= max(by_person) + 1e-12


def test_the_shift_is_that_of_a_loop_over_tracks(answer, base, runs):
    out, document = answer
    embedder = load_embedder(runs[0], device="cpu")
    old = embedder.embed(open_dataset(base).test)
    new = embedder.embed(open_dataset(out / "films" / "modality-4").test)
    moved, apart = {"infrared": [], "visible": []}, {"infrared": [], "visible": []}
    for i, modality in enumerate(old.modalities):
        moved[modality].append(np.linalg.norm(new.vectors[i] - old.vectors[i]))
        for j, other in enumerate(old.modalities):
            if other == modality and old.pids[j] != old.pids[i]:
                apart[modality].append(np.linalg.norm(old.vectors[j] - old.vectors[i]))
    scale = document["runs"][0]["between_people"]
    assert scale == {modality: pytest.approx(np.mean(lengths), rel=1e-5) for modality, lengths in apart.items()}
    (point,) = points(document, run="first", factor="modality", severity=4)
    for modality, lengths in moved.items():
        assert point["shift"][modality]["value"] == pytest.approx(np.mean(lengths) / scale[modality], rel=1e-5)
        assert point["shift"][modality]["value"] > 0.01
    everything = [x / scale[modality] for modality, lengths in moved.items() for x in lengths]
    assert point["shift"]["all"]["value"] == pytest.approx(np.mean(everything), rel=1e-5)


def test_runs_are_compared_on_the_same_tracks(answer):
    _, document = answer
    assert [(d["run"], d["against"], d["factor"], d["severity"]) for d in document["differences"]] == [
        ("second", "first", "view", 4), ("second", "first", "modality", 4),
    ]  # fmt: skip
    for difference in document["differences"]:
        own, other = (
            points(document, run=run, factor=difference["factor"], severity=4)[0]["shift"]["all"]["value"]
            for run in ("second", "first")
        )
        low, high = difference["shift"]["all"]["interval"]
        assert difference["shift"]["all"]["value"] == pytest.approx(own - other)
        assert low <= own - other <= high


def test_the_document_says_what_it_depends_on(answer, base):
    out, document = answer
    data, record = document["data"], open_dataset(base)
    assert document["synthetic"] is True
    assert document == json.loads((out / "counterfactual.json").read_text())
    assert read(out).model_dump(mode="json") == document
    assert (data["name"], data["version"], data["preset"], data["seed"]) == ("Duskwalk", "2", "few", SEED)
    assert data["fingerprint"] == record.fingerprint
    assert (data["n_people"], data["n_people_filmed"], data["test_reads"]) == (4, 4, 2)
    assert data["n_queries"] == {"infrared_to_visible": 12, "visible_to_infrared": 12}
    assert data["refilmed"] == {"pictures": 72, "equal": 72}
    assert document["protocol"]["camera_rule"] == "same-pid-same-camera"
    assert document["protocol"]["bootstrap_seed"] == 7
    assert [run["training_data"] for run in document["runs"]] == ["this data set"] * 2
    assert [run["seed"] for run in document["runs"]] == [1, 2]
    assert document["runs"][0]["weights_sha256"] != document["runs"][1]["weights_sha256"]
    assert document["notes"] == [] and "cores" in document["machine"]
    films = [(film["factor"], film["severity"], film["n_tracks"], film["n_frames"]) for film in document["films"]]
    assert films == [("view", 4, 24, 288), ("modality", 4, 24, 288)]
    assert open_dataset(out / "films" / "view-4").fingerprint == document["films"][0]["fingerprint"]


def test_every_file_says_synthetic(answer):
    out, document = answer
    assert sorted(path.name for path in out.glob("*.png")) == [
        "mAP_infrared_to_visible.png", "mAP_visible_to_infrared.png",
        "rank1_infrared_to_visible.png", "rank1_visible_to_infrared.png", "shift.png",
    ]  # fmt: skip
    words = (out / "counterfactual.md").read_text()
    tables = [line for line in words.splitlines() if line.startswith("## ") and "depend on" not in line]
    assert len(tables) == 10 and all("SYNTHETIC" in line for line in tables)
    assert words.splitlines()[2].startswith("**SYNTHETIC data (Duskwalk 2)")
    page = (out / "counterfactual.html").read_text()
    assert page.index("SYNTHETIC") < page.index("<h2") and page.count("SYNTHETIC data") > 15
    value = points(document, run="second", factor="view", severity=4)[0]["shift"]["all"]["value"]
    assert f"{value:.3f} (" in words and f"{value:.3f} (" in page


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing(answer):
    page = (answer[0] / "counterfactual.html").read_text()
    assert not re.search(r"<(script|iframe|object|embed|form|base)\b", page)
    assert all(link.startswith(("data:", "#")) for link in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "Content-Security-Policy" in page and "default-src &#x27;none&#x27;; img-src data:;" in page
    assert page.count("data:image/jpeg") == 2 * 2 * 2  # by day and by night, two factors, severity 0 and 4


def test_pictures_name_the_runs_and_the_synthetic_people(answer, monkeypatch):
    from duskmatch.experiments.counterfactual import charts as charts_module
    from duskmatch.pictures import charts

    out, _ = answer
    drawn = {}
    monkeypatch.setattr(charts_module, "save_png", lambda panels, path, **size: drawn.update({path: (panels, size)}))
    for name, draw in charts_module.pictures(read(out)).items():
        draw(name)
    drawn = {name: charts.figure(panels, **size) for name, (panels, size) in drawn.items()}
    shift = drawn["shift.png"]
    assert "SYNTHETIC data (Duskwalk 2, few, seed 5), 4 people" in shift._suptitle.get_text()
    assert [axes.get_title(loc="left") or axes.get_title() for axes in shift.axes] == ["view", "modality"]
    assert [text.get_text() for text in shift.legends[0].get_texts()] == ["first", "second"]
    for axes in shift.axes:
        assert [list(line.get_xdata()) for line in axes.lines] == [[0, 4], [0, 4]]
        assert len(axes.collections) == 2  # a band for each RUN


# --- going on


def state(monkeypatch, folder):
    monkeypatch.setenv("DUSKMATCH_STATE", str(folder))


class Killed(BaseException):
    """What no part of the program catches."""


def test_stopped_at_any_write_it_goes_on_to_the_same_json(request_of, tmp_path, monkeypatch):
    from duskmatch import files

    state(monkeypatch, tmp_path / "state-whole")
    whole = counterfactual(request_of(out=tmp_path / "whole"))
    state(monkeypatch, tmp_path / "state")
    sync, left = files.sync, [0]

    def failing(path):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        sync(path)

    monkeypatch.setattr(files, "sync", failing)
    stops = 0
    for n in count(1, 3):  # each start may write a little more than the one before
        left[0] = n
        try:
            document = counterfactual(request_of())
            break
        except Killed:
            stops += 1
    assert stops > 5
    assert document == whole
    assert (tmp_path / "dir" / "counterfactual.json").read_bytes() == (
        tmp_path / "whole" / "counterfactual.json"
    ).read_bytes()
    assert not (tmp_path / "dir" / "check").exists()


PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from duskmatch.experiments.counterfactual.experiment import Request, counterfactual
from duskmatch.synthetic import PRESETS
base, first, second, out = map(Path, sys.argv[1:])
PRESETS["few"] = replace(PRESETS["tiny"], people=(2, 1, 4), size=(48, 24), n_frames=(12, 12), supersample=1, cameras=3)
options = {"device": "cpu", "engine": "torch"}
counterfactual(Request((first, second), base, out, factors=("view",), severities=(1, 4), people=2, n_processes=1,
                        embedder_options=options))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "seen", ["films/view-1/0003", "embeddings", "films/view-4/duskwalk.json", "rank1_infrared_to_visible.png"]
)
def test_killed_outright_it_goes_on_to_the_same_json(request_of, tmp_path, monkeypatch, seen):
    question = request_of()
    state(monkeypatch, tmp_path / "state")
    running = forked.Program(PROGRAM, question.data, *question.runs, question.out)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and running.process.is_alive() and not (question.out / seen).exists():
        time.sleep(0.005)
    running.process.kill()
    done = running.wait()
    assert done.returncode == -signal.SIGKILL, done.output[-2000:]
    document = counterfactual(question)
    state(monkeypatch, tmp_path / "state-whole")
    assert document == counterfactual(request_of(out=tmp_path / "whole"))


@pytest.fixture
def work(monkeypatch):
    """The folders filmed and the number of tracklets embedded at a time."""
    filmed, embedded = [], []
    shoot, shards = films_module.generate, subjects_module.Shards
    monkeypatch.setattr(films_module, "generate", lambda out, **order: filmed.append(out.name) or shoot(out, **order))
    monkeypatch.setattr(
        subjects_module, "Shards", lambda embedder, tracklets, *rest: embedded.append(len(tracklets)) or shards(
            embedder, tracklets, *rest)
    )  # fmt: skip
    return filmed, embedded


def test_a_second_start_films_and_embeds_nothing(request_of, work):
    filmed, embedded = work
    first = counterfactual(request_of())
    assert filmed == ["view-1", "view-4"] and embedded == [24, 24, 12, 12, 12, 12]
    filmed.clear(), embedded.clear()
    assert counterfactual(request_of()) == first
    assert (filmed, embedded) == ([], [])
    assert count_test_reads(first["data"]["fingerprint"]) == 2


def test_another_run_films_again_what_was_deleted_and_ends_as_if_both_had_been_requested(
    request_of, runs, work, tmp_path, monkeypatch
):
    filmed, embedded = work
    state(monkeypatch, tmp_path / "state-both")
    both = counterfactual(request_of(out=tmp_path / "both"))
    filmed.clear()
    state(monkeypatch, tmp_path / "state")
    counterfactual(request_of(runs=runs[:1]))
    assert len(list((tmp_path / "dir" / "films").rglob("*.jpg"))) == 2 * 2  # one of each modality is kept
    embedded.clear()
    assert counterfactual(request_of()) == both
    assert filmed == ["view-1", "view-4"] * 2 and embedded == [24, 12, 12]


def test_kept_films_are_not_filmed_again_for_another_run(request_of, runs, work, tmp_path):
    filmed, _ = work
    counterfactual(request_of(runs=runs[:1], keep_films=True))
    assert len(list((tmp_path / "dir" / "films").rglob("*.jpg"))) == 2 * 2 * 6 * 12
    counterfactual(request_of(keep_films=True))
    assert filmed == ["view-1", "view-4"]


def test_damaged_embeddings_are_made_again(request_of, tmp_path, work):
    first = counterfactual(request_of())
    for file in sorted((tmp_path / "dir" / "embeddings").iterdir())[:3]:
        file.write_bytes(file.read_bytes()[:-9])
    assert counterfactual(request_of()) == first


def test_embeddings_of_other_weights_are_not_taken(request_of, runs, tmp_path):
    """The same folder with other weights in it is another RUN."""
    run = shutil.copytree(runs[0], tmp_path / "run")
    before = counterfactual(request_of(runs=[run]))
    weights = read_weights(run / "model.safetensors")
    rng = np.random.default_rng(0)
    changed = {
        name: tensor + rng.normal(0, 0.05, tensor.shape).astype(tensor.dtype) if tensor.dtype == np.float32 else tensor
        for name, tensor in load_file(run / "model.safetensors").items()
    }
    save_file(changed, run / "model.safetensors", metadata={HEADER_KEY: json.dumps(weights.header)})
    after = counterfactual(request_of(runs=[run]))
    assert after["runs"][0]["weights_sha256"] != before["runs"][0]["weights_sha256"]
    assert points(after, severity=4)[0]["shift"] != points(before, severity=4)[0]["shift"]


def test_progress_counts_every_piece_and_names_the_work(request_of, runs):
    pieces, work = [], []
    listener = Listener(lambda *now: pieces.append(now), lambda *now: work.append(now))
    counterfactual(request_of(runs=runs[:1]), listener)
    assert pieces == [(n, 5) for n in range(1, 6)]
    assert [what for what, _, _ in work if "filming" not in what] == [
        "first: the unchanged set", "first: view-1", "first: view-4",
    ]  # fmt: skip
    assert ("filming view-1", 144, 144) in work


# --- what must be known


@pytest.mark.parametrize(
    ("data", "word", "note"),
    [
        ({"name": "Duskwalk", "fingerprint": "b" * 64, "seed": SEED}, "the same seed", None),
        (
            {"name": "Duskwalk", "fingerprint": "b" * 64, "seed": 9},
            "other Duskwalk",
            "run was trained on Duskwalk of seed 9, not on seed 5: no test person was among its people, but cameras "
            "and streets may be new to it, unlike to a RUN trained on this seed",
        ),
        (
            {"name": "Duskwalk", "fingerprint": "b" * 64},
            "other Duskwalk",
            "run was trained on a Duskwalk set of unknown seed, not on seed 5: no test person was among its people, "
            "but cameras and streets may be new to it, unlike to a RUN trained on this seed",
        ),
        (
            {"name": "HITSZ-VCM layout", "fingerprint": "c" * 64},
            "other data",
            "run was trained on other data (HITSZ-VCM layout, fingerprint cccccccccccccccc): it is not known whether "
            "they include these test people",
        ),
        (None, "not said", "the training data of run are not known and may include these test people"),
    ],
)  # fmt: skip
def test_a_run_trained_on_other_data_is_said(request_of, runs, tmp_path, data, word, note):
    notes = []
    run = with_data(runs[0], tmp_path / "run", data)
    document = counterfactual(request_of(runs=[run], severities=(1,)), Listener(on_note=notes.append))
    assert document["runs"][0]["training_data"] == word
    assert document["notes"] == notes == ([note] if note else [])
    for name in ("counterfactual.md", "counterfactual.html"):
        assert not note or note in (tmp_path / "dir" / name).read_text()


def test_a_set_of_another_machine_is_taken_and_said(request_of, base, tmp_path):
    copy = shutil.copytree(base, tmp_path / "copy")
    import cv2

    path = next(copy.glob("0003/ir/*/1.jpg"))
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))  # the same picture at another JPEG quality
    notes = []
    document = counterfactual(request_of(data=copy, severities=(1,)), Listener(on_note=notes.append))
    assert document["data"]["refilmed"] == {"pictures": 72, "equal": 71}
    assert "1 of 72 pictures filmed again were not DATASET's to the byte" in notes[0]
    assert document["notes"][-1] == notes[-1]


def test_twins_are_filmed_as_twins(few, request_of, runs, tmp_path):
    twins = tmp_path / "twins"
    generate(twins, preset=few, seed=SEED, twins="gait_twins", n_processes=1)
    document = counterfactual(request_of(runs=runs[:1], data=twins, severities=(1,)))
    assert document["data"]["twins"] == "gait_twins" and document["data"]["refilmed"]["equal"] == 72
    assert document["runs"][0]["training_data"] == "the same seed"


# --- refusals


def refused(kind, message, question):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        counterfactual(question)
    assert not question.out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"factors": ["view", "veiw"]},
            "--factors must be of view, pose, background, occluder, exposure, modality; got 'veiw'; did you mean view?",
        ),
        ({"factors": []}, "counterfactual needs at least one factor; got none"),
        ({"severities": [1, 5]}, "--severities must be from 1 to 4; got 5"),
        ({"severities": [0]}, "counterfactual needs at least one severity from 1 to 4; got none"),
        ({"runs": []}, "at least one RUN must be named; got none; name a trained run"),
        (
            {"names": "a"},
            "--names must be 2 different names with commas between, one for each RUN; got 'a'",
        ),
        (
            {"names": "a,_b|c"},
            "a RUN's name must be 1 to 40 letters, digits, spaces or . + - = ( ) _ / *, the first a letter or digit; "
            "got '_b|c'; give others with --names A,B",
        ),
    ],
)  # fmt: skip
def test_an_invalid_request_is_refused(request_of, changes, message):
    refused(SettingsError, message, request_of(**changes))


@pytest.mark.parametrize("people", [0, 5])
def test_more_people_than_there_are_is_refused(request_of, base, people):
    message = f"--people must be from 1 to 4, the test people of {base.resolve()}; got {people}"
    refused(SettingsError, message, request_of(people=people))


def test_data_that_cannot_be_filmed_again_is_refused(request_of, tmp_path):
    real = Tree(tmp_path / "real").write()
    message = (
        f"{real} must be a Duskwalk set: it is filmed again with one factor changed, which only generated people "
        "allow; it has no duskwalk.json and is HITSZ-VCM data; make one with `duskmatch synth`"
    )
    refused(DataError, message, request_of(data=real))


def edited(base, target, **facts):
    shutil.copytree(base, target)
    record = json.loads((target / "duskwalk.json").read_text())
    (target / "duskwalk.json").write_text(json.dumps({**record, **facts}))
    return target


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"preset": "huge"},
            "{}: duskwalk.json must name a known preset and a seed; got preset 'huge', seed 5; write the set again",
        ),
        (
            {"data_version": "1"},
            "{} must be of data version 2, which is filmed here; got 1; write the set again, or use the duskmatch that "
            "wrote it",
        ),
        (
            {"vary": "view", "severity": 3},
            "{} must be an unchanged set; it is a counterfactual itself (view, severity 3); name its base set",
        ),
    ],
)
def test_sets_that_are_not_an_unchanged_duskwalk_of_this_version_are_refused(
    request_of, base, tmp_path, facts, message
):
    data = edited(base, tmp_path / "data", **facts)
    refused(DataError, message.format(data), request_of(data=data))


def test_a_set_that_says_another_seed_than_its_own_is_refused(request_of, base, tmp_path):
    """Its films would be of other people, and every shift that of a stranger."""
    data = edited(base, tmp_path / "data", seed=6)
    with pytest.raises(DataError) as refusal:
        counterfactual(request_of(data=data))
    assert re.fullmatch(
        rf"{re.escape(str(data))} must hold the pictures of preset few, seed 6; \S+ (\S+ )?differs; its duskwalk.json "
        "or its pictures were changed; write the set again with `duskmatch synth`",
        str(refusal.value),
    )


def test_a_single_test_person_is_refused(few, request_of, tmp_path):
    data = tmp_path / "one"
    generate(data, preset=few, seed=SEED, test_people=1, n_processes=1)
    message = f"{data.resolve()} must have two test people or more; got 1"
    refused(DataError, message, request_of(data=data, people=None))


def test_a_missing_run_is_refused_before_anything_is_written(request_of, runs, tmp_path):
    message = f"{tmp_path / 'none'} is no RUN folder; name the folder given to `duskmatch train --out`"
    refused(CheckpointError, message, request_of(runs=[runs[0], tmp_path / "none"]))


def test_a_folder_with_other_files_is_left_alone(request_of, tmp_path):
    mine = tmp_path / "dir" / "films" / "view-1" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep")
    message = f"{tmp_path / 'dir'} must be empty; it holds files; choose another OUT or pass --overwrite"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        counterfactual(request_of())
    assert mine.read_text() == "keep"


def test_a_folder_with_films_of_other_people_is_refused_and_overwritten_when_told_to(request_of, runs, tmp_path):
    counterfactual(request_of(runs=runs[:1], severities=(1,)))
    message = (
        f"{tmp_path / 'dir'} holds a counterfactual test of other films: n_people must be 3; got 2; choose another "
        "DIR or pass --overwrite"
    )
    question = request_of(runs=runs[:1], severities=(1,), people=3)
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        counterfactual(question)
    assert counterfactual(replace(question, overwrite=True))["data"]["n_people_filmed"] == 3


def test_overwriting_what_is_read_is_refused(request_of, runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "dir" / "run")
    message = f"--overwrite must not remove what is read; {run} lies in {tmp_path / 'dir'}; choose another OUT"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        counterfactual(request_of(runs=[run], overwrite=True))
    assert (run / "model.safetensors").is_file()


def test_a_folder_has_one_writer(request_of, tmp_path):
    (tmp_path / "dir").mkdir()
    message = f"{tmp_path / 'dir'} is being written by another process; wait for it or choose another DIR"
    with only_writer(tmp_path / "dir"), pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        counterfactual(request_of())


def test_a_damaged_plan_is_refused(request_of, tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "plan.json").write_text("{")
    message = f"{tmp_path / 'dir' / 'plan.json'} is damaged; choose another DIR or pass --overwrite"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        counterfactual(request_of())

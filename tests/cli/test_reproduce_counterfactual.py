"""The flags of `duskmatch reproduce counterfactual` and what it prints; the test itself is in tests/experiments."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from duskmatch.cli import Parser, common_arguments, console
from duskmatch.cli import reproduce_counterfactual as command
from duskmatch.errors import SettingsError
from duskmatch.experiments.counterfactual.document import Counterfactual
from duskmatch.experiments.counterfactual.experiment import Request
from duskmatch.experiments.counterfactual.results import protocol
from duskmatch.experiments.counterfactual.words import facts, in_words
from duskmatch.synthetic import FACTORS
from duskmatch.synthetic.variations import MOST_SEVERE


def parsed(*words):
    parser = Parser(prog="duskmatch reproduce counterfactual", parents=[common_arguments()], allow_abbrev=False)
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def requests(monkeypatch):
    """The requests that reach the experiment, which is replaced by one that returns a small document."""
    seen = []

    def answer(request, listener):
        listener.on_note("one thing to know")
        listener.on_work("filming view-1", 1, 2)
        listener.on_piece(1, 1)
        seen.append(request)
        return small_document()

    monkeypatch.setattr(sys.modules[Request.__module__], "counterfactual", answer)
    return seen


def small_document():
    nothing = {"value": 0.0, "interval": (0.0, 0.0)}
    some = {"value": 0.5, "interval": (0.25, 0.75)}
    search = {"rank1": some, "rank1_change": nothing, "mAP": some, "mAP_change": nothing}
    both = {"infrared_to_visible": 3, "visible_to_infrared": 3}
    points = [
        {
            "run": "a", "factor": "view", "severity": severity, "infrared_to_visible": search,
            "visible_to_infrared": search, "shift": {"all": shift, "infrared": shift, "visible": None},
        }
        for severity, shift in ((0, nothing), (1, some))
    ]  # fmt: skip
    data = {
        "name": "Duskwalk", "version": "2", "fingerprint": "f" * 64, "preset": "tiny", "seed": 3, "twins": None,
        "n_people_filmed": 2, "n_people": 4, "n_queries": both, "n_left_out": both, "n_gallery": both, "chance": both,
        "test_reads": None, "refilmed": {"pictures": 1, "equal": 1},
    }  # fmt: skip
    protocol = dict.fromkeys(("name", "split", "sampling", "re_ranking", "interval", "shift"), "x")
    return Counterfactual.model_validate(
        {
            "data": data, "protocol": {**protocol, "camera_rule": "none", "test_time_extras": [], "bootstrap_seed": 0},
            "factors": ["view"], "severities": [0, 1], "runs": [], "films": [], "points": points, "differences": [],
            "notes": [], "machine": "m", "versions": {},
        }
    )  # fmt: skip


def small_run(name, **said):
    words = ("weights_sha256", "checkpoint", "selection", "preset", "embedding", "engine", "precision")
    run = {"name": name, "seed": 1, "parameters": {}, "frames_per_clip": 6, "trained_on": None}
    run |= {"training_data": "not said", "between_people": {}, "same_person": {}}
    return {**dict.fromkeys(words, "x"), **run, **said}


def test_choices_are_the_experiments():
    assert (FACTORS, tuple(range(1, MOST_SEVERE + 1))) == (command.FACTORS, command.SEVERITIES)


def test_flags_become_the_request(requests, capsys):
    console.setup(quiet=False, verbose=False, as_json=True)
    flags = ["--names", "A, B", "--factors", "view,pose", "--severities", "2,4", "--people", "7", "--processes", "1"]
    flags += ["--engine", "torch", "--precision", "bf16", "--device", "cpu", "--seed", "9", "--keep-films"]
    command.run(parsed("r1", "r2", "--data", "d", "--out", "o", "--overwrite", *flags))
    assert requests == [
        Request(
            [Path("r1"), Path("r2")], Path("d"), Path("o"), "A, B", ["view", "pose"], [2, 4], 7, 9, True, True, 1,
            {"device": "cpu", "engine": "torch", "precision": "bf16"},
        )
    ]  # fmt: skip
    printed = json.loads(capsys.readouterr().out)
    assert printed["synthetic"] is True and printed["out"] == "o"


def test_defaults_are_everything_for_forty_people(requests):
    console.setup(quiet=True, verbose=False, as_json=False)
    command.run(parsed("r", "--data", "d", "--out", "o"))
    (request,) = requests
    assert (tuple(request.factors), tuple(request.severities)) == (FACTORS, (1, 2, 3, 4))
    assert (request.names, request.people, request.keep_films, request.overwrite) == (None, None, False, False)


def test_words_that_are_no_numbers_are_refused():
    with pytest.raises(SettingsError) as refusal:
        command.numbers_of("1,two")
    assert str(refusal.value) == "--severities must be whole numbers with commas between them; got '1,two'"


def test_the_terminal_shows_shift_and_rank1_and_says_synthetic(requests, capsys, monkeypatch):
    document = small_document()
    run = small_run("a")
    whole = {**document.model_dump(mode="json"), "runs": [run], "notes": ["mind the gap"]}
    lines = command.words(Counterfactual.model_validate(whole), Path("o")).splitlines()
    assert lines[:2] == [
        "SYNTHETIC data (Duskwalk 2): generated people, not a score on real ones",
        "note: mind the gap",
    ]
    assert lines[3:6] == ["embedding shift", "factor  RUN  0      1", "view    a    0.000  0.500"]
    assert "view    a    50.0  50.0" in lines
    assert lines[-1] == "page: o/counterfactual.html"


def two_runs(names, **protocol):
    """The small document with its points once for each name."""
    document = small_document().model_dump(mode="json")
    return {
        **document,
        "runs": [small_run(name, sampling=f"as {name} has it", test_time_extras=[]) for name in names],
        "points": [{**point, "run": name} for name in names for point in document["points"]],
        "protocol": {**document["protocol"], **protocol},
    }


def test_the_terminal_cuts_intervals_and_no_names():
    document = Counterfactual.model_validate(two_runs(["base (lr 0.1)", "base (lr 0.3)"]))
    lines = command.words(document, Path("o")).splitlines()
    assert "view    base (lr 0.1)  0.000  0.500" in lines and "view    base (lr 0.3)  0.000  0.500" in lines


def test_bars_in_names_cut_no_cell_in_two():
    text = in_words(Counterfactual.model_validate(two_runs(["a|b", "c"])))
    rows = [line for line in text.splitlines() if line.startswith("| view | a")]
    assert rows and all(row.startswith("| view | a\\|b | ") for row in rows)


def test_what_runs_do_not_share_stands_with_each_run():
    apart = facts(Counterfactual.model_validate(two_runs(["a", "b"], sampling=None)))
    assert apart["sampling"] == "not the same for all, see each RUN" and apart["test-time extras"] == "none"
    assert "; sampling as a has it; " in apart["RUN a"] and "; sampling as b has it; " in apart["RUN b"]
    together = facts(Counterfactual.model_validate(two_runs(["a", "b"])))
    assert together["sampling"] == "x" and "sampling" not in together["RUN a"]


@pytest.mark.parametrize(("extras", "shared"), [(["mirrored"], None), ([], [])])
def test_the_protocol_holds_what_all_runs_share_and_not_the_first_ones(extras, shared):
    said = [{"sampling": "s", "test_time_extras": found} for found in ([], extras)]
    subjects = [SimpleNamespace(embedder=SimpleNamespace(facts=lambda one=one: one)) for one in said]
    made = protocol(SimpleNamespace(subjects=subjects, bootstrap_seed=0))
    assert (made.sampling, made.test_time_extras) == ("s", shared)

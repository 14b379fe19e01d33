"""`duskmatch synth` at the command line."""

import json

import pytest

from duskmatch.cli import main, synth
from duskmatch.synthetic import FACTORS, PRESETS, TWINS


def test_choices_are_the_generators():
    assert list(PRESETS) == list(synth.PRESETS)
    assert (FACTORS, TWINS) == (synth.FACTORS, synth.TWINS)


def test_writes_a_set_and_says_so(tmp_path, few, monkeypatch, capsys):
    monkeypatch.setattr(synth, "PRESETS", (*synth.PRESETS, "few"))
    out = tmp_path / "set"
    assert main(["synth", str(out), "--preset", "few", "--seed", "2", "--processes", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n_frames"] == 504
    assert said["out"] == str(out)
    assert json.loads((out / "duskwalk.json").read_text())["seed"] == 2


def test_the_first_test_people_of_a_counterfactual(tmp_path, few, monkeypatch, capsys):
    monkeypatch.setattr(synth, "PRESETS", (*synth.PRESETS, "few"))
    flags = ["--preset", "few", "--seed", "2", "--processes", "1", "--json"]
    flags += ["--vary", "exposure", "--severity", "1", "--test-people", "2"]
    assert main(["synth", str(tmp_path / "set"), *flags]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["test_people"], said["n_frames"]) == (2, 2 * 6 * 12)


def test_vary_alone_is_refused_in_one_line(tmp_path, capsys):
    assert main(["synth", str(tmp_path / "x"), "--preset", "tiny", "--vary", "view"]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == (
        "duskmatch: vary and severity belong together; got vary alone; add severity"
    )


def test_an_unknown_preset_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["synth", str(tmp_path / "x"), "--preset", "dem"])
    assert stopped.value.code == 2
    assert "invalid choice: 'dem'" in capsys.readouterr().err

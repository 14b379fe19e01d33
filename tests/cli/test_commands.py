"""The command line as scripts see it: exit status, one line on stderr, pure JSON on stdout, quick help."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from duskmatch import __version__
from duskmatch.cli import COMMANDS, build_parser, main, reproduce_motion, reproduce_probes
from duskmatch.cli import evaluate as evaluate_command
from duskmatch.config import PRESETS, known_keys, load_settings
from duskmatch.files import claimed
from duskmatch.models.backbone import load_backbone
from duskmatch.models.resnet import Stages, Stem
from duskmatch.pickled import plain_name
from tests.data.tree import Tree

Capture = pytest.CaptureFixture[str]
SMALL = ["--preset", "tiny", "--train.stage1_epochs", "1", "--train.stage2_epochs", "0", "--train.steps_per_epoch", "2"]
SMALL += ["--data.frames_per_clip", "2", "--train.pids_per_batch", "2", "--train.checkpoint_every", "1"]


def status(*arguments: str | Path) -> int:
    """What the shell would see; argparse leaves by SystemExit."""
    try:
        return main([str(word) for word in arguments])
    except SystemExit as left:
        return int(left.code or 0)


def refused(capsys: Capture, *arguments: str | Path) -> str:
    """The one line on stderr of a command that refuses with exit status 2 and says nothing on stdout."""
    capsys.readouterr()
    assert status(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("duskmatch")]
    assert "Traceback" not in err
    return line


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = {"train": range(1, 5), "test": range(8, 11)}
    root = tmp_path_factory.mktemp("data") / "people"
    return Tree(root, people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()


@pytest.fixture(scope="module")
def run(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    assert status("train", "--data", tree, "--out", out, "-q", *SMALL) == 0
    return out


# --- what is unknown


def test_an_unknown_command_names_the_nearest(capsys: Capture) -> None:
    line = refused(capsys, "trian")
    assert line.startswith("duskmatch: argument COMMAND: invalid choice: 'trian'")
    assert line.endswith("; did you mean train? (see duskmatch --help)")


def test_a_command_like_no_other_is_refused_without_a_guess(capsys: Capture) -> None:
    assert "did you mean" not in refused(capsys, "xyzzy")


def test_no_command_is_refused(capsys: Capture) -> None:
    line = refused(capsys)
    assert line == "duskmatch: the following arguments are required: COMMAND (see duskmatch --help)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("check", "x", "--frame", "all"),
            "duskmatch check: unrecognized arguments: --frame all; did you mean --frames? (see duskmatch check --help)",
        ),
        (
            ("evaluate", "x", "--camera_rule=none"),
            "duskmatch evaluate: unrecognized arguments: --camera_rule=none; did you mean --camera-rule? "
            "(see duskmatch evaluate --help)",
        ),
        (
            ("train", "--loss.atack_weight", "3"),
            "duskmatch train: unrecognized arguments: --loss.atack_weight 3; did you mean --loss.attack_weight? "
            "(see duskmatch train --help)",
        ),
        (
            ("doctor", "--jsn"),
            "duskmatch doctor: unrecognized arguments: --jsn; did you mean --json? (see duskmatch doctor --help)",
        ),
    ],
)
def test_an_unknown_flag_names_the_nearest(capsys: Capture, arguments: tuple[str, ...], message: str) -> None:
    assert refused(capsys, *arguments) == message


def test_an_unknown_preset_names_the_nearest(capsys: Capture) -> None:
    line = refused(capsys, "train", "--preset", "papers")
    assert line.startswith("duskmatch train: argument --preset: invalid choice: 'papers'")
    assert "; did you mean paper? " in line


def test_an_unknown_setting_in_a_file_names_the_nearest(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("train: {clip_nrom: 1}\n")
    line = refused(capsys, "train", "--settings", tmp_path / "s.yaml", "--print_config")
    assert line == "duskmatch: unknown setting train.clip_nrom; did you mean train.clip_norm?"


def test_a_setting_out_of_range_is_refused_with_its_value(capsys: Capture) -> None:
    line = refused(capsys, "train", "--train.lr", "-1", "--print_config")
    assert line == "duskmatch: train.lr must be greater than 0; got -1"


def test_flags_are_not_shortened(capsys: Capture) -> None:
    assert "unrecognized arguments: --prese tiny" in refused(capsys, "train", "--prese", "tiny")


# --- everywhere


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_flags_of_all(command: str) -> None:
    parser = build_parser(command)
    (subparsers,) = (action for action in parser._actions if action.dest == "command")
    flags = {flag for action in subparsers.choices[command]._actions for flag in action.option_strings}
    assert {"--seed", "--device", "--threads", "--json", "-q", "--quiet", "-v", "--verbose", "--version"} <= flags


@pytest.mark.parametrize("arguments", [("--version",), ("train", "--version"), ("doctor", "--version")])
def test_version(capsys: Capture, arguments: tuple[str, ...]) -> None:
    assert status(*arguments) == 0
    assert capsys.readouterr().out == f"duskmatch {__version__}\n"


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from duskmatch.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as left:\n    assert not left.code\n"
        "heavy = {'torch', 'cv2', 'matplotlib', 'numpy', 'av', 'pydantic', 'rich', 'lightning_fabric', 'yaml'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    words = done.stdout.split()
    assert all(command in words for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "train"])
def test_help_of_a_command_loads_neither_torch_nor_opencv(command: str) -> None:
    program = (
        "import sys\n"
        "from duskmatch.cli import main\n"
        f"try:\n    main(['{command}', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', sorted({'torch', 'cv2', 'matplotlib', 'av'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("words", [*((name,) for name in COMMANDS), ("reproduce", "motion"), ("reproduce", "table2")])
def test_help_of_a_command_has_an_example_that_its_parser_takes(words: tuple[str, ...], capsys: Capture) -> None:
    assert status("help", *words) == 0
    shown = capsys.readouterr().out
    assert status(*words, "--help") == 0
    assert capsys.readouterr().out == shown
    example = shown.split("example:\n  ")[1].strip()
    assert example.startswith(" ".join(["duskmatch", *words]))
    build_parser(words[0]).parse_args(example.split()[1:])


def test_help_alone_is_the_list_and_help_of_nothing_is_refused(capsys: Capture) -> None:
    assert status("help") == 0
    assert "duskmatch help COMMAND" in capsys.readouterr().out
    assert refused(capsys, "help", "trian").endswith("; did you mean train? (see duskmatch --help)")


def test_presets_are_listed_once(capsys: Capture) -> None:
    listed = {}
    for words in (("train",), ("sweep",), ("reproduce", "table1")):
        assert status(*words, "--help") == 0
        listed[words[0]] = capsys.readouterr().out.count("mpanet-own")
    assert listed == {"train": 1, "sweep": 0, "reproduce": 0}


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "duskmatch", "check", str(tmp_path / "no")], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("duskmatch: ")
    assert "Traceback" not in done.stderr


# --- settings


@pytest.mark.parametrize("preset", PRESETS)
def test_print_config_is_every_setting_and_can_be_given_back(preset: str, capsys: Capture, tmp_path: Path) -> None:
    assert status("train", "--preset", preset, "--seed", "5", "--loss.attack_weight", "3", "--print_config") == 0
    printed = capsys.readouterr().out
    tree = yaml.safe_load(printed)
    names = [f"{s}.{key}" for s, v in tree.items() if isinstance(v, dict) for key in v]
    assert {*names, "preset", "seed"} == set(known_keys())
    assert (tree["loss"]["attack_weight"], tree["seed"], tree["preset"]) == (3.0, 5, preset)
    (tmp_path / "s.yaml").write_text(printed)
    assert status("train", "--settings", tmp_path / "s.yaml", "--print_config") == 0
    assert capsys.readouterr().out == printed
    assert status("train", "--settings", tmp_path / "s.yaml", "--seed", "6", "--print_config") == 0
    assert yaml.safe_load(capsys.readouterr().out)["seed"] == 6


def test_flags_win_over_a_file(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("loss: {margin: 0.7, attack_weight: 2}\n")
    assert status("train", "--settings", tmp_path / "s.yaml", "--loss.margin=0.9", "--print_config") == 0
    tree = yaml.safe_load(capsys.readouterr().out)
    assert (tree["loss"]["margin"], tree["loss"]["attack_weight"]) == (0.9, 2.0)
    assert tree["data"] == load_settings("small").data.model_dump(mode="json")


# --- places


def test_train_writes_only_into_an_empty_place(capsys: Capture, tree: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    line = refused(capsys, "train", "--data", tree, "--out", tmp_path, *SMALL)
    assert line == f"duskmatch: {tmp_path} must be empty; it holds files; choose another OUT or pass --overwrite"
    assert (tmp_path / "mine.txt").read_text() == "keep"
    line = refused(capsys, "train", "--data", tree, "--out", run, *SMALL)
    assert line == f"duskmatch: {run} holds a run; pass --resume to continue it, or --overwrite to start again"
    line = refused(capsys, "train", "--data", tree, "--out", tmp_path, "--overwrite", *SMALL)
    assert f"must not remove what duskmatch did not write; {tmp_path} holds mine.txt; move it away" in line
    assert (tmp_path / "mine.txt").read_text() == "keep"
    (tmp_path / "mine.txt").rename(tmp_path / "log.csv")
    (tmp_path / "settings.yaml").write_text("of an earlier run")
    assert status("train", "--data", tree, "--out", tmp_path, "--overwrite", "-q", *SMALL) == 0
    assert "keep" not in (tmp_path / "log.csv").read_text() and (tmp_path / "model.safetensors").is_file()


def test_what_is_there_is_not_written_over(capsys: Capture, run: Path, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "there.safetensors").write_bytes(b"x")
    (tmp_path / "w.pth").write_bytes(b"x")
    there = tmp_path / "there.safetensors"
    line = refused(capsys, "embed", run, f"{tree}:query", "--out", there)
    assert line == f"duskmatch: {there} exists; choose another FILE or pass --overwrite"
    line = refused(capsys, "convert", tmp_path / "w.pth", there)
    assert line == f"duskmatch: {there} exists; choose another name or pass --overwrite"
    sides = ("--query", f"{tree}:query", "--gallery", f"{tree}:gallery", "--camera-rule", "none")
    line = refused(capsys, "rank", run, *sides, "--out", tmp_path)
    assert line == f"duskmatch: {tmp_path} must be empty; it holds files; choose another OUT or pass --overwrite"
    assert there.read_bytes() == b"x"


def test_what_is_not_given_is_named(capsys: Capture) -> None:
    assert refused(capsys, "train") == "duskmatch: train needs --data DATASET and --out RUN"
    assert "the following arguments are required: RUN, --query, --gallery" in refused(capsys, "rank")


def test_resume_takes_no_other_settings(capsys: Capture, run: Path, tree: Path, tmp_path: Path) -> None:
    rule = f"duskmatch: --resume continues with the RUN's own settings; {run} was started with"
    (tmp_path / "other.yaml").write_text("loss: {margin: 0.9}")
    for flags, text in (
        (("--train.lr", "1"), f"train.lr {load_settings('tiny').train.lr}; got 1.0"),
        (("--seed", "3"), "seed 0; got 3"),
        (("--settings", tmp_path / "other.yaml"), "loss.margin 0.3; got 0.9"),
    ):
        line = refused(capsys, "train", "--data", tree, "--out", run, "--resume", *flags)
        assert line == f"{rule} {text}; leave it out"
    same = (*SMALL, "--seed", "0", "--train.precision", "auto", "-q")
    assert status("train", "--data", tree, "--out", run, "--resume", *same) == 0
    line = refused(capsys, "train", "--data", tree, "--out", tmp_path / "no", "--resume")
    assert line == f"duskmatch: {tmp_path / 'no'} does not exist, so there is nothing to resume; leave out --resume"


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--settings", "{place}", "--print_config"),
        ("evaluate", "--features", "{place}"),
        ("convert", "{place}", "{place}/out.safetensors"),
        ("embed", "{place}", "{place}", "--out", "{place}/out.safetensors"),
        ("check", "{place}"),
        (
            *[
                "ingest",
                "{place}/v.mp4",
                "--boxes",
                "{place}/b.txt",
                "--modality",
                "visible",
                "--camera",
                "1",
                "--out",
                "{place}/out",
            ],
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_place_of_the_wrong_kind_is_one_line(capsys: Capture, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert (
        "[Errno" not in refused(capsys, *(word.format(place=tmp_path) for word in arguments)) or arguments[0] == "train"
    )


def test_an_error_of_the_system_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: object) -> None:
        raise PermissionError(13, "Permission denied", "frames/1.jpg")

    monkeypatch.setattr("duskmatch.cli.doctor.run", fail)
    assert refused(capsys, "doctor") == "duskmatch: frames/1.jpg: Permission denied"


def test_ctrl_c_is_130(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("duskmatch.cli.doctor.run", interrupt)
    assert status("doctor") == 130
    assert capsys.readouterr().err == "duskmatch: interrupted\n"


def test_a_reader_who_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "duskmatch", "doctor"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.returncode == 0 and "Traceback" not in done.stderr


# --- results


def test_json_is_all_that_stdout_holds(capsys: Capture, tree: Path, run: Path, tmp_path: Path) -> None:
    sides = ("--query", f"{tree}:query", "--gallery", f"{tree}:gallery")
    expected = {
        ("train", "--data", tree, "--out", tmp_path / "run", *SMALL): {"run", "steps", "people", "synthetic"},
        ("evaluate", run, "--data", tree, "--no-report"): {"infrared_to_visible", "untrained", "synthetic", "protocol"},
        ("embed", run, f"{tree}:query", "--out", tmp_path / "q.safetensors"): {"out", "tracklets", "width"},
        ("rank", run, *sides, "--camera-rule", "none", "--out", tmp_path / "found"): {"rank1", "pictures", "queries"},
        ("check", tree): {"counts", "problems", "fingerprint"},
        ("doctor",): {"versions", "missing", "precision"},
    }
    for arguments, keys in expected.items():
        capsys.readouterr()
        assert status(*arguments, "--json") == 0, arguments
        out, err = capsys.readouterr()
        assert keys <= json.loads(out).keys(), arguments
        assert err == "", arguments


def test_quiet_keeps_the_result_and_drops_the_progress(capsys: Capture, tree: Path, run: Path, tmp_path: Path) -> None:
    capsys.readouterr()
    assert status("embed", run, f"{tree}:gallery", "--out", tmp_path / "g.safetensors", "-q") == 0
    out, err = capsys.readouterr()
    assert out == f"6 tracklets, 384 numbers each: {tmp_path / 'g.safetensors'}\n"
    assert err == ""


def test_rank_writes_a_table_that_agrees_with_itself(capsys: Capture, tree: Path, run: Path, tmp_path: Path) -> None:
    sides = ("--query", f"{tree}:query", "--gallery", f"{tree}:gallery", "--camera-rule", "same-pid-same-camera")
    assert status("rank", run, *sides, "--out", tmp_path / "found", "--top", "3", "-q") == 0
    document = json.loads((tmp_path / "found" / "ranking.json").read_text())
    rows = (tmp_path / "found" / "ranking.csv").read_text().splitlines()
    assert len(rows) - 1 == len(document["ranking"]) == 6 * 3
    for row in document["ranking"]:
        assert row["match"] == (row["query_pid"] == row["gallery_pid"])
        assert not (row["match"] and row["query_camid"] == row["gallery_camid"])
    dists = [row["dist"] for row in document["ranking"] if row["query"] == document["ranking"][0]["query"]]
    assert dists == sorted(dists)


def test_doctor_says_what_is_here_and_what_is_missing(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status("doctor") == 0
    out = capsys.readouterr().out
    assert f"duskmatch {__version__}" in out and torch.__version__ in out and "nothing is missing" in out
    real = importlib.import_module("duskmatch.cli.doctor").installed
    monkeypatch.setattr("duskmatch.cli.doctor.installed", lambda name: None if name == "av" else real(name))
    assert status("doctor") == 2
    assert capsys.readouterr().err == "duskmatch: missing: av; install duskmatch again in a fresh environment\n"


# --- convert


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {**Stem(8).state_dict(), **Stages("resnet18", 0.125, 1).state_dict(), "fc.weight": torch.randn(3, 64)}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: OrderedDict(tensors),
        lambda tensors: {"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "epoch": 3},
        lambda tensors: {"model": {f"module.backbone.{k}": v for k, v in tensors.items()}, "optimizer": {"lr": 0.1}},
    ],
    ids=["plain", "ordered", "wrapped", "wrapped twice"],
)
def test_convert_finds_the_tensors_however_they_were_wrapped(wrap, capsys: Capture, tmp_path: Path) -> None:
    tensors = weights()
    torch.save(wrap(tensors), tmp_path / "w.pth")
    assert status("convert", tmp_path / "w.pth", tmp_path / "w.safetensors", "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["tensors"] == len(tensors)
    read = load_file(tmp_path / "w.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], tensors[key]) for key in tensors)
    load_backbone([Stem(8), Stages("resnet18", 0.125, 1)], read, "w.safetensors")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (
            lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "w must hold plain numbers; it is a quantised tensor; save the network from before that step",
        ),
        (
            lambda: torch.ones(3, dtype=torch.complex128),
            "w holds torch.complex128, which .safetensors does not support; save it as float32",
        ),
    ],
)
def test_convert_refuses_numbers_that_it_cannot_write(tensor, message: str, capsys: Capture, tmp_path: Path) -> None:
    torch.save({"w": tensor()}, tmp_path / "w.pth")
    line = refused(capsys, "convert", tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert line == f"duskmatch: {tmp_path / 'w.pth'}: {message}"


def test_convert_never_runs_what_a_pickle_holds(capsys: Capture, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"conv1.weight": torch.zeros(1), "extra": Hostile()}, tmp_path / "w.pth")
    line = refused(capsys, "convert", tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert line == (
        f"duskmatch: {tmp_path / 'w.pth'} asks for {os.system.__module__}.system and was not opened; "
        "save its plain state_dict and convert that"
    )
    assert not (tmp_path / "ran").exists() and not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_convert_refuses_a_file_that_was_cut_off(share: float, capsys: Capture, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(data[: int(share * len(data))])
    line = refused(capsys, "convert", tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert line == f"duskmatch: {tmp_path / 'w.pth'} is damaged or not a torch file; copy it again"
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "must hold tensors by name; got list"),
        ({"epoch": 3}, "holds no tensors by name; is it the right file?"),
        ({}, "holds no tensors by name; is it the right file?"),
    ],
)
def test_convert_refuses_what_holds_no_weights(content, message: str, capsys: Capture, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    line = refused(capsys, "convert", tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert line == f"duskmatch: {tmp_path / 'w.pth'} {message}"


def test_convert_survives_any_flipped_byte(capsys: Capture, tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(100)}, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    places = torch.randint(len(whole), (60, 3), generator=torch.Generator().manual_seed(0))
    statuses = set()
    for triple in places.tolist():
        data = bytearray(whole)
        for place in triple:
            data[place] ^= 0x55
        (tmp_path / "w.pth").write_bytes(data)
        statuses.add(status("convert", tmp_path / "w.pth", tmp_path / "w.safetensors", "--overwrite"))
    assert statuses == {0, 2}


def test_convert_refuses_a_missing_file_and_another_ending(capsys: Capture, tmp_path: Path) -> None:
    line = refused(capsys, "convert", tmp_path / "no.pth", tmp_path / "w.safetensors")
    assert line == f"duskmatch: {tmp_path / 'no.pth'} is missing; name a .pth file"
    line = refused(capsys, "convert", tmp_path / "no.pth", tmp_path / "w.bin")
    assert line == f"duskmatch: {tmp_path / 'w.bin'}: the name must end in .safetensors"


def test_plain_names() -> None:
    assert plain_name("module.model.backbone.layer1.0.conv1.weight") == "layer1.0.conv1.weight"
    assert plain_name("conv1.weight") == "conv1.weight"


def test_convert_refuses_two_tensors_of_one_name(capsys: Capture, tmp_path: Path) -> None:
    tensors = {"module.conv1.weight": torch.zeros(1), "backbone.conv1.weight": torch.ones(1)}
    torch.save(tensors, tmp_path / "w.pth")
    line = refused(capsys, "convert", tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert line == (
        f"duskmatch: {tmp_path / 'w.pth'}: module.conv1.weight and backbone.conv1.weight would both be conv1.weight; "
        "it holds two networks; save the state_dict of one and convert that"
    )


# --- values that no command can use


@pytest.mark.parametrize("command", ["train", "check", "synth", "demo", "evaluate"])
@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--threads", "0", "--threads must be at least 1; got 0"),
        ("--seed", "-1", "--seed must be from 0 to 2**63 - 1; got -1"),
    ],
)
def test_a_common_flag_out_of_range_is_refused_before_anything_is_touched(
    command: str, flag: str, value: str, message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    needed = {"check": ["x"], "synth": ["x", "--preset", "tiny"]}
    assert refused(capsys, command, *needed.get(command, []), flag, value) == f"duskmatch: {message}"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused_before_the_old_run_goes(
    capsys: Capture, tree: Path, run: Path, tmp_path: Path
) -> None:
    message = "duskmatch: --device cuda: this torch sees no GPU; use --device cpu"
    place = ("--data", tree, "--out", run, "--overwrite", "--device", "cuda")
    assert refused(capsys, "train", *place, *SMALL) == message
    assert (run / "model.safetensors").is_file()
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("keep")
    assert refused(capsys, "demo", "--out", tmp_path / "demo", "--overwrite", "--device", "cuda") == message
    assert (tmp_path / "demo" / "mine.txt").is_file()
    line = refused(capsys, "evaluate", run, "--data", tree, "--device", "meta")
    assert line == "duskmatch: --device must be auto, cpu, cuda or cuda:N; got meta"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--train.lr", ".inf"), "train.lr must be a finite number; got inf"),
        (
            ("--train.stage1_epochs", "0", "--train.stage2_epochs", "0"),
            "train.stage1_epochs and train.stage2_epochs must not both be 0; nothing would be trained",
        ),
        (
            ("--train.nesterov", "true", "--train.momentum", "0"),
            "train.nesterov needs train.momentum above 0; got 0.0",
        ),
    ],
)
def test_settings_that_cannot_train_are_refused(capsys: Capture, flags: tuple[str, ...], message: str) -> None:
    line = refused(capsys, "train", "--preset", "paper", *flags, "--print_config")
    assert line == f"duskmatch: {message}"


# --- what is read must not be removed


def test_overwrite_spares_what_is_read(capsys: Capture, tree: Path, run: Path) -> None:
    line = refused(capsys, "train", "--data", tree, "--out", tree.parent, "--overwrite", *SMALL)
    assert line == (
        f"duskmatch: --overwrite must not remove what is read; {tree} lies in {tree.parent}; choose another OUT"
    )
    sides = ("--query", f"{tree}:query", "--gallery", f"{tree}:gallery", "--camera-rule", "none")
    for out in (run, tree):
        line = refused(capsys, "rank", run, *sides, "--out", out, "--overwrite")
        assert line.startswith("duskmatch: --overwrite must not remove what is read; ")
    assert (tree / "info").is_dir() and (run / "model.safetensors").is_file()


def test_overwrite_empties_nothing_when_the_data_do_not_suit(capsys: Capture, run: Path, tree: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    flags = ("--preset", "tiny", "--train.pids_per_batch", "400")
    line = refused(capsys, "train", "--data", tree, "--out", run, "--overwrite", *flags)
    assert "people per batch must not be more than the people" in line and "lower train.pids_per_batch" in line
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "flags",
    [
        ("--loss.weights.nonsense", "1"),
        ("--train.rates.nonsense", "1"),
        ("--model.weights", "missing.safetensors"),
        ("--train.pids_per_batch", "400"),
    ],
)
def test_a_refused_run_leaves_nothing_and_takes_nothing(
    flags: tuple[str, ...], capsys: Capture, tree: Path, run: Path, tmp_path: Path
) -> None:
    refused(capsys, "train", "--data", tree, "--out", tmp_path / "new" / "run", *SMALL, *flags)
    assert not list(tmp_path.iterdir())
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused(capsys, "train", "--data", tree, "--out", run, "--overwrite", *SMALL, *flags)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_second_rank_into_one_folder_is_refused(capsys: Capture, tree: Path, run: Path, tmp_path: Path) -> None:
    sides = ("--query", f"{tree}:query", "--gallery", f"{tree}:gallery", "--camera-rule", "none")
    with claimed(tmp_path / "out", overwrite=False):
        line = refused(capsys, "rank", run, *sides, "--out", tmp_path / "out")
    message = "is being written by another process; wait for it or choose another OUT"
    assert line == f"duskmatch: {tmp_path / 'out'} {message}"


def test_resume_and_overwrite_contradict_each_other(capsys: Capture, run: Path, tree: Path) -> None:
    line = refused(capsys, "train", "--data", tree, "--out", run, "--resume", "--overwrite")
    assert line == "duskmatch: --resume continues RUN and --overwrite empties it; pass only one of them"
    line = refused(capsys, "train", "--data", tree, "--out", run, "--resume", "--preset", "paper")
    assert line == f"duskmatch: {run} was started with --preset tiny; got paper; leave out --preset"
    assert status("train", "--data", tree, "--out", run, "--resume", "--preset", "tiny", "-q") == 0


@pytest.mark.parametrize("content", ["", "a: [", "- 1\n", "train: {lr: -1}\n", "\udcff"])
def test_damaged_settings_of_a_run_are_one_line(content: str, capsys: Capture, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(content.encode(errors="surrogateescape"))
    refused(capsys, "train", "--data", tree, "--out", tmp_path, "--resume")


def test_a_flag_of_many_values_adds_up_when_it_is_given_twice() -> None:
    """argparse keeps the last alone by default, and what was named first would be left out without a word."""
    motion, probes, evaluate = (argparse.ArgumentParser() for _ in range(3))
    reproduce_motion.add_arguments(motion)
    reproduce_probes.add_arguments(probes)
    evaluate_command.add_arguments(evaluate)
    words = ["RUN", "--data", "a", "--twins", "b", "c", "--twins", "d", "--data", "e", "--out", "o"]
    args = motion.parse_args(words)
    assert ([p.name for p in args.data], [p.name for p in args.twins]) == (["a", "e"], ["b", "c", "d"])
    assert motion.parse_args(["RUN", "--data", "a", "--out", "o"]).twins == []
    args = probes.parse_args(["RUN", "--data", "a", "--backgrounds", "b", "--backgrounds", "c", "--out", "o"])
    assert [p.name for p in args.backgrounds] == ["b", "c"]
    args = evaluate.parse_args(["--features", "q.npz", "--features", "g.npz"])
    assert [p.name for p in args.features] == ["q.npz", "g.npz"]

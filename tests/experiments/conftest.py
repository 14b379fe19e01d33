"""Duskwalk-like sets written by hand, runs trained on one for a moment, and the two commands as a person calls them."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duskmatch.cli import Parser, common_arguments, console
from duskmatch.config import load_settings
from duskmatch.data import Dataset, open_dataset
from duskmatch.errors import DuskmatchError
from duskmatch.training import train
from tests.data.layouts import write_regdb
from tests.data.tree import Tree
from tests.training.conftest import FAST

PEOPLE = {"train": range(1, 9), "test": range(9, 21), "validation": range(21, 25)}  # numbered as in `tiny`
FACTS = {"name": "Duskwalk", "data_version": "1", "synthetic": True, "preset": "tiny", "seed": 0}


def write_set(root: Path, **facts: Any) -> Path:
    """Two cameras, a track of 12 frames in each modality; its truth says what `truth_of` says."""
    changed = {"vary": None, "severity": None, "twins": None, **facts}
    size = (98, 50) if changed["severity"] else (96, 48)  # other pictures have another fingerprint
    Tree(root, people=PEOPLE, lengths=(12,), size=size).write()
    (root / "duskwalk.json").write_text(json.dumps({**FACTS, **changed}))
    place = 1000 * (changed["severity"] or 0)
    with (root / "info" / "walks.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["split", "row", "view_degrees", "scene", "occluder", "truncated"])
        writer.writeheader()
        for split, pool in (("train", "train"), ("test", "test"), ("validation", "val")):
            for row, tracklet in open_dataset(root).splits[split].tracklets.items():
                walk = truth_of(tracklet.pid, tracklet.camid, place)
                writer.writerow({"split": pool, "row": row, **walk})
    return root


def truth_of(pid: int, camid: int, place: int) -> dict[str, Any]:
    """Each camera sees people from two sides; every other of them behind a post, one in all with a box cut off."""
    return {
        "view_degrees": 90.0 * camid + 180 * (pid % 2),
        "scene": place + camid,
        "occluder": "post" if pid % 4 < 2 else "none",
        "truncated": int(pid == 9),
    }


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="session")
def base(place: Path) -> Path:
    return write_set(place / "base")


@pytest.fixture(scope="session")
def twins(place: Path) -> Path:
    return write_set(place / "gait", twins="gait_twins")


@pytest.fixture(scope="session")
def regdb(dataset: Dataset, place: Path) -> Path:
    """Single pictures, and splits that are each trained apart."""
    return write_regdb(place / "regdb", [*dataset.train, *dataset.test], n=1)


@pytest.fixture(scope="session")
def dataset(base: Path) -> Dataset:
    return open_dataset(base)


@pytest.fixture(scope="session")
def full_run(dataset: Dataset, place: Path) -> Path:
    """All parts on, three frames a clip."""
    return trained(dataset, place / "full")


@pytest.fixture(scope="session")
def plain_run(dataset: Dataset, place: Path) -> Path:
    """Neither attack nor sequence part: it averages frames."""
    return trained(dataset, place / "plain", "model.attack=false", "model.sequence=none")


def trained(dataset: Dataset, run: Path, *changes: str) -> Path:
    train(load_settings("tiny", overrides=[*FAST, "data.frames_per_clip=3", *changes]), dataset, run)
    return run


Call = Callable[..., dict[str, Any]]


def parsed(command: str, *words: object) -> argparse.Namespace:
    """The arguments of one of the two commands, with those that every command takes."""
    parser = Parser(prog=f"duskmatch reproduce {command}", parents=[common_arguments()], allow_abbrev=False)
    importlib.import_module(f"duskmatch.cli.reproduce_{command}").add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command under --json; what it printed."""

    def run(command: str, *words: object) -> dict[str, Any]:
        args = parsed(command, *words, "--json", "--device", "cpu")
        console.setup(quiet=False, verbose=False, as_json=True)
        capsys.readouterr()
        importlib.import_module(f"duskmatch.cli.reproduce_{command}").run(args)
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """The one line that a command refuses with."""

    def run(command: str, *words: object) -> str:
        with pytest.raises(DuskmatchError) as caught:
            call(command, *words)
        return " ".join(str(caught.value).split())

    return run

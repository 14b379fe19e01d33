"""What README, docs and examples show: commands parse against the real parser, Python blocks and examples run."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import duskmatch
from duskmatch.cli import COMMANDS, build_parser, main
from duskmatch.config import load_settings
from duskmatch.data import open_dataset, open_tracklets, write_tracklets
from duskmatch.training import train
from tests.data.bupt_tree import BuptTree
from tests.data.tree import Tree, write_picture
from tests.training.conftest import FAST

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```([\w{}-]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = ("bash", "sh", "shell", "console", "text", "")


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind in languages]


def commands(page: Path) -> list[str]:
    """Every whole duskmatch command in the page's shell blocks, however it is started."""
    lines = "\n".join(blocks(page, *SHELL)).replace("\\\n", " ").splitlines()
    return [line[match.start() :] for line in lines if (match := re.search(r"(?<![\w-])duskmatch (?=\w|--)", line))]


def mentions(page: Path) -> list[str]:
    """Every duskmatch command in running text and tables, often without its arguments."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(code.split()) for code in re.findall(r"`(duskmatch [^`]+)`", prose)]


COMMAND_LINES = sorted({line for page in PAGES for line in commands(page)})
MENTIONS = sorted({line for page in PAGES for line in mentions(page)})
PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny data set and a model trained on it for a moment; what the snippets call path, run and out."""
    root = tmp_path_factory.mktemp("readme")
    people = {"train": range(1, 5), "validation": range(5, 8), "test": range(8, 11)}
    Tree(root / "people", people=people, lengths=(12,), size=(96, 48), duskwalk=True).write()
    train(load_settings("tiny", overrides=FAST), open_dataset(root / "people"), root / "run")
    return {"path": str(root / "people"), "run": str(root / "run"), "out": str(root / "again")}


def test_pages_show_commands_and_python() -> None:
    shown = {shlex.split(line, comments=True)[1] for line in COMMAND_LINES}
    assert set(COMMANDS) - {"doctor"} <= shown | {shlex.split(line)[1] for line in MENTIONS}
    assert {page.name for page in PYTHON} >= {"README.md", "python.md"}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_in_blocks_parse(line: str) -> None:
    words = shlex.split(re.sub(r"\bN\b", "1", line.split(" #")[0]))[1:]  # pages write N for a number
    for n in range(max(word.count("|") for word in words) + 1):  # tiny|demo: each of them
        build_parser(words[0]).parse_args([word.split("|")[min(n, word.count("|"))] for word in words])


@pytest.mark.parametrize("line", MENTIONS)
def test_commands_in_text_name_a_command_and_its_flags(line: str) -> None:
    _, command, *words = line.split()
    if command in ("--help", "--version", "COMMAND", "help"):
        return
    assert command in COMMANDS
    parser = below(build_parser(command), "command").choices[command]
    if command in ("reproduce", "gallery") and words:
        parser = below(parser, "what").choices[words[0]]
    known = {flag for action in parser._actions for flag in action.option_strings}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= known


def below(parser: argparse.ArgumentParser, dest: str) -> argparse.Action:
    (subparsers,) = (action for action in parser._actions if hasattr(action, "choices") and action.dest == dest)
    return subparsers


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_python_blocks_run_one_after_the_other(
    page: Path,
    place: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(place["path"], tmp_path / "my-data")  # what the pages call their folders
    shutil.copytree(place["path"], tmp_path / "my-tracklets")
    write_tracklets(tmp_path / "my-tracklets", open_dataset(tmp_path / "my-tracklets").test)
    BuptTree(tmp_path / "BUPTCampus").write(open_dataset(place["path"]))
    monkeypatch.chdir(tmp_path)
    names = dict(place)
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), names)
        assert bool(capsys.readouterr().out) == ("print(" in text)


def test_the_readmes_python_is_five_lines_that_score(place: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = blocks(ROOT / "README.md", "python")
    assert len([line for line in text.splitlines() if line]) == 5
    exec(text, dict(place))
    assert 0 <= float(capsys.readouterr().out) <= 1


def run_example(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


def test_example_search(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_example("search.py", place["path"], place["run"], monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    pair = open_dataset(place["path"]).direction("infrared_to_visible")
    assert [line for line in lines if not line.startswith(" ")] == [f"{t.tracklet_id}:" for t in pair.query]
    assert all(line.endswith(("right", "wrong")) for line in lines if line.startswith(" "))


def test_example_score_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_example("score_features.py", str(tmp_path / "f.npz"), monkeypatch=monkeypatch)
    assert main(["evaluate", "--features", str(tmp_path / "f.npz"), "--synthetic"]) == 0
    assert capsys.readouterr().out.startswith("SYNTHETIC data")


def test_example_tracklets_from_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        write_picture(tmp_path / "visible" / "1" / "7" / f"{i:04d}.jpg", seed=i)
        write_picture(tmp_path / "infrared" / "2" / "7" / f"{i:04d}.jpg", seed=9 + i)
    run_example("tracklets_from_folders.py", str(tmp_path), monkeypatch=monkeypatch)
    found = {(t.modality, t.camid, t.pid, len(t)) for t in open_tracklets(tmp_path)}
    assert found == {("visible", 1, 7, 3), ("infrared", 2, 7, 3)}
    assert main(["check", str(tmp_path), "--frames", "all"]) == 0


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{example.name}"' in text for example in (ROOT / "examples").glob("*.py"))


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == duskmatch.__version__
    assert f"## [{duskmatch.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f'version = "{duskmatch.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_source_archive_holds_all_that_its_tests_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all((ROOT / name).exists() for name in names)
    assert {"src", "tests", "benchmarks", "docs", "examples"} <= set(names)


def test_the_citation_has_what_the_format_requires() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert all(author.keys() <= {"name", "family-names", "given-names"} for author in paper["authors"])

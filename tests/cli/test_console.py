"""What a command prints: any encoding, bars that fit, plain lines where no terminal is, Ctrl-C without a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from duskmatch.cli import check_at_once, console, main
from duskmatch.errors import SettingsError
from duskmatch.files import as_json, with_escapes, write_json

PRINT = """
import sys
from duskmatch.cli import console, use_plain_characters
use_plain_characters()
text = "\\u2192 50 \\u2013 60 \\u00d7 \\u4e2d " + sys.argv[1]
print(text)
console.say(text)
"""


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "-> 50 - 60 x ? a\\xff.png"),
        ("cp1252", "-> 50 – 60 × ? a\\xff.png"),
        ("utf-8", "→ 50 – 60 × 中 a\\xff.png"),
    ],
)
def test_any_text_can_be_printed_in_any_encoding(encoding: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT, b"a\xff.png"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert (done.returncode, done.stdout.decode(encoding).strip()) == (0, shown)
    assert done.stderr.decode(encoding).strip() == shown


def test_json_of_a_name_that_is_not_utf8_is_json_for_every_reader(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.png")
    value = {name: [name, {"\N{RIBBON}": 1}, None]}
    text = as_json(value)
    assert json.loads(text) == {"a\\xff.png": ["a\\xff.png", {"\N{RIBBON}": 1}, None]}
    assert json.loads(text).keys() == {with_escapes(name)}
    write_json(tmp_path / "x.json", value)
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == text + "\n"


def test_a_name_that_is_not_utf8_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", os.fsdecode(b"no\xff"), "-q"]) == 2
    err = capsys.readouterr().err
    assert "no\\xff" in err and len(err.splitlines()) == 1


# --- how many at once


@pytest.mark.parametrize("flag", ["--threads", "--processes", "--at-once"])
def test_more_than_the_system_can_bear_is_refused_with_the_cores(flag: str) -> None:
    cores = os.cpu_count() or 1
    most = max(64, 4 * cores)
    check_at_once(flag, most)
    message = f"^{flag} must be at most {most} on this machine of {cores} cores; got 99999$"
    with pytest.raises(SettingsError, match=message):
        check_at_once(flag, 99999)


@pytest.mark.parametrize(
    "arguments", [("check", "x", "--threads", "99999"), ("synth", "x", "--preset", "tiny", "--processes", "99999")]
)
def test_commands_check_threads_and_processes(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(arguments)) == 2
    assert f" on this machine of {os.cpu_count()} cores; got 99999" in capsys.readouterr().err


# --- Ctrl-C


def test_what_an_interrupted_command_says_is_what_it_knows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(args: object) -> None:
        raise KeyboardInterrupt("iteration 3 is saved; continue with --resume")

    monkeypatch.setattr("duskmatch.cli.doctor.run", interrupt)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "duskmatch: interrupted; iteration 3 is saved; continue with --resume\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("wait_s", [0.0, 1.0])
def test_ctrl_c_ends_filming_with_one_line(wait_s: float, tmp_path: Path) -> None:
    """Sent to the whole group, as a terminal does, when the first process has been started and while more are."""
    command = ["-m", "duskmatch", "synth", str(tmp_path / "out"), "--preset", "demo", "--processes", "2"]
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        while not (tmp_path / "out").is_dir() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(wait_s)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:  # it would film the whole set
            os.killpg(process.pid, signal.SIGKILL)
    # -2: it came while Python ran a text (dataclass does); Python then ends by the signal, and a shell sees 130 too
    assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in err
    assert err.splitlines()[-1] == "duskmatch: interrupted"


# --- progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is printed, on a terminal of 80 columns or none."""

    def on(terminal: bool) -> StringIO:
        out = StringIO()
        made = Console(file=out, force_terminal=terminal, width=80, soft_wrap=True, color_system=None, highlight=False)
        monkeypatch.setattr(console, "_notes", made)
        monkeypatch.setitem(console._state, "quiet", False)
        return out

    return on


def test_a_narrow_terminal_shortens_the_description_not_the_counts(shown: Any) -> None:
    out = shown(True)
    with console.progress() as bar:
        note = "stage 2  id 12.34  tri 0.30  seq 11.20  1234 frames/s"
        bar.add_task("embedding, a network with a name that is long", total=12345, completed=12340, note="")
        bar.add_task("training", total=400, completed=40, note=note)
    lines = [Text.from_ansi(line).plain for line in out.getvalue().splitlines()]
    first = next(line for line in reversed(lines) if "12340/12345" in line)
    assert "…" in first and "0:00:0" in first and "-:--:--" in first and len(first.rstrip()) <= 80
    second = next(line for line in reversed(lines) if "40/400" in line)
    assert second.startswith("training") and "-:--:--" in second and len(second.rstrip()) <= 80


@pytest.mark.parametrize(
    ("width", "description", "count", "note", "expected"),
    [
        (200, 20, 7, 50, (20, 40, 50)),
        (80, 20, 7, 0, (20, 34, 0)),
        (80, 60, 11, 0, (42, 8, 0)),
        (20, 60, 7, 9, (0, 0, 0)),
    ],
)
def test_shares_of_a_line(width: int, description: int, count: int, note: int, expected: tuple[int, int, int]) -> None:
    assert console.shares(width, description, count, note) == expected


def test_where_no_terminal_is_a_line_comes_now_and_then(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(False)
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.05)
    with console.progress() as bar:
        task = bar.add_task("training", total=400, note="stage 1")
        bar.update(task, completed=40)
        deadline = time.monotonic() + 5
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("training: 40 of 400, 0:00:0") and lines[0].endswith("stage 1")
    assert "━" not in out.getvalue()


def test_a_short_run_says_one_line_at_its_end_and_a_quiet_one_none(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = shown(False)
    assert list(console.track([1, 2], "reading [bold]")) == [1, 2]
    assert out.getvalue().splitlines() == ["reading : 2 of 2, 0:00:00"]
    monkeypatch.setitem(console._state, "quiet", True)
    assert list(console.track([1, 2], "reading")) == [1, 2]
    assert len(out.getvalue().splitlines()) == 1


def test_a_refusal_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "a\x1b[2Jb\0c", "-q"]) == 2
    assert capsys.readouterr().err.startswith("duskmatch: a\\x1b[2Jb\\x00c must be a folder")


def test_control_characters_of_names_do_not_reach_the_terminal(capsys) -> None:
    console.setup(quiet=False, verbose=False, as_json=False)
    console.result({"name": "a\x1b[31mb\u202ec"}, lambda value: f"{value['name']}\n\tsecond line é")
    assert capsys.readouterr().out == "a\\x1b[31mb\\u202ec\n\tsecond line é\n"

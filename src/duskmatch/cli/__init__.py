"""The command line: one file per sub-command, loaded when it is called.

Exit status: 0 done, 2 refused with one line on stderr, 130 interrupted (training saves its state first).
"""

from __future__ import annotations

import argparse
import codecs
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from duskmatch import __version__
from duskmatch.errors import DuskmatchError, SettingsError, nearest
from duskmatch.files import with_escapes

# Command -> what it does; the module of the same name has add_arguments(parser) and run(args).
COMMANDS = {
    "demo": "quick start: generate people, train a model on them, score it, write a report",
    "synth": "generate a Duskwalk data set: synthetic people who walk past cameras",
    "check": "check a data set for errors and count what is in it",
    "ingest": "cut tracklets out of a video, given the boxes of a tracker",
    "train": "train a model on a data set",
    "evaluate": "score a trained model, or embeddings made by any program",
    "compare": "compare trained models on the same people, in tables and pictures",
    "embed": "compute an embedding (a vector) for each tracklet",
    "rank": "find the nearest gallery entries of each query",
    "gallery": "keep people in a gallery: add, search, show, delete, back up",
    "reproduce": "repeat the paper's tables, or test what trained models rely on",
    "sweep": "train and score with one setting at several values, or with rows of settings",
    "compact": "shorten a trained model's vectors, and measure what that costs",
    "export": "write a trained model for OpenVINO, ONNX Runtime or torch, and verify it",
    "convert": "convert pickled weights (.pth) to safetensors",
    "doctor": "show versions and devices, and name missing packages",
}


# Command -> an example, for its --help.
EXAMPLES = {
    "demo": "duskmatch demo --out demo",
    "synth": "duskmatch synth people --preset demo --seed 1",
    "check": "duskmatch check people --frames all",
    "ingest": "duskmatch ingest night.mp4 --boxes night.txt --modality infrared --camera 2 --out night",
    "train": "duskmatch train --data people --preset small --train.lr 0.001 --out run",
    "evaluate": "duskmatch evaluate run --data people",
    "compare": "duskmatch compare baseline full --data people --out compared",
    "embed": "duskmatch embed run people:gallery --out gallery.safetensors",
    "rank": "duskmatch rank run --query people:query --gallery people:gallery --camera-rule none --out ranked",
    "gallery": "duskmatch gallery search people --query night --run run --top 10",
    "reproduce": "duskmatch reproduce table1 --data people --preset small --seeds 0,1,2 --out table1",
    "sweep": "duskmatch sweep --data people --loss.attack_weight 0.1,1,9 --out sweep",
    "compact": "duskmatch compact run --data people --width 512 --out compact",
    "export": "duskmatch export run --format openvino --data people --out exported",
    "convert": "duskmatch convert resnet50.pth resnet50.safetensors",
    "doctor": "duskmatch doctor",
}


# Replacements for characters that the encoding of a terminal or pipe lacks; any other becomes a question mark.
PLAIN = {
    "→": "->", "←": "<-", "–": "-", "—": "-", "−": "-", "×": "x", "·": ".", "•": "*", "…": "...", "±": "+-",
    "²": "2", "‖": "||", "≤": "<=", "≥": ">=", "λ": "lambda", "°": " degrees", "’": "'", "“": '"', "”": '"',
    "█": "#", "✓": "yes", "✗": "no", "●": "*", "△": "^",
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the nearest known flag or choice."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuses unknown flags here, in the sub-command's own parser, which knows the flags nearest to them."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        word, known = "", []
        if flag := re.search(r"unrecognized arguments: ([^\s=]+)", message):
            word, known = flag[1], [option for action in self._actions for option in action.option_strings]
        elif choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            word, known = choice[1], [name.strip("'") for name in choice[2].split(", ")]
        self.exit(2, f"{self.prog}: {message}{nearest(word, known)} (see {self.prog} --help)\n")


def common_arguments(**defaults: Any) -> Parser:
    """The flags that every sub-command takes."""
    parser = Parser(add_help=False, **defaults)
    group = parser.add_argument_group("options of every command")
    group.add_argument("--version", action="version", version=f"duskmatch {__version__}")
    group.add_argument("--seed", type=int, default=0, help="seed of all random choices (default 0)")
    group.add_argument("--device", default="auto", help="auto (a GPU if any), cpu, cuda or cuda:N (default auto)")
    group.add_argument("--threads", type=int, default=None, help="CPU threads (default: OMP_NUM_THREADS or all cores)")
    group.add_argument("--json", action="store_true", help="print only the result, as JSON")
    volume = group.add_mutually_exclusive_group()
    volume.add_argument("-q", "--quiet", action="store_true", help="print only the result")
    volume.add_argument("-v", "--verbose", action="store_true", help="print debugging messages too")
    return parser


def build_parser(command: str | None) -> Parser:
    """The parser of the command line; only the named command's module is imported, for its flags."""
    parser = Parser(
        prog="duskmatch",
        description="Visible-infrared video person re-identification.",
        epilog="`duskmatch help COMMAND` shows the options of a command, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"duskmatch {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    common = common_arguments()
    for name, summary in COMMANDS.items():
        sub = add_command(commands, name, summary, EXAMPLES[name], common)
        if name == command:
            importlib.import_module(f"duskmatch.cli.{name}").add_arguments(sub)
    return parser


def add_command(commands: Any, name: str, summary: str, example: str, common: Parser) -> Parser:
    """The parser of one command, with the common flags, and an example at the end of its --help."""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
        allow_abbrev=False,
    )
    return parser


def use_plain_characters() -> None:
    """Makes stdout and stderr replace characters that their encoding lacks, instead of failing."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = with_escapes(error.object[error.start : error.end])
    return "".join(PLAIN.get(c, c if c.isascii() else "?") for c in missing), error.end


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    command = next((word for word in argv if word in COMMANDS), None)
    use_plain_characters()
    try:
        args = build_parser(command).parse_args(argv)
        from duskmatch.cli import console

        _check(args)
        console.setup(quiet=args.quiet, verbose=args.verbose, as_json=args.json)
        importlib.import_module(f"duskmatch.cli.{args.command}").run(args)
    except DuskmatchError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has left
        return 0
    except KeyboardInterrupt as error:
        print("; ".join(["duskmatch: interrupted", *map(str, error.args)]), file=sys.stderr)
        return 130
    except UnicodeEncodeError as error:
        return _refuse(f"{error.object}: cannot be written as {error.encoding}; rename the file or folder")
    except OSError as error:
        return _refuse(f"{error.filename or 'the system'}: {error.strerror or error}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses invalid values of the common flags before anything is read or deleted."""
    if args.threads is not None:
        check_at_once("--threads", args.threads)
    if args.seed is not None and not 0 <= args.seed < 2**63:
        raise SettingsError(f"--seed must be from 0 to 2**63 - 1; got {args.seed}")


def check_at_once(flag: str, n: int) -> None:
    """Refuses fewer than one thread or process, and so many that the system would kill the command."""
    cores = os.cpu_count() or 1
    most = max(64, 4 * cores)
    if n < 1:
        raise SettingsError(f"{flag} must be at least 1; got {n}")
    if n > most:
        raise SettingsError(f"{flag} must be at most {most} on this machine of {cores} cores; got {n}")


def _refuse(message: str) -> int:
    print(f"duskmatch: {printable(' '.join(message.split()))}", file=sys.stderr)
    return 2


def printable(text: str) -> str:
    """The text with control characters escaped: those of a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else ascii(c)[1:-1] for c in text)

"""`duskmatch train --data DATASET --preset P --out RUN`: trains a model, or resumes an interrupted training."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.errors import DuskmatchError, OutputError, SettingsError

if TYPE_CHECKING:
    from duskmatch.config import Settings
    from duskmatch.data import Dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from duskmatch.cli.evaluate import protocol_argument
    from duskmatch.config import PRESETS

    parser.add_argument("--data", type=Path, metavar="DATASET", help="folder of the data set")
    protocol_argument(parser)
    parser.add_argument(
        "--preset", choices=PRESETS, metavar="NAME",
        help=f"settings to start from: {', '.join(PRESETS)} (default small, or that of the --settings file)",
    )  # fmt: skip
    parser.add_argument("--settings", type=Path, metavar="FILE", help="YAML file of settings that replace the preset's")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder to write; must be new or empty")
    parser.add_argument("--resume", action="store_true", help="continue the interrupted training in RUN")
    parser.add_argument("--overwrite", action="store_true", help="empty RUN first")
    parser.add_argument("--print_config", action="store_true", help="print all settings as YAML and exit")
    parser.set_defaults(seed=None)  # None: the settings file's seed, or 0
    settings_arguments(parser)


def settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag --section.key for every setting, hidden in --help."""
    from duskmatch.config import known_keys

    group = parser.add_argument_group(
        "settings", "any setting as --section.key VALUE; `duskmatch train --print_config` lists them"
    )
    for key in known_keys():
        if "." in key:
            group.add_argument(f"--{key}", metavar="VALUE", help=argparse.SUPPRESS, dest=f"set:{key}")


def given_settings(args: argparse.Namespace) -> dict[str, str]:
    """The settings given on the command line: dotted name -> text."""
    return {key[4:]: value for key, value in vars(args).items() if key.startswith("set:") and value is not None}


def run(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.evaluate import given_protocol
    from duskmatch.config import dump_settings
    from duskmatch.machine import describe, pick_device, set_threads

    settings = settings_from(args)
    if args.print_config:
        print(dump_settings(settings), end="")
        return
    if args.data is None or args.out is None:
        raise SettingsError("train needs --data DATASET and --out RUN")
    if args.resume and args.overwrite:
        raise SettingsError("--resume continues RUN and --overwrite empties it; pass only one of them")
    pick_device(args.device)
    threads = set_threads(args.threads)
    from duskmatch.data import open_dataset
    from duskmatch.models.start import check_imagenet
    from duskmatch.training.trainer import check_trainable

    check_trainable(settings)
    check_imagenet(settings.model)

    dataset = open_dataset(args.data, **given_protocol(args))
    first = os.environ.get("RANK", "0") == "0"  # of torchrun's processes one prints and prepares the folder
    if not first:
        console.setup(quiet=True, verbose=False, as_json=args.json)
    console.say(f"training on {dataset.name} with {threads} threads ({describe()}), preset {settings.preset}")
    if first:
        check_run(args.out, args.data, resume=args.resume, overwrite=args.overwrite)
    outcome = train_with_progress(
        settings, dataset, args.out, resume=args.resume, overwrite=args.overwrite, device=args.device
    )
    if first:
        console.result(outcome, words)


def settings_from(args: argparse.Namespace) -> Settings:
    """The settings of a command line: preset, file and overrides, or with --resume the RUN's own."""
    from duskmatch.config import file_preset, load_settings, read_settings

    overrides = [f"{key}={value}" for key, value in given_settings(args).items()]
    if getattr(args, "resume", False) and args.out is not None and (args.out / "settings.yaml").is_file():
        settings = read_settings(args.out / "settings.yaml")
        if args.preset not in (None, settings.preset):
            raise SettingsError(
                f"{args.out} was started with --preset {settings.preset}; got {args.preset}; leave out --preset"
            )
        check_as_begun(args, settings, overrides)
        return settings
    preset = args.preset or file_preset(args.settings) or "small"
    return load_settings(preset, file=args.settings, overrides=overrides, seed=args.seed, defaults=of_protocol(args))


def check_as_begun(args: argparse.Namespace, settings: Settings, overrides: list[str]) -> None:
    """Refuses a setting on the command line of --resume that differs from the RUN's own."""
    from duskmatch.config import changed_settings, differing

    asked = changed_settings(settings, file=args.settings, overrides=overrides, seed=args.seed)
    for key, own, value in differing(settings, asked):
        if (key, value) == ("train.precision", "auto"):
            continue  # the RUN holds the precision that auto meant on its machine
        raise SettingsError(
            f"--resume continues with the RUN's own settings; {args.out} was started with {key} {own}; got {value}; "
            "leave it out"
        )


def of_protocol(args: argparse.Namespace) -> list[str]:
    """The settings that the protocol of --data prescribes: how clips are drawn. Often none."""
    data = getattr(args, "data", None)
    if not isinstance(data, Path) or not data.expanduser().is_dir():
        return []
    from duskmatch.data import chosen_protocol, dataset_kind

    protocol = chosen_protocol(dataset_kind(data.expanduser()), getattr(args, "protocol", None))
    if protocol.sampling is None:
        return []
    return [f"data.frames_per_clip={protocol.frames_per_clip}", f"data.sampling={protocol.sampling}"]


def check_run(out: Path, data: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuses a folder that is not empty, or with --resume one that does not exist."""
    from duskmatch.files import check_folder

    if resume:
        if not out.is_dir():
            raise OutputError(f"{out} does not exist, so there is nothing to resume; leave out --resume")
        return
    if not overwrite and (out / "settings.yaml").is_file():
        raise OutputError(f"{out} holds a run; pass --resume to continue it, or --overwrite to start again")
    check_folder(out, overwrite=overwrite, inputs=[data])


def train_with_progress(
    settings: Settings, dataset: Dataset, out: Path, *, resume: bool, device: str, overwrite: bool = False
) -> dict[str, Any]:
    """Trains with a progress bar and draws the curves, even if training stops early."""
    from duskmatch.cli import console
    from duskmatch.training import Watcher, train

    with console.progress() as bar:
        task = bar.add_task("training", total=None, note="")

        def on_step(step: int, total: int, row: dict[str, Any] | None) -> None:
            bar.update(task, completed=step, total=total)
            if row is not None:
                bar.update(task, note=summary(row))

        watcher = Watcher(on_step=on_step, on_note=console.say)
        try:
            return train(settings, dataset, out, resume=resume, overwrite=overwrite, device=device, watcher=watcher)
        except DuskmatchError:
            bar.update(task, visible=bar.tasks[task].completed > 0)  # hide the bar if no step was done
            raise
        finally:
            if bar.tasks[task].completed or resume:
                draw_curves(out)


def draw_curves(out: Path) -> None:
    """Writes RUN/curves.png if there is a log.csv."""
    from duskmatch.cli import console
    from duskmatch.pictures import curves
    from duskmatch.training.monitor import read_log

    if os.environ.get("RANK", "0") != "0" or not (out / "log.csv").is_file():
        return
    try:
        curves(read_log(out / "log.csv"), out / "curves.png")
    except (DuskmatchError, OSError) as error:
        console.say(f"curves.png was not written: {error}")


def summary(row: dict[str, Any]) -> str:
    """A few figures of a log row, short enough to stand beside the progress bar."""
    parts = [f"stage {row['stage']}"] if "stage" in row else []
    for key, name in (("defense_identity", "id"), ("defense_triplet", "tri"), ("sequence_identity", "seq")):
        if key in row:
            parts.append(f"{name} {row[key]:.2f}")
    if "frames_per_s" in row:
        parts.append(f"{row['frames_per_s']:.0f} frames/s")
    return "  ".join(parts)


def words(outcome: dict[str, Any]) -> str:
    from duskmatch.health import in_words

    synthetic = " (synthetic data)" if outcome["synthetic"] else ""
    trained = (
        f"trained {outcome['steps']} iterations on {outcome['people']} people{synthetic} "
        f"in {outcome['seconds']:.0f} s: {outcome['run']}"
    )
    return "\n".join([trained, *in_words(outcome["health"])])

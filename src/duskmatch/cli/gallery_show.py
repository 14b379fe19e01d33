"""`duskmatch gallery show`, `list` and `stats`: the contents of a gallery."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from duskmatch.errors import SettingsError


def add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="id of the entry")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="folder to write its pictures into; must be new or empty"
    )


def add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pid", type=int, metavar="N", help="only entries of this person")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="most entries to list (default 1000)")


def add_stats(parser: argparse.ArgumentParser) -> None:
    del parser  # no flags of its own


def run_show(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.files import claimed
    from duskmatch.gallery.linking.people import in_json
    from duskmatch.gallery.person import plain, write_pictures

    with opened(args) as gallery:
        (entry,) = gallery.entries([args.id])
        (person,) = gallery.linked_to([args.id])
        calibrated = gallery.calibration()
    outcome = {**plain(entry), **in_json(person)}
    outcome["calibration"] = None if calibrated is None else dict(calibrated.facts)
    if args.pictures:
        with claimed(args.pictures, overwrite=False):
            outcome["pictures"] = [str(args.pictures / name) for name in write_pictures(args.pictures, 1, entry)]
    console.result(outcome, _entry)


def run_list(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.gallery.linking.people import in_json
    from duskmatch.gallery.person import plain

    if args.limit < 1:
        raise SettingsError(f"--limit must be at least 1; got {args.limit}")
    with opened(args) as gallery:
        entries = gallery.some_entries(args.limit, pid=args.pid)
        people = gallery.linked_to([entry.id for entry in entries])
        rows = [{**plain(entry), **in_json(person)} for entry, person in zip(entries, people, strict=True)]
        outcome = {"gallery": str(args.gallery), "entries": rows, "total": len(gallery)}
    console.result(outcome, _list)


def run_stats(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened

    with opened(args) as gallery:
        found = asdict(gallery.stats())
    console.result({"gallery": str(args.gallery), **found}, _stats)


def _entry(entry: dict[str, Any]) -> str:
    from duskmatch.cli.gallery import linked_in_words, when

    lines = {
        "id": entry["id"],
        "person": "unknown" if entry["pid"] < 0 else entry["pid"],
        "linked": linked_in_words(entry).removeprefix("linked ") or "-",
        "camera": "unknown" if entry["camera"] < 0 else entry["camera"],
        "modality": entry["modality"],
        "seen": f"{when(entry['begin_s'], entry['clock'])} to {when(entry['end_s'], entry['clock'])}",
        "tracklet": entry["tracklet"] or "-",
        "source": entry["source"] or "-",
        "note": entry["note"] or "-",
        "added": when(entry["added_s"], "unix"),
        "model": entry["model"] or "without a name",
        "calibrated": calibration_words(entry["calibration"]),
        "pictures": "\n".join(["", *entry["pictures"]]) if entry.get("pictures") else entry["thumbnails"],
    }
    return "\n".join(f"{name:<10} {value}" for name, value in lines.items())


def _list(outcome: dict[str, Any]) -> str:
    from duskmatch.cli.gallery import linked_in_words, when

    lines = [
        f"{e['id']}  person {e['pid'] if e['pid'] >= 0 else '?'}, camera {e['camera'] if e['camera'] >= 0 else '?'}, "
        f"{e['modality']}, {when(e['begin_s'], e['clock'])}" + (f", {to}" if (to := linked_in_words(e)) else "")
        for e in outcome["entries"]
    ]
    return "\n".join([*lines, f"{len(lines)} of {outcome['total']} entries"])


def _stats(found: dict[str, Any]) -> str:
    from duskmatch.cli.gallery import when

    cameras = ", ".join(f"{'unknown' if c < 0 else c}: {n}" for c, n in found["by_camera"].items())
    modalities = ", ".join(f"{word}: {n}" for word, n in found["by_modality"].items())
    lines = [
        f"{found['gallery']}: {found['n_entries']} entries of {found['width']} numbers, "
        f"{found['bytes_on_disk'] / 2**20:.1f} MiB",
        f"model: {found['model'] or 'none yet' if found['model'] is None else found['model'] or 'without a name'}",
        f"modality: {modalities or '-'}",
        f"camera: {cameras or '-'}",
        f"people: {found['n_people']} known; {found['n_unknown_people']} entries of unknown people",
        f"seen: {when(found['first_s'], 'unix')} to {when(found['last_s'], 'unix')}; "
        f"{found['n_without_time_of_day']} entries without a time of day",
        f"calibrated: {calibration_words(found['calibration'])}",
    ]
    return "\n".join([*lines, "erasure of deleted entries is pending"] if found["erasure_pending"] else lines)


def calibration_words(facts: dict[str, Any] | None) -> str:
    """What a gallery was calibrated on, and when; "no"."""
    from duskmatch.cli.gallery import when
    from duskmatch.gallery.probability.calibrated import words

    return "no" if facts is None else f"on {words(facts)}, {when(facts['made_s'], 'unix')}"

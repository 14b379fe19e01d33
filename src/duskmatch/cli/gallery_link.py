"""`duskmatch gallery link` and `people`: entries linked to people, why, how well, and lanes of time."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duskmatch.cli.gallery import counted
from duskmatch.errors import SettingsError

if TYPE_CHECKING:
    from duskmatch.evaluation.grouping import GroupingScores
    from duskmatch.gallery import Entry, Gallery
    from duskmatch.gallery.linking.people import Person


def add_link(parser: argparse.ArgumentParser) -> None:
    from duskmatch.gallery.linking.linkage import MARGIN

    parser.add_argument(
        "--again",
        action="store_true",
        help="link all entries anew; people keep their numbers and names by most of their members",
    )
    parser.add_argument(
        "--prior",
        type=float,
        metavar="P",
        help="probability that two people are the same one, before they are compared (default 1 / (people + 1))",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help=f"log-odds above even ones that a link must reach; more splits, less merges (default {MARGIN:g})",
    )
    parser.add_argument("--score", action="store_true", help="score the people against the entries' pids")


def add_people(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", nargs="*", metavar="PERSON", help="number or name of a person (default: all people)")
    parser.add_argument("--score", action="store_true", help="score all people against the entries' pids")
    parser.add_argument(
        "--lanes", type=Path, metavar="FILE", help="PNG to draw the people's entries in: a lane of time for each camera"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def run_link(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.machine import set_threads

    set_threads(args.threads)
    with opened(args) as gallery:
        made = gallery.link(again=args.again, prior=args.prior, margin=args.margin)
        scores = scored(gallery.score_people()) if args.score else None
    console.result({"gallery": str(args.gallery), **asdict(made), "scores": scores}, _link_words)


def run_people(args: argparse.Namespace) -> None:
    from duskmatch.cli import console
    from duskmatch.cli.gallery import opened
    from duskmatch.cli.gallery_decide import number_or_name

    _check(args)
    with opened(args) as gallery:
        wanted = [number_or_name(text) for text in args.person]
        chosen = [one for who in wanted for one in gallery.people(who)] if wanted else gallery.people()
        people = list({one.number: one for one in chosen}.values())
        entries = _entries(gallery, people)
        outcome = {
            "gallery": str(args.gallery),
            "people": [_person(one, entries) for one in people],
            "entries": len(gallery),
            "scores": scored(gallery.score_people()) if args.score else None,
            "detailed": bool(wanted),
        }
    if args.lanes:
        outcome["lanes"] = str(_drawn(args.lanes, people, entries))
    console.result(outcome, _people_words)


def _entries(gallery: Gallery, people: Sequence[Person]) -> dict[str, Entry]:
    ids = [id for one in people for id in one.ids]
    return dict(zip(ids, gallery.entries(ids), strict=True))


def _person(person: Person, entries: dict[str, Entry]) -> dict[str, Any]:
    """A person as JSON, the entries with the reasons of each."""
    rows = []
    for id, link in zip(person.ids, person.links, strict=True):
        facts = {
            name: getattr(entries[id], name) for name in ("camera", "modality", "begin_s", "end_s", "clock", "pid")
        }
        pairs = {key: _pair(getattr(link, key)) for key in ("strongest", "weakest")}
        reasons = {"log_odds": link.log_odds, **pairs, "cameras": list(link.cameras), "decision": link.decision}
        rows.append({"id": id, **facts, **reasons})
    return {"person": person.number, "name": person.name or None, "entries": rows}


def _pair(pair: tuple[str, float] | None) -> dict[str, Any] | None:
    return None if pair is None else {"id": pair[0] or None, "log_odds": pair[1]}


def _drawn(path: Path, people: Sequence[Person], entries: dict[str, Entry]) -> Path:
    from duskmatch.pictures.lanes import Lanes, draw_lanes, has_time

    if not any(has_time(entry) for entry in entries.values()):
        raise SettingsError("--lanes has nothing to draw: no entry of these people has a time; leave it out")
    return draw_lanes(path, [Lanes(_who(one.number, one.name), [entries[id] for id in one.ids]) for one in people])


def scored(scores: GroupingScores) -> dict[str, Any]:
    """Scores as JSON: what has nothing to divide by is null."""
    return {name: None if math.isnan(value) else value for name, value in asdict(scores).items()}


def _check(args: argparse.Namespace) -> None:
    from duskmatch.errors import OutputError

    if args.overwrite and not args.lanes:
        raise SettingsError("--overwrite is for --lanes FILE, which is not there; name one or leave it out")
    if args.lanes and args.lanes.suffix.lower() != ".png":
        raise SettingsError(f"--lanes FILE must be a .png; got {args.lanes}; name one")
    if args.lanes and args.lanes.exists() and not args.overwrite:
        raise OutputError(f"{args.lanes} exists; choose another FILE or pass --overwrite")


def _link_words(outcome: dict[str, Any]) -> str:
    lines = [
        f"{outcome['gallery']}: {outcome['people']} people of {counted(outcome['entries'])}; "
        f"{counted(outcome['new_entries'])} linked{' anew' if outcome['again'] else ''}, "
        f"{outcome['new_people']} people are new"
    ]
    highest = outcome["highest_log_odds"]
    if highest is not None and highest < outcome["margin"]:
        lines.append(
            f"no link reached the margin: the nearest two have log-odds of {highest:.2f}, a link needs "
            f"{outcome['margin']:g}; calibrate on more people, or pass another --prior or --margin"
        )
    return "\n".join([*lines, *_score_lines(outcome["scores"])])


def _people_words(outcome: dict[str, Any]) -> str:
    people = outcome["people"]
    linked = sum(len(one["entries"]) for one in people)
    lines = [] if outcome["detailed"] else [f"{len(people)} people of {counted(linked)} in {outcome['gallery']}"]
    if not outcome["detailed"] and linked < outcome["entries"]:
        lines.append(f"not linked: {counted(outcome['entries'] - linked)}; run `duskmatch gallery link`")
    for one in people if outcome["detailed"] or not (outcome["scores"] or "lanes" in outcome) else []:
        lines.append(_person_line(one))
        lines += [_reason_line(entry) for entry in one["entries"]] if outcome["detailed"] else []
    lines += _score_lines(outcome["scores"])
    return "\n".join([*lines, f"written: {outcome['lanes']}"] if "lanes" in outcome else lines)


def _person_line(person: dict[str, Any]) -> str:
    entries = person["entries"]
    cameras = ", ".join(str(c) if c >= 0 else "unknown" for c in sorted({entry["camera"] for entry in entries}))
    by = {word: sum(entry["modality"] == word for entry in entries) for word in ("visible", "infrared")}
    seen = ", ".join(f"{n} {word}" for word, n in by.items() if n)
    return f"{_who(person['person'], person['name'] or '')}: {counted(len(entries))} ({seen}), cameras {cameras}"


def _who(number: int, name: str) -> str:
    return f"person {number}{f' ({name})' if name else ''}"


def _reason_line(entry: dict[str, Any]) -> str:
    from duskmatch.cli.gallery import when

    camera = entry["camera"] if entry["camera"] >= 0 else "unknown"
    seen = f"{entry['modality']}, camera {camera}, {when(entry['begin_s'], entry['clock'])}"
    return f"  {entry['id']}  {seen}; {_why(entry)}"


def _why(entry: dict[str, Any]) -> str:
    decided = f"decision {entry['decision']}" if entry["decision"] is not None else ""
    if entry["log_odds"] is None:
        return decided or "alone when it was linked"
    nearest, furthest = (
        f"{(pair := entry[key])['id'] or 'one deleted since'} {probability(pair['log_odds']):.3f}"
        for key in ("strongest", "weakest")
    )
    why = f"with the others {probability(entry['log_odds']):.3f}, nearest {nearest}, furthest {furthest}"
    return f"{decided}, {why}" if decided else why


def probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))


def _score_lines(scores: dict[str, Any] | None) -> list[str]:
    if scores is None:
        return []

    def p(name: str) -> str:
        return "–" if scores[name] is None else f"{100 * scores[name]:.1f}"

    left_out = f"; {scores['n_left_out']} entries of unknown people left out" if scores["n_left_out"] else ""
    return [
        f"scored in percent against the pids of {scores['n_people']} people, {scores['n_entries']} entries{left_out}",
        f"  pairs: precision {p('precision')}, recall {p('recall')}, F1 {p('f1')}; ARI {p('ari')}; IDF1 {p('idf1')}",
        f"  B-cubed: precision {p('bcubed_precision')}, recall {p('bcubed_recall')}, F1 {p('bcubed_f1')}",
        f"  people linked that hold more than one: {p('over_merged')}; people in more than one: {p('split')}",
    ]

"""Writes an experiment's files: tables, page, pictures, CSV, and last the JSON, so that it implies all the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from duskmatch.errors import OutputError
from duskmatch.evaluation.document import Part
from duskmatch.experiments.document import Difference, RunFacts, SetFacts
from duskmatch.files import check_file, sync, write_json, write_text

Content = str | Callable[[Path], None] | None  # a text, a function that writes the file, or None: delete an older one


class Table(NamedTuple):
    """A table of text with a title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def markdown(self, heading: str = "##", n_names: int | None = None) -> str:
        """Title and table as Markdown."""
        return f"{heading} {self.title}\n\n{markdown(self.head, self.rows, n_names=n_names)}"


def check_place(out: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuses, before any work, a folder that cannot hold these files or holds them already."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} must be a folder; a file has that name; choose another --out")
    for place in (out / name for name in names):
        if place.exists() and not overwrite:
            raise OutputError(f"{place} already exists; choose another --out or pass --overwrite")
        check_file(place)


def publish(out: Path, name: str, document: Part, files: Mapping[str, Content]) -> None:
    """Writes the files, then NAME.json. An older JSON is deleted first, so it never stands beside newer files."""
    record = out / f"{name}.json"
    if record.exists():
        record.unlink()
        sync(out)
    for place, content in ((out / file, content) for file, content in files.items()):
        if content is None:
            place.unlink(missing_ok=True)
        elif isinstance(content, str):
            write_text(place, content)
        else:
            content(place)
    write_json(record, document.model_dump(mode="json"))


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]], *, n_names: int | None = None) -> str:
    """A Markdown table, with bars in cells escaped; columns after the first `n_names` are aligned right."""
    names = len(head) if n_names is None else n_names
    lines = [head, ["---"] * names + ["---:"] * (len(head) - names), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def change(difference: Difference | None) -> str:
    """A difference in points of per cent, with its sign and interval; a dash where there is none."""
    if difference is None:
        return "–"
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def origin(data: Iterable[SetFacts]) -> str:
    """A line that says if the people are real or generated."""
    made = [one.name for one in data if one.synthetic]
    if not made:
        return "Real data."
    return f"**SYNTHETIC data** ({', '.join(made)}): generated people, no figures of real ones."


def facts_tables(runs: Iterable[RunFacts], data: Iterable[SetFacts], split: str) -> list[str]:
    """Tables of the RUNs and the data sets, a line for each."""
    of_runs = [
        (
            one.name, one.seed, one.preset, one.embedding, _or_not_said(one.checkpoint), _or_not_said(one.selection),
            one.frames_per_clip, f"{one.engine}, {one.precision}",
        )
        for one in runs
    ]  # fmt: skip
    of_data = [
        (
            one.name, " ".join(filter(None, (one.data, one.version))), "synthetic" if one.synthetic else "real",
            _or_not_said(one.preset), _or_not_said(one.seed), _made_with(one), one.n_people, one.n_tracklets,
            one.fingerprint[:16], "not counted" if one.test_reads is None else one.test_reads,
        )
        for one in data
    ]  # fmt: skip
    head = ("data", "set", "people are", "preset", "seed", "made with", "people", "tracklets", "fingerprint", "reads")
    by = ("run", "seed", "preset", "embedding", "checkpoint", "selection", "frames", "computed by")
    tables = Table("Runs", by, of_runs), Table(f"Data: {split} people", head, of_data)
    return [table.markdown() for table in tables]


def computed_by(machine: str, versions: Mapping[str, str]) -> str:
    """The machine and the versions, in one line."""
    return f"Machine: {machine}; {', '.join(f'{what} {which}' for what, which in versions.items())}."


def _made_with(one: SetFacts) -> str:
    if one.twins:
        return one.twins
    return f"{one.vary} {one.severity}" if one.vary else "nothing changed"


def _or_not_said(value: Any) -> str:
    return "not said" if value is None else str(value)

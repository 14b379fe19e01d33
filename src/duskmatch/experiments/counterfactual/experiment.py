"""The counterfactual test: scores and shifts of each RUN on the same people and walks with one factor changed.

It writes DIR/plan.json, films/FACTOR-SEVERITY/, embeddings/, then counterfactual.json, .md, .html and the pictures. A
killed command continues from these files and ends with the same JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duskmatch.data import Dataset
from duskmatch.errors import SettingsError, nearest
from duskmatch.experiments.counterfactual import plan as plans
from duskmatch.experiments.counterfactual.cast import cast_of, open_base, test_people
from duskmatch.experiments.counterfactual.document import Counterfactual
from duskmatch.experiments.counterfactual.films import FilmStore, Take
from duskmatch.experiments.counterfactual.page import write_outputs
from duskmatch.experiments.counterfactual.results import Measurements, document_of
from duskmatch.experiments.counterfactual.shelf import Shelf, Subject, open_subjects, training_data
from duskmatch.experiments.counterfactual.shift import Baseline, Measured
from duskmatch.experiments.subjects import run_names
from duskmatch.files import only_writer
from duskmatch.synthetic import FACTORS
from duskmatch.synthetic.variations import MOST_SEVERE


@dataclass(frozen=True)
class Request:
    """The arguments of one counterfactual test."""

    runs: Sequence[Path]
    data: Path
    out: Path
    names: str | None = None
    factors: Sequence[str] = FACTORS
    severities: Sequence[int] = tuple(range(1, MOST_SEVERE + 1))
    people: int | None = None
    seed: int = 0  # of the bootstrap
    keep_films: bool = False
    overwrite: bool = False
    n_processes: int | None = None
    embedder_options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Listener:
    """Functions called during the work: pieces done of all; the present piece and its progress; notes for the user."""

    on_piece: Callable[[int, int], None] = lambda done, total: None
    on_work: Callable[[str, int, int], None] = lambda what, done, total: None
    on_note: Callable[[str], None] = lambda text: None


def counterfactual(request: Request, listener: Listener | None = None) -> Counterfactual:
    """Runs the test, writes all its files, and returns the document of counterfactual.json."""
    listener = listener or Listener()
    takes = takes_of(request.factors, request.severities)
    names = run_names(request.runs, request.names)
    dataset = open_base(request.data)
    cast = cast_of(dataset, request.people)
    inputs = [request.data, *request.runs]
    subjects = open_subjects(request.runs, names, **request.embedder_options)
    plans.prepare(request.out, dataset, cast, overwrite=request.overwrite, inputs=inputs)
    with only_writer(request.out, plans.BUSY):
        films = FilmStore(request.out / "films", cast, request.n_processes)
        for take in takes:
            films.check(take)
        plan = plans.begin(request.out, dataset, cast)
        for subject in subjects:
            plans.note_reading(request.out, plan, dataset, subject.weights_sha256)
        notes = _notes(dataset, subjects, plan)
        for note in notes:
            listener.on_note(note)
        work = _Work(request, dataset, films, subjects, listener)
        measured = work.measure(takes)
        made = {take: record for take in takes if (record := films.record(take))}
        everything = Measurements(dataset, cast, plan, subjects, work.baselines, made, measured, notes, request.seed)
        document = document_of(everything)
        write_outputs(request.out, document, dataset, films)
    return document


def takes_of(factors: Sequence[str], severities: Sequence[int]) -> list[Take]:
    """Every factor at every severity, in Duskwalk's order, without severity 0, which is the data set itself."""
    for factor in factors:
        if factor not in FACTORS:
            raise SettingsError(f"--factors must be of {', '.join(FACTORS)}; got {factor!r}{nearest(factor, FACTORS)}")
    for severity in severities:
        if not 0 <= severity <= MOST_SEVERE:
            raise SettingsError(f"--severities must be from 1 to {MOST_SEVERE}; got {severity}")
    filmed = sorted({severity for severity in severities if severity})
    if not factors or not filmed:
        what = "factor" if not factors else f"severity from 1 to {MOST_SEVERE}"
        raise SettingsError(f"counterfactual needs at least one {what}; got none")
    return [Take(factor, severity) for factor in FACTORS if factor in factors for severity in filmed]


@dataclass
class _Work:
    """Films and embeds one film after another, so that the pictures of only one need be on the disk."""

    request: Request
    dataset: Dataset
    films: FilmStore
    subjects: Sequence[Subject]
    listener: Listener
    done: int = 0
    total: int = 0
    baselines: dict[str, Baseline] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.request.out / "embeddings")

    def measure(self, takes: Sequence[Take]) -> dict[tuple[str, Take], Measured]:
        """Each RUN's scores and shifts on each film, severity 0 of each factor included."""
        self.total = len(self.subjects) + len(takes) * (1 + len(self.subjects))
        pids = test_people(self.dataset)[: self.films.cast.n_people]
        found: dict[tuple[str, Take], Measured] = {}
        for subject in self.subjects:
            progress = self._progress_of(f"{subject.name}: the unchanged set")
            everyone = self.shelf.embedded(subject, self.dataset.test, self.dataset.fingerprint, progress)
            baseline = self.baselines[subject.name] = Baseline(everyone, pids)
            start = baseline.start()
            found.update({(subject.name, Take(take.factor, 0)): start for take in takes})
            self._one_done()
        for take in takes:
            found.update({(name, take): measured for name, measured in self._film(take).items()})
        return found

    def _film(self, take: Take) -> dict[str, Measured]:
        """Each RUN's scores and shifts on one film, generated only if a RUN has not embedded it yet."""
        record = self.films.record(take)
        if record is None or any(self.shelf.find(s, record.fingerprint) is None for s in self.subjects):
            film = self.films.with_pictures(take, self._progress_of(f"filming {take}"))
            tracklets, fingerprint = film.test, film.fingerprint
        else:
            tracklets, fingerprint = [], record.fingerprint
        self._one_done()
        found = {}
        for subject in self.subjects:
            progress = self._progress_of(f"{subject.name}: {take}")
            changed = self.shelf.embedded(subject, tracklets, fingerprint, progress)
            found[subject.name] = self.baselines[subject.name].measure(changed, str(self.films.place(take)))
            self._one_done()
        if not self.request.keep_films:
            self.films.discard(take)
        return found

    def _progress_of(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.listener.on_work(what, done, total)

    def _one_done(self) -> None:
        self.done += 1
        self.listener.on_piece(self.done, self.total)


def _notes(dataset: Dataset, subjects: Sequence[Subject], plan: plans.Plan) -> list[str]:
    """Notes on training data and on differences in rounding, which the document holds too."""
    notes = [sentence for subject in subjects if (sentence := training_data(subject, dataset)[1])]
    missed = plan.refilmed["pictures"] - plan.refilmed["equal"]
    if missed:
        notes.append(
            f"{missed} of {plan.refilmed['pictures']} pictures filmed again were not DATASET's to the byte: "
            "it was written on another machine, and small shifts hold that difference too"
        )
    return notes

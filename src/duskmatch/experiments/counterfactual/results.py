"""Turns measurements into the document: means, intervals over people, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from duskmatch.data import Dataset
from duskmatch.evaluation.document import PROTOCOL
from duskmatch.evaluation.intervals import LEVEL, RESAMPLES
from duskmatch.experiments.counterfactual.cast import test_people
from duskmatch.experiments.counterfactual.document import (
    Counterfactual,
    FilmedData,
    FilmFacts,
    FilmProtocol,
    MeasuredRun,
    Point,
    Search,
    Shift,
    ShiftDifference,
)
from duskmatch.experiments.counterfactual.films import Cast, FilmRecord, Take
from duskmatch.experiments.counterfactual.plan import Plan
from duskmatch.experiments.counterfactual.shelf import Subject, training_data
from duskmatch.experiments.counterfactual.shift import CAMERA_RULE, DEFINITION, Baseline, Measured
from duskmatch.experiments.document import Estimate, estimate, run_facts
from duskmatch.machine import describe, versions
from duskmatch.records import DIRECTIONS, Scores


@dataclass(frozen=True, slots=True)
class Measurements:
    """Everything the document is made from; `measured` also holds severity 0 of each factor."""

    dataset: Dataset
    cast: Cast
    plan: Plan
    subjects: Sequence[Subject]
    baselines: Mapping[str, Baseline]
    films: Mapping[Take, FilmRecord]
    measured: Mapping[tuple[str, Take], Measured]
    notes: Sequence[str]
    bootstrap_seed: int


def document_of(made: Measurements) -> Counterfactual:
    """The document, a pure function of the measurements, so that a killed and repeated command gives the same."""
    takes, seed = list(made.films), made.bootstrap_seed
    names = [subject.name for subject in made.subjects]
    factors = list(dict.fromkeys(take.factor for take in takes))
    severities = sorted({take.severity for take in takes})
    all_takes = [Take(factor, severity) for factor in factors for severity in (0, *severities)]
    return Counterfactual(
        data=filmed_data(made),
        protocol=protocol(made),
        factors=factors,
        severities=[0, *severities],
        runs=[measured_run(subject, made) for subject in made.subjects],
        films=[
            FilmFacts(
                factor=take.factor,
                severity=take.severity,
                **film.model_dump(include={"fingerprint", "n_tracks", "n_frames"}),
            )
            for take, film in made.films.items()
        ],
        points=[point(name, take, made) for name in names for take in all_takes],
        differences=[
            ShiftDifference(
                run=later,
                against=first,
                factor=take.factor,
                severity=take.severity,
                shift=shift(made.measured[later, take], seed, minus=made.measured[first, take]),
            )
            for first, later in combinations(names, 2)
            for take in takes
        ],
        notes=list(made.notes),
        machine=describe(),
        versions={**versions(), **{k: v for s in made.subjects for k, v in s.embedder.engine.versions.items()}},
    )


def point(name: str, take: Take, made: Measurements) -> Point:
    """One RUN on one film, each direction paired with severity 0."""
    found, start = made.measured[name, take], made.measured[name, Take(take.factor, 0)]
    searches = {d: search(found.scores[d], start.scores[d], made.bootstrap_seed) for d in DIRECTIONS}
    return Point(
        run=name,
        factor=take.factor,
        severity=take.severity,
        shift=shift(found, made.bootstrap_seed),
        **searches,
    )


def search(found: Scores, start: Scores, seed: int) -> Search:
    """Rank-1 and mAP, and their paired changes since severity 0 over the same queries."""
    assert np.array_equal(found.scored, start.scored)  # which queries have a match depends on pids and cameras only
    hit, hit_before = ((scores.first_hit == 1).astype(np.float64) for scores in (found, start))
    return Search(
        rank1=estimate(hit, found.query_pids, seed),
        rank1_change=estimate(hit - hit_before, found.query_pids, seed),
        mAP=estimate(found.average_precision, found.query_pids, seed),
        mAP_change=estimate(found.average_precision - start.average_precision, found.query_pids, seed),
    )


def shift(found: Measured, seed: int, *, minus: Measured | None = None) -> Shift:
    """The mean shift of all tracks and of each modality's, or its paired difference to that of `minus`."""
    values = found.shift if minus is None else found.shift - minus.shift

    def of(rows: npt.NDArray[np.bool_]) -> Estimate | None:
        return estimate(values[rows], found.pids[rows], seed) if rows.any() else None

    return Shift(all=estimate(values, found.pids, seed), infrared=of(found.infrared), visible=of(~found.infrared))


def filmed_data(made: Measurements) -> FilmedData:
    """The data set, the numbers of people and queries, and the count of readings."""
    dataset, cast, plan = made.dataset, made.cast, made.plan
    scores = next(iter(made.measured.values())).scores
    reads = [plan.reads[subject.weights_sha256] for subject in made.subjects]
    known = [count for count in reads if count is not None]
    return FilmedData(
        name=dataset.name,
        version=dataset.version,
        fingerprint=dataset.fingerprint,
        preset=cast.preset,
        seed=cast.seed,
        twins=cast.twins,
        n_people_filmed=cast.n_people,
        n_people=len(test_people(dataset)),
        n_queries={d: scores[d].n_queries for d in DIRECTIONS},
        n_left_out={d: scores[d].n_left_out for d in DIRECTIONS},
        n_gallery={d: scores[d].n_gallery for d in DIRECTIONS},
        chance={d: scores[d].chance for d in DIRECTIONS},
        test_reads=max(known) if len(known) == len(reads) else None,
        refilmed=plan.refilmed,
    )


def protocol(made: Measurements) -> FilmProtocol:
    """The protocol that all RUNs share."""
    first, *others = [subject.embedder.facts() for subject in made.subjects]
    shared = {
        key: first[key] if all(facts[key] == first[key] for facts in others) else None
        for key in ("sampling", "test_time_extras")
    }
    return FilmProtocol(
        name=f"{PROTOCOL}; changed tracks are the queries, the gallery is unchanged",
        split="test",
        camera_rule=CAMERA_RULE,
        re_ranking="none",
        **shared,
        interval=f"{100 * LEVEL:.0f} %, {RESAMPLES} draws of people with replacement, the same for every RUN",
        bootstrap_seed=made.bootstrap_seed,
        shift=DEFINITION,
    )


def measured_run(subject: Subject, made: Measurements) -> MeasuredRun:
    """The facts of a RUN, with its scale of shifts."""
    facts, baseline = subject.embedder.facts(), made.baselines[subject.name]
    return MeasuredRun(
        **run_facts(subject.name, subject.embedder, facts).model_dump(exclude={"trained_on"}),
        weights_sha256=subject.weights_sha256,
        **{key: facts[key] for key in ("parameters", "trained_on", "sampling", "test_time_extras")},
        training_data=training_data(subject, made.dataset)[0],  # type: ignore[arg-type]
        between_people=dict(baseline.between_people),
        same_person=dict(baseline.same_person),
    )

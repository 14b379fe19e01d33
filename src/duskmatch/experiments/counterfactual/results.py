"""From what was measured to the document: means, intervals over people, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from duskmatch.data import Dataset
from duskmatch.evaluation import bootstrap_interval
from duskmatch.evaluation.document import PROTOCOL
from duskmatch.evaluation.intervals import LEVEL, RESAMPLES
from duskmatch.experiments.counterfactual.cast import test_people
from duskmatch.experiments.counterfactual.document import (
    Counterfactual,
    DataFacts,
    Difference,
    Figure,
    FilmFacts,
    Point,
    Protocol,
    RunFacts,
    Search,
    Shift,
)
from duskmatch.experiments.counterfactual.films import Cast, FilmRecord, Take
from duskmatch.experiments.counterfactual.measures import CAMERA_RULE, Baseline, Measured
from duskmatch.experiments.counterfactual.plan import Plan
from duskmatch.experiments.counterfactual.shelf import Subject, training_data
from duskmatch.experiments.counterfactual.shift import DEFINITION
from duskmatch.machine import describe, versions
from duskmatch.records import DIRECTIONS, Ints, Scores

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that was done: `films` and `measured` hold the takes in order, `measured` severity 0 of each factor too."""

    dataset: Dataset
    cast: Cast
    plan: Plan
    subjects: Sequence[Subject]
    baselines: Mapping[str, Baseline]
    films: Mapping[Take, FilmRecord]
    measured: Mapping[tuple[str, Take], Measured]
    notes: Sequence[str]
    bootstrap_seed: int


def document_of(outcome: Outcome) -> Counterfactual:
    """The document: a pure function of the outcome, so a run that was killed and went on gives the same."""
    takes, seed = list(outcome.films), outcome.bootstrap_seed
    names = [subject.name for subject in outcome.subjects]
    factors = list(dict.fromkeys(take.factor for take in takes))
    severities = sorted({take.severity for take in takes})
    all_takes = [Take(factor, severity) for factor in factors for severity in (0, *severities)]
    return Counterfactual(
        data=data_facts(outcome),
        protocol=protocol(outcome),
        factors=factors,
        severities=[0, *severities],
        runs=[run_facts(subject, outcome) for subject in outcome.subjects],
        films=[
            FilmFacts(
                factor=take.factor,
                severity=take.severity,
                fingerprint=film.fingerprint,
                n_tracks=film.n_tracks,
                n_frames=film.n_frames,
            )
            for take, film in outcome.films.items()
        ],
        points=[point(name, take, outcome) for name in names for take in all_takes],
        differences=[
            Difference(
                run=later,
                against=first,
                factor=take.factor,
                severity=take.severity,
                shift=shift(outcome.measured[later, take], seed, minus=outcome.measured[first, take]),
            )
            for first, later in combinations(names, 2)
            for take in takes
        ],
        notes=list(outcome.notes),
        machine=describe(),
        versions={**versions(), **{k: v for s in outcome.subjects for k, v in s.embedder.engine.versions.items()}},
    )


def point(name: str, take: Take, outcome: Outcome) -> Point:
    """One RUN on one film, each direction paired with severity 0."""
    found, start = outcome.measured[name, take], outcome.measured[name, Take(take.factor, 0)]
    searches = {d: search(found.scores[d], start.scores[d], outcome.bootstrap_seed) for d in DIRECTIONS}
    return Point(
        run=name,
        factor=take.factor,
        severity=take.severity,
        shift=shift(found, outcome.bootstrap_seed),
        **searches,
    )


def search(found: Scores, start: Scores, seed: int) -> Search:
    """Rank-1 and mAP of the same queries, and query by query what changed since severity 0."""
    assert np.array_equal(found.scored, start.scored)  # who has a match depends on pids and cameras alone
    hit, hit_before = ((scores.first_hit == 1).astype(np.float64) for scores in (found, start))
    return Search(
        rank1=figure(hit, found.query_pids, seed),
        rank1_change=figure(hit - hit_before, found.query_pids, seed),
        mAP=figure(found.average_precision, found.query_pids, seed),
        mAP_change=figure(found.average_precision - start.average_precision, found.query_pids, seed),
    )


def shift(found: Measured, seed: int, *, minus: Measured | None = None) -> Shift:
    """The mean shift of all tracks and of each modality's; `minus` gives the paired difference to another RUN's.

    Both RUNs' tracks are the same ones, so each draw of people is the same for both.
    """
    values = found.shift if minus is None else found.shift - minus.shift

    def of(rows: npt.NDArray[np.bool_]) -> Figure | None:
        return figure(values[rows], found.pids[rows], seed) if rows.any() else None

    return Shift(all=figure(values, found.pids, seed), infrared=of(found.infrared), visible=of(~found.infrared))


def figure(values: Doubles, pids: Ints, seed: int) -> Figure:
    """The mean over tracks and its interval over people."""
    return Figure(value=float(values.mean()), interval=bootstrap_interval(values, pids, seed=seed))


def data_facts(outcome: Outcome) -> DataFacts:
    """Who was filmed again, who was searched, and how often these people were read."""
    dataset, cast, plan = outcome.dataset, outcome.cast, outcome.plan
    scores = next(iter(outcome.measured.values())).scores
    reads = [plan.reads[subject.weights_sha256] for subject in outcome.subjects]
    known = [count for count in reads if count is not None]
    return DataFacts(
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


def protocol(outcome: Outcome) -> Protocol:
    """What all RUNs share."""
    first, *others = [subject.embedder.facts() for subject in outcome.subjects]
    shared = {
        key: first[key] if all(facts[key] == first[key] for facts in others) else None
        for key in ("sampling", "test_time_extras")
    }
    return Protocol(
        name=f"{PROTOCOL}; changed tracks are the queries, the gallery is unchanged",
        split="test",
        camera_rule=CAMERA_RULE,
        re_ranking="none",
        **shared,
        interval=f"{100 * LEVEL:.0f} %, {RESAMPLES} draws of people with replacement, the same for every RUN",
        bootstrap_seed=outcome.bootstrap_seed,
        shift=DEFINITION,
    )


def run_facts(subject: Subject, outcome: Outcome) -> RunFacts:
    facts = subject.embedder.facts()
    return RunFacts(
        name=subject.name,
        weights_sha256=subject.weights_sha256,
        checkpoint=None if facts["checkpoint"] is None else str(facts["checkpoint"]),
        selection=facts["selection"],
        seed=facts["seed"],
        preset=subject.embedder.settings.preset,
        embedding=facts["embedding"],
        parameters=facts["parameters"],
        engine=facts["engine"],
        precision=facts["precision"],
        frames_per_clip=facts["n_frames"],
        trained_on=facts["trained_on"],
        training_data=training_data(subject, outcome.dataset)[0],  # type: ignore[arg-type]
        between_people=dict(outcome.baselines[subject.name].between_people),
        same_person=dict(outcome.baselines[subject.name].same_person),
        sampling=facts["sampling"],
        test_time_extras=facts["test_time_extras"],
    )

"""scores.json: the figures of every pair of a protocol, and everything they depend on."""

from __future__ import annotations

import typing
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from duskmatch.errors import EvaluationError, first_fault
from duskmatch.evaluation.answers import Answers
from duskmatch.evaluation.held_out import PRIOR, HeldOut
from duskmatch.evaluation.intervals import map_interval, rank1_interval
from duskmatch.evaluation.protocol import Evaluation
from duskmatch.evaluation.reads import count_test_reads, note_test_read
from duskmatch.evaluation.trials import mean_of_trials, pooled
from duskmatch.files import file_hash, read_regular
from duskmatch.health import Health
from duskmatch.machine import versions
from duskmatch.records import (
    DIRECTIONS,
    HITSZ_VCM,
    PAIR_NAMES,
    REMOVED,
    CameraRule,
    CmcCounting,
    PairName,
    Protocol,
    Scores,
)

SCHEMA_VERSION: Final = 1
PROTOCOL = HITSZ_VCM.name

T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[Fraction, Fraction]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Part(BaseModel):
    """A part of a JSON document; entries named in `may_be_absent` are left out if they are None."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    may_be_absent: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        return {key: value for key, value in found.items() if value is not None or key not in self.may_be_absent}


class Figures(Part):
    """CMC, mAP and mINP in fractions of 1."""

    rank1: Fraction
    rank5: Fraction
    rank10: Fraction
    rank20: Fraction
    mAP: Fraction
    mINP: Fraction


class Measured(Part):
    """A share, its 95 % interval over people and the similarity of the threshold; null, with `why`, if refused."""

    may_be_absent = ("why",)
    value: Fraction | None
    interval: Interval | None
    threshold: float | None
    why: str | None = None


class TrueAcceptance(Measured):
    """TAR at a false acceptance rate."""

    far: Fraction


class VerificationScores(Part):
    """Same person or not, over all pairs; `n_people` independent people bear rates from 3 / n_people on."""

    n_people: Count
    n_same: Count
    n_others: Count
    eer: Measured
    tar: list[TrueAcceptance]


class OpenSetRate(Part):
    """FNIR, and detection and identification at rank 1, at a false positive identification rate."""

    fpir: Fraction
    fnir: Measured
    rank1: Measured


class OpenSetScores(Part):
    """Searches of people who are not in the gallery, for a gallery of this size; `n_people` were left out in turn."""

    n_people: Count
    n_searches: Count
    gallery_people: Count
    gallery_entries: Count
    rates: list[OpenSetRate]


class CalibrationScores(Part):
    """Probabilities of people whom the calibration had not seen, for the prior; null, with `why`, if not measured."""

    may_be_absent = ("why",)
    prior: Fraction
    kind: Literal["isotonic", "platt"] | None
    n_people: Count | None
    ece: Fraction | None
    brier: Fraction | None
    log_loss: Annotated[float, Field(ge=0)] | None
    why: str | None = None


class DirectionScores(Figures):
    """One direction; intervals are [low, high], 95 %, bootstrap over people.

    `n_junk` entries of the gallery have pid -1 and are ignored; absent if there is none. `verification`, `open_set` and
    `calibration` are absent if they were not asked for, with re-ranking, and in older files.
    """

    may_be_absent = ("n_junk", "verification", "open_set", "calibration")

    chance: Fraction
    rank1_interval: Interval
    mAP_interval: Interval
    n_queries: Count
    n_gallery: Count
    n_left_out: Count
    n_ties: Count
    n_junk: Count | None = None
    verification: VerificationScores | None = None
    open_set: OpenSetScores | None = None
    calibration: CalibrationScores | None = None


class BothDirections(Part):
    """Both directions, or the one that was asked for; `pairs` holds further pairs of a protocol that has them.

    `public_code`: pairs for which public code has another camera rule, scored by that rule.
    """

    may_be_absent: ClassVar[tuple[str, ...]] = ("infrared_to_visible", "visible_to_infrared", "pairs", "public_code")
    infrared_to_visible: DirectionScores | None = None
    visible_to_infrared: DirectionScores | None = None
    pairs: dict[PairName, DirectionScores] | None = None
    public_code: dict[PairName, DirectionScores] | None = None


class TrialScores(Figures):
    """The figures of one of several trials."""

    trial: int
    n_queries: Count
    n_gallery: Count
    n_left_out: Count


class PairFacts(Part):
    """Query and gallery of a pair, in words; `published`: True if the data set's own tables have it.

    `public_rule`: the camera rule of public code if it differs, else absent.
    """

    may_be_absent = ("public_rule",)
    query: str
    gallery: str
    published: bool
    public_rule: CameraRule | None = None


class ProtocolFacts(Part):
    """The protocol and aids that a score depends on; null if unknown, or if the file is older than the entry.

    `removed`: what the camera rule removes from a query's gallery, in words; `cmc`: "entries" if CMC counts every
    entry, "identities" if only the first of each person; `trials`: numbers of the galleries drawn; `trial_definition`:
    how they are drawn.
    """

    name: str
    variant: str | None = None
    pairs: dict[PairName, PairFacts] | None = None
    camera_rule: CameraRule
    removed: str | None = None
    cmc: CmcCounting | None = None
    trials: list[int] | None = None
    trial_definition: str | None = None
    split: str
    frames_per_clip: Count | None
    sampling: str | None
    re_ranking: str
    test_time_extras: list[str] | None


class DataFacts(Part):
    """The data that were scored; test_reads: how often these test people were scored by this user account."""

    name: str
    version: str | None
    fingerprint: str
    test_reads: Count | None
    n_unreadable: Count


class ScoresDocument(Part):
    """The whole of scores.json; `synthetic` is null if unknown.

    The scores are those of `BothDirections`; `trials` holds each trial of each pair, `health` the content of
    RUN/health.json; both are absent if there is none.
    """

    may_be_absent = (*BothDirections.may_be_absent, "trials", "health")
    schema_version: Literal[1]
    synthetic: bool | None
    infrared_to_visible: DirectionScores | None = None
    visible_to_infrared: DirectionScores | None = None
    pairs: dict[PairName, DirectionScores] | None = None
    public_code: dict[PairName, DirectionScores] | None = None
    trials: dict[PairName, list[TrialScores]] | None = None
    untrained: BothDirections | None
    protocol: ProtocolFacts
    precision: str | None
    checkpoint: str | None
    selection: str | None
    seed: int | None
    data: DataFacts
    versions: dict[str, str]
    health: Health | None = None

    @model_validator(mode="after")
    def _holds_scores(self) -> Self:
        if self.infrared_to_visible is None and self.visible_to_infrared is None:
            raise ValueError("infrared_to_visible or visible_to_infrared must be there; neither is")
        return self


class Described(typing.Protocol):
    """The facts of a data set that `dataset_facts` reads."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def synthetic(self) -> bool: ...


def scores_document(
    evaluation: Evaluation,
    data: DataFacts,
    *,
    synthetic: bool | None,
    facts: Mapping[str, Any] | None = None,
    untrained: Evaluation | None = None,
    health: Mapping[str, Any] | None = None,
    bootstrap_seed: int = 0,
) -> dict[str, Any]:
    """scores.json as a dictionary, validated against `ScoresDocument`.

    `facts` are the embedder's: precision, checkpoint, selection, seed, n_frames, sampling, test_time_extras, versions;
    `health` is what `read_health` finds in the RUN.
    """
    facts = facts or {}
    document = ScoresDocument(
        schema_version=SCHEMA_VERSION,
        synthetic=synthetic,
        **_all_scores(evaluation, bootstrap_seed),
        trials=_trials(evaluation),
        untrained=None if untrained is None else BothDirections(**_all_scores(untrained, bootstrap_seed)),
        protocol=ProtocolFacts(
            **protocol_facts(evaluation.protocol, evaluation.scores),
            split=evaluation.split,
            frames_per_clip=facts.get("n_frames"),
            sampling=facts.get("sampling"),
            re_ranking=str(evaluation.re_ranking or "none"),
            test_time_extras=facts.get("test_time_extras", [] if facts else None),
        ),
        precision=facts.get("precision"),
        checkpoint=None if facts.get("checkpoint") is None else str(facts["checkpoint"]),
        selection=facts.get("selection"),
        seed=facts.get("seed"),
        data=data,
        versions={**versions(), **{str(k): str(v) for k, v in (facts.get("versions") or {}).items()}},
        health=None if health is None else Health.model_validate(health),
    )
    return document.model_dump(mode="json")


def protocol_facts(protocol: Protocol, scored: Container[PairName] = PAIR_NAMES) -> dict[str, Any]:
    """The entries of `ProtocolFacts` that the protocol determines; pairs only if they are in `scored`."""
    return {
        "name": protocol.name,
        "variant": protocol.variant,
        "pairs": {
            p.name: PairFacts(query=p.query, gallery=p.gallery, published=p.published, public_rule=p.public_rule)
            for p in protocol.pairs
            if p.name in scored
        },
        "camera_rule": protocol.camera_rule,
        "removed": REMOVED[protocol.camera_rule],
        "cmc": protocol.cmc,
        "trials": list(protocol.trials),
        "trial_definition": protocol.trial_definition,
    }


def dataset_facts(dataset: Described, evaluation: Evaluation, *, note: bool = True) -> DataFacts:
    """The `DataFacts` of an evaluation; counts one reading of the test people, unless `note` is False."""
    fingerprint = dataset.fingerprint
    counted = note and evaluation.split == "test"
    return DataFacts(
        name=dataset.name,
        version=dataset.version or None,
        fingerprint=fingerprint,
        test_reads=note_test_read(fingerprint, dataset.name) if counted else count_test_reads(fingerprint),
        n_unreadable=len(evaluation.unreadable),
    )


def features_facts(*paths: Path) -> DataFacts:
    """The `DataFacts` of features files: their names, and the SHA-256 of their bytes one after the other."""
    name = " and ".join(path.name for path in paths)
    return DataFacts(name=name, version=None, fingerprint=file_hash(*paths), test_reads=None, n_unreadable=0)


def direction_scores(
    scores: Scores, trials: Sequence[Scores] = (), answers: Answers | None = None, *, seed: int = 0
) -> DirectionScores:
    """One pair's figures and intervals; with several trials, the intervals are over the queries of all of them."""
    all_queries = pooled(trials or [scores])
    return DirectionScores(
        **_cmc_at(scores),
        mAP=scores.mean_average_precision,
        mINP=scores.mean_inp,
        chance=scores.chance,
        rank1_interval=rank1_interval(all_queries, seed=seed),
        mAP_interval=map_interval(all_queries, seed=seed),
        n_queries=scores.n_queries,
        n_gallery=scores.n_gallery,
        n_left_out=scores.n_left_out,
        n_ties=scores.n_ties,
        n_junk=scores.n_junk or None,
        **({} if answers is None else _answers(answers)),
    )


def _answers(answers: Answers) -> dict[str, Any]:
    pairs, unknown = answers.verification, answers.open_set
    return {
        "verification": VerificationScores(
            **{name: getattr(pairs, name) for name in ("n_people", "n_same", "n_others")},
            eer=Measured(**asdict(pairs.eer)),
            tar=[TrueAcceptance(far=far, **asdict(tar)) for far, tar in pairs.tar.items()],
        ),
        "open_set": OpenSetScores(
            **{
                name: getattr(unknown, name) for name in ("n_people", "n_searches", "gallery_people", "gallery_entries")
            },
            rates=[
                OpenSetRate(fpir=fpir, fnir=Measured(**asdict(fnir)), rank1=Measured(**asdict(unknown.rank1[fpir])))
                for fpir, fnir in unknown.fnir.items()
            ],
        ),
        "calibration": _calibration(answers.calibration),
    }


def _calibration(found: HeldOut | str) -> CalibrationScores:
    if isinstance(found, str):
        nothing = dict.fromkeys(("kind", "n_people", "ece", "brier", "log_loss"))
        return CalibrationScores(prior=PRIOR, **nothing, why=found)
    figures: dict[str, Any] = {name: getattr(found, name) for name in ("kind", "n_people", "brier", "log_loss")}
    return CalibrationScores(prior=PRIOR, ece=found.curve.error, **figures)


def read_scores(path: str | Path) -> dict[str, Any]:
    """The content of a scores.json; EvaluationError if it is unreadable or does not fit the schema."""
    try:
        return ScoresDocument.model_validate_json(read_regular(Path(path))).model_dump(mode="json")
    except (OSError, ValueError) as error:
        why = first_fault(error) if isinstance(error, ValueError) else error
        raise EvaluationError(f"{path} is not a scores.json of this version: {why}; evaluate again") from error


def json_schema() -> dict[str, Any]:
    """The JSON schema of scores.json."""
    return ScoresDocument.model_json_schema()


def _all_scores(evaluation: Evaluation, seed: int) -> dict[str, Any]:
    found = {
        name: direction_scores(scores, evaluation.trials.get(name, ()), evaluation.answers.get(name), seed=seed)
        for name, scores in evaluation.scores.items()
    }
    further = {name: scores for name, scores in found.items() if name not in DIRECTIONS}
    public = {
        name: direction_scores(mean_of_trials(trials), trials, seed=seed) for name, trials in evaluation.public.items()
    }
    directions: dict[str, Any] = {name: found[name] for name in DIRECTIONS if name in found}
    return {**directions, "pairs": further or None, "public_code": public or None}


def _trials(evaluation: Evaluation) -> dict[PairName, list[TrialScores]] | None:
    if len(evaluation.protocol.trials) == 1:
        return None
    return {
        name: [_trial(*one) for one in zip(evaluation.protocol.trials, trials, strict=True)]
        for name, trials in evaluation.trials.items()
    }


def _trial(trial: int, scores: Scores) -> TrialScores:
    counts: dict[str, int] = {key: getattr(scores, key) for key in ("n_queries", "n_gallery", "n_left_out")}
    means: dict[str, Any] = {"mAP": scores.mean_average_precision, "mINP": scores.mean_inp}
    return TrialScores(trial=trial, **_cmc_at(scores), **means, **counts)


def _cmc_at(scores: Scores) -> dict[str, Any]:
    return {f"rank{k}": float(min(1.0, scores.cmc[k - 1])) for k in (1, 5, 10, 20)}

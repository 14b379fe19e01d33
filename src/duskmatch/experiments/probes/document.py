"""The parts of probes.json. Accuracies are balanced, fractions of 1; intervals are 95 %, bootstrap over people."""

from __future__ import annotations

from duskmatch.embedding.layers import LAYERS, Layer
from duskmatch.evaluation.document import Count, Fraction, Interval, Part
from duskmatch.experiments.document import Difference, RunFacts, SetFacts
from duskmatch.experiments.probes.nuisances import Name

SCHEMA_VERSION = 1


class ProbeMethod(Part):
    """Training and testing of probes."""

    probe: str = "ridge regression to one-hot on standardised features, every class weighed alike"
    people: str = "trained on one half, asked about the other, both ways"
    strengths: tuple[float, ...]  # times the number of features; chosen on an inner half of the people trained on
    shuffles: Count


class QuestionFacts(Part):
    """One probe: classes of each stratum, chance, numbers of tracklets and people; `not_run`: why it was not run."""

    name: Name
    words: str
    within: str
    n_classes: list[Count]
    chance: Fraction | None
    n_tracklets: Count
    n_people: Count
    n_left_out: Count
    not_run: str | None


class LayerResult(Part):
    """The share of a layer's variance that lies between people; all null if the RUN lacks the layer."""

    run: str
    layer: Layer
    width: Count | None = None
    between_people: Fraction | None = None
    interval: Interval | None = None
    untrained: Fraction | None = None
    untrained_interval: Interval | None = None
    chance: Fraction | None = None


class ProbeResult(Part):
    """The accuracy of one probe on one layer: trained, untrained, their difference, and with labels shuffled."""

    run: str
    layer: Layer
    probe: Name
    accuracy: Fraction
    interval: Interval
    untrained: Fraction
    untrained_interval: Interval
    gain: Difference
    shuffled: Fraction
    shuffled_interval: Interval


class AttackResult(Part):
    """One probe's accuracy on f^l minus that on f_d of the trained RUN."""

    run: str
    probe: Name
    difference: Difference


class ProbesDocument(Part):
    """The whole of probes.json; `synthetic` is true if any of the data are; the first of `data` is the data set.

    `began_with_weights`: names of the RUNs whose training started from loaded weights (model.weights), not from the
    untrained network shown here; null in older files.
    """

    schema_version: int
    synthetic: bool
    split: str
    seed: int
    machine: str
    versions: dict[str, str]
    method: ProbeMethod
    layer_words: dict[Layer, str] = LAYERS
    runs: list[RunFacts]
    began_with_weights: list[str] | None = None
    data: list[SetFacts]
    questions: list[QuestionFacts]
    layers: list[LayerResult]
    results: list[ProbeResult]
    attack_less_defense: list[AttackResult]

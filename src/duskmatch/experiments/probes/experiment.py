"""Linear probes: does the attack's embedding hold what is not about the person, and does the defense's lose it?

On each layer of each RUN, and of its network before training, a linear probe for each question of `nuisances` is
trained on one half of the people and tested on the other, both ways. For comparison there are chance, the accuracy with
labels shuffled, and the share of the layer's variance that lies between people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from duskmatch.data import Dataset
from duskmatch.embedding import Embedder
from duskmatch.embedding.layers import LAYERS, Layer, layer_vectors
from duskmatch.evaluation.protocol import ScoredSplit
from duskmatch.experiments.document import run_facts, set_facts
from duskmatch.experiments.probes.accuracy import OverPeople, scatter
from duskmatch.experiments.probes.asking import Asked, answers_of, prepare, samples_of
from duskmatch.experiments.probes.document import (
    SCHEMA_VERSION,
    AttackResult,
    LayerResult,
    ProbeMethod,
    ProbeResult,
    ProbesDocument,
    QuestionFacts,
)
from duskmatch.experiments.probes.nuisances import PROBES, WITHIN, Question, Sample
from duskmatch.experiments.probes.ridge import STRENGTHS
from duskmatch.experiments.subjects import note_read
from duskmatch.machine import describe, versions
from duskmatch.models.start import began_elsewhere
from duskmatch.records import Floats, Ints

SHUFFLES = 5  # of the labels, their accuracies averaged
Features = Mapping[Layer, Floats]


def probes(
    embedders: Mapping[str, tuple[Embedder, Embedder]],
    sets: Mapping[str, Dataset],
    *,
    split: ScoredSplit = "test",
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> ProbesDocument:
    """The results of every RUN, given as (trained, untrained) of `embedding.layers.load_whole`.

    The first of `sets` is the data set; the others show its people before other backgrounds. `on_step` is called after
    each layer of a RUN. Test people count as read once for each RUN and set.
    """
    facts = {name: set_facts(name, dataset, split) for name, dataset in sets.items()}
    samples = [samples_of(dataset, split, other_places=place > 0) for place, dataset in enumerate(sets.values())]
    asked = prepare([sample for own in samples for sample in own], seed)
    layers: list[LayerResult] = []
    results: list[ProbeResult] = []
    attacks: list[AttackResult] = []
    for run, networks in embedders.items():
        trained, untrained = (features(network, samples) for network in networks)
        for name, dataset in sets.items():
            facts[name] = facts[name].model_copy(update={"test_reads": note_read(dataset, split)})
        answers: dict[Layer, list[OverPeople]] = {}
        for layer in LAYERS:
            layers.append(layer_result(run, layer, trained, untrained, asked))
            if layer in trained:
                answers[layer] = answers_of(trained[layer], asked)
                results += probe_results(run, layer, asked, answers[layer], trained, untrained)
            on_step()
        attacks += attack_results(run, asked, answers)
    return ProbesDocument(
        schema_version=SCHEMA_VERSION,
        synthetic=any(dataset.synthetic for dataset in sets.values()),
        split=split,
        seed=seed,
        machine=describe(),
        versions=versions(),
        method=ProbeMethod(strengths=STRENGTHS, shuffles=SHUFFLES),
        runs=[run_facts(name, trained) for name, (trained, _) in embedders.items()],
        began_with_weights=[name for name, (one, _) in embedders.items() if began_elsewhere(one.settings)],
        data=list(facts.values()),
        questions=[question_facts(question, asked.pids) for question in asked.questions],
        layers=layers,
        results=results,
        attack_less_defense=attacks,
    )


def features(embedder: Embedder, samples: Sequence[Sequence[Sample]]) -> Features:
    """For each layer the vectors of all samples, set after set."""
    found = [layer_vectors(embedder, [sample.tracklet for sample in own]) for own in samples]
    return {layer: np.concatenate([one[layer].vectors for one in found]) for layer in found[0]}


def probe_results(
    run: str, layer: Layer, asked: Asked, answers: list[OverPeople], trained: Features, untrained: Features
) -> list[ProbeResult]:
    """One layer's figures for each question: after training (`answers`), before it, and with shuffled labels."""
    before = answers_of(untrained[layer], asked)
    shuffled = answers_of(trained[layer], asked, n_shuffles=SHUFFLES)
    return [
        ProbeResult(
            run=run,
            layer=layer,
            probe=name,
            accuracy=after.value,
            interval=after.interval(),
            untrained=start.value,
            untrained_interval=start.interval(),
            gain=after.minus(start),
            shuffled=random.value,
            shuffled_interval=random.interval(),
        )
        for name, after, start, random in zip(asked.posed, answers, before, shuffled, strict=True)
    ]


def attack_results(run: str, asked: Asked, answers: Mapping[Layer, list[OverPeople]]) -> list[AttackResult]:
    """The difference of f^l to f_d for each question; empty if the RUN has no attack."""
    if "attack" not in answers:
        return []
    both = zip(asked.posed, answers["attack"], answers["defense"], strict=True)
    return [AttackResult(run=run, probe=name, difference=attack.minus(defense)) for name, attack, defense in both]


def layer_result(run: str, layer: Layer, trained: Features, untrained: Features, asked: Asked) -> LayerResult:
    """The share of a layer's variance that lies between people; only its name if the RUN lacks the layer."""
    if layer not in trained:
        return LayerResult(run=run, layer=layer)
    pids = asked.pids[asked.own]
    after, before = (scatter(one[layer][asked.own], pids) for one in (trained, untrained))
    return LayerResult(
        run=run,
        layer=layer,
        width=trained[layer].shape[1],
        between_people=after.value,
        interval=after.interval(),
        untrained=before.value,
        untrained_interval=before.interval(),
        chance=after.chance,
    )


def question_facts(question: Question, pids: Ints) -> QuestionFacts:
    """A question's classes and numbers of people, or the reason why it was not asked."""
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *(stratum.rows for stratum in question.strata)]))
    return QuestionFacts(
        name=question.name,
        words=PROBES[question.name],
        within=WITHIN[question.name],
        n_classes=[stratum.n_classes for stratum in question.strata],
        chance=question.chance if question.strata else None,
        n_tracklets=len(rows),
        n_people=len(np.unique(pids[rows])),
        n_left_out=question.n_left_out,
        not_run=question.reason,
    )

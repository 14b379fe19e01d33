"""One evaluation of made-up people with pictures, shared by the tests of this room."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.config import load_settings
from duskmatch.embedding import Embedder
from duskmatch.embedding.highlights import record_highlights
from duskmatch.evaluation import DataFacts, evaluate_dataset, scores_document
from duskmatch.models.building import build_model
from duskmatch.pictures.compared import Compared, mapped_tracklets
from tests.evaluation.people import FakeEmbedder, make_people


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    return make_people(tmp_path_factory.mktemp("people"), n_people=8, pictures=True)


@pytest.fixture(scope="session")
def evaluation(people):
    return evaluate_dataset(FakeEmbedder(noise=1.0).embed, people)


@pytest.fixture(scope="session")
def document(people, evaluation):
    data = DataFacts(name=people.name, version="1", fingerprint="ab" * 32, test_reads=2, n_unreadable=0)
    untrained = evaluate_dataset(FakeEmbedder(noise=4.0).embed, people)
    return scores_document(evaluation, data, synthetic=True, facts=FakeEmbedder().facts(), untrained=untrained)


@pytest.fixture(scope="session")
def log():
    rng = np.random.default_rng(0)
    return [
        {
            "step": str(10 * i),
            "epoch": "0",
            "stage": "1",
            "seconds": str(i),
            "lr": "0.01",
            "defense_identity": str(3 * np.exp(-i / 20)),
            "defense_accuracy": str(1 - np.exp(-i / 20)),
            "attack_stem_gradient": str(rng.random() + 0.1),
            "validation_rank1": "" if i % 10 else "0.3",
            "confusion": "nan" if i == 3 else "2.5",
        }
        for i in range(40)
    ]


def compared_run(name, people, *overrides, trained_on=None):
    """A network at its random start in the place of a trained one; the start of another seed is "before training"."""
    settings = load_settings("tiny", overrides=["data.frames_per_clip=2", *overrides])
    embedder = Embedder(build_model(settings, 8), settings, device="cpu")
    embedder.header = {"checkpoint": f"iteration 3 of 9 of {name}", "data": trained_on or {}}
    noted = record_highlights(embedder)
    evaluation = evaluate_dataset(embedder.embed, people)
    data = DataFacts(name=people.name, version="1", fingerprint="ab" * 32, test_reads=2, n_unreadable=0)
    facts = embedder.facts()
    document = scores_document(evaluation, data, synthetic=people.synthetic, facts=facts)
    before = Embedder(build_model(settings.model_copy(update={"seed": 7}), 8), settings, device="cpu")
    untrained = before.embed(mapped_tracklets(evaluation, 5))
    weights, spreads = (noted.weights(), noted.spreads()) if noted else (None, None)
    return Compared(name, evaluation, document, facts, embedder, weights, untrained, spreads)


BASELINE = ("model.attack=false", "model.defense=false", "model.sequence=none")


@pytest.fixture(scope="session")
def compared(people):
    """A Baseline and a full model on the same people, of other frame sizes and other pixels."""
    other = ("data.height=192", "data.width=96", "model.n_parts=3", "data.grey=true", "data.per_clip=true")
    trained_on = {"name": "Duskwalk", "version": "1", "synthetic": True}
    return [
        compared_run("Baseline", people, *BASELINE, trained_on=trained_on),
        compared_run("full", people, *other, trained_on=trained_on),
    ]

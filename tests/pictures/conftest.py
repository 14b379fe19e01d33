"""One evaluation of made-up people with pictures, shared by the tests of this room."""

from __future__ import annotations

import numpy as np
import pytest

from duskmatch.evaluation import DataFacts, evaluate_dataset, scores_document
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

"""The hetero-centre triplet, and that a method is one file and one line: it trains, resumes and embeds."""

import pytest
import torch

from duskmatch import load_embedder
from duskmatch.config import load_settings
from duskmatch.errors import SettingsError
from duskmatch.losses.centre_cluster import centres, hetero_centre_triplet
from duskmatch.models.building import build_model
from duskmatch.training import train
from duskmatch.training.monitor import read_log

LABELS = torch.tensor([7, 3, 7, 5, 3])
SHORT = ("train.steps_per_epoch=2", "train.pids_per_batch=2", "model.name=hc_tri", "train.recalibrate_steps=1")


def literal(visible, infrared, labels, margin):
    """Person by person, modality by modality."""
    mean = {
        (m, pid): torch.stack([row for row, label in zip(rows, labels.tolist(), strict=True) if label == pid]).mean(0)
        for m, rows in (("v", visible), ("t", infrared))
        for pid in set(labels.tolist())
    }
    total = 0.0
    for (m, pid), centre in mean.items():
        own = torch.dist(centre, mean["t" if m == "v" else "v", pid])
        nearest = min(torch.dist(centre, other) for (_, who), other in mean.items() if who != pid)
        total += max(0.0, float(margin + own - nearest))
    return total


@pytest.mark.parametrize("margin", [0.0, 0.3, 5.0])
def test_the_loss_is_the_literal_loop(margin):
    visible, infrared = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    got = float(hetero_centre_triplet(visible, infrared, LABELS, margin=margin))
    assert got == pytest.approx(literal(visible, infrared, LABELS, margin), abs=1e-5)


def test_centres_by_hand():
    rows = torch.tensor([[0.0], [10.0], [4.0], [1.0], [30.0]])
    assert centres(rows, torch.tensor([2, 0, 2, 1, 0]), 3).flatten().tolist() == [20.0, 1.0, 2.0]


def test_a_method_is_one_file_and_one_line(dataset, tmp_path):
    settings = load_settings("tiny", overrides=SHORT)
    train(settings, dataset, tmp_path / "run")
    assert {"identity", "centre_triplet", "identity_accuracy"} <= read_log(tmp_path / "run" / "log.csv")[0].keys()
    found = load_embedder(tmp_path / "run").embed(dataset.test[:2])
    assert found.vectors.shape == (2, build_model(settings, 4).embedding_width)


def test_a_setting_of_another_method_is_refused():
    for override, message in (
        ("model.attack=false", "model.attack is no setting of model.name hc_tri; leave it at True"),
        ("model.options={heads: 4}", "model.options heads: model.name hc_tri has none"),
        ("model.name=hc_try", "model.name must be one of self_attack, hc_tri"),
    ):
        with pytest.raises(SettingsError, match=message):
            build_model(load_settings("tiny", overrides=(*SHORT, override)), 4)

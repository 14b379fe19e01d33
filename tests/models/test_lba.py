import numpy as np
import pytest
import torch
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses import defense_triplet_loss
from duskmatch.models import Due, lba
from duskmatch.models.lba import frames_of, partners
from duskmatch.models.method import Draws
from tests.data.tree import Tree
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import LABELS, alone_as_in_a_batch, batch, clips, made, parameters, updated, values, weights
from tests.models.overfit import overfit
from tests.oracle import alignment as oracle

LBA = ("lba", "model.pooling=gem", "loss.triplet=euclidean", "loss.triplet_on=pooled")


def drawn(seed: int) -> lba.Partners:
    return partners(LABELS, np.random.Generator(np.random.Philox(seed)))


def test_partners_are_of_the_other_modality_and_of_the_same_person_or_another():
    stack = LABELS.repeat(2)
    for seed in range(20):
        chosen = drawn(seed)
        for i in range(8):
            assert (chosen.same[i] >= 4) == (i < 4) and (chosen.other[i] >= 4) == (i < 4)
            assert stack[chosen.same[i]] == stack[i] and stack[chosen.other[i]] != stack[i]


def test_every_partner_that_qualifies_is_drawn_about_as_often():
    seen = [int(drawn(seed).other[0]) for seed in range(300)]
    assert set(seen) == {6, 7} and 100 < seen.count(6) < 200
    same = [int(drawn(seed).same[5]) for seed in range(300)]
    assert set(same) == {0, 1} and 100 < same.count(0) < 200


def test_a_clips_frames_meet_its_partners_frames_in_order():
    assert frames_of(torch.tensor([2, 0]), 3).tolist() == [6, 7, 8, 0, 1, 2]


def test_the_terms_are_their_equations_with_their_weights():
    model, settings = made(*LBA)
    (step,) = lba.updates(model, settings, Due())
    got = {name: float(term.detach()) for name, term in values(step, batch(model)).items()}
    forward, labels = batch(model), LABELS.repeat(2)
    with torch.no_grad():
        maps3 = model.encoder.to_stage3(forward.shallow)
        maps4 = model.encoder.stage4(maps3)
        chosen = partners(LABELS, Draws(0, 0).rng)
        same, other = (frames_of(rows, 2).tolist() for rows in chosen)
        rebuilt3, rebuilt4 = (
            torch.stack([oracle.reconstructed(own, maps[same[i]]) for i, own in enumerate(maps)])
            for maps in (maps3, maps4)
        )
        pooled = model.pooled(maps4, 2)

        def told(vectors: torch.Tensor) -> float:
            return float(F.cross_entropy(model.classifier(model.neck(vectors)), labels))

        expected = {
            "identity": told(pooled),
            "triplet": float(defense_triplet_loss(pooled, labels, margin=0.3, form="euclidean")),
            "aligned_identity": told(model.pooled(rebuilt4, 2)) + told(model.pooled(model.encoder.stage4(rebuilt3), 2)),
            "dense_triplet": sum(oracle.dense_triplet(maps, same, other, 0.3) for maps in (maps3, maps4)),
        }
    assert got == {name: pytest.approx(value, rel=1e-3) for name, value in expected.items()}
    assert weights(step) == {"identity": 1.0, "triplet": 1.0, "aligned_identity": 1.0, "dense_triplet": 0.5}


def test_partners_follow_seed_and_iteration_alone():
    model, settings = made(*LBA)

    def dense(step: int) -> float:
        (update,) = lba.updates(model, settings, Due(step=step))
        return values(update, batch(model))["dense_triplet"].item()

    assert dense(3) == dense(3) and len({dense(step) for step in range(6)}) > 1


def test_running_statistics_follow_the_maps_as_they_are_and_not_as_rebuilt():
    model, settings = made(*LBA)
    with torch.no_grad():
        forward = batch(model)
        rows = model.pooled(model.shared_maps(forward.shallow, 2), 2)
    updated(model, settings)
    assert torch.allclose(model.neck.running_mean, 0.1 * rows.mean(dim=0), atol=1e-5)


def test_searched_with_is_the_pooled_vector_before_the_neck():
    model, _ = made(*LBA)
    model.eval()
    with torch.no_grad():
        model.neck.running_mean.fill_(3.0)
        maps = model.maps_to_pool(clips(2), "infrared")
        expected = F.normalize(model.pooled(maps[0], 2), dim=1)
        assert torch.allclose(model.embed(clips(2), "infrared"), expected, atol=1e-6)


def test_one_update_moves_every_part():
    model, settings = made(*LBA)
    before = parameters(model)
    updated(model, settings)
    assert {n for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])} == set()


def test_the_embedding_does_not_depend_on_the_batch():
    assert alone_as_in_a_batch(made(*LBA)[0])


def test_a_batch_of_one_person_is_refused():
    message = r"lba needs clips of two people or more in a batch; raise train\.pids_per_batch"
    with pytest.raises(SettingsError, match=message):
        partners(torch.zeros(4, dtype=torch.int64), np.random.default_rng(0))


@pytest.mark.slow
def test_an_export_gives_the_vectors_of_torch():
    assert least_cosine(*made(*LBA), "infrared") >= 0.9999


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    tree = Tree(tmp_path / "tree", people={"train": range(1, 5), "test": (8, 9)}, lengths=(12,), size=(96, 48)).write()
    assert differing([*SHORT, "model.name=lba", *LBA[1:]], tree, tmp_path, at=3) == []


@pytest.mark.slow
def test_it_learns_four_people(tmp_path, tmp_path_factory):
    longer = ["train.steps_per_epoch=120", "train.checkpoint_every=120"]
    assert overfit(LBA[0], tmp_path_factory, tmp_path / "run", *LBA[1:], *longer) >= 0.9

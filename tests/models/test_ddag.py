import pytest
import torch
from torch.nn import functional as F

from duskmatch.errors import SettingsError
from duskmatch.losses import defense_triplet_loss
from duskmatch.models import Due, ddag
from duskmatch.models.building import due_updates
from duskmatch.models.ddag import GraphAttention, PartAggregation, neighbours
from duskmatch.models.method import Draws
from tests.data.tree import Tree
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import (
    LABELS,
    alone_as_in_a_batch,
    batch,
    clips,
    figures,
    made,
    parameters,
    updated,
    values,
    weights,
)
from tests.models.overfit import overfit
from tests.oracle import graphs as oracle

DDAG = ("ddag", "model.n_parts=2")  # the batch's maps have four rows


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def undropped(x: torch.Tensor) -> torch.Tensor:
    return x


def test_attention_among_parts_equals_the_literal_loop():
    torch.manual_seed(0)
    block, parts = PartAggregation(6, 3), random(4, 3, 6)
    assert block.gate.tolist() == pytest.approx([1 / 3] * 3)
    with torch.no_grad():
        block.gate.copy_(torch.tensor([0.3, -1.0, 2.0]))
        found = block(parts)
        for one, clip in zip(found, parts, strict=True):
            assert torch.allclose(one, oracle.parts(clip, block), atol=1e-5)


def test_attention_among_clips_equals_the_literal_loop():
    torch.manual_seed(0)
    layer, nodes, labels = GraphAttention(6, 4), random(7, 6), torch.tensor([0, 1, 0, 2, 1, 0, 3])
    with torch.no_grad():
        found = layer(nodes, neighbours(labels), undropped)
        assert torch.allclose(found, oracle.attention(nodes, labels, layer), atol=1e-5)


def test_a_clip_hears_its_own_person_in_both_modalities_and_nobody_else():
    torch.manual_seed(0)
    layer, nodes, labels = GraphAttention(6, 4), random(8, 6), LABELS.repeat(2)
    with torch.no_grad():
        before = layer(nodes, neighbours(labels), undropped)
        nodes[7] += 1  # infrared, of the person of rows 3 and 7
        moved = (layer(nodes, neighbours(labels), undropped) - before).abs().amax(dim=1) > 1e-6
    assert moved.nonzero().flatten().tolist() == [3, 7]


def test_the_graph_is_four_heads_side_by_side_and_a_layer_on_them():
    model, _ = made(*DDAG)
    pooled, labels = random(8, 64), LABELS.repeat(2)
    with torch.no_grad():
        heads = torch.cat([F.elu(oracle.attention(pooled, labels, head)) for head in model.graph_heads], dim=1)
        expected = F.elu(oracle.attention(heads, labels, model.graph_out))
        assert torch.allclose(model.graph_logits(pooled, labels, undropped), expected, atol=1e-5)
        assert len(model.graph_heads) == 4 and heads.shape == (8, 64) and expected.shape == (8, 5)


def test_the_graphs_weight_worked_by_hand():
    model, settings = made(*DDAG)
    model.begin(Due(step=0, epoch=0))
    assert model.graph_weight == 0
    model.remember(1.0), model.remember(3.0)
    assert model.graph_weight == 0
    model.begin(Due(step=2, epoch=1)), model.begin(Due(step=3, epoch=1))
    assert model.graph_weight == pytest.approx(1 / 3)  # 1 / (1 + 2)
    model.remember(0.25)
    model.begin(Due(step=4, epoch=2))
    assert model.graph_weight == pytest.approx(0.8)
    assert weights(ddag.updates(model, settings, Due(epoch=2))[0])["graph"] == pytest.approx(0.8)


def test_the_terms_are_their_equations_with_their_weights_and_count_for_the_next_epoch():
    model, settings = made(*DDAG, "loss.triplet_weight=0.5")
    (step,) = ddag.updates(model, settings, Due())
    got = {name: float(term.detach()) for name, term in values(step, batch(model)).items()}
    forward, labels = batch(model), LABELS.repeat(2)
    with torch.no_grad():
        maps = forward.maps
        pooled = model.pooled(maps, 2)
        halves = [maps[:, :, :2].mean(dim=(2, 3)), maps[:, :, 2:].mean(dim=(2, 3))]
        parts = torch.stack(halves, dim=1).unflatten(0, (8, 2)).mean(dim=1)
        mixed = torch.stack([oracle.parts(clip, model.part_attention) for clip in parts])
        embedding = model.neck(pooled)
        draws = Draws(0, 0)
        graph = model.graph_logits(pooled, labels, lambda x: draws.dropout(x, 0.2))
        expected = {
            "identity": F.cross_entropy(model.classifier(embedding), labels),
            "triplet": defense_triplet_loss(pooled, labels, margin=0.3, form="euclidean"),
            "part_identity": F.cross_entropy(model.classifier(model.part_neck(embedding + mixed)), labels),
            "graph": F.nll_loss(graph.log_softmax(dim=1), labels),
        }
    assert got == {name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()}
    assert weights(step) == {"identity": 1.0, "triplet": 0.5, "part_identity": 1.0, "graph": 0.0}
    step.on_values({name: weights(step)[name] * value for name, value in got.items()})
    counted = got["identity"] + 0.5 * got["triplet"] + got["part_identity"]
    assert (float(model.loss_sum), int(model.n_losses)) == (pytest.approx(counted, rel=1e-5), 1)


def test_a_weight_of_the_settings_stands_in_the_logs_and_in_the_mean():
    model, settings = made(*DDAG, "loss.weights={triplet: 0.0, graph: 0.25}")
    (step,) = due_updates(model, settings, Due())
    assert weights(step)["graph"] == float(figures(step, batch(model))["graph_weight"]) == 0.25
    found = updated(model, settings).values
    assert float(model.loss_sum) == pytest.approx(found["identity"] + found["part_identity"], rel=1e-5)


def test_what_is_dropped_follows_seed_and_iteration_alone():
    model, settings = made(*DDAG)

    def graph(step: int) -> float:
        (update,) = ddag.updates(model, settings, Due(step=step))
        return values(update, batch(model))["graph"].item()

    assert graph(3) == graph(3) and graph(3) != graph(4)


def test_one_update_moves_every_part_but_the_graph_which_waits_for_the_second_epoch():
    model, settings = made(*DDAG)
    before = parameters(model)
    updated(model, settings)

    def still() -> set[str]:
        found = {n for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
        # a key's shift is the same for all scores of a row, a value's for all clips, which part_neck takes off; and
        # while all parts hear nearly the same, the gate has hardly a gradient
        return found - {f"part_attention.{name}" for name in ("key.bias", "value.bias", "gate")}

    assert still() == {name for name in before if name.startswith("graph_")}
    updated(model, settings, due=Due(step=1, epoch=1))
    # who asks adds the same to all scores of a row, but for LeakyReLU's bend between them
    assert all(name.startswith("graph_heads.") and name.endswith(".asking.weight") for name in still())


def test_searched_with_is_the_vector_with_parts_and_both_necks_are_recalibrated():
    model, _ = made(*DDAG)
    model.eval()
    with torch.no_grad():
        maps = model.maps_to_pool(clips(2), "visible")[0]
        expected = F.normalize(model.attended(maps, 2).with_parts, dim=1)
        assert torch.allclose(model.embed(clips(2), "visible"), expected, atol=1e-6)
        assert set(model.neck_inputs(clips(2), clips(3))) == {model.neck, model.part_neck}


def test_the_embedding_does_not_depend_on_the_batch():
    assert alone_as_in_a_batch(made(*DDAG)[0])


def test_parts_that_do_not_divide_the_map_are_refused():
    model, settings = made("ddag", "model.n_parts=3")
    with pytest.raises(SettingsError, match="the feature map's 4 rows must divide into 3 parts"):
        values(ddag.updates(model, settings, Due())[0], batch(model))


@pytest.mark.slow
def test_an_export_gives_the_vectors_of_torch():
    assert least_cosine(*made("ddag", "model.n_parts=3"), "infrared") >= 0.9999


@pytest.mark.slow
def test_a_run_killed_in_its_second_epoch_ends_with_the_same_bits(tmp_path):
    tree = Tree(tmp_path / "tree", people={"train": range(1, 5), "test": (8, 9)}, lengths=(12,), size=(96, 48)).write()
    epochs = ["train.stage1_epochs=2", "train.steps_per_epoch=3"]  # saved after 2, 4 and 6 iterations
    assert differing([*SHORT, *epochs, "model.name=ddag", "model.n_parts=3"], tree, tmp_path, at=5) == []


@pytest.mark.slow
def test_it_learns_four_people(tmp_path, tmp_path_factory):
    epochs = ["train.stage1_epochs=3", "train.steps_per_epoch=20"]
    assert overfit("ddag", tmp_path_factory, tmp_path / "run", *epochs, "model.n_parts=3") >= 0.9

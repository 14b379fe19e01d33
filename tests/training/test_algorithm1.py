"""Algorithm 1 line by line: what moves, what stays to the bit, in which order."""

import copy
from contextlib import nullcontext

import pytest
import torch
from benchmarks.training import literal_update
from torch.utils.flop_counter import FlopCounterMode

from duskmatch.config import LossSettings, SelfAttackSettings, TrainSettings
from duskmatch.errors import TrainingError
from duskmatch.losses import (
    attack_identity_loss,
    confusion_loss,
    cross_modal_contrastive_loss,
    defense_identity_loss,
    defense_triplet_loss,
    sequence_identity_loss,
)
from duskmatch.models import SelfAttackDefense
from duskmatch.models.algorithm1 import ATTACK, DEFENSE, STEMS, Forward, sub_steps
from duskmatch.training.updates import Updater
from tests.models.methods import reweighted, values, weights

LOSS = LossSettings(triplet="euclidean", triplet_on="pooled")
TRAIN = TrainSettings()
LABELS = torch.tensor([0, 0, 1, 1])


def build(**options) -> SelfAttackDefense:
    torch.manual_seed(0)
    model = SelfAttackDefense(4, SelfAttackSettings(backbone="resnet18", width=0.125, **options)).train()
    with torch.no_grad():  # open what starts closed, and let the classifiers have an opinion
        for name, parameter in model.named_parameters():
            if name.endswith("block.norm.weight"):
                parameter.fill_(0.5)
            if "classifier" in name:
                parameter.mul_(50)
    return model


def clips(seed: int) -> torch.Tensor:
    return torch.randn(4, 2, 3, 96, 48, generator=torch.Generator().manual_seed(seed))


def forward(model: SelfAttackDefense) -> list[Forward]:
    return [Forward(model, clips(0), clips(1), LABELS)]


def updater(model: SelfAttackDefense, lr: float = 0.05) -> Updater:
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(chosen, lr=lr, momentum=0.9, weight_decay=5e-4)
    return Updater(model, optimizer, clip_norm=None, autocast=nullcontext, reduce=None)


def moved(model: SelfAttackDefense, before: dict[str, torch.Tensor]) -> set[str]:
    return {n.split(".")[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])}


def snapshot(model: SelfAttackDefense) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


BASELINE = {*STEMS, "defense_encoder", "defense_neck", "defense_classifier"}
STAGE_1 = [
    ("defense", {*STEMS, *DEFENSE, "defense_classifier"}),
    ("sequence", {*STEMS, "defense_encoder", "guidance", "sequence_classifier"}),
    ("attack", {*STEMS, *ATTACK}),
]
STAGE_2 = [("defense", set(DEFENSE)), *STAGE_1[1:]]


@pytest.mark.parametrize(("stage", "expected"), [(1, STAGE_1), (2, STAGE_2)])
def test_each_line_moves_its_own_parameters_and_no_others(stage, expected):
    model = build()
    run = updater(model)
    steps = sub_steps(model, LOSS, TRAIN, stage)
    assert [s.name for s in steps] == [name for name, _ in expected]
    run.iterate(steps, lambda: forward(model), joint=False, norms=False)  # momentum exists everywhere
    for step, (name, modules) in zip(steps, expected, strict=True):
        before = snapshot(model)
        run.iterate([step], lambda: forward(model), joint=False, norms=False)
        assert moved(model, before) == modules, name


def test_the_defense_classifier_is_the_same_to_the_bit_through_line_5_and_stage_2():
    model = build()
    run = updater(model)
    run.iterate(sub_steps(model, LOSS, TRAIN, 1), lambda: forward(model), joint=False, norms=False)
    frozen = model.defense_classifier.weight.detach().clone()
    run.iterate(sub_steps(model, LOSS, TRAIN, 1)[2:], lambda: forward(model), joint=False, norms=False)
    assert torch.equal(model.defense_classifier.weight, frozen)
    for _ in range(3):
        run.iterate(sub_steps(model, LOSS, TRAIN, 2), lambda: forward(model), joint=False, norms=False)
    assert torch.equal(model.defense_classifier.weight, frozen)


@pytest.mark.parametrize(
    ("options", "stage", "expected"),
    [
        ({"attack": False, "defense": False, "sequence": "none"}, 2, BASELINE),
        ({"attack": False, "sequence": "none"}, 2, {*STEMS, *DEFENSE, "defense_classifier"}),
        ({"attack": False, "defense": False}, 2, {*BASELINE, "guidance", "sequence_classifier"}),
        ({"sequence": "none"}, 2, {*STEMS, *DEFENSE, *ATTACK}),
        ({"sequence": "none"}, 1, {*STEMS, *DEFENSE, "defense_classifier", *ATTACK}),
    ],
)
def test_rows_of_table_1_train_what_the_documented_table_says(options, stage, expected):
    model = build(**options)
    before = snapshot(model)
    updater(model).iterate(sub_steps(model, LOSS, TRAIN, stage), lambda: forward(model), joint=False, norms=False)
    assert moved(model, before) == expected


def test_the_texts_reading_of_stage_2_tunes_only_the_encoder():
    model = build()
    train = TrainSettings(stage2="only_defense_encoder")
    before = snapshot(model)
    updater(model).iterate(sub_steps(model, LOSS, train, 2), lambda: forward(model), joint=False, norms=False)
    assert moved(model, before) == set(DEFENSE)


def test_loss_terms_are_the_equations_with_their_weights():
    model = build()
    loss = LossSettings(
        attack_weight=2.0, defense_weight=0.25, sequence_weight=0.75, triplet="euclidean", triplet_on="pooled"
    )
    steps = sub_steps(model, loss, TRAIN, 1)
    (fwd,) = forward(model)
    got = {name: (float(term), weights(step)[name]) for step in steps for name, term in values(step, fwd).items()}
    with torch.no_grad():
        shallow = model.shallow(clips(0), clips(1))
        f = model.attack_embedding(shallow, 2)
        maps = model.shared_maps(shallow, 2)
        f_d = model.defense_embedding(maps, 2)
        j_d = model.sequence_embedding(maps.maps, 2)
        expected = {
            "confusion": (confusion_loss(*model.defense_classifier(f).chunk(2)), 1.0),
            "attack_identity": (attack_identity_loss(*model.attack_classifier(f).chunk(2), LABELS), 2.0),
            "defense_identity": (
                defense_identity_loss(*model.defense_classifier(f_d.embedding).chunk(2), LABELS),
                0.25,
            ),
            "defense_triplet": (defense_triplet_loss(f_d.pooled, LABELS.repeat(2), margin=0.3, form="euclidean"), 0.25),
            "sequence_identity": (sequence_identity_loss(*model.sequence_classifier(j_d).chunk(2), LABELS), 0.75),
        }
    assert got.keys() == expected.keys()
    for name, (value, weight) in expected.items():
        assert got[name] == (pytest.approx(float(value), rel=1e-4), weight), name


def test_without_equation_3_the_attack_network_learns_by_equation_5_alone():
    model, loss = build(), LOSS.model_copy(update={"confusion_weight": 0.0, "attack_weight": 2.0})
    step = sub_steps(model, loss, TRAIN, 1)[2]
    (fwd,) = forward(model)
    got = {name: float(weights(step)[name] * term.detach()) for name, term in values(step, fwd).items()}
    with torch.no_grad():
        logits = model.attack_classifier(model.attack_embedding(fwd.shallow, 2)).chunk(2)
    assert got == {"attack_identity": pytest.approx(2 * float(attack_identity_loss(*logits, LABELS)), rel=1e-5)}
    before = snapshot(model)
    updater(model).iterate([step], lambda: forward(model), joint=False, norms=False)
    assert moved(model, before) == {*STEMS, *ATTACK}


def test_smoothing_reaches_equations_5_9_and_16_alone():
    model, terms = build(), {}
    for smoothing in (0.0, 0.3):
        loss = LOSS.model_copy(update={"label_smoothing": smoothing})
        (fwd,) = forward(model)
        found = [values(step, fwd) for step in sub_steps(model, loss, TRAIN, 1)]
        terms[smoothing] = {name: float(term.detach()) for some in found for name, term in some.items()}
    changed = {name for name in terms[0.0] if terms[0.0][name] != pytest.approx(terms[0.3][name], rel=1e-4)}
    assert changed == {"attack_identity", "defense_identity", "sequence_identity"}


@pytest.mark.parametrize(("options", "where"), [({}, 1), ({"sequence": "none"}, 0)])
def test_the_contrastive_loss_is_on_what_is_searched_with(options, where):
    model = build(**options)
    loss = LOSS.model_copy(update={"contrastive_weight": 0.5, "contrastive_temperature": 0.2})
    steps = sub_steps(model, loss, TRAIN, 1)
    (fwd,) = forward(model)
    found = [values(step, fwd) for step in steps]
    assert [i for i, terms in enumerate(found) if "contrastive" in terms] == [where]
    f_d = model.defense_embedding(fwd.maps, 2).embedding if where == 0 else model.sequence_embedding(fwd.maps.maps, 2)
    expected = cross_modal_contrastive_loss(*f_d.chunk(2), LABELS, temperature=0.2)
    assert float(found[where]["contrastive"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert weights(steps[where])["contrastive"] == 0.5
    assert not any(
        "contrastive" in values(step, fwd) for step in sub_steps(model, LOSS, TRAIN, 1) for fwd in forward(model)
    )


def test_mixing_over_time_is_trained_where_the_defense_encoder_is():
    model = build(temporal_mixing=True)
    with torch.no_grad():
        model.temporal_mixing.norm.weight.fill_(0.5)
    texts = TRAIN.model_copy(update={"stage2": "only_defense_encoder"})
    for stage, train in ((1, TRAIN), (2, TRAIN), (2, texts)):
        for step in sub_steps(model, LOSS, train, stage):
            before = snapshot(model)
            updater(model).iterate([step], lambda: forward(model), joint=False, norms=False)
            changed = moved(model, before)
            assert ("temporal_mixing" in changed) == ("defense_encoder" in changed) == (step.name != "attack")


def test_equation_3_has_the_weight_that_it_is_given():
    model = build()
    assert weights(sub_steps(model, LOSS, TRAIN, 1)[2])["confusion"] == 1
    loss = LOSS.model_copy(update={"confusion_weight": 0.25})
    assert weights(sub_steps(model, loss, TRAIN, 1)[2]) == {"confusion": 0.25, "attack_identity": 1.0}


def test_triplet_takes_the_vector_that_the_settings_name():
    model = build()
    terms = {}
    for on in ("embedding", "pooled"):
        (fwd,) = forward(model)
        step = sub_steps(model, LossSettings(triplet_on=on), TRAIN, 1)[0]
        terms[on] = float(values(step, fwd)["defense_triplet"])
    assert terms["embedding"] != pytest.approx(terms["pooled"])


def test_joint_stage_1_is_one_gradient_of_the_weighted_sum():
    model, reference = build(), build()
    steps = sub_steps(model, LOSS, TRAIN, 1)
    updater(model, lr=0.01).iterate(steps, lambda: forward(model), joint=True, norms=False)
    (fwd,) = forward(reference)
    same = sub_steps(reference, LOSS, TRAIN, 1)
    total = sum(weights(step)[name] * term for step in same for name, term in values(step, fwd).items())
    total.backward()
    torch.optim.SGD([p for p in reference.parameters() if p.grad is not None], lr=0.01, weight_decay=5e-4).step()
    for (name, a), b in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name


def test_joint_stage_2_keeps_the_stems_out_of_the_defense_and_w_def_fixed():
    model = build()
    only_defense = LossSettings(attack_weight=0, sequence_weight=0, triplet="euclidean", triplet_on="pooled")
    steps = sub_steps(model, only_defense, TRAIN, 2)
    steps = [reweighted(step, confusion=0.0) for step in steps]
    run = updater(model)
    for group in run.optimizer.param_groups:
        group["weight_decay"] = 0.0
    before = snapshot(model)
    run.iterate(steps, lambda: forward(model), joint=True, norms=False)
    assert moved(model, before) == set(DEFENSE)


def test_running_statistics_move_once_an_iteration():
    model = build()
    run = updater(model, lr=0.0)
    for group in run.optimizer.param_groups:
        group["weight_decay"] = 0.0
    once = copy.deepcopy(model)
    once_shallow = once.shallow(clips(0), clips(1))
    once.shared_maps(once_shallow, 2)
    run.iterate(sub_steps(model, LOSS, TRAIN, 1), lambda: forward(model), joint=False, norms=False)
    for name in ("stem_visible.bn1", "defense_encoder.layer3.0.bn1", "defense_encoder.layer4.1.bn2"):
        a, b = model.get_submodule(name), once.get_submodule(name)
        assert torch.allclose(a.running_mean, b.running_mean, atol=1e-6), name
        assert torch.allclose(a.running_var, b.running_var, atol=1e-6), name


def test_micro_batches_of_whole_identities_add_up():
    model = build(attack=False, sequence="none", defense=False).eval()  # without batch statistics the two are equal
    settings = LossSettings(defense_weight=1.0, margin=0.0, triplet="euclidean", triplet_on="pooled")
    step = sub_steps(model, settings, TRAIN, 1)[0]
    step = reweighted(step, defense_triplet=0.0)
    whole, parts = copy.deepcopy(model), copy.deepcopy(model)
    a, b = clips(0), clips(1)
    updater(whole).iterate([step], lambda: [Forward(whole, a, b, LABELS)], joint=False, norms=False)
    labels = torch.tensor([0, 1])  # rows 0, 2 and rows 1, 3: each micro-batch has both people
    pieces = [[0, 2], [1, 3]]
    updater(parts).iterate(
        [step], lambda: [Forward(parts, a[p], b[p], labels) for p in pieces], joint=False, norms=False
    )
    for (name, x), y in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.allclose(x, y, atol=1e-5), name


def test_a_loss_that_is_not_finite_names_its_term():
    model = build()
    with torch.no_grad():
        model.defense_classifier.weight[0, 0] = torch.nan
    with pytest.raises(TrainingError, match="defense_identity is nan"):
        updater(model).iterate(sub_steps(model, LOSS, TRAIN, 1), lambda: forward(model), joint=False, norms=False)


def test_clipping_is_counted_and_gradient_norms_are_reported():
    model = build()
    run = updater(model)
    run.clip_norm = 1e-6
    outcome = run.iterate(sub_steps(model, LOSS, TRAIN, 1), lambda: forward(model), joint=False, norms=True)
    assert outcome.n_clipped == 3
    assert {"defense_stem_gradient", "sequence_stem_gradient", "attack_stem_gradient"} <= outcome.values.keys()
    assert {"defense_accuracy", "sequence_accuracy", "attack_accuracy"} <= outcome.values.keys()


def test_the_attack_waits_where_it_is_told_to():
    model = build()
    assert [s.name for s in sub_steps(model, LOSS, TRAIN, 1, attacking=False)] == ["defense", "sequence"]


@pytest.mark.parametrize("stage", [1, 2])
def test_what_is_spared_changes_no_update(stage):
    """Each line's own branch alone against every branch with the frozen gradients thrown away, three iterations."""
    ours, literal = build(), build()
    run = updater(ours)
    other = updater(literal)
    steps, same = sub_steps(ours, LOSS, TRAIN, stage), sub_steps(literal, LOSS, TRAIN, stage)
    for _ in range(3):
        run.iterate(steps, lambda: forward(ours), joint=False, norms=False)
        for step in same:
            literal_update(literal, other.optimizer, same, step, forward(literal)[0])
    for (name, parameter), expected in zip(ours.named_parameters(), literal.parameters(), strict=True):
        assert torch.allclose(parameter, expected, atol=1e-6, rtol=1e-5), name


def test_what_is_spared_is_a_quarter_of_the_operations_and_more():
    model = build()
    run, steps = updater(model), sub_steps(model, LOSS, TRAIN, 1)
    with FlopCounterMode(display=False) as ours:
        run.iterate(steps, lambda: forward(model), joint=False, norms=False)
    with FlopCounterMode(display=False) as literal:
        for step in steps:
            literal_update(model, run.optimizer, steps, step, forward(model)[0])
    assert ours.get_total_flops() < 0.75 * literal.get_total_flops()

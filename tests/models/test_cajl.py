from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from duskmatch import load_embedder
from duskmatch.embedding import Embedder
from duskmatch.embedding.export import export_run, save_export
from duskmatch.embedding.run import LAYOUT_VERSION
from duskmatch.errors import SettingsError
from duskmatch.losses.triplet import squared_difference_loss
from duskmatch.models import Due, Forward, cajl
from duskmatch.models.attention import DotProduct
from duskmatch.models.channels import AREA, LUMA, MEAN_COLOUR, erased, one_channel
from duskmatch.models.method import Draws, Pixels
from duskmatch.pixels import normalise
from duskmatch.training.checkpoint import write_model
from duskmatch.training.trainer import make_optimizer
from tests.data.tree import Tree
from tests.models.exporting import least_cosine
from tests.models.killed import SHORT, differing
from tests.models.methods import LABELS, alone_as_in_a_batch, batch, clips, figures, made, parameters, values, weights
from tests.models.overfit import overfit
from tests.oracle import losses as oracle

CAJL = ("cajl", "model.pooling=gem", "loss.triplet_on=pooled")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def pixels(seed: int = 0, b: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (b, 2, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def with_pixels(model) -> Forward:
    return replace(batch(model), pixels=PIXELS)


PIXELS = Pixels(pixels(1), pixels(2), normalise)


def opened(*overrides: str):
    """With non-local blocks that say something."""
    model, settings = made(*CAJL, *overrides)
    with torch.no_grad():
        for block in (*model.non_local2, *model.non_local3):
            block.norm.weight.fill_(0.7)
    return model, settings


@pytest.mark.parametrize("grey", [False, True])
def test_each_clip_is_seen_through_one_channel_or_its_brightness(grey):
    clips = pixels(b=40)
    seen, found = one_channel(clips, rng(), grey=grey), set()
    for clip, one in zip(clips, seen, strict=True):
        luma = sum(share * clip[:, c].double() for c, share in enumerate(LUMA)).round()
        choices = [*clip.unbind(1), luma.to(torch.uint8)]
        (choice,) = [
            i for i, channel in enumerate(choices) if (one.double() - channel[:, None]).abs().max() <= (i == 3)
        ]
        assert torch.equal(one[:, 0], one[:, 1]) and torch.equal(one[:, 0], one[:, 2])
        found.add(choice)
    assert found == ({0, 1, 2, 3} if grey else {0, 1, 2})


def test_erasing_blanks_one_rectangle_at_one_place_of_a_clip():
    clips = pixels(b=40)
    gone = erased(clips, 1.0, rng())
    for clip, one in zip(clips, gone, strict=True):
        blank = (one == torch.tensor(MEAN_COLOUR).view(3, 1, 1)).all(dim=1)  # (t h w)
        changed = (one != clip).any(dim=1)
        rows, columns = blank.all(dim=0).any(dim=1).nonzero(), blank.all(dim=0).any(dim=0).nonzero()
        inside = blank[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert bool(inside.all()) and int(changed.sum()) <= inside.numel()
        assert 0.8 * AREA[0] <= inside[0].numel() / (64 * 32) <= 1.1 * AREA[1]
        assert not bool((changed & ~blank).any())


def test_about_the_share_is_erased_and_none_at_0():
    clips = pixels(b=200)
    assert torch.equal(erased(clips, 0.0, rng()), clips)
    some = (erased(clips, 0.5, rng()) != clips).flatten(1).any(dim=1).float().mean()
    assert 0.4 < float(some) < 0.6


def test_the_dot_product_block_equals_the_literal_loop_and_starts_as_nothing():
    torch.manual_seed(0)
    block, maps = DotProduct(8, inner=1).eval(), torch.randn(3, 8, 4, 2)
    with torch.no_grad():
        assert torch.equal(block(maps, maps, maps), maps)
        block.norm.weight.fill_(0.7), block.norm.bias.fill_(0.1)
        for one, got in zip(maps, block(maps, maps, maps), strict=True):
            assert torch.allclose(got, oracle.dot_product(one, block), atol=1e-5)
            assert not torch.allclose(got, one, atol=1e-2)


def test_blocks_stand_behind_the_last_two_blocks_of_stage_2_and_three_of_stage_3():
    model, _ = opened("model.backbone=resnet34")
    model.eval()
    with torch.no_grad():
        x = torch.randn(2, 8, 16, 8, generator=torch.Generator().manual_seed(0))
        expected = model.encoder.layer1(x)
        for stage, blocks, n in (
            (model.encoder.layer2, model.non_local2, 2),
            (model.encoder.layer3, model.non_local3, 3),
        ):
            assert len(blocks) == n
            for block in stage[:-n]:
                expected = block(expected)
            for block, attend in zip(stage[-n:], blocks, strict=True):
                expected = block(expected)
                expected = attend(expected, expected, expected)
        assert torch.allclose(model.shared_maps(x, 1), model.encoder.layer4(expected), atol=1e-5)


def test_a_stage_with_fewer_blocks_has_one_behind_each():
    model, _ = made(*CAJL)  # ResNet-18
    assert (len(model.non_local2), len(model.non_local3)) == (2, 2)


def test_the_three_parts_are_varied_each_by_its_own_draw_and_follow_seed_and_iteration_alone():
    model, _ = made(*CAJL, "model.options={erase: 0.0}")

    def parts(step: int):
        return cajl.three_parts(PIXELS, model.settings, Draws(0, step).rng)

    visible, infrared = parts(5)
    draws = Draws(0, 5).rng
    exchanged, grey = one_channel(pixels(1), draws), one_channel(pixels(2), draws, grey=True)
    assert torch.equal(visible, normalise(torch.cat([pixels(1), exchanged]))) and torch.equal(infrared, normalise(grey))
    model.settings = model.settings.model_copy(update={"erase": 1.0})
    again = [parts(5) for _ in range(2)]
    assert torch.equal(again[0][0], again[1][0]) and torch.equal(again[0][1], again[1][1])
    assert not torch.equal(again[0][0], parts(6)[0])
    holes = (again[0][0] - visible).abs().amax(dim=(1, 2)) > 1e-3  # (2b h w)
    assert not torch.equal(holes[:4], holes[4:])  # a clip and its exchanged one


def test_the_terms_are_their_equations_over_three_parts():
    model, settings = opened("loss.triplet_weight=0.5", "model.options={gamma: 2.0}")
    (step,) = cajl.updates(model, settings, Due())
    forward = with_pixels(model)
    got = {name: float(term.detach()) for name, term in values(step, forward).items()}
    with torch.no_grad():
        visible, infrared = cajl.three_parts(PIXELS, model.settings, Draws(0, 0).rng)
        shallow = torch.cat([model.stem_visible(visible.flatten(0, 1)), model.stem_infrared(infrared.flatten(0, 1))])
        pooled = model.pooled(model.shared_maps(shallow, 2), 2)
        labels = torch.cat([LABELS, LABELS, LABELS])
        logits = model.classifier(model.neck(pooled))
        expected = {
            "identity": float(F.cross_entropy(logits, labels)),
            "squared_difference": float(squared_difference_loss(pooled, labels, gamma=2.0)),
        }
    assert got == {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}
    assert float(figures(step, forward)["identity_accuracy"]) == float((logits.argmax(1) == labels).float().mean())
    assert weights(step) == {"identity": 1.0, "squared_difference": 0.5}


def test_activations_made_again_give_the_same_gradients():
    def gradients(recompute: bool) -> list[torch.Tensor]:
        model, settings = opened()
        model.encoder.recompute = recompute
        (step,) = cajl.updates(model, settings, Due())
        sum(values(step, with_pixels(model)).values()).backward()
        return [p.grad for p in model.parameters() if p.requires_grad]

    kept, again = gradients(False), gradients(True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(kept, again, strict=True))


def test_one_update_moves_every_part():
    model, settings = opened()
    before, optimizer = parameters(model), torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    (step,) = cajl.updates(model, settings, Due())
    sum(values(step, with_pixels(model)).values()).backward()
    optimizer.step()
    still = {n for n, p in model.named_parameters() if p.requires_grad and torch.equal(p, before[n])}
    assert {name.split(".", 1)[1] for name in still} <= {f"{i}.phi.bias" for i in range(2)} | {
        f"{i}.g.bias" for i in range(2)
    }
    assert {name.split(".")[0] for name in still} <= {"non_local2", "non_local3"}
    assert set(step.trains) == {name.split(".")[0] for name in before}


def test_non_local_blocks_train_at_the_rate_of_the_heads():
    model, settings = made(*CAJL, "train.rates={backbone: 0.1}")
    slow, fast = make_optimizer(model, settings).param_groups
    own = {id(p) for p in (*model.non_local2.parameters(), *model.non_local3.parameters())}
    assert own <= {id(p) for p in fast["params"]} and slow["factor"] == 0.1


def test_flipped_the_embedding_is_the_mean_with_the_mirrored_clip_and_says_so():
    model, settings = opened("model.options={flip: true}")
    plain, _ = opened()
    model.eval(), plain.eval()
    with torch.no_grad():
        for network in (model, plain):
            network.neck.running_mean.fill_(0.5)
        both = [plain.vectors(plain.maps_to_pool(c, "visible"), 2)[0] for c in (clips(2), clips(2).flip(-1))]
        found = model.embed(clips(2), "visible")
        assert torch.allclose(found, F.normalize((both[0] + both[1]) / 2, dim=1), atol=1e-5)
        assert torch.allclose(found, model.embed(clips(2).flip(-1), "visible"), atol=1e-5)
        assert not torch.allclose(found, plain.embed(clips(2), "visible"), atol=1e-3)
    assert Embedder(model, settings, device="cpu").facts()["test_time_extras"] == ["mean with the mirrored clip"]
    assert Embedder(plain, settings, device="cpu").facts()["test_time_extras"] == []


def test_the_embedding_does_not_depend_on_the_batch():
    assert alone_as_in_a_batch(opened("model.options={flip: true}")[0])


@pytest.mark.parametrize("flip", [False, True])
def test_an_exported_network_says_too_that_clips_are_mirrored(tmp_path, flip):
    model, settings = opened(f"model.options={{flip: {str(flip).lower()}}}")
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir(), out.mkdir()
    (run / "VERSION").write_text(LAYOUT_VERSION + "\n")
    write_model(run / "model.safetensors", model, {"settings": settings.model_dump(mode="json"), "n_pids": 5})
    export = export_run(run, out, "torch", "fp32", None)
    save_export(out, export.model_copy(update={"verified": True}))
    said = ["mean with the mirrored clip"] if flip else []
    assert load_embedder(out, device="cpu").facts()["test_time_extras"] == said
    assert load_embedder(run, device="cpu").facts()["test_time_extras"] == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{erase: 1.5}", r"model\.options erase must be less than or equal to 1; got 1\.5"),
        ("{gamma: 0.0}", r"model\.options gamma must be greater than 0; got 0\.0"),
        ("{eras: 0.5}", r"model\.options eras: model\.name cajl has .*; did you mean erase\?"),
        ("{flip: 1}", r"model\.options flip must be a valid boolean; got 1"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        made(*CAJL, f"model.options={options}")


@pytest.mark.slow
def test_an_export_gives_the_vectors_of_torch_the_mirrored_clip_included():
    assert least_cosine(*opened("model.options={flip: true}"), "infrared") >= 0.9999


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    tree = Tree(tmp_path / "tree", people={"train": range(1, 5), "test": (8, 9)}, lengths=(12,), size=(96, 48)).write()
    assert differing([*SHORT, "model.name=cajl", *CAJL[1:]], tree, tmp_path, at=3) == []


@pytest.mark.slow
def test_it_learns_four_people(tmp_path, tmp_path_factory):
    longer = ["train.steps_per_epoch=90", "train.checkpoint_every=90", "model.options={erase: 0.0}"]
    assert overfit(CAJL[0], tmp_path_factory, tmp_path / "run", *CAJL[1:], *longer) >= 0.9

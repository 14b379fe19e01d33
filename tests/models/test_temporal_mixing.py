import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.embedding.cost import count_parameters
from duskmatch.models import SelfAttackDefense
from duskmatch.training.trainer import make_optimizer
from tests.oracle import losses as oracle
from tests.training.test_options import chosen

T = 2


def build(*, opened: bool = True, **options: object) -> SelfAttackDefense:
    torch.manual_seed(0)
    settings = SelfAttackSettings(backbone="resnet18", width=0.125, **{"temporal_mixing": True, **options})
    model = SelfAttackDefense(5, settings).eval()
    if opened and model.temporal_mixing is not None:
        with torch.no_grad():
            model.temporal_mixing.norm.weight.fill_(0.7)
            model.temporal_mixing.norm.running_mean.fill_(0.1)
    return model


def clips(b: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(b, T, 3, 96, 48, generator=torch.Generator().manual_seed(seed))


def test_stage_4_sees_the_literal_loop_over_all_frames():
    model = build()
    with torch.no_grad():
        shallow = model.shallow(clips(1), clips(1, seed=1))
        third = model.defense_encoder.to_stage3(shallow)
        tall = third[:T].permute(1, 0, 2, 3).flatten(1, 2)  # one clip's frames below each other: (d3, t*h, w)
        expected = oracle.non_local(tall, tall, tall, model.temporal_mixing)
        expected = expected.unflatten(1, (T, -1)).transpose(0, 1)  # (t d3 h w)
        got = model.shared_maps(shallow, T)
        assert torch.allclose(got.maps3[:T], expected, atol=1e-4)
        assert not torch.allclose(got.maps3[:T], third[:T], atol=1e-2)
        assert torch.allclose(got.maps[:T], model.defense_encoder.stage4(expected), atol=1e-4)


def test_it_starts_as_the_network_without_it():
    model, without = build(opened=False), build(temporal_mixing=False)
    shared = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("temporal_mixing.")}
    assert shared.keys() == without.state_dict().keys()
    assert all(torch.equal(shared[name], tensor) for name, tensor in without.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model.embed(clips(), "visible"), without.embed(clips(), "visible"))


def test_a_frame_reaches_its_own_clip_and_no_other():
    model = build()
    with torch.no_grad():
        shallow = model.shallow(clips(), clips(seed=1))  # clips of two frames: 0 1, 2 3, 4 5, 6 7
        before = model.shared_maps(shallow, T).maps
        shallow[3] += 1
        moved = (model.shared_maps(shallow, T).maps - before).abs().amax(dim=(1, 2, 3))
    assert bool((moved[2:4] > 1e-5).all()) and bool((moved[[0, 1, 4, 5, 6, 7]] == 0).all())


@pytest.mark.parametrize("embedding", ["sequence", "defense", "both"])
def test_it_takes_part_in_every_embedding_of_the_defense_encoder_clip_by_clip(embedding):
    model = build(embedding=embedding)
    with torch.no_grad():
        together = model.embed(clips(3), "infrared")
        alone = torch.cat([model.embed(clip[None], "infrared") for clip in clips(3)])
        assert torch.allclose(together, alone, atol=1e-6)
        model.temporal_mixing.norm.weight.zero_()
        model.temporal_mixing.norm.running_mean.zero_()
        assert not torch.allclose(together, model.embed(clips(3), "infrared"), atol=1e-4)


@pytest.mark.parametrize(("embedding", "counted"), [("sequence", True), ("both", True), ("attack", False)])
def test_its_parameters_are_counted_where_the_embedding_uses_them(embedding, counted):
    own = sum(p.numel() for p in build().temporal_mixing.parameters())
    with_it, without = (count_parameters(build(embedding=embedding, temporal_mixing=on)) for on in (True, False))
    assert with_it["training"] - without["training"] == own
    assert with_it["test"] - without["test"] == (own if counted else 0)


def test_it_is_no_part_of_the_loaded_backbone():
    model = build()
    groups = make_optimizer(model, chosen("train.rates={backbone: 0.1}")).param_groups
    own = {id(p) for p in model.temporal_mixing.parameters()}
    assert own <= {id(p) for p in groups[1]["params"]} and groups[1]["factor"] == 1

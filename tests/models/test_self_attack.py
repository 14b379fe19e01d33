import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.errors import SettingsError
from duskmatch.models import SelfAttackDefense
from duskmatch.models.pooling import pool_clip
from duskmatch.models.self_attack import DefenseMaps, other_modality


def build(**options) -> SelfAttackDefense:
    torch.manual_seed(0)
    return SelfAttackDefense(5, SelfAttackSettings(backbone="resnet18", width=0.125, **options))


def clips(b: int = 2, t: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(b, t, 3, 96, 48, generator=torch.Generator().manual_seed(seed))


def opened(model: SelfAttackDefense) -> SelfAttackDefense:
    with torch.no_grad():
        for block in (model.cross_attention3.block, model.cross_attention4.block):
            block.norm.weight.fill_(0.5)
    return model


def test_shapes_of_every_feature():
    model = build()
    shallow = model.shallow(clips(), clips(seed=1))
    assert shallow.shape == (12, 8, 24, 12)
    maps = model.shared_maps(shallow, 2)
    assert maps.maps3.shape == (12, 32, 6, 3) and maps.maps.shape == (12, 64, 6, 3)
    assert model.attack_embedding(shallow, 3).shape == (4, 64)
    assert model.defense_embedding(maps, 3).embedding.shape == (4, 64)
    assert model.sequence_embedding(maps.maps, 3).shape == (4, 6 * 64)


def test_stems_are_not_shared_and_stages_are():
    model = build()
    assert model.stem_visible.conv1.weight.data_ptr() != model.stem_infrared.conv1.weight.data_ptr()
    a, b = clips(), clips(seed=1)
    both = model.shallow(a, b)
    assert torch.equal(both[:6], model.eval().train().stem_visible(a.flatten(0, 1)))
    assert torch.equal(both[6:], model.stem_infrared(b.flatten(0, 1)))


def test_defense_embedding_is_equation_7_and_8_row_by_row():
    model = opened(build()).eval()
    n_frames = 3
    with torch.no_grad():
        maps = model.shared_maps(model.shallow(clips(), clips(seed=1)), 3)
        got = model.defense_embedding(maps, n_frames)
        half = len(maps.maps) // 2
        fused = []
        for i in range(len(maps.maps)):
            partner = i + half if i < half else i - half
            own3, other3 = maps.maps3[i : i + 1], maps.maps3[partner : partner + 1]
            own, other = maps.maps[i : i + 1], maps.maps[partner : partner + 1]
            first = model.defense_encoder.layer4(model.cross_attention3(own3, other3, 1))
            fused.append((first + model.cross_attention4(own, other, 1)) / 2)
        pooled = torch.stack(
            [torch.cat(fused)[i : i + n_frames].mean(dim=(0, 2, 3)) for i in range(0, 2 * half, n_frames)]
        )
        assert torch.allclose(got.pooled, pooled, atol=1e-5)
        assert torch.allclose(got.embedding, model.defense_neck(pooled), atol=1e-5)


def test_the_partner_of_a_clip_is_the_same_row_of_the_other_modality():
    stack = torch.arange(6.0).reshape(6, 1, 1, 1)
    assert other_modality(stack).flatten().tolist() == [3, 4, 5, 0, 1, 2]
    assert pool_clip(stack, 3).flatten().tolist() == [1, 4]


@pytest.mark.parametrize("embedding", ["sequence", "defense", "both", "attack"])
def test_an_embedding_does_not_depend_on_what_shares_its_batch(embedding):
    model = opened(build(embedding=embedding)).eval()
    with torch.no_grad():
        together = model.embed(clips(4), "infrared")
        alone = torch.cat([model.embed(clip[None], "infrared") for clip in clips(4)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.allclose(together.norm(dim=1), torch.ones(4))


def test_embedding_widths_follow_the_choice():
    assert build(embedding="auto").eval().embed(clips(1), "visible").shape == (1, 6 * 64)
    assert build(sequence="none").eval().embed(clips(1), "visible").shape == (1, 64)
    assert build(embedding="both").eval().embed(clips(1), "visible").shape == (1, 7 * 64)


def test_the_two_modalities_use_their_own_stem():
    model = build().eval()
    with torch.no_grad():
        assert torch.equal(model.embed(clips(1), "visible"), model.embed(clips(1), "infrared"))  # they start alike
        model.stem_infrared.conv1.weight.mul_(-1)
        assert not torch.allclose(model.embed(clips(1), "visible"), model.embed(clips(1), "infrared"))


def test_test_time_pairing_can_be_skipped():
    x = clips(1)
    with torch.no_grad():
        with_self = opened(build(sequence="none")).eval().embed(x, "visible")
        skipped = opened(build(sequence="none", test_pairing="skip")).eval().embed(x, "visible")
    assert not torch.allclose(with_self, skipped, atol=1e-4)


def test_rows_of_table_1_have_only_their_own_parts():
    baseline = dict(build(attack=False, defense=False, sequence="none").named_children())
    assert set(baseline) == {"stem_visible", "stem_infrared", "defense_encoder", "defense_neck", "defense_classifier"}
    assert {"self_attention", "attack_encoder"} <= set(dict(build(defense=False, sequence="none").named_children()))
    assert build(sequence="no_spatial").guidance.spatial_lstm is None
    assert build(sequence="temporal").guidance.highlight_maps is None


def test_each_modality_can_have_its_own_self_attention():
    model = build(attention_shared=False)
    assert len(model.self_attention) == 2
    assert model.attack_embedding(model.shallow(clips(), clips(seed=1)), 3).shape == (4, 64)


def test_self_pairing_is_each_clip_with_itself():
    model = opened(build()).eval()
    maps = model.shared_maps(model.shallow(clips(), clips(seed=1)), 3)
    doubled = DefenseMaps(torch.cat([maps.maps3[:6]] * 2), torch.cat([maps.maps[:6]] * 2))
    crossed = model.defense_embedding(doubled, 3, "cross").embedding[:2]
    assert torch.allclose(model.defense_embedding(maps, 3, "self").embedding[:2], crossed, atol=1e-5)


def test_paper_size_is_about_130_million_parameters():
    with torch.device("meta"):
        model = SelfAttackDefense(500, SelfAttackSettings())
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert model.channels == 2048
    assert 120 < millions < 140


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence": "none", "embedding": "sequence"}, "model.embedding sequence needs the sequence part"),
        ({"attack": False, "embedding": "attack"}, "model.embedding attack needs the attack part"),
    ],
)
def test_an_embedding_of_a_missing_part_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        build(**options)


def test_both_stems_and_both_encoders_start_alike_and_share_nothing():
    model = build()
    for a, b in ((model.stem_visible, model.stem_infrared), (model.defense_encoder, model.attack_encoder)):
        for x, y in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(x, y) and x.data_ptr() != y.data_ptr()

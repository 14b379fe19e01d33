import pytest
import torch

from duskmatch.config import SelfAttackSettings
from duskmatch.models.attention import CrossModalityCrossAttention, IntraModalitySelfAttention, NonLocal
from tests.oracle import losses as oracle


def opened(block: NonLocal) -> NonLocal:
    """The block with a branch that is not closed."""
    with torch.no_grad():
        block.norm.weight.fill_(0.7)
        block.norm.running_mean.fill_(0.1)
    return block.eval()


def maps(n: int, seed: int, c: int = 6) -> torch.Tensor:
    return torch.randn(n, c, 3, 2, generator=torch.Generator().manual_seed(seed))


def test_block_equals_the_literal_loop():
    torch.manual_seed(0)
    block = opened(NonLocal(6))
    a, b, trunk = maps(1, 0), maps(1, 1), maps(1, 2)
    with torch.no_grad():
        expected = oracle.non_local(a[0], b[0], trunk[0], block)
        assert torch.allclose(block(a, b, trunk)[0], expected, atol=1e-5)


def test_it_starts_as_the_identity():
    x = maps(2, 0)
    assert torch.equal(IntraModalitySelfAttention(6, SelfAttackSettings())(x), x)


def test_imsa_sees_each_frame_for_itself():
    imsa = IntraModalitySelfAttention(6, SelfAttackSettings())
    opened(imsa.block)
    x = maps(3, 0)
    with torch.no_grad():
        assert torch.allclose(imsa(x)[1], imsa(x[1:2])[0], atol=1e-6)


@pytest.mark.parametrize("query", ["own", "other"])
def test_cmca_keeps_its_own_residual_and_reads_the_other(query):
    cmca = CrossModalityCrossAttention(6, SelfAttackSettings(cross_query=query))
    opened(cmca.block)
    own, other = maps(2, 0), maps(2, 1)
    with torch.no_grad():
        got = cmca(own, other, 1)
        asking, source = (own, other) if query == "own" else (other, own)
        assert torch.allclose(got[0], oracle.non_local(asking[0], source[0], own[0], cmca.block), atol=1e-5)


def test_temporal_attention_reads_all_frames_of_its_clip_and_no_other_clip():
    cmca = CrossModalityCrossAttention(6, SelfAttackSettings(cross_temporal=True))
    opened(cmca.block)
    own, other = maps(6, 0), maps(6, 1)  # two clips of three frames
    with torch.no_grad():
        whole = cmca(own, other, 3)
        assert torch.allclose(whole[:3], cmca(own[:3], other[:3], 3), atol=1e-6)
        changed = other.clone()
        changed[2] += 1  # the last frame of the first clip
        moved = (cmca(own, changed, 3) - whole).abs().amax(dim=(1, 2, 3))
    assert bool((moved[:3] > 1e-4).all()) and bool((moved[3:] == 0).all())


def test_temporal_attention_over_one_map_joined_from_frames_is_the_literal_loop():
    cmca = CrossModalityCrossAttention(6, SelfAttackSettings(cross_temporal=True))
    opened(cmca.block)
    own, other = maps(2, 0), maps(2, 1)  # one clip of two frames, 3 x 2 each: the same as one map of 6 x 2
    tall_own, tall_other = torch.cat([own[0], own[1]], dim=1), torch.cat([other[0], other[1]], dim=1)
    with torch.no_grad():
        got = cmca(own, other, 2)
        expected = oracle.non_local(tall_own, tall_other, tall_own, cmca.block)
    assert torch.allclose(torch.cat([got[0], got[1]], dim=1), expected, atol=1e-5)


def test_pooled_keys_are_a_quarter():
    block = NonLocal(8, pool_keys=True)
    x = torch.randn(1, 8, 4, 4)
    assert block(x, x, x).shape == x.shape
    assert block.pool(block.phi(x)).shape[-2:] == (2, 2)


def test_branch_ratio_is_zero_at_the_start_and_grows_when_opened():
    block = NonLocal(6).train()
    x = maps(2, 0)
    block(x, x, x)
    assert float(block.branch_ratio) == 0
    with torch.no_grad():
        block.norm.weight.fill_(1.0)
    block(x, x, x)
    assert float(block.branch_ratio) > 0.1

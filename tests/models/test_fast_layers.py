"""The CPU's faster layers against torch's own: the same numbers and gradients; torch's own where they do not apply."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from duskmatch import machine_code
from duskmatch.machine import numerics
from duskmatch.models import fast_layers
from duskmatch.models.efficientnet import EPSILON, LiteStages, LiteStem
from duskmatch.models.fast_layers import Norm, convolved


def maps(n: int, c: int, h: int, w: int, *, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    x = scale * torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


COMPILED = fast_layers.compiled


@pytest.fixture(params=["machine code", "python"], autouse=True)
def way(request, monkeypatch):
    """The kernels as numba compiles them, and as the Python that they are written in; on one thread."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    if request.param == "python":
        monkeypatch.setattr(fast_layers, "compiled", lambda: {f.__name__: f for f in fast_layers.KERNELS})
    else:
        assert fast_layers.compiled() is not None, "dev installs numba"


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp_min(1e-12))


@pytest.mark.parametrize("clips", [True, False])
def test_normalisation_and_its_gradients(clips):
    x, norm = maps(3, 40, 5, 4, scale=3.0), Norm(40, epsilon=EPSILON, clips=clips)
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1)), nn.init.normal_(norm.bias, std=2.0)
    plain = nn.BatchNorm2d(40, eps=EPSILON)
    plain.load_state_dict(norm.state_dict())
    flow = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))

    found = norm(x)
    assert type(found.grad_fn).__name__ == "NormaliseRowsBackward"
    twin = x.detach().double().requires_grad_()
    expected = plain.double()(twin)
    expected = F.relu6(expected) if clips else expected
    assert torch.allclose(found.double(), expected, atol=1e-5)
    grads = torch.autograd.grad(found, [x, norm.weight, norm.bias], flow)
    for own, theirs in zip(
        grads, torch.autograd.grad(expected, [twin, plain.weight, plain.bias], flow.double()), strict=True
    ):
        assert relative(own.double(), theirs) < 1e-5
    assert torch.allclose(norm.running_mean.double(), plain.running_mean, atol=1e-6)
    assert torch.allclose(norm.running_var.double(), plain.running_var, rtol=1e-4)
    assert int(norm.num_batches_tracked) == 1


def test_a_normalisation_without_momentum_keeps_its_statistics():
    norm = Norm(16, epsilon=EPSILON, clips=True)
    norm.momentum = 0.0  # the loop's way of letting only an iteration's first forward move them
    norm(maps(2, 16, 3, 3))
    assert torch.equal(norm.running_mean, torch.zeros(16)) and torch.equal(norm.running_var, torch.ones(16))


def test_what_is_no_number_stays_so():
    x = maps(2, 16, 3, 3).detach().clone(memory_format=torch.preserve_format)
    x[0, 3, 1, 1] = torch.nan
    out = Norm(16, epsilon=EPSILON, clips=True)(x.requires_grad_())
    assert out[:, 3].isnan().all() and not out[:, :3].isnan().any()


@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 0)])
def test_a_depthwise_convolutions_weights(stride, padding):
    x = maps(2, 24, 7, 6)
    convolution = nn.Conv2d(24, 24, 5, stride, padding, groups=24, bias=False)
    found = convolved(convolution, x)
    assert type(found.grad_fn).__name__ == "ConvolveBackward"
    expected = convolution(x)
    assert torch.equal(found, expected)
    flow = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    grads = torch.autograd.grad(found, [x, convolution.weight], flow)
    for own, theirs in zip(grads, torch.autograd.grad(expected, [x, convolution.weight], flow), strict=True):
        assert own.shape == theirs.shape and relative(own, theirs) < 1e-5


def test_a_pointwise_convolutions_weights():
    x = maps(2, 96, 4, 3)
    convolution = nn.Conv2d(96, 112, 1, bias=False)
    found, expected = convolved(convolution, x), convolution(x)
    assert type(found.grad_fn).__name__ == "ConvolveBackward"
    flow = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    grads = torch.autograd.grad(found, [x, convolution.weight], flow)
    for own, theirs in zip(grads, torch.autograd.grad(expected, [x, convolution.weight], flow), strict=True):
        assert relative(own, theirs) < 1e-5


def test_torchs_own_layers_run_where_the_kernels_do_not_apply(monkeypatch):
    norm, convolution = Norm(16, epsilon=EPSILON, clips=True), nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False)
    x = maps(2, 16, 5, 4)

    def names(x: torch.Tensor) -> set[str]:
        return {type(layer.grad_fn).__name__ for layer in (norm(x), convolved(convolution, x))}

    assert names(x) == {"NormaliseRowsBackward", "ConvolveBackward"}
    assert names(x.contiguous()) == {"HardtanhBackward0", "ConvolutionBackward0"}  # another layout
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "NormaliseRowsBackward" not in names(x)
    norm.eval()
    assert norm(x).grad_fn is not None and type(norm(x).grad_fn).__name__ == "HardtanhBackward0"
    norm.train()
    with monkeypatch.context() as many:
        many.setattr(torch, "get_num_threads", lambda: 16)
        assert names(x) == {"HardtanhBackward0", "ConvolutionBackward0"}
    monkeypatch.setattr(fast_layers, "compiled", lambda: None)  # no numba
    assert names(x) == {"HardtanhBackward0", "ConvolutionBackward0"}


def test_a_whole_networks_gradients_are_torchs(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(LiteStem(0.25), LiteStages(0.25, 1, 64)).to(memory_format=torch.channels_last)
    pictures = torch.randn(6, 3, 64, 32)
    flow = torch.randn(6, 64, 4, 2)

    def gradients() -> tuple[torch.Tensor, torch.Tensor]:
        network.zero_grad()
        out = network(pictures)
        (out * flow).sum().backward()
        return out.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])

    out, found = gradients()
    monkeypatch.setattr(fast_layers, "compiled", lambda: None)
    expected_out, expected = gradients()
    assert relative(out, expected_out) < 1e-4
    assert F.cosine_similarity(found, expected, dim=0) > 0.9999
    assert relative(found, expected) < 1e-2


def test_switched_off_by_the_variable(monkeypatch):
    monkeypatch.setattr(fast_layers, "compiled", COMPILED.__wrapped__)  # it reads the variable once in a process
    monkeypatch.setenv(machine_code.VARIABLE, "off")
    assert fast_layers.state() == numerics(fast_layers.state())["kernels"] == "off"
    monkeypatch.setenv(machine_code.VARIABLE, "on")
    assert fast_layers.state() == numerics(fast_layers.state())["kernels"] != "off"


def test_kernels_that_cannot_be_compiled_are_not_said_to_run(monkeypatch):
    monkeypatch.setattr(fast_layers, "compiled", lambda: None)  # numba is installed, and broken
    assert fast_layers.state() == "off"

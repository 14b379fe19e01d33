"""A projection of the embedding to fewer numbers, learned from training people: the last layer of a compacted RUN.

    y = W (x - mean of x's modality), scaled to length 1,    W = V B U

| symbol | is |
|---|---|
| U (r d) | the first principal axes of the embeddings about their modality's mean; L their variances |
| S (r r) | covariance, along these axes, of the embeddings about their person's mean |
| B (r r) | (S + RIDGE x its mean variance)^(-POWER / 2): what differs within a person weighs less |
| V (k r) | the principal axes of what B makes of them, the largest eigenvalues of B L B first |

The first rows of W alone are the projection to a smaller width. Source: within-class covariance normalisation (Hatch et
al. 2006), which has POWER 1 and no V; Differs: docs/compact.md says why POWER and RIDGE are what they are.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from duskmatch.config import Settings, dump_settings
from duskmatch.embedding.exported import is_exported
from duskmatch.embedding.run import LAYOUT_VERSION, load_model, read_run
from duskmatch.errors import CheckpointError, DataError, SettingsError
from duskmatch.files import file_hash, write_bytes, write_text
from duskmatch.models import Network
from duskmatch.models.compaction import Compaction
from duskmatch.records import MODALITIES, Embeddings, Floats, Ints, Modality
from duskmatch.weights import model_bytes

POWER, RIDGE, REDUCED = 0.5, 0.1, 1024  # REDUCED: r, or the width where that is more
METHOD = f"principal axes after within-person whitening (power {POWER:g}, ridge {RIDGE:g}, {REDUCED} axes)"
NOISE = 1e-7  # of the sum of squares: rounding of fp32 sums
KEPT = ("VERSION", "log.csv", "curves.png", "health.json")  # what training left that stays true of a compacted RUN


@dataclass(frozen=True, slots=True)
class Projection:
    """W (k d), the mean of each modality (2 d), and how many rows of W were learned; further ones are random axes."""

    weight: Floats
    means: Floats
    n_learned: int

    @property
    def width(self) -> int:
        return len(self.weight)

    def narrowed(self, width: int) -> Projection:
        """The projection to a smaller width."""
        return Projection(self.weight[:width], self.means, min(self.n_learned, width))

    def __call__(self, embeddings: Embeddings) -> Embeddings:
        """The embeddings as the last layer of a compacted RUN projects them."""
        projected = (embeddings.vectors - self.means[modality_rows(embeddings.modalities)]) @ self.weight.T
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return replace(embeddings, vectors=projected / np.maximum(lengths, 1e-12))


def modality_rows(modalities: Sequence[Modality]) -> Ints:
    """The index of each one in MODALITIES."""
    return np.array([MODALITIES.index(modality) for modality in modalities], np.int64)


class Axes(NamedTuple):
    """L (r) and U (r d), each person's mean about their modality's (p d) and number of embeddings (p), and the means.

    The means are of the modalities (2 d).
    """

    variances: Tensor
    axes: Tensor
    people: Tensor
    numbers: Tensor
    means: Tensor


class Scatter:
    """Sums over training embeddings, added block by block, from which the projection follows.

    Of n embeddings of width d at most min(n, d) x d numbers are kept, the embeddings or the sums of the products of
    their numbers, and a sum for each person and modality.
    """

    def __init__(self, n: int, width: int) -> None:
        self.rows = torch.empty(n, width) if n <= width else None
        self.products = torch.zeros(width, width) if n > width else None
        self.sums: dict[tuple[int, int], Tensor] = {}  # of each person and modality, fp64
        self.owners: list[tuple[int, int]] = []
        self.squares = 0.0

    def add(self, vectors: Floats, pids: Ints, modalities: Sequence[Modality]) -> None:
        """Adds a block of embeddings."""
        block = torch.from_numpy(np.ascontiguousarray(vectors))
        owners = list(zip(pids.tolist(), modality_rows(modalities).tolist(), strict=True))
        if self.rows is not None:
            self.rows[len(self.owners) : len(self.owners) + len(block)] = block
        if self.products is not None:
            self.products.addmm_(block.T, block)
        for owner, vector in zip(owners, block.double(), strict=True):
            self.sums[owner] = self.sums.get(owner, 0) + vector
        self.squares += float(block.square().sum())
        self.owners += owners

    @property
    def counts(self) -> Tensor:
        """The number of embeddings of each modality."""
        return torch.bincount(torch.tensor([m for _, m in self.owners], dtype=torch.int64), minlength=len(MODALITIES))

    def means(self) -> Tensor:
        """The mean of each modality, fp64."""
        for modality, count in zip(MODALITIES, self.counts.tolist(), strict=True):
            if not count:
                raise DataError(f"training people must be seen in both modalities; no {modality} tracklet was embedded")
        which = range(len(MODALITIES))
        sums = [torch.stack([v for (_, m), v in self.sums.items() if m == i]).sum(dim=0) for i in which]
        return torch.stack(sums) / self.counts[:, None]

    def people(self) -> tuple[Tensor, Tensor]:
        """The mean of each person's embeddings about their modality's mean (p d), and how many there are (p)."""
        means, counts = self.means(), Counter(self.owners)
        of_person: dict[int, list[tuple[Tensor, int]]] = {}
        for (pid, modality), total in self.sums.items():
            n = counts[pid, modality]
            of_person.setdefault(pid, []).append((total - n * means[modality], n))
        numbers = torch.tensor([sum(n for _, n in parts) for parts in of_person.values()], dtype=torch.float64)
        sums = torch.stack([torch.stack([total for total, _ in parts]).sum(dim=0) for parts in of_person.values()])
        return sums / numbers[:, None], numbers

    def principal_axes(self, most: int) -> tuple[Tensor, Tensor]:
        """L and U: variances (r) and axes (r d) of the embeddings about their modality's mean, the largest first.

        There are `most` of them, or fewer where the others are rounding. Ends the use of this object but for its
        means: the sums of products are overwritten.
        """
        means, n, least = self.means().float(), len(self.owners), NOISE * self.squares
        if self.rows is not None:
            rows = self.rows[:n].sub_(means[[m for _, m in self.owners]])
            found, vectors = largest(rows @ rows.T, most, least)
            return found / n, torch.nn.functional.normalize(vectors.T @ rows, dim=1)
        assert self.products is not None
        scaled = means * self.counts[:, None].sqrt()
        found, vectors = largest(self.products.addmm_(scaled.T, scaled, alpha=-1), most, least)
        return found / n, vectors.T.contiguous()


def largest(matrix: Tensor, most: int, least: float) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues, up to `most` of them above `least`, and their vectors as columns.

    The matrix is overwritten.
    """
    from scipy.linalg import eigh

    n = len(matrix)
    span = (max(0, n - most), n - 1)
    # the transposed view has the memory order that LAPACK overwrites without a copy
    values, vectors = eigh(matrix.numpy().T, subset_by_index=span, overwrite_a=True, check_finite=False)
    kept = values[::-1] > least
    return torch.from_numpy(values[::-1][kept].copy()), torch.from_numpy(vectors[:, ::-1][:, kept].copy())


def learn(scatter: Scatter, width: int) -> Projection:
    """The projection to `width` numbers; axes that the training people do not determine are drawn at random."""
    return within_person(found_axes(scatter, max(width, REDUCED)), width)


def found_axes(scatter: Scatter, most: int) -> Axes:
    """What `within_person` needs; ends the use of the scatter."""
    people, numbers = scatter.people()
    variances, axes = scatter.principal_axes(most)
    if not len(axes):
        raise DataError("the embeddings of training people are all equal; take a RUN that was trained longer")
    return Axes(variances, axes, people, numbers, scatter.means())


def within_person(found: Axes, width: int, power: float = POWER, ridge: float = RIDGE) -> Projection:
    """The projection whose B has this power and ridge."""
    n_learned, missing = len(found.axes), max(0, width - len(found.axes))
    axes = completed(found.axes, width).double()
    along = torch.nn.functional.pad(found.variances, (0, missing)).double().diag()  # L
    centres = found.people @ axes.T  # (p r)
    within = along - (centres.T * found.numbers) @ centres / found.numbers.sum()  # S
    whitening = inverse_power(within, power, ridge)
    turned = torch.linalg.eigh(whitening @ along @ whitening).eigenvectors.flip(1)[:, :width]
    weight = turned.T @ whitening @ axes
    return Projection(weight.float().numpy(), found.means.float().numpy(), min(n_learned, width))


def inverse_power(within: Tensor, power: float, ridge: float) -> Tensor:
    """B: (S + ridge x its mean variance)^(-power / 2)."""
    values, vectors = torch.linalg.eigh(within)
    values = values.clamp_min(1e-12)  # none differ within a person: rounding can be below 0
    return (vectors * (values + ridge * values.mean()) ** (-power / 2)) @ vectors.T  # type: ignore[no-any-return]


def completed(axes: Tensor, width: int) -> Tensor:
    """The axes and, up to `width`, random ones at right angles to them and to each other."""
    n, d = axes.shape
    if n >= width:
        return axes
    drawn = torch.randn(d, width - n, generator=torch.Generator().manual_seed(0))
    return torch.cat([axes, torch.linalg.qr(torch.cat([axes.T, drawn], dim=1)).Q[:, n:].T])


def check_whole(run: Path) -> None:
    """Refuses what cannot be compacted: an exported folder, and a RUN that is compacted already."""
    if is_exported(run):
        raise CheckpointError(f"{run} must be a RUN; it is an exported folder; compact its RUN and export that")
    settings, _ = read_run(run)
    if settings.model.compact_width is not None:
        raise CheckpointError(
            f"{run} is compacted already, to {settings.model.compact_width} numbers; compact the RUN it was made of"
        )


def check_width(width: int, full: int) -> None:
    """Refuses a width that is no shortening."""
    if not 1 <= width < full:
        raise SettingsError(f"--width must be from 1 to {full - 1}, below the {full} of the RUN; got {width}")


def write_compacted(run: Path, out: Path, projection: Projection, facts: dict[str, Any]) -> None:
    """A RUN that ends in the projection, in the folder `out`; `facts` of its making go into the header."""
    model, settings, header = load_model(run)
    compacted = with_width(settings, projection.width)
    model.compact(projection.width)
    fill(model, projection)
    source = {"sha256": file_hash(run / "model.safetensors"), "width": model.embedding_width}
    made = {**header, "settings": compacted.model_dump(mode="json"), "compacted": {"from": source, **facts}}
    for name in KEPT:
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    write_text(out / "VERSION", LAYOUT_VERSION + "\n")
    write_text(out / "settings.yaml", dump_settings(compacted))
    write_bytes(out / "model.safetensors", model_bytes(model, made))


def fill(model: Network, projection: Projection) -> None:
    layer = model.compaction
    assert isinstance(layer, Compaction)
    layer.weight.data.copy_(torch.from_numpy(projection.weight))
    layer.mean_visible.copy_(torch.from_numpy(projection.means[MODALITIES.index("visible")]))
    layer.mean_infrared.copy_(torch.from_numpy(projection.means[MODALITIES.index("infrared")]))


def with_width(settings: Settings, width: int) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"compact_width": width})})

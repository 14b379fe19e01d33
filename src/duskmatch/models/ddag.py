"""DDAG: dynamic dual-attentive aggregation, among the parts of a person and among the clips of a batch.

| DDAG | here |
|---|---|
| IWPA, intra-modality weighted-part aggregation | `PartAggregation`, `part_attention` |
| its batch normalisation | `part_neck` |
| CGSA, cross-modality graph structured attention | `graph_heads`, `graph_out`, on `GraphAttention` |
| A_g | `neighbours` |
| w_g, the dynamic weight of the graph's loss | `graph_weight` |

Source: Ye et al. 2020, "Dynamic Dual-Attentive Aggregation Learning for Visible-Infrared Person Re-Identification";
public code mangye16/DDAG.
Differs: clips instead of pictures. Parts are averaged over a clip's frames before they attend to each other, and a
node of the graph is a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from duskmatch.config import Count, PooledSettings, Settings
from duskmatch.losses import cross_entropy, in_fp32
from duskmatch.models.common_losses import CommonLosses, Outputs
from duskmatch.models.frames import IDENTITY_ACCURACY, FrameNetwork
from duskmatch.models.gauges import branch_over_trunk
from duskmatch.models.method import ALONE, AllProcesses, Draws, Figure, Forward, SubStep, Term
from duskmatch.models.network import Due, LastMaps, Vectors, every_part, neck
from duskmatch.models.parts import part_pool

L_P = ("identity", "triplet", "part_identity")
N_HEADS = 4
DROPOUT = 0.2


class DDAGSettings(PooledSettings):
    n_parts: Count = 3


class PartAggregation(nn.Module):
    """IWPA: attention among a person's parts, whose results are summed with learned weights."""

    def __init__(self, channels: int, n_parts: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.gate = nn.Parameter(torch.full((n_parts,), 1 / n_parts))
        self.branch_ratio: Tensor | None = None  # relative to the vector that it is added to, in training

    @in_fp32
    def forward(self, parts: Float[Tensor, "b k d"]) -> Float[Tensor, "b d"]:
        weights = (self.query(parts) @ self.key(parts).transpose(1, 2)).softmax(dim=2)  # (b k k), row: the query
        mixed: Tensor = weights @ self.value(parts)
        return (self.gate.softmax(dim=0)[:, None] * mixed).sum(dim=1)


class GraphAttention(nn.Module):
    """One head, (n d) -> (n out): the mean of each node's neighbours, weighted by attention.

    Source: Velickovic et al. 2018, "Graph Attention Networks", Eqs. 1 to 4.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.transform = nn.Linear(channels, out, bias=False)
        self.asking, self.asked = nn.Linear(out, 1, bias=False), nn.Linear(out, 1, bias=False)  # the halves of a

    def forward(
        self,
        nodes: Float[Tensor, "n d"],
        neighbours: Bool[Tensor, "n n"],  # row i: the neighbours of node i, at least one
        dropout: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "n out"]:
        """`dropout` is applied to the weights."""
        h = self.transform(nodes)
        scores = F.leaky_relu(self.asking(h) + self.asked(h).T, 0.2)  # (n n): a . [h_i, h_j]
        weights = scores.float().masked_fill(~neighbours, -float("inf")).softmax(dim=1)
        return dropout(weights).to(h.dtype) @ h  # type: ignore[no-any-return]


class Attended(NamedTuple):
    """A clip's vector before its normalisation, after it, and after the parts were added."""

    pooled: Float[Tensor, "b d"]
    embedding: Float[Tensor, "b d"]
    with_parts: Float[Tensor, "b d"]


class DualAttentiveAggregation(FrameNetwork):
    """IWPA in training and at test, CGSA in training only.

    The embedding is the vector with parts. The losses of the last epoch, for w_g, are buffers, so that a resumed run
    has them.
    """

    logged = (*L_P, "graph", "graph_weight", "identity_accuracy", "part_attention_ratio")
    embedding = "part-attended"
    neck_depth = 2
    epoch: Tensor
    loss_sum: Tensor
    n_losses: Tensor
    previous_loss: Tensor

    def __init__(self, n_pids: int, settings: DDAGSettings) -> None:
        super().__init__(n_pids, settings)
        d, n_parts = self.channels, settings.n_parts
        self.n_parts = n_parts
        self.part_attention, self.part_neck = PartAggregation(d, n_parts), neck(d)
        self.graph_heads = nn.ModuleList(GraphAttention(d, d // N_HEADS) for _ in range(N_HEADS))
        self.graph_out = GraphAttention(d // N_HEADS * N_HEADS, n_pids)
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("n_losses", torch.zeros((), dtype=torch.int64))
        self.register_buffer("loss_sum", torch.zeros(()))
        self.register_buffer("previous_loss", torch.zeros(()))

    @property
    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifier", "graph_")

    def attended(self, maps: Float[Tensor, "n d h w"], n_frames: int) -> Attended:
        """The clip's vector, without and with the attention of its parts."""
        pooled = self.pooled(maps, n_frames)
        embedding = self.neck(pooled)
        parts = part_pool(maps, self.n_parts, n_frames, self.power).mean(dim=1)  # (b k d)
        attended = self.part_attention(parts)
        if self.training:
            self.part_attention.branch_ratio = branch_over_trunk(attended, embedding)
        return Attended(pooled, embedding, self.part_neck(embedding + attended))

    def vectors(self, maps: LastMaps, n_frames: int) -> Vectors:
        return [self.attended(maps[0], n_frames).with_parts]

    @in_fp32
    def graph_logits(
        self, pooled: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], dropout: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "n n_pids"]:
        """CGSA: each clip's identity logits, from its neighbours in both modalities."""
        near = neighbours(labels)
        nodes = dropout(pooled)
        nodes = dropout(torch.cat([F.elu(head(nodes, near, dropout)) for head in self.graph_heads], dim=1))
        return F.elu(self.graph_out(nodes, near, dropout))

    @torch.no_grad()
    def begin(self, due: Due) -> None:
        """At the start of an epoch the mean loss of the last one replaces `previous_loss`."""
        if due.epoch != int(self.epoch):
            self.previous_loss.copy_(self.loss_sum / self.n_losses.clamp_min(1))
            self.loss_sum.zero_(), self.n_losses.zero_(), self.epoch.fill_(due.epoch)

    @property
    def graph_weight(self) -> float:
        """w_g = 1 / (1 + the mean loss of the epoch before), 0 in the first one."""
        return 1 / (1 + float(self.previous_loss)) if int(self.epoch) else 0.0

    @torch.no_grad()
    def remember(self, loss: float) -> None:
        """Adds an iteration's loss to this epoch's mean."""
        self.loss_sum.add_(loss), self.n_losses.add_(1)


def neighbours(labels: Int64[Tensor, " n"]) -> Bool[Tensor, "n n"]:
    """A_g: True for clips of the same person, each clip itself included.

    Differs: rows are not scaled to length 1, as the graph's attention only tests whether an entry is above 0.
    """
    return labels[:, None] == labels[None, :]


@dataclass(frozen=True)
class Aggregated(Outputs):
    """The outputs with the logits of the vectors with parts, and of the graph."""

    part_logits: Float[Tensor, "n n_pids"]
    graph_logits: Float[Tensor, "n n_pids"]


def outputs(model: DualAttentiveAggregation, settings: Settings, due: Due, forward: Forward[Tensor]) -> Aggregated:
    """The outputs of IWPA and CGSA for a batch."""
    dropout = partial(Draws(settings.seed, due.step).dropout, share=DROPOUT)
    found, labels = model.attended(forward.maps, forward.n_frames), forward.both_labels
    part_logits = model.classifier(found.with_parts)
    graph_logits = model.graph_logits(found.pooled, labels, dropout)
    logits = model.classifier(found.embedding)
    return Aggregated(found.pooled, found.embedding, logits, labels, part_logits, graph_logits)


def updates(
    model: DualAttentiveAggregation, settings: Settings, due: Due, processes: AllProcesses = ALONE
) -> list[SubStep]:
    """One update of all parameters: L_P, the loss of the clips, + w_g L_g, the loss of the graph.

    w_g is computed from L_P. Differs: with several processes it is computed from the mean over all of them, so that
    all take the same step.
    """
    loss, losses = settings.loss, CommonLosses(settings.loss, processes)
    graph_weight = loss.weights.get("graph", model.graph_weight)

    def remember(weighted: Mapping[str, float]) -> None:
        model.remember(processes.mean_of(sum(weighted[name] for name in L_P)))

    terms = (
        Term("identity", 1.0, losses.identity),
        Term("triplet", loss.triplet_weight, losses.triplet),
        Term[Aggregated]("part_identity", 1.0, lambda x: losses.cross_entropy(x.part_logits, x.labels)),
        Term[Aggregated]("graph", graph_weight, lambda x: cross_entropy(x.graph_logits, x.labels)),
    )
    weight = Figure[Aggregated]("graph_weight", lambda _: torch.tensor(graph_weight))
    compute = partial(outputs, model, settings, due)
    return [SubStep("main", every_part(model), compute, terms, (IDENTITY_ACCURACY, weight), remember)]

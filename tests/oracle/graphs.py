"""DDAG's attention among parts and among clips, as literal loops over them; layers are torch's."""

import math

import torch
from torch import Tensor, nn


def softmax(values: list[float]) -> list[float]:
    shares = [math.exp(value - max(values)) for value in values]
    return [share / sum(shares) for share in shares]


def parts(parts: Tensor, block: nn.Module) -> Tensor:
    """IWPA of one clip: parts (k d) -> (d)."""
    mixed = torch.zeros_like(parts)
    for i in range(len(parts)):
        weights = softmax([float(block.query(parts[i]) @ block.key(other)) for other in parts])
        for j, weight in enumerate(weights):
            mixed[i] += weight * block.value(parts[j])
    gate = softmax(block.gate.tolist())
    return sum(share * row for share, row in zip(gate, mixed, strict=True))


def attention(nodes: Tensor, labels: Tensor, layer: nn.Module) -> Tensor:
    """One head over (n d): each node hears the nodes of its label, itself among them."""
    h = [layer.transform(node) for node in nodes]
    heard = []
    for i in range(len(h)):
        near = [j for j in range(len(h)) if labels[j] == labels[i]]
        scores = [float(layer.asking.weight[0] @ h[i] + layer.asked.weight[0] @ h[j]) for j in near]
        weights = softmax([score if score > 0 else 0.2 * score for score in scores])
        heard.append(sum(weight * h[j] for weight, j in zip(weights, near, strict=True)))
    return torch.stack(heard)

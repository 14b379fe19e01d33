"""The paper's losses as literal loops over clips and people: slow, and as printed."""

import math

import torch
from torch import Tensor


def log_softmax(row: Tensor) -> list[float]:
    values = [float(v) for v in row]
    top = max(values)
    total = math.log(sum(math.exp(v - top) for v in values)) + top
    return [v - total for v in values]


def eq3(logits_visible: Tensor, logits_infrared: Tensor) -> float:
    half, n_pids = logits_visible.shape
    total = 0.0
    for i in range(half):
        for logits in (logits_visible, logits_infrared):
            total += sum(log_p / n_pids for log_p in log_softmax(logits[i]))
    return -(2 / (2 * half)) * total


def eq5(logits_visible: Tensor, logits_infrared: Tensor, labels: Tensor) -> float:
    half = len(labels)
    total = 0.0
    for i in range(half):
        for logits in (logits_visible, logits_infrared):
            total += log_softmax(logits[i])[int(labels[i])]
    return -(2 / (2 * half)) * total


def eq5_smoothed(logits_visible: Tensor, logits_infrared: Tensor, labels: Tensor, smoothing: float) -> float:
    half, n_pids = logits_visible.shape
    total = 0.0
    for i in range(half):
        for logits in (logits_visible, logits_infrared):
            for pid, log_p in enumerate(log_softmax(logits[i])):
                share = smoothing / n_pids + (1 - smoothing if pid == int(labels[i]) else 0.0)
                total += share * log_p
    return -(2 / (2 * half)) * total


def eq10(embeddings: Tensor, labels: Tensor, margin: float, form: str) -> float:
    def dist(a: Tensor, b: Tensor) -> float:
        squared = sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))
        return {"squared": squared, "euclidean": math.sqrt(squared), "squared_over_d": squared / len(a)}[form]

    total = 0.0
    for a in range(len(labels)):
        positives = [
            dist(embeddings[a], embeddings[j]) for j in range(len(labels)) if j != a and labels[j] == labels[a]
        ]
        negatives = [dist(embeddings[a], embeddings[j]) for j in range(len(labels)) if labels[j] != labels[a]]
        total += max(0.0, max(positives) - min(negatives) + margin)
    return total / len(labels)


def contrastive(visible: Tensor, infrared: Tensor, labels: Tensor, temperature: float) -> float:
    """Each clip against all of the other modality, one positive after the other."""

    def cosine(a: Tensor, b: Tensor) -> float:
        x, y = a.tolist(), b.tolist()
        return sum(p * q for p, q in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)

    total = 0.0
    for asking, asked in ((visible, infrared), (infrared, visible)):
        for i in range(len(labels)):
            shares = [math.exp(cosine(asking[i], other) / temperature) for other in asked]
            positives = [j for j in range(len(labels)) if labels[j] == labels[i]]
            for j in positives:
                total -= math.log(shares[j] / sum(shares)) / len(positives) / len(labels) / 2
    return total


def non_local(x: Tensor, y: Tensor, trunk: Tensor, block: torch.nn.Module) -> Tensor:
    """trunk + W softmax(theta(x) phi(y)^T) g(y), position by position, for one picture (c h w) in evaluation mode."""
    _, h, w = trunk.shape
    theta, phi, g = (
        conv(z[None])[0].reshape(-1, h * w) for conv, z in ((block.theta, x), (block.phi, y), (block.g, y))
    )
    mixed = torch.zeros_like(theta)
    for i in range(h * w):
        weights = [math.exp(float((theta[:, i] * phi[:, j]).sum())) for j in range(h * w)]
        for j in range(h * w):
            mixed[:, i] += weights[j] / sum(weights) * g[:, j]
    return trunk + block.norm(block.out(mixed.reshape(1, -1, h, w)))[0]


def dot_product(x: Tensor, block: torch.nn.Module) -> Tensor:
    """x + W (theta(x) phi(x)^T / N) g(x), pair of positions by pair, for one picture (c h w) in evaluation mode."""
    _, h, w = x.shape
    theta, phi, g = (conv(x[None])[0].reshape(-1, h * w) for conv in (block.theta, block.phi, block.g))
    mixed = torch.zeros_like(theta)
    for i in range(h * w):
        for j in range(h * w):
            mixed[:, i] += float((theta[:, i] * phi[:, j]).sum()) / (h * w) * g[:, j]
    return x + block.norm(block.out(mixed.reshape(1, -1, h, w)))[0]

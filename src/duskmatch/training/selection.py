"""Choice of the final weights: the last, or the best on validation people; never on test people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from duskmatch.config import Settings
from duskmatch.data import Dataset
from duskmatch.embedding import Embedder
from duskmatch.embedding.cost import evaluating
from duskmatch.errors import SettingsError
from duskmatch.evaluation import evaluate_dataset
from duskmatch.models import Network
from duskmatch.records import DIRECTIONS, Embeddings, Scores, Tracklet
from duskmatch.training.checkpoint import write_model


class Selection:
    """Evaluates validation people every few epochs and keeps the weights with the best mean mAP of both directions."""

    def __init__(
        self,
        model: Network,
        settings: Settings,
        dataset: Dataset,
        run: Path,
        *,
        best: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.settings, self.dataset, self.run = model, settings, dataset, run
        self.active = settings.train.selection == "validation"
        self.best = best
        modalities = {tracklet.modality for tracklet in dataset.validation}
        if self.active and len(modalities) < 2:
            raise SettingsError(
                f"train.selection validation needs validation people and {dataset.root} has none "
                f"{'in both modalities' if modalities else 'at all'}; add some or set train.selection last"
            )

    def due(self, epochs_done: int, *, last: bool) -> bool:
        return self.active and (last or epochs_done % self.settings.train.validate_every == 0)

    def evaluate(self, step: int, header: dict[str, Any]) -> dict[str, float]:
        """Both directions' mean rank-1 and mAP; the weights are saved if the mAP is the best so far."""
        device, on_bad_frame = str(next(self.model.parameters()).device), self.settings.data.on_bad_frame
        with evaluating(self.model):
            embedder = Embedder(self.model, self.settings, device=device, on_bad_frame=on_bad_frame)
            found = validation_scores(embedder.embed, self.settings, self.dataset)
        rank1, mean_ap = fmean(s.rank1 for s in found), fmean(s.mean_average_precision for s in found)
        if self.best is None or mean_ap > self.best["mAP"]:
            self.best = {"step": step, "mAP": mean_ap, "rank1": rank1}
            write_model(self.run / "best.safetensors", self.model, header)
        return {"validation_rank1": rank1, "validation_mAP": mean_ap}


def validation_scores(
    embed: Callable[[list[Tracklet]], Embeddings], settings: Settings, dataset: Dataset
) -> list[Scores]:
    """Both directions among validation people, by the data set's protocol; test people are never read."""
    pairs = tuple(pair for pair in dataset.protocol.pairs if pair.name in DIRECTIONS)
    limited = replace(dataset, protocol=replace(dataset.protocol, pairs=pairs))
    rule = settings.evaluate.camera_rule
    scores = evaluate_dataset(embed, limited, split="validation", camera_rule=rule).scores
    return [scores[direction] for direction in DIRECTIONS]

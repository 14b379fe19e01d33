"""Health of the learned parts: a message as soon as one is dead, and RUN/health.json at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from duskmatch import health
from duskmatch.config import Settings
from duskmatch.data import Dataset
from duskmatch.embedding.knockouts import embed_without
from duskmatch.embedding.run import load_model
from duskmatch.errors import DataError, EvaluationError
from duskmatch.files import write_json
from duskmatch.health import Health, KnockOut, Validation
from duskmatch.models import Network
from duskmatch.records import Embeddings, Tracklet
from duskmatch.training.monitor import read_log
from duskmatch.training.selection import validation_scores


class DeathWatch:
    """Reports each part once, as soon as the log shows that it is dead; `named` is kept in the checkpoint."""

    def __init__(self, columns: Collection[str], *, warmup: float, rows: health.Rows = (), named: list[str]) -> None:
        self.warmup, self.named = warmup, named
        checks = [check for check in health.checks_of(columns) if check.state == "dead"]
        self.read = {check: health.readings(check, rows, warmup=warmup) for check in checks}

    def update(self, row: Mapping[str, float]) -> list[str]:
        """A message for each part that is dead from this row on."""
        messages = []
        for check, found in self.read.items():
            found += health.readings(check, [row], warmup=self.warmup)
            if check.part in self.named or len(found) < health.LEAST_ROWS:
                continue
            one = health.judged(check, found)
            if one.state == "dead":
                self.named.append(check.part)
                messages.append(health.death_message(one))
        return messages


def write_health(
    run: Path, network: Network, dataset: Dataset, *, warmup: float, device: torch.device
) -> dict[str, Any]:
    """RUN/health.json: the verdicts over log.csv, and the mAP on validation people without each part."""
    validation, not_measured, checkpoint = knocked_out(run, dataset, device)
    document = Health(
        schema_version=health.SCHEMA_VERSION,
        checkpoint=checkpoint,
        parts=health.verdicts(read_log(run / "log.csv"), network.logged, warmup=warmup),
        validation=validation,
        not_measured=not_measured,
    ).model_dump(mode="json")
    write_json(run / health.FILE, document)
    return document


def knocked_out(run: Path, dataset: Dataset, device: torch.device) -> tuple[Validation | None, str | None, str]:
    """mAP on validation people with and without each part, or the reason why it is not measured; and the checkpoint."""
    model, settings, header = load_model(run)
    checkpoint = str(header["checkpoint"])
    if not model.knock_outs():
        return None, f"the embedding ({model.embedding}) uses no part that could be fixed", checkpoint
    if len({tracklet.modality for tracklet in dataset.validation}) < 2:
        return None, "the data set has no validation people in both modalities", checkpoint
    try:
        return measured(model, settings, dataset, device), None, checkpoint
    except (DataError, EvaluationError) as error:  # the run itself is complete
        return None, str(error), checkpoint


def measured(model: Network, settings: Settings, dataset: Dataset, device: torch.device) -> Validation:
    """mAP on validation people with and without each part; each tracklet is read once."""
    known: dict[str, Embeddings] = {}

    def embed(tracklets: list[Tracklet]) -> Embeddings:
        whole, without = embed_without(
            model, settings, tracklets, device=device, on_bad_frame=settings.data.on_bad_frame
        )
        known.update(without)
        people.update(whole.pids.tolist())
        return whole

    people: set[int] = set()
    base = validation_map(embed, settings, dataset)
    without = {part: validation_map(partial(_as_given, one), settings, dataset) for part, one in known.items()}
    return Validation(
        n_people=len(people),
        embedding=model.embedding,
        mAP=base,
        without=[KnockOut(part=part, mAP=value, difference=value - base) for part, value in without.items()],
    )


def _as_given(embeddings: Embeddings, _: list[Tracklet]) -> Embeddings:
    return embeddings


def validation_map(embed: Callable[[list[Tracklet]], Embeddings], settings: Settings, dataset: Dataset) -> float:
    """mAP on validation people, the mean of both directions."""
    return fmean(scores.mean_average_precision for scores in validation_scores(embed, settings, dataset))

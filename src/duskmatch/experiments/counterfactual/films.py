"""Films: the first test people of a Duskwalk set on the same walks, with one factor changed by some steps.

DIR/films/view-2/ is a Duskwalk set of its own, complete once its duskwalk.json exists. Its film.json, written after
that, keeps the facts that are needed after its pictures have been deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duskmatch.data import Dataset, open_dataset
from duskmatch.embedding.embedder import Progress
from duskmatch.errors import OutputError
from duskmatch.evaluation.document import Part
from duskmatch.files import refusal, write_json
from duskmatch.pictures.thumbnails import middle_frame
from duskmatch.records import MODALITIES, Modality, Tracklet
from duskmatch.synthetic import PRESETS, generate


@dataclass(frozen=True, slots=True)
class Cast:
    """The filmed people, and everything else that determines the pictures of severity 0."""

    preset: str
    seed: int
    twins: str | None
    n_people: int
    size: tuple[int, int]

    def generate_options(self, **changes: Any) -> dict[str, Any]:
        """The arguments of `generate` that film these people; duskwalk.json records the same keys."""
        who = {"preset": self.preset, "seed": self.seed, "twins": self.twins, "test_people": self.n_people}
        return {**who, "size": list(self.size), **changes}


@dataclass(frozen=True, slots=True)
class Take:
    """One factor at one severity."""

    factor: str
    severity: int

    def __str__(self) -> str:
        return f"{self.factor}-{self.severity}"


class FilmRecord(Part):
    """film.json. `pictures`: False once they are deleted; `samples`: the picture of each modality that is kept."""

    fingerprint: str
    n_tracks: int
    n_frames: int
    pictures: bool
    samples: dict[Modality, str]


class FilmStore:
    """The films in a folder; each is generated once."""

    def __init__(self, folder: Path, cast: Cast, n_processes: int | None = None) -> None:
        self.folder, self.cast, self.n_processes = folder, cast, n_processes

    def place(self, take: Take) -> Path:
        return self.folder / str(take)

    def check(self, take: Take) -> None:
        """Refuses a folder that holds a film of other people or of another change."""
        place = self.place(take)
        if not (place / "duskwalk.json").is_file():
            return
        version = PRESETS[self.cast.preset].version
        wanted = self.cast.generate_options(vary=take.factor, severity=take.severity, data_version=version)
        found = _facts(place)
        wrong = next((key for key, value in wanted.items() if found.get(key, "nothing") != value), None)
        if wrong:
            reason = f"{wrong} must be {wanted[wrong]}; got {found.get(wrong, 'nothing')}"
            raise OutputError(f"{place / 'duskwalk.json'}: {reason}; pass --overwrite or choose another DIR")

    def record(self, take: Take) -> FilmRecord | None:
        """film.json of a complete film, with or without its pictures; None if there is none."""
        try:
            return FilmRecord.model_validate_json((self.place(take) / "film.json").read_bytes())
        except (OSError, ValueError):
            return None

    def with_pictures(self, take: Take, on_progress: Progress | None = None) -> Dataset:
        """The film with its pictures, generated if it or its pictures are missing."""
        place, record = self.place(take), self.record(take)
        if (place / "duskwalk.json").is_file() and (record is None or record.pictures):
            dataset = open_dataset(place)
            if record is None or dataset.fingerprint == record.fingerprint:
                return self._write_record(take, dataset)
        generate(
            place,
            **self.cast.generate_options(vary=take.factor, severity=take.severity),
            n_processes=self.n_processes,
            overwrite=True,
            on_progress=on_progress,
        )
        return self._write_record(take, open_dataset(place))

    def discard(self, take: Take) -> None:
        """Deletes all pictures but one of each modality, after noting so in film.json."""
        place, record = self.place(take), self.record(take)
        if record is None:
            return
        if record.pictures:
            write_json(place / "film.json", record.model_copy(update={"pictures": False}).model_dump(mode="json"))
        kept = {place / sample for sample in record.samples.values()}
        try:
            for picture in place.glob("*/*/*/*.jpg"):
                if picture not in kept:
                    picture.unlink()
        except OSError as error:
            raise refusal(place, error) from error

    def sample(self, take: Take, modality: Modality) -> Path:
        """A picture of this modality, which shows the same moment of the same walk in every film."""
        record = self.record(take)
        return self.place(take) / (record.samples.get(modality, "") if record else "")

    def _write_record(self, take: Take, dataset: Dataset) -> Dataset:
        samples = {m: str(path.relative_to(dataset.root)) for m, path in sample_frames(dataset.test).items()}
        record = FilmRecord(
            fingerprint=dataset.fingerprint,
            n_tracks=len(dataset.test),
            n_frames=sum(map(len, dataset.test)),
            pictures=True,
            samples=samples,
        )
        write_json(self.place(take) / "film.json", record.model_dump(mode="json"))
        return dataset


def sample_frames(tracklets: list[Tracklet]) -> dict[Modality, Path]:
    """The middle frame of the first track of each modality."""
    first: dict[Modality, Path] = {}
    for tracklet in tracklets:
        first.setdefault(tracklet.modality, middle_frame(tracklet))
    return {modality: first[modality] for modality in MODALITIES if modality in first}


def _facts(place: Path) -> dict[str, Any]:
    try:
        facts = json.loads((place / "duskwalk.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}

"""The gallery as users see it: a store on the disk that lasts, and an index in memory that is searched."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from duskmatch.errors import DuskmatchError, GalleryError
from duskmatch.gallery.adding import Circumstances, batch_of
from duskmatch.gallery.asking import Question, check_numbers
from duskmatch.gallery.copies import backup, copy, restore
from duskmatch.gallery.current import AnyIndex, CurrentIndex
from duskmatch.gallery.linking.decisions import Decision
from duskmatch.gallery.linking.linked import Linked
from duskmatch.gallery.linking.people import Person
from duskmatch.gallery.linking.relink import LinkRun
from duskmatch.gallery.own import without_own
from duskmatch.gallery.person import embeddings_of, export_person
from duskmatch.gallery.probability.calibrated import Calibrated, CurrentCalibration
from duskmatch.gallery.probability.calibrated import replace as keep
from duskmatch.gallery.probability.population import persons, sizes
from duskmatch.gallery.retention import seen_before
from duskmatch.gallery.search.facts import Filter
from duskmatch.gallery.stats import Stats, stats
from duskmatch.gallery.store.entries import Clock, Entry
from duskmatch.gallery.store.making import GalleryStore, create
from duskmatch.gallery.store.model import check_comparable, check_model
from duskmatch.gallery.store.reading import SharedFacts, Snapshot, read_facts
from duskmatch.gallery.store.store import SqliteStore
from duskmatch.gallery.store.writing import OnDuplicate
from duskmatch.gallery.verify import Verdict, verify
from duskmatch.gallery.watch import Watch
from duskmatch.records import CameraRule, Embeddings, Ints, Modality

if TYPE_CHECKING:
    import apsw

    from duskmatch.embedding import Embedder
    from duskmatch.evaluation.grouping import GroupingScores
    from duskmatch.gallery.probability.answers import Threshold
    from duskmatch.gallery.reembed import Reembedded
    from duskmatch.gallery.search.search import Found


@dataclass(frozen=True, slots=True)
class Hits:
    """For each query its nearest entries, best first: ids (q k) of text, similarity (q k); "" and NaN at the end.

    probability (q k): the chance that the entry is the query's person, given its similarity and before other hits are
    looked at; NaN if the gallery is not calibrated. thresholds: those that a rate of false alarms has set.
    """

    ids: npt.NDArray[np.object_]
    similarity: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    thresholds: tuple[Threshold, ...] = ()


class Gallery:
    """People in a folder on this machine, searched exactly; a context manager.

    Threads may share one, any number of processes may open the same folder. What another process adds or deletes is in
    the next search. Every method raises GalleryError or OutputError where the gallery or its disk refuses.
    """

    def __init__(self, store: GalleryStore) -> None:
        self._store = store
        self._current = CurrentIndex(_index)
        self._linked = Linked(store)
        self._calibration = CurrentCalibration()
        self._watch: Watch | None = None

    @classmethod
    def create(
        cls, folder: str | Path, *, width: int, model: str | None = None, normalisation: str = "unit"
    ) -> Gallery:
        """A new gallery for vectors of `width` numbers, of the model of the first that are added unless one is named.

        normalisation: "unit" takes vectors of length 1 alone, "none" any; then similarity is the dot product.
        """
        create(Path(folder), width, model=model, normalisation=normalisation)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Gallery:
        """A gallery that is there; erasure that was pending is finished."""
        return cls(SqliteStore(Path(folder)))

    def add(
        self,
        embeddings: Embeddings,
        *,
        namespace: str = "",
        origin: str | Sequence[str] = "",
        clock: Clock = "unix",
        notes: Sequence[str] = (),
        thumbnails: Sequence[Sequence[bytes]] = (),
        on_duplicate: OnDuplicate = "refuse",
    ) -> list[str]:
        """The id of each row, which is on the disk when this returns; a killed call adds all rows or none.

        The id is `namespace`/its name in `sources`, else its origin, else new. An id that is there with the same
        content is skipped; with other content it is refused, or `on_duplicate` "skip" or "replace".
        """
        model = check_comparable(embeddings, self.facts, "entries")
        given = Circumstances(namespace, origin, clock, notes, thumbnails)
        return self._store.add(batch_of(embeddings, given, model), on_duplicate)

    def search(
        self,
        queries: Embeddings,
        *,
        top: int = 50,
        modality: Modality | None = None,
        cameras: Collection[int] | None = None,
        between: tuple[float, float] | None = None,
        pids: Collection[int] | None = None,
        origin: str = "",
        prior: float | None = None,
        false_alarms: float | None = None,
    ) -> Hits:
        """The `top` most similar entries of each query, exactly; entries of the query's own tracklet are left out.

        between: seen at some time from the first to the second, Unix seconds; entries without such times are left out.
        origin: where the queries' tracklets lie, as it was given to `add`. In a calibrated gallery, prior: the chance
        that an entry is the query's person before looking, 1 / (people + 1) unless given; false_alarms: only hits so
        similar that somebody who is not in the gallery gets any with at most this chance.
        """
        from duskmatch.gallery.probability.answers import merged, probabilities, thresholds  # with torch

        wanted = Question(top, modality, cameras, between, pids, prior, false_alarms)
        with self._store.snapshot() as snapshot:
            check_comparable(queries, snapshot.facts, "queries")
            calibrated = self._calibrated(snapshot, wanted)
            index = self._up_to_date(snapshot)

            def hits(some: Filter) -> Found:
                allowed = index.allowed(some)

                def look(k: int, own: Sequence[set[int]]) -> Found:
                    return index.search(queries.vectors, k, snapshot.vectors, allowed=allowed, own=own)

                return without_own(look, queries, origin, snapshot, top)

            if calibrated is None:
                return _as_hits(hits(wanted.filter))
            if false_alarms is None:
                limits, found = [], hits(wanted.filter)
            else:
                sizes = _sizes(snapshot, index, wanted.filter)
                limits = thresholds(calibrated, sizes, queries.modalities, false_alarms)
                parts = {word: hits(replace(wanted.filter, modality=word)) for word in sizes}
                found = merged(parts, limits, queries.modalities, top)
            chance = prior or 1 / (1 + self._calibration.n_people(lambda: _n_people(snapshot, index)))
            return _as_hits(found, probabilities(calibrated, found, queries.modalities, snapshot, chance), limits)

    def calibrate(
        self,
        *labelled: Embeddings,
        names: Sequence[str] = (),
        camera_rule: CameraRule = "same-pid-same-camera",
    ) -> Calibrated:
        """Learns from labelled people what a similarity says; kept in the gallery in the place of what was there.

        The people must be others than those whom the model was trained on: nothing checks it here. Pids of one argument
        are other people than those of the next; `names` says what each is. Rows with pid -1 are left out.
        """
        from duskmatch.gallery.probability.fitting import fitted  # with scikit-learn

        model = self._check_labelled(labelled)
        given = list(names) or [f"labelled people {number}" for number, _ in enumerate(labelled, start=1)]
        if len(given) != len(labelled):
            raise GalleryError(f"names must be one for each of {len(labelled)} sets of people; got {len(given)}")
        calibrated = fitted(labelled, given, camera_rule, model)

        def change(db: apsw.Connection) -> None:
            check_model(model, read_facts(db).model, "labelled people")
            keep(db, calibrated)

        self._store.write(change)
        return calibrated

    def _check_labelled(self, labelled: Sequence[Embeddings]) -> str:
        """Their model, which is the gallery's."""
        facts = self.facts
        if facts.normalisation != "unit":
            raise GalleryError(
                f"a calibration needs similarities from -1 to 1; this gallery has normalisation {facts.normalisation}; "
                "make one with normalisation unit"
            )
        if facts.model is None:
            raise GalleryError(f"{self.folder} has no model yet; add entries first, or create it with --run")
        if not labelled:
            raise GalleryError("a calibration needs labelled people; got none; name some")
        for side in labelled:
            check_comparable(side, facts, "labelled people")
        return facts.model

    def calibration(self) -> Calibrated | None:
        """The calibration that the gallery keeps; None if it has none."""
        with self._store.snapshot() as snapshot:
            return self._calibration.at(snapshot)

    def _calibrated(self, snapshot: Snapshot, wanted: Question) -> Calibrated | None:
        """The calibration; GalleryError where the question needs one that is not there."""
        calibrated = self._calibration.at(snapshot)
        for name in ("prior", "false_alarms"):
            if calibrated is None and getattr(wanted, name) is not None:
                raise GalleryError(
                    f"{name} needs a calibration, which {self.folder} does not have; calibrate it with "
                    f"`duskmatch gallery calibrate {self.folder} --data DATASET --run RUN`"
                )
        return calibrated

    def ids(self) -> list[str]:
        """Every id, in the order they were added."""
        with self._store.snapshot() as snapshot:
            return snapshot.ids()

    def entries(self, ids: Iterable[str] | None = None) -> list[Entry]:
        """The entries with these ids, in their order, or all; GalleryError where one is not there."""
        with self._store.snapshot() as snapshot:
            return snapshot.entries(snapshot.rows() if ids is None else snapshot.rows_of(ids))

    def some_entries(self, limit: int, *, pid: int | None = None) -> list[Entry]:
        """The first `limit` entries in the order they were added, of one person where a pid is given."""
        check_numbers("pid", None if pid is None else [pid])
        with self._store.snapshot() as snapshot:
            rows = snapshot.rows() if pid is None else snapshot.rows("WHERE pid = ?", (pid,))
            return snapshot.entries(rows[:limit])

    def embeddings(self, ids: Iterable[str]) -> Embeddings:
        """The stored vectors of these entries, to search with: each entry's own is left out of its hits."""
        with self._store.snapshot() as snapshot:
            rows = snapshot.rows_of(ids)
            vectors, names = snapshot.vectors(np.array(rows, np.int64))
            return embeddings_of(snapshot.entries(rows), vectors, names)

    def delete(self, ids: Iterable[str] = (), *, pid: int | None = None) -> int:
        """Deletes the entries with these ids, and those of a person; their number.

        When it returns no search finds them and no file of the gallery holds their bytes. Raises ErasurePending where
        they are deleted but a reader keeps the bytes for now, GalleryError, with nothing deleted, for unknown ids.
        """
        chosen = ids if isinstance(ids, str) else list(ids)
        check_numbers("pid", None if pid is None else [pid])

        def rows(snapshot: Snapshot) -> list[int]:
            of_pid = [] if pid is None else snapshot.rows("WHERE pid = ?", (pid,))
            return sorted({*snapshot.rows_of(chosen), *of_pid})

        return self._store.delete(rows)

    def expire(self, older_than_s: float) -> int:
        """Deletes entries last seen longer ago, or, without a time of day, added longer ago; their number."""
        if not older_than_s >= 0:
            raise GalleryError(f"older_than_s must be 0 seconds or more; got {older_than_s!r}")
        before_s = time.time() - older_than_s
        return self._store.delete(lambda snapshot: seen_before(snapshot, before_s))

    def link(self, *, again: bool = False, prior: float | None = None, margin: float | None = None) -> LinkRun:
        """Links entries to people across cameras, day and night; see `linked.Linked` for this and what follows.

        New entries join people or found new ones; `again` links all anew, under every decision. prior: the probability
        that two people are the same one, 1 / (people + 1) unless given. margin: log-odds that a link has to reach.
        """
        return self._linked.run(again=again, prior=prior, margin=margin)

    def people(self, person: int | str | None = None) -> list[Person]:
        """The people that entries are linked to, with the reasons; one of them by number or name."""
        return self._linked.people(person)

    def score_people(self) -> GroupingScores:
        """How well people are linked, against the pids of entries that have one."""
        return self._linked.score()

    def linked_to(self, ids: Sequence[str]) -> list[tuple[int, str] | None]:
        """Of each entry the number and name of its person; None where it is not linked."""
        return self._linked.of(ids)

    def same(self, a: str, b: str) -> Decision:
        """Decides that two entries are the same person."""
        return self._linked.same(a, b)

    def different(self, a: str, b: str) -> Decision:
        """Decides that two entries are different people."""
        return self._linked.different(a, b)

    def split(self, person: int | str, ids: Sequence[str]) -> Decision:
        """Decides that these entries of a person are somebody else."""
        return self._linked.split(person, ids)

    def name(self, person: int | str, text: str) -> Decision:
        """Gives a person a name."""
        return self._linked.name(person, text)

    def undo(self) -> Decision:
        """Takes the last decision back."""
        return self._linked.undo()

    def verify(self) -> Verdict:
        """Checks that everything is as it was stored: `.whole`, `.problems` in words, `.n_entries`."""
        with self._store.long_snapshot() as snapshot:
            return verify(snapshot)

    def backup(self, file: str | Path, *, overwrite: bool = False) -> None:
        """Writes one moment of the gallery into one file; see `copies.backup`."""
        backup(self.folder, Path(file), overwrite=overwrite)

    def copy(self, target: str | Path) -> Gallery:
        """Another gallery of the same entries, opened; what was deleted from this one is not in it."""
        copy(self.folder, Path(target))
        return Gallery.open(target)

    @classmethod
    def restore(cls, folder: str | Path, file: str | Path) -> Gallery:
        """A new gallery out of a backup, every entry verified, opened."""
        restore(Path(folder), Path(file))
        return cls.open(folder)

    def export_person(self, pid: int, out: str | Path) -> int:
        """Writes everything held of one person into a new folder; the number of entries."""
        check_numbers("pid", [pid])
        with self._store.long_snapshot() as snapshot:
            return export_person(snapshot, pid, Path(out))

    def reembed(self, target: str | Path, embedder: Embedder) -> Reembedded:
        """A new gallery of another model's vectors, made from the pictures that are still there."""
        from duskmatch.gallery.reembed import reembed  # with torch

        with self._store.long_snapshot() as snapshot:
            return reembed(snapshot, Path(target), embedder)

    def stats(self) -> Stats:
        """The number of entries of each kind, when they were seen and what they take on the disk."""
        with self._store.long_snapshot() as snapshot:
            return stats(snapshot, self.folder)

    @property
    def folder(self) -> Path:
        return Path(self._store.name)

    @property
    def facts(self) -> SharedFacts:
        """Width, normalisation, model and what else all entries share."""
        with self._store.snapshot() as snapshot:
            return snapshot.facts

    def __len__(self) -> int:
        with self._store.snapshot() as snapshot:
            return len(snapshot)

    def catch_up(self) -> None:
        """Forgets what other processes have deleted, and finishes erasure that is pending where nobody prevents it."""
        with self._store.snapshot() as snapshot:
            self._current.at(snapshot)
        if snapshot.facts.erasure_pending:
            with suppress(DuskmatchError):
                self._store.erase(0, lock_wait_s=0)

    def close(self) -> None:
        if self._watch:
            self._watch.stop()
        self._store.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _up_to_date(self, snapshot: Snapshot) -> AnyIndex:
        index = self._current.at(snapshot)
        self._watch = self._watch or Watch(self)
        return index


def _as_hits(
    found: Found, probability: npt.NDArray[np.float64] | None = None, limits: Sequence[Threshold] = ()
) -> Hits:
    ids = np.empty(found.rows.shape, object)
    for i, line in enumerate(found.ids):
        ids[i] = line
    return Hits(
        ids, found.similarity, np.full(ids.shape, np.nan) if probability is None else probability, tuple(limits)
    )


def _sizes(snapshot: Snapshot, index: AnyIndex, some: Filter) -> dict[Modality, Ints]:
    """The number of entries of each person that a filter lets through, by modality."""
    rows, facts = index.kept(index.allowed(some))
    return sizes(persons(snapshot, rows, facts), facts)


def _n_people(snapshot: Snapshot, index: AnyIndex) -> int:
    return len(np.unique(persons(snapshot, *index.kept(None))))


def _index(width: int) -> AnyIndex:
    """The fast index; torch, which it needs, is loaded at the first search."""
    from duskmatch.gallery.search.index import Index

    return Index(width)

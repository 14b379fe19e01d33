"""Who is who in a gallery: runs of linking, people, and a person's decisions, each durable when it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from duskmatch.errors import GalleryError
from duskmatch.gallery.linking import decisions, people, relink
from duskmatch.gallery.linking.decisions import Decision
from duskmatch.gallery.linking.people import Person
from duskmatch.gallery.linking.ratio import ratio_of
from duskmatch.gallery.linking.relink import LinkRun
from duskmatch.gallery.store.making import GalleryStore
from duskmatch.gallery.store.reading import Snapshot

if TYPE_CHECKING:
    import apsw

    from duskmatch.evaluation.grouping import GroupingScores

TRIES = 3  # of a run, where others decide or link meanwhile


class Linked:
    """The people of a gallery's store; every method raises GalleryError where the gallery or a rule refuses."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store

    def run(self, *, again: bool, prior: float | None, margin: float | None) -> LinkRun:
        """Links entries to people. A run that is killed has changed nothing; others may search and add meanwhile."""
        for _ in range(TRIES):
            with self._store.snapshot() as snapshot:  # left before the work, which would keep others from erasing
                known = relink.read(snapshot, ratio_of(snapshot, self._store.name))
            made = relink.plan(known, again=again, prior=prior, margin=margin)
            if self._store.write(lambda db, made=made: relink.write(db, made)):  # type: ignore[misc]
                return made.run
        raise GalleryError(
            f"other processes decided or linked in {self._store.name} during each of {TRIES} runs, so nothing was "
            "written; link again when they are done"
        )

    def people(self, person: int | str | None) -> list[Person]:
        with self._store.snapshot() as snapshot:
            return people.people(snapshot, person)

    def of(self, ids: Sequence[str]) -> list[tuple[int, str] | None]:
        with self._store.snapshot() as snapshot:
            return people.linked(snapshot, snapshot.rows_of(ids))

    def score(self) -> GroupingScores:
        """How well the linked entries of known people (pid) are grouped; see `evaluation.grouping`."""
        from duskmatch.evaluation.grouping import score_grouping

        with self._store.snapshot() as snapshot:
            query = "SELECT members.person, entries.pid FROM members JOIN entries USING (row) ORDER BY row"
            lines: Any = snapshot.db.execute(query).fetchall()
        return score_grouping([person for person, _ in lines], [pid for _, pid in lines])

    def same(self, a: str, b: str) -> Decision:
        return self._decide(lambda db: decisions.same(db, a, b))

    def different(self, a: str, b: str) -> Decision:
        return self._decide(lambda db: decisions.different(db, a, b, lambda: ratio_of(Snapshot(db), self._store.name)))

    def split(self, person: int | str, ids: Sequence[str]) -> Decision:
        return self._decide(lambda db: decisions.split(db, person, ids))

    def name(self, person: int | str, text: str) -> Decision:
        return self._decide(lambda db: decisions.name(db, person, text))

    def undo(self) -> Decision:
        return self._decide(decisions.undo)

    def _decide(self, change: Callable[[apsw.Connection], Decision]) -> Decision:
        return self._store.write(change)

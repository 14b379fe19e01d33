"""People in a gallery: linked, kept, decided about, undone, deleted with every byte, and never half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duskmatch.errors import EvaluationError, GalleryError
from duskmatch.gallery import Gallery
from duskmatch.gallery.linking import people, relink
from duskmatch.gallery.linking.carry import carry
from duskmatch.gallery.store.store import SqliteStore
from tests.gallery.linking_cases import calibrate, calibration, entries, gallery_of, who
from tests.gallery.making import WIDTH, all_bytes

PEOPLE = [0, 0, 1, 1, 0, 2]  # a0 to a5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "people"


@pytest.fixture
def gallery(folder: Path) -> Gallery:
    return gallery_of(folder, PEOPLE)


@pytest.fixture
def linked(gallery: Gallery) -> Gallery:
    gallery.link()
    return gallery


def refused(change: Callable[[], object]) -> str:
    with pytest.raises(GalleryError) as error:
        change()
    return str(error.value)


def test_entries_are_linked_across_modalities(gallery: Gallery) -> None:
    run = gallery.link()
    assert who(gallery) == {1: ["a0", "a1", "a4"], 2: ["a2", "a3"], 3: ["a5"]}
    assert (run.people, run.entries, run.new_entries, run.new_people, run.again) == (3, 6, 6, 3, False)
    assert run.log_prior_odds == pytest.approx(-np.log(3))
    assert gallery.linked_to(["a4", "a5"]) == [(1, ""), (3, "")]
    assert gallery.verify().whole and gallery.score_people().f1 == 1


def test_each_link_has_its_reasons(linked: Gallery) -> None:
    (one,) = linked.people(1)
    places = {"a0": 0, "a1": 1, "a4": 2}
    vectors = linked.embeddings(list(places)).vectors.astype(float)
    ratios = 16 * (vectors @ vectors.T - 0.5) - np.log(3)
    for id, link in zip(one.ids, one.links, strict=True):
        others = {other: ratios[places[id], places[other]] for other in places if other != id}
        assert link.log_odds == pytest.approx(np.mean([*others.values()]), abs=1e-3)
        best, worst = max(others, key=lambda o: others[o]), min(others, key=lambda o: others[o])
        assert link.strongest == (best, pytest.approx(others[best], abs=1e-3))
        assert link.weakest == (worst, pytest.approx(others[worst], abs=1e-3))
        assert link.cameras == (1, 2) and link.decision is None
    (alone,) = linked.people(3)
    assert alone.links[0].log_odds is None and alone.links[0].strongest is None


def test_new_entries_join_people_or_found_new_ones_and_what_stands_stays(linked: Gallery) -> None:
    before = who(linked)
    linked.add(entries([1, 3, 0], ["b0", "b1", "b2"]))
    run = linked.link()
    assert (run.new_entries, run.new_people) == (3, 1)
    assert who(linked) == {1: [*before[1], "b2"], 2: [*before[2], "b0"], 3: before[3], 4: ["b1"]}
    assert linked.link().new_entries == 0


def test_two_people_who_stand_are_not_linked_but_a_run_again_links_them(folder: Path) -> None:
    gallery = gallery_of(folder, [0, 0])
    gallery.link(margin=50)
    assert who(gallery) == {1: ["a0"], 2: ["a1"]}
    gallery.link()
    assert len(who(gallery)) == 2
    gallery.link(again=True)
    assert who(gallery) == {1: ["a0", "a1"]}


def test_a_run_again_keeps_numbers_and_names_and_gives_the_same(linked: Gallery) -> None:
    linked.name(2, "Alice")
    before = who(linked)
    for _ in range(2):
        run = linked.link(again=True)
        assert who(linked) == before and linked.people("Alice")[0].number == 2 and run.new_people == 0


def test_the_same_camera_at_the_same_time_is_not_the_same_person(folder: Path) -> None:
    """a0 and a2 are alike, seen by camera 1 in one modality: only when they overlap are they two people."""
    for name, begins, together in (
        ("overlapping", [0.0, 30.0], False), ("one after another", [0.0, 50.0], True), ("unknown", [0.0, None], True)
    ):  # fmt: skip
        ends = [None if begin is None else begin + 50 for begin in begins]
        facts = {"camids": [1, 1], "modality": ["visible"] * 2, "begin_s": begins, "end_s": ends}
        gallery = gallery_of(folder / name, [0, 0], **facts)
        gallery.link()
        assert (len(who(gallery)) == 1) == together, name


@pytest.mark.parametrize(
    ("camids", "modality", "clock", "origins", "together"),
    [
        ([1, 1], ["visible", "visible"], "unix", ["s", "s"], False),
        ([1, 2], ["visible", "visible"], "unix", ["s", "s"], True),
        ([-1, -1], ["visible", "visible"], "unix", ["s", "s"], True),
        ([1, 1], ["visible", "infrared"], "unix", ["s", "s"], True),
        ([1, 1], ["visible", "visible"], "video", ["s", "s"], False),
        ([1, 1], ["visible", "visible"], "video", ["s", "t"], True),
        ([1, 1], ["visible", "visible"], "video", ["", ""], True),
    ],
)
def test_only_comparable_times_of_one_camera_keep_entries_apart(
    folder: Path, camids: list[int], modality: list[str], clock: str, origins: list[str], together: bool
) -> None:
    gallery = Gallery.create(folder, width=WIDTH)
    given = entries([0, 0], ["a0", "a1"], camids=camids, modality=modality, begin_s=[0.0, 1.0], end_s=[9.0, 9.0])
    gallery.add(given, clock=clock, origin=origins)  # type: ignore[arg-type]
    calibrate(gallery)
    gallery.link()
    assert (len(who(gallery)) == 1) == together


def test_decisions_move_entries_and_survive_every_run(linked: Gallery) -> None:
    linked.same("a5", "a2")  # whom the vectors call two people
    assert who(linked) == {1: ["a0", "a1", "a4"], 2: ["a2", "a3", "a5"]}
    linked.different("a0", "a1")  # whom they call one
    assert [ids for ids in who(linked).values() if {"a0", "a1"} <= set(ids)] == []
    assert len(who(linked)[1]) == 2  # the larger part keeps the number
    for again in (False, True, True):
        linked.link(again=again)
        (of_a2,) = [ids for ids in who(linked).values() if "a2" in ids]
        assert "a5" in of_a2
        assert not any({"a0", "a1"} <= set(ids) for ids in who(linked).values())
    (two,) = linked.people(2)
    assert two.links[two.ids.index("a5")].decision == 1
    assert linked.verify().whole


def test_split_founds_a_person_and_survives(linked: Gallery) -> None:
    decision = linked.split(1, ["a4"])
    assert decision.people == (1, 4) and who(linked) == {1: ["a0", "a1"], 2: ["a2", "a3"], 3: ["a5"], 4: ["a4"]}
    linked.link(again=True)
    assert not any("a4" in ids and set(ids) & {"a0", "a1"} for ids in who(linked).values())


def test_named_people_are_never_linked_with_each_other(folder: Path) -> None:
    gallery = gallery_of(folder, [0, 0, 0])
    gallery.link(margin=50)
    gallery.name(1, "Alice")
    gallery.name(3, "Bob")
    gallery.link(again=True)
    found = {person.name: person.ids for person in gallery.people()}
    assert "a0" in found["Alice"] and "a2" in found["Bob"] and len(found) == 2


@pytest.mark.parametrize("between", [False, True])
def test_every_decision_is_undone_as_if_it_had_not_been(linked: Gallery, between: bool) -> None:
    def state() -> object:
        return [(person.number, person.name, person.ids, person.links) for person in linked.people()]

    linked.name(3, "Carol")
    steps: list[Callable[[], object]] = [
        lambda: linked.same("a5", "a2"),
        lambda: linked.different("a0", "a4"),
        lambda: linked.split(2, ["a3"]),
        lambda: linked.name(2, "Dora"),
    ]
    before = [state()]
    for step in steps:
        step()
        before.append(state())
        assert before[-1] != before[-2]
        if between:
            linked.link()
    for expected in reversed(before[:-1]):
        linked.undo()
        assert state() == expected
    linked.undo()  # Carol
    assert refused(linked.undo) == "no decision is left to undo"
    assert linked.verify().whole


def test_entries_linked_since_stay_when_a_decision_is_undone(linked: Gallery) -> None:
    linked.same("a5", "a2")
    linked.add(entries([1], ["b0"]))
    linked.link()
    linked.undo()
    assert who(linked) == {1: ["a0", "a1", "a4"], 2: ["a2", "a3", "b0"], 3: ["a5"]}


def test_undo_does_not_put_entries_together_that_cannot_be(folder: Path) -> None:
    gallery = gallery_of(folder, [0, 0], camids=[1, 1], modality=["visible"] * 2)
    gallery.link()
    gallery.different("a0", "a1")
    gallery.add(entries([0], ["b0"], camids=[1], modality=["visible"], begin_s=[120.0], end_s=[140.0]))
    gallery.link()  # b0 overlaps a1 alone, so it is with a0
    assert sorted(who(gallery).values()) == [["a0", "b0"], ["a1"]]
    gallery.undo()
    assert sorted(who(gallery).values()) == [["a0", "b0"], ["a1"]]


def test_contradictions_are_refused_by_the_decision_they_contradict(linked: Gallery) -> None:
    linked.same("a5", "a2")
    linked.different("a0", "a2")
    assert refused(lambda: linked.different("a2", "a5")) == (
        "'a2' and 'a5' cannot be different people: decision 1 says that they are the same; undo first"
    )
    message = refused(lambda: linked.same("a0", "a2"))
    assert (
        message == "'a0' and 'a2' cannot be the same person: decision 2 says that 'a0' and 'a2' are not; undo it first"
    )
    assert "decision 2 says" in refused(lambda: linked.same("a0", "a5"))  # a5 is a2
    assert "decision 2 says that 'a0' and 'a2' are different people, and they would become one person" in refused(
        lambda: linked.same("a1", "a3")  # nothing was decided about them, but about their people
    )
    assert "already by decision 1" in refused(lambda: linked.same("a2", "a5"))
    assert "already by decision 2" in refused(lambda: linked.different("a2", "a0"))
    message = refused(lambda: linked.split(2, ["a5"]))
    assert message.startswith("'a5' cannot be split off: decision 1 says that it is the same person as 'a2'")
    assert who(linked) == {1: ["a0", "a1", "a4"], 2: ["a2", "a3", "a5"]}


def test_a_chain_of_decisions_is_named(linked: Gallery) -> None:
    linked.same("a0", "a2")
    linked.same("a2", "a5")
    assert refused(lambda: linked.different("a5", "a0")).startswith(
        "'a5' and 'a0' cannot be different people: decisions 1, 2 say that they are the same"
    )


def test_people_seen_at_the_same_time_become_one_only_by_a_word_about_them(folder: Path) -> None:
    facts = {"camids": [1] * 3, "modality": ["visible"] * 3, "begin_s": [0.0, 0.0, 90.0], "end_s": [9.0, 9.0, 99.0]}
    gallery = gallery_of(folder, [0, 1, 0], **facts)
    gallery.link()
    assert who(gallery) == {1: ["a0", "a2"], 2: ["a1"]}
    assert refused(lambda: gallery.same("a2", "a1")) == (
        "camera 1 saw 'a0' and 'a1' at the same time, and they would become one person; split one of them off first"
    )
    gallery.same("a0", "a1")  # a tracker may have cut one person in two
    gallery.link(again=True)
    (of_a0,) = [ids for ids in who(gallery).values() if "a0" in ids]
    assert "a1" in of_a0


def test_names_are_checked_and_belong_to_one(linked: Gallery) -> None:
    linked.name(1, "Alice")
    assert refused(lambda: linked.name(2, "Alice")).startswith("person 1 is called 'Alice'; if both are one person")
    linked.name(2, "Bob")
    assert refused(lambda: linked.same("a0", "a2")).startswith("person 1 is called 'Alice' and person 2 'Bob'")
    linked.name(1, "Alicia")
    assert refused(lambda: linked.people("Alice")).startswith("no person is called 'Alice'; list the people")
    linked.name("Bob", "Ann\u200cE")  # joiners are letters of some scripts
    for bad, words in (
        ("", "not empty"), ("  ", "not empty"), ("a\nb", "no control characters; got '\\n'"), ("\x1b[2J", "no control"),
        ("x\u202ey", "no control characters"), ("x\u200f", "no control characters"),
        ("\ud800", "no control characters"), ("x" * 201, "at most 200"),
        ("12", "must not be a number"), ("-3", "must not be a number"), (None, "not empty"), (7, "not empty"),
    ):  # fmt: skip
        assert words in refused(lambda bad=bad: linked.name(1, bad)), bad  # type: ignore[misc]
    linked.name(1, "x" * 200)
    assert linked.verify().whole


def test_what_is_not_there_is_refused(linked: Gallery) -> None:
    assert refused(lambda: linked.same("a0", "zzz")).startswith("no entry has the id 'zzz'")
    assert refused(lambda: linked.same("a0", "a0")) == "a decision needs two entries; got 'a0' twice; name another"
    assert refused(lambda: linked.people(99)).startswith("no person has the number 99")
    for strange in (True, 1.5, 2**70, "\ud800"):
        assert refused(lambda strange=strange: linked.people(strange)).startswith("no person")  # type: ignore[misc]
    assert refused(lambda: linked.split(1, [])).startswith("split takes the ids of the entries that are somebody else")
    assert refused(lambda: linked.split(1, ["a2"])).startswith("'a2' is not of person 1")
    assert refused(lambda: linked.split(3, ["a5"])).startswith("every entry of person 3 would be split off")
    assert linked.split(1, "a0").people == (1, 4)  # one id is one id, not its letters


def test_a_gallery_without_calibration_says_how_to_get_one(folder: Path) -> None:
    gallery = Gallery.create(folder, width=WIDTH)
    gallery.add(entries([0, 0, 1], ["a0", "a1", "a2"]))
    assert refused(gallery.link) == (
        f"linking needs a calibration, which {folder} does not have; calibrate it with "
        f"`duskmatch gallery calibrate {folder} --data DATASET --run RUN`"
    )
    gallery.same("a0", "a1")  # a person's word needs none
    assert who(gallery) == {1: ["a0", "a1"]}
    assert gallery.people(1)[0].links[0].decision == 1


def test_a_pair_of_modalities_that_was_not_calibrated_is_named(folder: Path) -> None:
    gallery = gallery_of(folder, PEOPLE)
    calibrate(gallery, calibration(pairs=("visible-visible",)))
    with pytest.raises(EvaluationError, match=r"is not calibrated, only visible-visible"):
        gallery.link()
    assert who(gallery) == {}


def test_nothing_and_one_entry_are_linked(tmp_path: Path) -> None:
    empty = gallery_of(tmp_path / "empty", [])
    assert empty.link().people == 0 and empty.people() == [] and empty.link(again=True).people == 0
    with pytest.raises(EvaluationError, match="got 0, none with a pid"):
        empty.score_people()
    one = gallery_of(tmp_path / "one", [4])
    assert one.link().people == 1 and who(one) == {1: ["a0"]} and one.link(again=True).new_people == 0


def test_deleting_takes_links_decisions_and_names_with_it(linked: Gallery) -> None:
    linked.name(3, "Carol")
    linked.name(1, "Alice")
    linked.same("a5", "a2")
    linked.different("a4", "a3")
    linked.split("Alice", ["a1"])
    linked.delete(["a5"])
    assert linked.verify().whole
    assert "Carol" in {person.name for person in linked.people()}  # a2 and a3 are Carol by decision 3
    linked.delete(["a2", "a3"])
    assert linked.verify().whole and {person.name for person in linked.people()} == {"Alice", ""}
    linked.delete(["a0", "a4"])
    assert linked.verify().whole and who(linked) == {4: ["a1"]}
    with linked._store.snapshot() as snapshot:
        assert snapshot.number("SELECT count(*) FROM decisions") == 0
    linked.delete(["a1"])
    assert linked.verify().whole and who(linked) == {}


def test_no_byte_of_a_deleted_persons_name_is_left_and_all_of_a_kept_one_are(folder: Path) -> None:
    gallery = gallery_of(folder, PEOPLE)
    gallery.link()
    gallery.name(2, "Zuleika Vanished")
    gallery.name(1, "Yolanda Stays")
    gallery.undo()
    gallery.name(1, "Yolanda Remains")
    gallery.split(2, ["a3"])
    gallery.link(again=True)
    gallery.delete(["a2", "a3"])
    gallery.close()
    data = all_bytes(folder)
    assert b"Zuleika" not in data and b"Yolanda Remains" in data
    with Gallery.open(folder) as again:
        assert again.verify().whole


def test_reasons_name_no_deleted_entry(folder: Path) -> None:
    gallery = gallery_of(folder, [])
    gallery.add(entries([0, 0], ["kept-entry", "vanished-entry"]))
    gallery.link()
    gallery.delete(["vanished-entry"])
    gallery.close()
    data = all_bytes(folder)
    assert b"vanished-entry" not in data and b"kept-entry" in data
    with Gallery.open(folder) as again:
        (one,) = again.people()
        assert one.links[0].strongest is not None and one.links[0].strongest[0] == ""


def test_a_replaced_entry_is_linked_anew(linked: Gallery) -> None:
    linked.name(3, "Carol")
    linked.add(entries([0], ["a5"], begin_s=[900.0], end_s=[950.0]), on_duplicate="replace")
    assert who(linked) == {1: ["a0", "a1", "a4"], 2: ["a2", "a3"]}
    linked.link()
    assert who(linked)[1] == ["a0", "a1", "a4", "a5"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM people WHERE person = 3", "1 links lead to no person"),
        ("INSERT INTO people VALUES (77, 'Nobody')", "1 people have no entry"),
        ("INSERT INTO members VALUES (999, 1, '{}')", "1 links belong to no entry"),
        ("UPDATE members SET reasons = 'x' WHERE row = 1", "1 links have damaged reasons"),
        ("INSERT INTO decided VALUES (1, 1, 999, 0)", "1 pairs of decisions belong to no entry"),
        ("INSERT INTO moved VALUES (9, 1, NULL, '{}', 1)", "1 changes belong to no decision"),
        ("INSERT INTO moved VALUES (1, 999, NULL, '{}', 1)", "1 changes by decisions belong to no entry"),
        ("INSERT INTO renamed VALUES (9, 1, 'x')", "1 names before belong to no decision"),
    ],
)
def test_verify_finds_what_belongs_to_nobody(linked: Gallery, damage: str, words: str) -> None:
    linked.different("a0", "a5")
    assert linked.verify().whole
    linked._store.write(lambda db: db.execute(damage).fetchall())
    assert words in linked.verify().problems


def test_backups_and_copies_carry_people_and_decisions(linked: Gallery, tmp_path: Path) -> None:
    linked.name(1, "Alice")
    linked.different("a5", "a2")
    linked.backup(tmp_path / "kept")
    with Gallery.restore(tmp_path / "restored", tmp_path / "kept") as one, linked.copy(tmp_path / "copy") as other:
        for gallery in (one, other):
            assert gallery.people() == linked.people()
            gallery.link(again=True)
            assert who(gallery) == who(linked)
            assert gallery.undo().kind == "different"


def test_a_decision_during_a_run_makes_it_begin_anew(linked: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, n = relink.plan, [0]

    def slow(*args: object, **options: object) -> object:
        made = plan(*args, **options)  # type: ignore[arg-type]
        n[0] += 1
        if n[0] == 1:
            linked.different("a0", "a1")
        return made

    monkeypatch.setattr(relink, "plan", slow)
    linked.link(again=True)
    assert n == [2] and not any({"a0", "a1"} <= set(ids) for ids in who(linked).values())


def test_a_run_that_never_finds_peace_gives_up_and_changes_nothing(
    linked: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, before = relink.plan, who(linked)

    def disturbed(*args: object, **options: object) -> object:
        made = plan(*args, **options)  # type: ignore[arg-type]
        linked._store.write(people.changed)
        return made

    monkeypatch.setattr(relink, "plan", disturbed)
    assert "decided or linked" in refused(lambda: linked.link(again=True))
    assert who(linked) == before


def test_entries_that_come_and_go_during_a_run_do_not_disturb_it(
    linked: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = relink.plan

    def meanwhile(*args: object, **options: object) -> object:
        made = plan(*args, **options)  # type: ignore[arg-type]
        if "b0" not in linked.ids():
            linked.add(entries([1], ["b0"]))
            linked.delete(["a5", "a0"])
        return made

    monkeypatch.setattr(relink, "plan", meanwhile)
    linked.link(again=True)
    assert who(linked) == {1: ["a1", "a4"], 2: ["a2", "a3"]} and linked.verify().whole
    linked.link()
    assert who(linked)[2] == ["a2", "a3", "b0"]


def test_two_processes_decide_at_once_and_neither_is_lost(folder: Path) -> None:
    """Twenty contradicting decisions by two processes: of each pair exactly one stands."""
    gallery_of(folder, list(range(10)) * 2).close()
    script = """
import sys
from pathlib import Path
from duskmatch.errors import GalleryError
from duskmatch.gallery import Gallery
with Gallery.open(Path(sys.argv[1])) as gallery:
    for i in range(10):
        try:
            getattr(gallery, sys.argv[2])(f"a{i}", f"a{i + 10}")
        except GalleryError as error:
            assert "decision" in str(error), error
        else:
            print(i)
"""
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(folder), word], stdout=subprocess.PIPE, text=True)
        for word in ("same", "different")
    ]
    done = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(done[0] + done[1], key=int) == [str(i) for i in range(10)]
    with Gallery.open(folder) as gallery:
        assert gallery.verify().whole and len(who(gallery)) == len(done[0])


@pytest.mark.parametrize("after", ["DELETE FROM members", "INSERT OR REPLACE INTO members", "INSERT INTO linking"])
def test_a_run_that_is_killed_has_changed_nothing(linked: Gallery, folder: Path, after: str) -> None:
    linked.different("a0", "a1")
    linked.undo()
    before = linked.people()
    linked.close()
    child = os.fork()
    if not child:
        try:
            with Gallery.open(folder) as gallery:
                store = gallery._store
                assert isinstance(store, SqliteStore)
                store.db.trace_v2(
                    1, lambda event: os.kill(os.getpid(), signal.SIGKILL) if after in event["sql"] else None
                )
                gallery.link(again=True, margin=50)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with Gallery.open(folder) as gallery:
        assert gallery.people() == before and gallery.verify().whole


def test_threads_decide_and_link_together(gallery: Gallery) -> None:
    gallery.link()
    errors: list[BaseException] = []

    def work(a: str, b: str) -> None:
        try:
            gallery.different(a, b)
            gallery.undo()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in (("a0", "a2"), ("a1", "a3"), ("a4", "a5"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and gallery.verify().whole


def test_too_many_are_refused(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relink, "MOST_GROUPS", 5)
    assert refused(gallery.link).startswith("at most 5 people and new entries can be linked together; got 6")


def test_people_are_carried_to_a_gallery_with_other_rows(linked: Gallery, tmp_path: Path) -> None:
    """As `reembed` does: a0 is not there any more, the others lie in another order."""
    linked.name(1, "Alice")
    linked.name(3, "Carol")
    linked.same("a5", "a2")
    linked.different("a1", "a3")
    linked.different("a0", "a5")
    given = linked.embeddings(["a5", "a4", "a3", "a2", "a1"])
    with Gallery.create(tmp_path / "new", width=WIDTH) as new, linked._store.snapshot() as old:
        new.add(given)
        new._store.write(lambda db: carry(old, db))
    with Gallery.open(tmp_path / "new") as new:
        assert new.verify().whole
        assert who(new) == {1: ["a4", "a1"], 2: ["a5", "a3", "a2"]}
        assert [person.name for person in new.people()] == ["Alice", "Carol"]
        assert {link.log_odds for person in new.people() for link in person.links} == {None}
        assert new.people(2)[0].links[0].decision == 3
        assert refused(lambda: new.same("a1", "a3")).endswith("undo it first")
        assert [new.undo().kind for _ in range(4)] == ["different", "same", "name", "name"]  # a0's went with it
        assert refused(new.undo) == "no decision is left to undo"


@pytest.mark.parametrize(
    "reasons",
    ["nojson", "[]", "[" * 100_000, '{"strongest": 5}', '{"cameras": 5}', '{"log_odds": 1.0}', '{"log_odds": NaN}'],
)
def test_damaged_reasons_are_refused_and_made_again(linked: Gallery, reasons: str) -> None:
    linked._store.write(lambda db: db.execute("UPDATE members SET reasons = ? WHERE row = 2", (reasons,)).fetchall())
    for ask in (linked.people, lambda: linked.same("a0", "a1")):
        with pytest.raises(GalleryError, match=r"reasons of a link.*link again with --again"):
            ask()
    linked.link(again=True)
    assert linked.verify().whole and who(linked)[1] == ["a0", "a1", "a4"]


def test_rows_and_people_that_are_gone_hinder_no_run(linked: Gallery) -> None:
    linked.different("a0", "a5")
    linked._store.write(lambda db: db.execute("UPDATE decided SET row = 999").fetchall())
    linked.link()
    linked._store.write(lambda db: db.execute("DELETE FROM people").fetchall())
    linked.link()
    assert sorted(who(linked).values()) == [["a0", "a1", "a4"], ["a2", "a3"], ["a5"]]


def test_undo_leaves_the_reasons_of_before(folder: Path) -> None:
    """a1 and a3, seen at the same time, are one by decision 2, which stands when decision 3 is undone."""
    with gallery_of(folder, [0, 2, 0, 1], begin_s=[0.0] * 4, end_s=[30.0] * 4) as gallery:
        for one, other in (("a2", "a0"), ("a1", "a3")):
            gallery.same(one, other)
        before = gallery.people()
        gallery.same("a1", "a0")
        gallery.undo()
        assert gallery.people() == before


def test_what_is_no_list_of_ids_and_no_margin_is_refused(linked: Gallery) -> None:
    for wrong in (None, 5, True):
        with pytest.raises(GalleryError, match="ids must be a list of texts"):
            linked.split(1, wrong)  # type: ignore[arg-type]
    with pytest.raises(GalleryError, match="margin must be"):
        linked.link(margin=10**400)
    linked.different("a0", "a5")
    linked._store.write(lambda db: db.execute("UPDATE decisions SET kind = 'foo'").fetchall())
    with pytest.raises(GalleryError, match="decision 1 is of no known kind"):
        linked.undo()

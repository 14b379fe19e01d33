"""The record of one tracklet: what it refuses, and that its digest covers everything."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from duskmatch.errors import DataError
from duskmatch.gallery.store.entries import digest, entry_id, new_uuid
from tests.gallery.making import entry

FULL = entry("a", source="s", begin_s=1.0, end_s=2.0, pid=3, thumbnails=(b"picture",))
CONTROL = "must hold no control characters and no broken ones"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"modality": "thermal"}, "entry 'a': modality must be visible or infrared; got 'thermal'"),
        ({"camera": True}, "entry 'a': camera must be a whole number, -1 (unknown) or more; got True"),
        ({"pid": -2}, "entry 'a': pid must be a whole number, -1 (unknown) or more; got -2"),
        ({"pid": 2**63}, f"entry 'a': pid must be a whole number, -1 (unknown) or more; got {2**63}"),
        ({"begin_s": float("nan")}, "entry 'a': begin_s must be seconds or None; got nan"),
        ({"begin_s": 2.0, "end_s": 1.0}, "entry 'a': end_s must not be before begin_s; got 2.0 to 1.0"),
        ({"clock": "utc"}, "entry 'a': clock must be unix or video; got 'utc'"),
        ({"note": "a\x1b[2Jb"}, f"entry 'a': note {CONTROL}; got '\\x1b'; leave it out"),
        ({"source": "\udcff"}, f"entry 'a': source {CONTROL}; got '\\udcff'; leave it out"),
        ({"note": "x" * 4097}, "entry 'a': note must have at most 4096 characters; got 4097"),
        ({"thumbnails": (b"",)}, "entry 'a': a thumbnail must be 1 byte to 1 MiB of an encoded picture"),
        ({"thumbnails": (b"x",) * 17}, "entry 'a': at most 16 thumbnails; got 17; leave some out"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_by_name(facts: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as refused:
        entry("a", **facts)
    assert str(refused.value) == message


@pytest.mark.parametrize("name", ["", "a\x00b", "a\nb", "x" * 513])
def test_ids_that_cannot_be_kept_or_shown_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"^(an entry's )?id must"):
        entry(name)


@pytest.mark.parametrize(
    "facts",
    [
        {"id": "b"}, {"tracklet": "t"}, {"source": "q"}, {"camera": 2}, {"modality": "infrared"}, {"begin_s": 0.5},
        {"end_s": 2.5}, {"end_s": None}, {"clock": "video"}, {"pid": 4}, {"note": "n"}, {"thumbnails": (b"other",)},
        {"thumbnails": (b"pic", b"ture")}, {"thumbnails": ()},
    ],
)  # fmt: skip
def test_the_digest_differs_where_anything_does(facts: dict[str, object]) -> None:
    assert digest(replace(FULL, **facts), b"vector", 5.0) != digest(FULL, b"vector", 5.0)  # type: ignore[arg-type]


def test_the_digest_covers_the_vector_and_the_time_of_adding() -> None:
    whole = digest(FULL, b"vector", 5.0)
    assert whole == digest(replace(FULL, begin_s=1), b"vector", 5)
    assert len({whole, digest(FULL, b"vectos", 5.0), digest(FULL, b"vector", 6.0)}) == 3


def test_an_id_is_namespace_and_tracklet_else_source_else_new() -> None:
    assert entry_id("cam1", "0001", "film.mp4") == "cam1/0001"
    assert entry_id("", "0001", "film.mp4") == "0001"
    assert entry_id("", "", "film.mp4") == "film.mp4"
    assert entry_id("cam1", "", "").startswith("cam1/") and entry_id("", "", "") != entry_id("", "", "")


def test_new_ids_are_in_order_of_time() -> None:
    earlier = new_uuid()
    time.sleep(0.002)
    assert earlier < new_uuid() and earlier[14] == "7"

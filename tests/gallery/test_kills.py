"""Processes that are killed, and processes that write and read together; `make soak` does the same for longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gallery import together
from tests.gallery.killing import KINDS, Gallery

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")]


def test_killed_processes_lose_nothing_and_leave_nothing_half_done(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, seed=0)
    for number in range(10):
        gallery.kill(KINDS[number % len(KINDS)])
    assert gallery.counts.good, gallery.counts
    assert sum(gallery.counts.kills.values()) == 10


def test_two_writers_and_a_reader_do_not_disturb_each_other(tmp_path: Path) -> None:
    account = together.run(tmp_path, seconds=1.5)
    assert account["added"] > 0 and account["snapshots"] > 0
    names = ("lost", "not_deleted", "half_batches", "deleted_seen", "problems")
    assert {name: account[name] for name in names} == dict.fromkeys(names, 0)

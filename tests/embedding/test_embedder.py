"""One embedder serves many threads: the same vectors as alone, and each call its own account."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from duskmatch import load_embedder


def test_four_threads_get_the_same_bytes_and_separate_accounts(whole_run, people, tmp_path):
    lists = []
    for i in range(4):
        lost = tmp_path / f"lost-{i}.jpg"
        lost.write_bytes(b"no picture")
        rest = people.test[i : i + 4]
        lists.append([replace(rest[0], frames=(*rest[0].frames, lost)), replace(rest[1], frames=(lost,)), *rest[2:]])
    embedder = load_embedder(whole_run, device="cpu", on_bad_frame="skip")
    alone = [embedder.embed(tracklets) for tracklets in lists]
    before = dict(vars(embedder))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(embedder.embed_with_account, lists))
    assert vars(embedder) == before and not embedder.model.training
    for i, (tracklets, (found, account)) in enumerate(zip(lists, together, strict=True)):
        assert found.vectors.tobytes() == alone[i].vectors.tobytes()
        assert found.sources == alone[i].sources and len(found) == account.n_tracklets == 3
        assert set(account.bad_frames.frames) == {str(tmp_path / f"lost-{i}.jpg")}
        assert list(account.bad_frames.tracklets) == [tracklets[1].tracklet_id] and account.seconds > 0


def test_an_engine_runs_one_batch_at_a_time(whole_run, people, monkeypatch):
    embedder, inside = load_embedder(whole_run, device="cpu"), threading.Lock()

    def engine(frames, modality):
        assert inside.acquire(blocking=False), "two threads in one engine"
        time.sleep(0.01)
        inside.release()
        return np.eye(len(frames), 8, dtype=np.float32)

    engine.precision, engine.name = "fp32", "torch"
    monkeypatch.setattr(embedder, "engine", engine)
    with ThreadPoolExecutor(4) as pool:
        assert [len(found) for found in pool.map(embedder.embed, [people.test[:2]] * 8)] == [2] * 8


def test_an_embedding_keeps_when_its_tracklet_began_and_ended(whole_run, people):
    embedder = load_embedder(whole_run, device="cpu")
    first, second = replace(people.test[0], begin_s=1.5, end_s=3.0), people.test[1]
    found = embedder.labelled(np.array([1, 0]), np.eye(2, dtype=np.float32), [first, second])
    assert list(found.begin_s) == [None, 1.5] and list(found.end_s) == [None, 3.0]
    unknown = embedder.labelled(np.array([1]), np.eye(1, dtype=np.float32), [first, second])
    assert len(unknown.begin_s) == len(unknown.end_s) == 0

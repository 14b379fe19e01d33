"""Many processes embed one list: nothing lost, nothing doubled, also when one was killed and everything runs again."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.embedding import shards as shards_module
from duskmatch.embedding.shards import Shards, process_group
from duskmatch.errors import DataError, OutputError, SettingsError
from duskmatch.evaluation import load_embeddings


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(shards_module, "BLOCK", 4)


def test_blocks_of_two_processes_join_to_what_one_process_gives(people, whole_run, tmp_path):
    alone = load_embedder(whole_run).embed(people.test)
    for rank in (1, 0):
        shards = Shards(load_embedder(whole_run), people.test, tmp_path / "out.safetensors")
        shards.compute(rank, 2)
    joined, account = shards.joined()
    assert joined.sources == alone.sources and list(joined.pids) == list(alone.pids)
    assert np.abs(joined.vectors - alone.vectors).max() < 1e-5
    assert account.n_tracklets == len(people.test) and not account.bad_frames
    shards.remove()
    assert not shards.folder.exists()


def test_a_second_run_computes_only_what_is_missing_or_damaged(people, whole_run, tmp_path, monkeypatch):
    shards = Shards(load_embedder(whole_run), people.test, tmp_path / "out.safetensors")
    shards.compute(0, 1)
    files = sorted(shards.folder.iterdir())
    files[0].unlink()
    files[-1].write_bytes(files[-1].read_bytes()[:-3])
    again = Shards(load_embedder(whole_run), people.test, tmp_path / "out.safetensors")
    embedded: list[int] = []
    embed = again.embedder.embed_rows
    monkeypatch.setattr(again.embedder, "embed_rows", lambda block: embedded.append(len(block)) or embed(block))
    with pytest.raises(DataError, match="is missing or damaged; run the same command again"):
        again.joined()
    again.compute(0, 1)
    rest = len(people.test) % 4 or 4
    assert embedded == [4, rest]
    assert len(again.joined()[0]) == len(people.test)


@pytest.mark.parametrize(
    ("rows", "vectors"),
    [([0, 1], [[1.0, np.nan], [0, 1]]), ([0], [[1.0, 0], [0, 1]]), ([0, 7], [[1.0, 0], [0, 1]]), ([0, 1], [1.0, 0])],
    ids=["NaN", "fewer rows", "a row beyond the block", "one vector"],
)
def test_a_block_that_cannot_be_is_no_block(rows, vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "work_key", lambda *_: "key")
    shards = Shards(None, [None] * 4, tmp_path / "out.safetensors")  # type: ignore[arg-type, list-item]
    shards.folder.mkdir()
    header = {"key": "key", "bad": "{}"}
    good = {"rows": np.array([0, 1]), "vectors": np.array([[1.0, 0], [0, 1]])}
    save_file(good, shards.file(0), metadata=header)
    assert shards.read(0) is not None
    save_file({"rows": np.array(rows), "vectors": np.array(vectors)}, shards.file(0), metadata=header)
    assert shards.read(0) is None


def test_blocks_of_an_earlier_run_are_not_taken_for_other_weights_rules_or_pictures(people, whole_run, tmp_path):
    out, frame = tmp_path / "out.safetensors", tmp_path / "a.jpg"
    frame.write_bytes(people.test[0].frames[0].read_bytes())
    tracklets = [replace(people.test[0], frames=(frame,))]
    embedder = load_embedder(whole_run)
    Shards(embedder, tracklets, out).compute(0, 1)
    assert Shards(embedder, tracklets, out).read(0) is not None
    assert Shards(load_embedder(whole_run, untrained=True), tracklets, out).read(0) is None
    assert Shards(load_embedder(whole_run, on_bad_frame="skip"), tracklets, out).read(0) is None
    frame.write_bytes(people.test[0].frames[-1].read_bytes())
    os.utime(frame, (1, 1))
    assert Shards(embedder, tracklets, out).read(0) is None


def test_what_cannot_be_read_is_left_out_once_and_counted(people, whole_run, tmp_path):
    bad, *rest = people.test[:9]
    broken = tmp_path / "frames"
    broken.mkdir()
    for frame in bad.frames:
        (broken / frame.name).write_bytes(b"no picture")
    lost = replace(bad, frames=tuple(broken / f.name for f in bad.frames), tracklet_id="lost")
    for rank in (0, 1):
        shards = Shards(load_embedder(whole_run, on_bad_frame="skip"), [lost, *rest], tmp_path / "out.safetensors")
        shards.compute(rank, 2)
    joined, account = shards.joined()
    assert len(joined) == 8 and "lost" not in joined.sources
    assert list(account.bad_frames.tracklets) == ["lost"]
    only = Shards(load_embedder(whole_run, on_bad_frame="skip"), [lost], tmp_path / "lost.safetensors")
    only.compute(0, 1)
    with pytest.raises(DataError, match="none of 1 tracklets has a readable frame"):
        only.joined()


def test_the_first_process_writes_what_all_have_embedded(people, whole_run, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.safetensors"

    class Pretended:
        """The first of two processes; the other one does its share while this one waits."""

        rank, world = 0, 2

        def wait(self, out):
            Shards(load_embedder(whole_run), people.test, out).compute(1, 2)

    monkeypatch.setattr(shards_module, "process_group", lambda: nullcontext(Pretended()))
    run = ["embed", str(whole_run), f"{people.root}:query", "--out", str(out), "--engine", "torch", "-q"]
    monkeypatch.setattr("duskmatch.cli.embed.tracklets_of", lambda spec: people.test)
    assert main(run) == 0
    assert list(load_embeddings(out).sources) == [t.tracklet_id for t in people.test]
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]
    before = out.read_bytes()
    Pretended.rank, Pretended.wait = 1, lambda self, out: None
    assert main([*run, "--overwrite"]) == 0
    assert out.read_bytes() == before


def test_many_processes_that_cannot_find_each_other_are_refused_in_a_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    rule = "WORLD_SIZE above 1 needs RANK, MASTER_ADDR and MASTER_PORT too, and all processes at once; start them with"
    with pytest.raises(SettingsError, match=rule), process_group():
        pass


def meet(rank: int, port: int, leaves: bool, said: Connection) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    try:
        with process_group() as group:
            if leaves:
                os._exit(1)
            group.wait(Path("out.safetensors"))
            said.send("all are here")
    except OutputError as error:
        said.send(str(error))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("one_leaves", [False, True])
def test_all_wait_for_each_other_and_an_end_before_its_time_is_said(one_leaves):
    fork = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heard, said = fork.Pipe()
    processes = [fork.Process(target=meet, args=(rank, port, one_leaves and rank == 1, said)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    messages = [heard.recv() for _ in range(1 if one_leaves else 2)]
    assert messages == (
        [
            "out.safetensors: not written: another process ended before its share was embedded; run the same command "
            "again to complete it"
        ]
        if one_leaves
        else ["all are here"] * 2
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pkill") is None, reason="needs pkill")
def test_torchrun_killed_and_run_again_loses_and_doubles_nothing(people, whole_run, tmp_path):
    program = tmp_path / "go.py"
    program.write_text(
        "import sys\nimport duskmatch.embedding.shards as s\ns.BLOCK = 2\n"
        "from duskmatch.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    out = tmp_path / "out.safetensors"
    arguments = ["embed", str(whole_run), f"{people.root}:train", "--out", str(out), "--engine", "torch", "-q"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(program)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [*command, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    parts = out.with_name(out.name + ".parts")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None and not list(Path(parts).glob("0*.safetensors")):
        time.sleep(0.01)
    subprocess.run(["pkill", "-KILL", "-f", str(program)], check=False)  # torchrun and both of its processes
    assert running.wait(60) == -signal.SIGKILL
    again = [*command, *arguments, "--overwrite"]
    done = subprocess.run(again, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = load_embeddings(out)
    expected = load_embedder(whole_run).embed(people.train)
    assert list(found.sources) == list(expected.sources)
    assert np.abs(found.vectors - expected.vectors).max() < 1e-5
    assert not parts.exists()

"""Many processes embed one list: nothing lost, nothing doubled, also when one was killed and everything runs again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from duskmatch import load_embedder
from duskmatch.cli import main
from duskmatch.embedding import shards as shards_module
from duskmatch.embedding.shards import Shards, share_of_process
from duskmatch.errors import DataError
from duskmatch.evaluation import load_embeddings


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(shards_module, "BLOCK", 4)


def test_blocks_of_two_processes_join_to_what_one_process_gives(people, whole_run, tmp_path):
    tracklets = people.test
    alone = load_embedder(whole_run).embed(tracklets)
    for rank in (1, 0):
        shards = Shards(load_embedder(whole_run), tracklets, tmp_path / "out.safetensors", rank, 2)
        shards.compute()
    joined = shards.joined()
    assert joined.sources == alone.sources and list(joined.pids) == list(alone.pids)
    assert np.abs(joined.vectors - alone.vectors).max() < 1e-5
    shards.remove()
    assert not shards.folder.exists()


def test_a_second_run_computes_only_what_is_missing_or_damaged(people, whole_run, tmp_path, monkeypatch):
    shards = Shards(load_embedder(whole_run), people.test, tmp_path / "out.safetensors", 0, 1)
    shards.compute()
    files = sorted(shards.folder.iterdir())
    files[0].unlink()
    files[-1].write_bytes(files[-1].read_bytes()[:-3])
    again = Shards(load_embedder(whole_run), people.test, tmp_path / "out.safetensors", 0, 1)
    embedded: list[int] = []
    embed = again.embedder.embed
    monkeypatch.setattr(again.embedder, "embed", lambda block: embedded.append(len(block)) or embed(block))
    with pytest.raises(DataError, match="is missing or damaged; run the same command again"):
        again.joined()
    again.compute()
    rest = len(people.test) % 4 or 4
    assert embedded == [4, rest]
    assert len(again.joined()) == len(people.test)


def test_blocks_of_other_weights_are_not_taken(people, whole_run, tmp_path):
    first = Shards(load_embedder(whole_run), people.test, tmp_path / "out.safetensors", 0, 1)
    first.compute()
    other = Shards(load_embedder(whole_run, untrained=True), people.test, tmp_path / "out.safetensors", 0, 1)
    assert first.key != other.key and other.read(0) is None


def test_what_cannot_be_read_is_left_out_once_and_counted(people, whole_run, tmp_path):
    bad, *rest = people.test[:9]
    broken = tmp_path / "frames"
    broken.mkdir()
    for frame in bad.frames:
        (broken / frame.name).write_bytes(b"no picture")
    lost = type(bad)(tuple(broken / f.name for f in bad.frames), bad.pid, bad.camid, bad.modality, tracklet_id="lost")
    for rank in (0, 1):
        embedder = load_embedder(whole_run, on_bad_frame="skip")
        shards = Shards(embedder, [lost, *rest], tmp_path / "out.safetensors", rank, 2)
        shards.compute()
    joined = shards.joined()
    assert len(joined) == 8 and "lost" not in joined.sources
    assert list(embedder.bad_frames.tracklets) == ["lost"]


def test_the_share_is_the_starters(monkeypatch):
    assert share_of_process() == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert share_of_process() == (2, 3)


def test_a_block_written_after_the_joining_leaves_nothing_behind(people, whole_run, tmp_path):
    embedder = load_embedder(whole_run)
    first, late = (Shards(embedder, people.train, tmp_path / "out.safetensors", rank, 2) for rank in (0, 1))
    first.compute()
    late_write = late._write
    block = late._computed(0)
    late._computed = lambda start: first.remove() or block  # the first process joins while this one computes
    late_write(0)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_starts_after_the_joining_computes_nothing(people, whole_run, tmp_path, monkeypatch):
    out = tmp_path / "out.safetensors"
    flags = ["embed", str(whole_run), f"{people.root}:train", "--out", str(out), "--engine", "torch", "-q"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert main(flags) == 0
    before = out.read_bytes()
    later = out.stat().st_mtime + 60
    os.utime(out, (later, later))  # as if it were being written while the next one starts
    monkeypatch.setenv("RANK", "1")
    assert main([*flags, "--overwrite"]) == 0
    assert out.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["out.safetensors"]


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


def test_a_process_knows_when_it_began():
    program = "import time; time.sleep(0.5)\nfrom duskmatch.cli.embed import process_started_s\n"
    program += "print(time.time() - process_started_s())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if Path("/proc/self/stat").exists():
        assert float(done.stdout) >= 0.5
    assert float(done.stdout) < 60

"""Whether this tree still gives what another gave, to the byte: `python -m tests.before.same_as COMMIT [JOB ...]`

Runs each job with the sources of both, on this machine and with this environment, and compares every file that is
written: figures in JSON, tables and tensors, of pages and of what is printed the words, since they hold times as well.
Ends with 1 where something differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tests.before.old_runs import RUNS

HERE = Path(__file__).parent.parent.parent
SHORT = ["train.stage1_epochs=1", "train.stage2_epochs=1", "train.steps_per_epoch=2", "train.pids_per_batch=2"]
MEASURED = re.compile(r"second|_s$|frames_per_s|memory|machine|versions|date|made_on|^torch$|sha256|fingerprint")
TRAIN = """
import sys
from pathlib import Path
from duskmatch.config import load_settings
from duskmatch.data import open_dataset
from duskmatch.training import train
train(load_settings("tiny", overrides=sys.argv[3:]), open_dataset(sys.argv[1]), Path(sys.argv[2]), device="cpu")
"""
ANY = ["--camera-rule", "none"]
ON_DEMO = {  # NAME: words of the command line, in the folder of the demo
    "evaluate": ["evaluate", "demo/run", "--data", "demo/data", "--out", "evaluate/scores.json"],
    "embed": ["embed", "demo/run", "demo/data:query", "--out", "embed/query.safetensors"],
    "rank": ["rank", "demo/run", "--query", "demo/data:query", "--gallery", "demo/data:gallery", "--out", "rank", *ANY],
    "compare": ["compare", "demo/run", "demo/run", "--names", "a,b", "--data", "demo/data", "--out", "compare"],
    "export": ["export", "demo/run", "--format", "torch", "--data", "demo/data", "--out", "export"],
    "check": ["check", "demo/data", "--frames", "all"],
    "counterfactual": [
        *("reproduce", "counterfactual", "demo/run", "--data", "demo/data", "--out", "counterfactual"),
        *("--factors", "view", "--severities", "2", "--people", "4", "--processes", "1"),
    ],
    "motion": ["reproduce", "motion", "demo/run", "--data", "demo/data", "--out", "motion"],
    "probes": ["reproduce", "probes", "demo/run", "--data", "demo/data", "--out", "probes"],
    "sweep": [
        *("sweep", "--data", "demo/data", "--preset", "tiny", "--rows", "rows.yaml", "--seeds", "0", "--out", "sweep"),
        *("--train.stage1_epochs", "1", "--train.stage2_epochs", "0", "--train.steps_per_epoch", "2"),
    ],
}
ROWS = "one: {model.attack: false}\ntwo: {model.defense: false}\n"


def run_jobs(tree: Path, place: Path, jobs: list[str]) -> None:
    """Each job's files under place/JOB, what it printed in place/JOB/printed.txt."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", "HOME": str(place)}
    environment |= {"XDG_CACHE_HOME": str(place / "cache"), "XDG_STATE_HOME": str(place / "state")}

    def call(name: str, words: list[str]) -> None:
        (place / name).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)
        (place / name / "printed.txt").write_text(f"{done.returncode}\n{done.stdout}\n", encoding="utf-8")
        print(f"  {name}: {done.returncode}", *(done.stderr.strip().splitlines()[-1:] if done.returncode else ()))

    duskmatch = [sys.executable, "-m", "duskmatch"]
    call("demo", [*duskmatch, "demo", "--preset", "tiny", "--out", "demo", "--threads", "1", "-q", "--overwrite"])
    (place / "rows.yaml").write_text(ROWS, encoding="utf-8")
    for name in jobs:
        if name in ON_DEMO:
            call(name, [*duskmatch, *ON_DEMO[name], "--threads", "1", "-q", *OVERWRITE.get(name, [])])
        else:
            words = [sys.executable, "-c", TRAIN, "demo/data", f"{name}/run", *RUNS[name], *SHORT]
            call(name, words)


# the folder of a job is there before it begins: what it prints lies in it
OVERWRITE = {name: ["--overwrite"] for name in ("rank", "compare", "export", "counterfactual", "motion", "probes")}


def seen(path: Path) -> Any:
    """What of a file must be the same, as one comparable value."""
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".safetensors":
        with safe_open(str(path), framework="np") as file:
            names = sorted(file.keys())
            return {name: hashlib.sha256(file.get_tensor(name).tobytes()).hexdigest() for name in names}
    if path.suffix == ".csv":
        lines = path.read_text(encoding="utf-8").splitlines()
        columns = [i for i, name in enumerate(lines[0].split(",")) if not MEASURED.search(name)]
        return [[line.split(",")[i] for i in columns] for line in lines]
    if path.suffix in (".txt", ".md", ".html", ".yaml"):
        return re.sub(r"base64,[\w+/=]+|[0-9a-f]{16,}|\d+(\.\d+)?", "#", path.read_text(encoding="utf-8"))
    return path.name == "curves.png" or hashlib.sha256(path.read_bytes()).hexdigest()  # it shows frames a second


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if not MEASURED.search(key)}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def differing(before: Path, now: Path) -> Iterator[str]:
    files = [
        {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and not set(p.parts) & {"cache", "state"}}
        for root in (before, now)
    ]
    yield from (f"{name}: only before" for name in sorted(files[0] - files[1]))
    yield from (f"{name}: only now" for name in sorted(files[1] - files[0]))
    for name in sorted(files[0] & files[1]):
        if seen(before / name) != seen(now / name):
            yield f"{name}: differs"


def main(commit: str, *jobs: str) -> None:
    names = list(jobs) or [*RUNS, *ON_DEMO]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run(["git", "worktree", "add", "--detach", str(place / "tree"), commit], cwd=HERE, check=True)
        try:
            for tree, out in ((place / "tree", place / "before"), (HERE, place / "now")):
                print(out.name)
                run_jobs(tree, out, names)
            wrong = list(differing(place / "before", place / "now"))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(place / "tree")], cwd=HERE, check=True)
    print(*wrong or ["the same"], sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])

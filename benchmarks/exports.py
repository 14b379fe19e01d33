"""Every export of a trained RUN with its own verification: python -m benchmarks.exports RUN DATASET

Writes benchmarks/results/exports_demo.json, which `python -m benchmarks.performance_page` shows in docs/performance.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS

WAYS = [
    *(("torch", precision) for precision in ("fp32", "bf16")),
    *(("onnx", precision) for precision in ("fp32", "int8")),
    *(("openvino", precision) for precision in ("fp32", "bf16", "int8")),
]


def export(run: str, data: str, form: str, precision: str, folder: Path) -> dict[str, Any]:
    """What `duskmatch export` says of one format; refused exports say why."""
    out = folder / f"{form}-{precision}"
    command = [sys.executable, "-m", "duskmatch", "export", run, "--format", form, "--precision", precision]
    command += ["--data", data, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    record = json.loads((out / "export.json").read_text(encoding="utf-8")) if (out / "export.json").is_file() else {}
    said = done.stderr.strip().splitlines()
    why = "" if not done.returncode else (said[-1] if said else "failed").replace(str(folder), "OUT")
    keys = ("verified", "verification", "batch")
    return {"format": form, "precision": precision, "refused": why, **{k: record.get(k) for k in keys}}


def main(run: str, data: str) -> None:
    from duskmatch.data import open_dataset
    from duskmatch.machine import describe, versions

    dataset = open_dataset(data)
    with tempfile.TemporaryDirectory() as folder:
        exports = []
        for form, precision in WAYS:
            exports.append(export(run, data, form, precision, Path(folder)))
            print(form, precision, exports[-1]["verified"], exports[-1]["refused"], flush=True)
    document = {
        "run": "duskmatch demo",
        "data": {"name": dataset.name, "version": dataset.version, "synthetic": dataset.synthetic},
        "exports": exports,
        "machine": describe(),
        "versions": versions(),
    }
    (RESULTS / "exports_demo.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("python -m benchmarks.exports RUN DATASET")
    main(*sys.argv[1:])

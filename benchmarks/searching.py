"""Search of a gallery beside FAISS on the CPU, in one process, in turns: python -m benchmarks.searching

Needs faiss-cpu, which is no dependency of duskmatch: pip install faiss-cpu. fp32 rows lie in a file (2 GB for a
million of 512), as in a gallery's store; FAISS holds them in memory. Writes benchmarks/results/bench_search_*.json, in
the form of the harness, but only at the full size: `--rows 100000 --pairs 10` prints.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.harness import RESULTS, Goal, Numbers, Work, memory_mib, result

ROWS, WIDTH, TOP, MANY, PAIRS, PAIRS_OF_MANY = 1_000_000, 512, 50, 64, 60, 20
N_PEOPLE, N_CAMERAS = 20_000, 100  # a filter on one camera leaves 1 %
BATCH = 1000  # rows added in one call
NOISE = 1.5  # of an entry, against a person's point; both of length 1 in the mean
PASS = "passes over the rows of one byte"
Floats = npt.NDArray[np.float32]
Timed = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """The same rows in an index, in FAISS and in a file, and queries about the same people."""

    index: Any
    flat: Any
    rows: Floats
    queries: Floats
    threads: int

    def ours(self, n_queries: int, **options: Any) -> Any:
        return self.index.search(self.queries[:n_queries], TOP, self.read, **options)

    def theirs(self, n_queries: int) -> Any:
        return self.flat.search(self.queries[:n_queries], TOP)

    def filtered(self) -> Any:
        from duskmatch.gallery.search.facts import Filter

        return self.ours(1, allowed=self.index.allowed(Filter(cameras=(7,))))

    def read(self, rows: npt.NDArray[np.int64]) -> tuple[Floats, list[str]]:
        return self.rows[rows], [str(row) for row in rows]

    @cached_property
    def codes(self) -> list[npt.NDArray[np.int64]]:
        return [chunk["codes"].view(np.int64) for chunk in self.index._chunks]

    def read_codes(self) -> int:
        """Memory's own speed: every row of one byte a number is read once, by as many threads."""
        with ThreadPoolExecutor(self.threads) as pool:
            return int(max(pool.map(np.max, self.codes)))


@contextmanager
def subject(n_rows: int, folder: Path) -> Iterator[tuple[Subject, Numbers]]:
    """The subject, and what opening it took."""
    import torch

    try:
        import faiss
    except ImportError as error:
        raise SystemExit("faiss-cpu must be installed to measure searches: pip install faiss-cpu") from error
    threads = torch.get_num_threads()
    faiss.omp_set_num_threads(threads)
    rows = write_rows(n_rows, folder / "rows.f32")
    index, opening = opened(rows)
    flat = faiss.IndexFlatIP(WIDTH)
    for start in range(0, n_rows, BATCH):
        flat.add(rows[start : start + BATCH])
    queries = vectors(np.random.default_rng(2), np.arange(MANY))
    yield Subject(index, flat, rows, queries, threads), opening


def vectors(rng: np.random.Generator, pids: npt.NDArray[np.int64]) -> Floats:
    """(n d) of length 1, about a point for each person."""
    points = np.random.default_rng(1).standard_normal((N_PEOPLE, WIDTH), dtype=np.float32)
    found = points[pids] + NOISE * rng.standard_normal((len(pids), WIDTH), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def write_rows(n_rows: int, path: Path) -> Floats:
    rows = np.memmap(path, np.float32, "w+", shape=(n_rows, WIDTH))
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 1 << 16):
        n = min(1 << 16, n_rows - start)
        rows[start : start + n] = vectors(rng, rng.integers(0, N_PEOPLE, n))
    rows.flush()
    return np.memmap(path, np.float32, "r", shape=(n_rows, WIDTH))


def opened(rows: Floats) -> tuple[Any, Numbers]:
    """An index of all rows, added as a store's reader would; seconds and memory that is no file's."""
    from duskmatch.gallery.search.facts import Facts
    from duskmatch.gallery.search.index import Index

    rng, before, begin = np.random.default_rng(3), memory_mib("RssAnon"), time.perf_counter()
    index = Index(WIDTH)
    for start in range(0, len(rows), BATCH):
        numbers = np.arange(start, min(start + BATCH, len(rows)))
        unknown = np.full(len(numbers), np.nan)
        cameras, modality = rng.integers(0, N_CAMERAS, len(numbers)), (numbers % 2).astype(np.int8)
        index.add(numbers, rows[numbers], Facts(modality, cameras, unknown, unknown, np.full(len(numbers), -1)))
    seconds = time.perf_counter() - begin
    return index, {"seconds": seconds, "amount": len(rows), "peak_mib": memory_mib("RssAnon") - before}


def works(size: str) -> list[tuple[Work, str, str]]:
    """Each row of the table, with the methods of Subject that do ours and the alternative, and how many queries."""
    work = partial(Work, unit="queries", ours=dict, alternative=dict, ours_is="duskmatch", rounds=PAIRS)
    flat = "FAISS Flat, fp32"
    least = "at most {} times the seconds of {}".format
    return [
        work(
            "search_one",
            f"one query, top {TOP} of {size}",
            alternative_is=flat,
            goal=Goal(least(0.15, "FAISS"), 1 / 0.15),
        ),
        work(
            "search_many",
            f"{MANY} queries, top {TOP} of {size}",
            alternative_is=flat,
            goal=Goal(least(0.12, "FAISS"), 1 / 0.12),
        ),
        work(
            "search_filtered",
            f"one query of 1 % of {size}",
            alternative_is="all rows searched",
            goal=Goal(least(0.3, "all"), 1 / 0.3),
        ),
    ]


def contenders(s: Subject, name: str) -> tuple[Timed, Timed, int]:
    """(ours, the alternative, queries) of a work."""
    return {
        "search_one": (partial(s.ours, 1), partial(s.theirs, 1), 1),
        "search_many": (partial(s.ours, MANY), partial(s.theirs, MANY), MANY),
        "search_filtered": (s.filtered, partial(s.ours, 1), 1),
    }[name]


def measured(s: Subject, work: Work, pairs: int) -> dict[str, Any]:
    """The document of one work: pairs in turns, and a pass over the rows of one byte beside each."""
    ours, alternative, n = contenders(s, work.name)
    found: dict[str, list[Numbers]] = {"ours": [], "alternative": [], "pass": []}
    sides: dict[str, Timed] = {"ours": ours, "alternative": alternative, "pass": s.read_codes}
    for name in sides:
        sides[name]()
    for number in range(pairs):
        for name in list(sides) if number % 2 == 0 else reversed(sides):
            begin = time.perf_counter()
            sides[name]()
            found[name].append({"seconds": time.perf_counter() - begin, "amount": n, "peak_mib": 0.0})
    passes = found.pop("pass")
    seconds = {name: quarter(side) for name, side in {**found, "pass": passes}.items()}
    cost = None if work.name == "search_filtered" else (PASS, 1 / n)  # which reads few of the rows
    document = result(replace(work, cost=cost, rounds=pairs), found, {PASS: 1 / seconds["pass"]})
    document["quartile_seconds"] = seconds
    document["ratio_of_quartiles"] = seconds["alternative"] / seconds["ours"]
    document["met"] = document["ratio_of_quartiles"] >= (work.goal.ratio or 0)
    return document


def quarter(side: list[Numbers]) -> float:
    """The 25th percentile: what else a shared machine does only adds to seconds."""
    return float(np.quantile([numbers["seconds"] for numbers in side], 0.25))


def same_first(s: Subject) -> float:
    """The share of the first rows of all queries that fp32 by FAISS has too."""
    ours, (_, theirs) = s.ours(MANY).rows, s.theirs(MANY)
    return float(np.mean([np.isin(mine, other).mean() for mine, other in zip(ours, theirs, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of all works but search_many")
    parser.add_argument("--pairs-of-many", type=int, default=PAIRS_OF_MANY, help="of search_many, 10 seconds each")
    parser.add_argument("--folder", type=Path, help="where the fp32 rows are written; a temporary folder without")
    args = parser.parse_args()
    size = f"{args.rows:,} x {WIDTH}"
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, subject(args.rows, Path(folder)) as (s, opening):
        print(f"opening {size}: {opening['seconds']:.2f} s, {opening['peak_mib']:.0f} MiB", flush=True)
        share = same_first(s)
        print(f"first {TOP} that fp32 has too: {100 * share:.2f} %", flush=True)
        for work in works(size):
            pairs = args.pairs_of_many if work.name == "search_many" else args.pairs
            document = measured(s, work, pairs) | {"opening": opening, "same_first": share}
            milliseconds = ", ".join(f"{name} {1000 * x:.2f} ms" for name, x in document["quartile_seconds"].items())
            print(
                f"{work.what}: {milliseconds}; {1 / document['ratio_of_quartiles']:.3f} of the alternative", flush=True
            )
            if args.rows == ROWS:
                path = RESULTS / f"bench_{work.name}.json"
                path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

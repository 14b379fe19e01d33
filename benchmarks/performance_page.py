"""Writes docs/performance.md's table and its roofline picture from benchmarks/results/bench_*.json.

python -m benchmarks.performance_page
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from textwrap import wrap
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
PICTURE = HERE.parent / "docs" / "pictures" / "roofline.png"
BEGIN, END = "<!-- begin: benchmarks/performance_page.py -->\n", "<!-- end -->\n"


def documents() -> list[dict[str, Any]]:
    files = sorted((HERE / "results").glob("bench_*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def quantity(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def row(document: dict[str, Any]) -> str:
    ours, other, ratio, limit = (document[key] for key in ("ours", "alternative", "ratio", "limit"))
    rate = f"{quantity(ours['per_second']['median'])} {document['unit']}/s"
    rate_other = f"{quantity(other['per_second']['median'])} {document['unit']}/s"
    cells = [
        document["what"],
        f"{ours['name']}: {rate}",
        f"{other['name']}: {rate_other}",
        f"**{quantity(ratio['median'])}** ({quantity(ratio['least'])} to {quantity(ratio['most'])})",
        f"{100 * limit['share']:.0f} % of {quantity(limit['per_second'])} {limit['unit']}/s" if limit else "",
        f"{ours['peak_mib']:.0f} / {other['peak_mib']:.0f}",
        f"{document['goal']}: {'reached' if document['met'] else '**missed**'}",
    ]
    return "| " + " | ".join(cells) + " |"


def place(document: dict[str, Any]) -> str:
    threads = "1 thread" if document["threads"] == 1 else f"{document['threads']} threads"
    return f"{document['machine']}, {threads}, torch {document['versions']['torch']}"


def table(found: list[dict[str, Any]]) -> str:
    most, *others = (machine for machine, _ in Counter(map(place, found)).most_common())
    lines = [
        f"Measured on: {most}{', where no note says otherwise' if others else ''}. "
        "Rounds alternate, each in a fresh process; ratios are medians of paired "
        "rounds with the least and the most; memory is the peak in MiB above the level at entry, ours / alternative.",
        "",
        "| work | ours | instead | ratio | of the limit | memory | goal |",
        "|---|---|---|---|---|---|---|",
        *map(row, found),
    ]
    notes = [f"- {d['what']}: measured on {place(d)}." for d in found if place(d) != most]
    notes += [f"- {d['what']}: {note}." for d in found for note in d["notes"]]
    return "\n".join(lines) + "\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")


def profiles() -> str:
    """What the recorded profiles say, a line each; "" where there are none."""
    files = sorted((HERE / "results").glob("profile_*.json"))
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    lines = ["", "## Where the time goes", ""] if found else []
    for profile in found:
        parts = ", ".join(f"{name} {quantity(value)}" for name, value in profile["parts"].items())
        more = ""
        if "convolutions_gflop_per_s" in profile:
            product = profile["limits"]["bf16 GFLOP"]
            more = (
                f"; its convolutions ({', '.join(profile['convolution_precisions'])}) reach "
                f"{quantity(profile['convolutions_gflop_per_s'])} GFLOP/s, torch's bf16 product of two matrices "
                f"{quantity(product)} in the same run"
            )
        lines.append(f"- {profile['what']}, {profile['unit']}: {parts}{more}.")
    return "\n".join(lines) + ("\n" if lines else "")


def exports() -> str:
    """A demo run in every format, as verified; "" where that was not recorded."""
    path = HERE / "results" / "exports_demo.json"
    if not path.is_file():
        return ""
    document = json.loads(path.read_text(encoding="utf-8"))
    word = " (SYNTHETIC data)" if document["data"]["synthetic"] else ""
    lines = ["", f"## Exports of a demo run{word}", ""]
    lines += ["| format | precision | verified | cosine, least | rank-1 (fp32), both directions | mAP (fp32) |"]
    lines += ["|---|---|---|---|---|---|"]
    for one in document["exports"]:
        seen = one["verification"] or {}
        pairs = list(seen.get("scores", {}).values())
        figures = [
            ", ".join(f"{100 * moved[f]:.2f} ({100 * moved[f'{f}_fp32']:.2f})" for moved in pairs)
            for f in ("rank1", "mAP")
        ]
        least = f"{seen['cosine_least']:.6f}" if seen else ""
        verified = "yes" if one["verified"] else "**no**"
        lines.append(f"| {one['format']} | {one['precision']} | {verified} | {least} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its table made anew."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table(documents()) + profiles() + exports() + END + rest.split(END)[1]


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Achieved and limit of each work that has one, as bars on one logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    bounded = [d for d in found if d["limit"]]
    if not bounded:
        return
    figure, axes = plt.subplots(figsize=(10, 0.62 * len(bounded) + 1.4), layout="constrained")
    for place, document in enumerate(reversed(bounded)):
        limit = document["limit"]
        axes.barh(place, 100, color="#e6e9ef", height=0.62)
        axes.barh(place + 0.15, min(100 * limit["share"], 100), color="#22577a", height=0.3)
        axes.barh(place - 0.15, min(100 * limit["share_alternative"], 100), color="#c8804b", height=0.3)
        axes.text(101, place, f"{quantity(limit['per_second'])} {limit['unit']}/s", va="center", fontsize=9)
    names = ["\n".join(wrap(d["what"].replace("`", ""), 46)) for d in reversed(bounded)]
    axes.set_yticks(range(len(bounded)), names, fontsize=9)
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.6, len(bounded) - 0.4)
    axes.set_xlabel("per cent of the limit, which stands at the right, measured in the same run", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in ("#22577a", "#c8804b", "#e6e9ef")]
    figure.legend(handles, ["ours", "instead", "limit"], loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw(documents(), PICTURE)
    print(table(documents()))

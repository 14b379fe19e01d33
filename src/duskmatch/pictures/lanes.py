"""Lanes of time: when each camera saw a person, day and night in two colours, several people on one page.

Times of day share one axis, so that people can be compared; each video, whose clock says nothing about others, has one
of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from duskmatch.gallery import Entry
from duskmatch.pictures.charts import INK, LINE, NOTE_SIZE, SERIES, save_figure
from duskmatch.records import Modality

# Orange and blue are distinct for colour-blind readers; hatching tells them apart in grey print.
COLOURS: dict[Modality, str] = {"visible": SERIES[0], "infrared": SERIES[1]}
HATCH: dict[Modality, str] = {"visible": "", "infrared": "//////"}
DAY_OR_NIGHT: dict[Modality, str] = {"visible": "visible (day)", "infrared": "infrared (night)"}
MOST_PEOPLE = 12  # on one page
WIDTH, LANE, HEAD, PANEL, FOOT = 10.0, 0.24, 0.5, 0.45, 0.75  # inches
LEAST_SHARE = 0.006  # of the axis: a short bar is drawn so wide
LAST_S = 2e11  # in the year 8307: with room at the ends, the calendar has 9999
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Lanes:
    """A person's title and entries."""

    title: str
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class _Panel:
    """A person's bars by one clock. video: "" for times of day, else the place of the video's tracklets."""

    title: str
    video: str
    entries: Sequence[Entry]

    @property
    def cameras(self) -> list[int]:
        return sorted({entry.camera for entry in self.entries})


def draw_lanes(path: Path, people: Sequence[Lanes]) -> Path:
    """Writes a PNG of these people: for each a panel with a lane for each camera; the largest where they are many."""
    shown = sorted(people, key=lambda one: -len(one.entries))[:MOST_PEOPLE] if len(people) > MOST_PEOPLE else people
    panels = [panel for one in shown for panel in _panels(one)]
    note = _note(people, shown)
    save_figure(lambda: _figure(panels, note), path, dpi=110)
    return path


def _panels(person: Lanes) -> list[_Panel]:
    """Times of day first, then each video; a person without times has one empty panel."""
    by_clock: dict[str, list[Entry]] = {}
    for entry in person.entries:
        if has_time(entry):
            by_clock.setdefault("" if entry.clock == "unix" else entry.source or "a video", []).append(entry)
    return [
        _Panel(person.title if not n else "", video, by_clock[video]) for n, video in enumerate(sorted(by_clock))
    ] or [_Panel(f"{person.title}: no entry has a time", "", [])]


def has_time(entry: Entry) -> bool:
    times = [t for t in (entry.begin_s, entry.end_s) if t is not None]
    return bool(times) and (entry.clock == "video" or all(0 <= t <= LAST_S for t in times))


def _span(entry: Entry) -> tuple[float, float]:
    """Begin and end; a time that is not known is the other."""
    begin = entry.begin_s if entry.begin_s is not None else entry.end_s
    end = entry.end_s if entry.end_s is not None else entry.begin_s
    assert begin is not None and end is not None
    return begin, end


def _figure(panels: Sequence[_Panel], note: str) -> Figure:
    heights = [max(1, len(panel.cameras)) * LANE + PANEL for panel in panels]
    whole = Figure(figsize=(WIDTH, HEAD + sum(heights) + FOOT), layout="constrained")
    grid = whole.add_gridspec(len(panels), 1, height_ratios=heights)
    by_day = [_span(entry) for panel in panels if not panel.video for entry in panel.entries]
    for place, panel in enumerate(panels):
        _draw(whole.add_subplot(grid[place, 0]), panel, by_day)
    keys = [Patch(fc=COLOURS[word], ec="white", hatch=HATCH[word], label=DAY_OR_NIGHT[word]) for word in COLOURS]
    whole.legend(handles=keys, loc="outside upper right", ncols=2, fontsize=8)
    whole.supxlabel(note, x=0.01, ha="left", fontsize=NOTE_SIZE)
    return whole


def _draw(axes: Axes, panel: _Panel, by_day: Sequence[tuple[float, float]]) -> None:
    spans = [_span(entry) for entry in panel.entries] if panel.video else by_day
    low, high = (min(begin for begin, _ in spans), max(end for _, end in spans)) if spans else (0.0, 1.0)
    unit = 1.0 if panel.video else DAY_S
    least = max((high - low) * LEAST_SHARE, 1e-3)
    lanes = {camera: lane for lane, camera in enumerate(panel.cameras)}
    for entry in panel.entries:
        begin, end = _span(entry)
        width = max(end - begin, least)
        word = entry.modality
        axes.barh(
            lanes[entry.camera], width / unit, left=((begin + end) / 2 - width / 2) / unit, height=0.62,
            color=COLOURS[word], edgecolor="white", hatch=HATCH[word], linewidth=0.4,
        )  # fmt: skip
    pad = max((high - low) * 0.02, least)
    axes.set(xlim=((low - pad) / unit, (high + pad) / unit), ylim=(max(1, len(lanes)) - 0.4, -0.6))
    axes.set_yticks([*lanes.values()], [f"camera {camera if camera >= 0 else 'unknown'}" for camera in lanes])
    axes.tick_params(labelsize=8, length=0)
    axes.xaxis.get_offset_text().set_fontsize(8)
    axes.set_title(shorten(panel.title, 110, placeholder=" …"), color=INK)
    axes.grid(axis="x", color=LINE)
    axes.grid(axis="y", visible=False)
    if panel.video:
        axes.set_xlabel(f"seconds of {_shortened(panel.video)}", fontsize=8)
    elif spans:
        locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    else:
        axes.set_xticks([])


def _shortened(place: str, most: int = 90) -> str:
    """The end of a place, which tells videos apart."""
    return place if len(place) <= most else f"…{place[1 - most :]}"


def _note(people: Sequence[Lanes], shown: Sequence[Lanes]) -> str:
    timeless = sum(not has_time(entry) for one in shown for entry in one.entries)
    days = [_span(e)[0] for one in shown for e in one.entries if e.clock == "unix" and has_time(e)]
    words = [f"Times of day are UTC, from {datetime.fromtimestamp(min(days), UTC):%Y-%m-%d %H:%M:%S}."] if days else []
    words.append("A bar is one entry; very short ones are drawn wider.")
    if timeless:
        words.append(f"Entries without a time, which are not drawn: {timeless}.")
    if len(shown) < len(people):
        words.append(f"The {len(shown)} people with most entries, of {len(people)}.")
    return " ".join(words)

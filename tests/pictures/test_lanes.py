"""Lanes of time: every entry with a time is a bar in its camera's lane, on an axis of its own clock."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from matplotlib.patches import Rectangle

from duskmatch.gallery import Entry
from duskmatch.pictures import lanes
from duskmatch.pictures.lanes import COLOURS, Lanes, draw_lanes

NOON = 1.78e9


def entry(id: str, camera: int, begin: float | None, **facts: object) -> Entry:
    given: dict[str, object] = {"modality": "visible", "begin_s": begin, "end_s": None if begin is None else begin + 5}
    return Entry(id, camera=camera, **{**given, **facts})  # type: ignore[arg-type]


PERSON = Lanes(
    "person 3 (Alice $x^$)",
    [
        entry("a", 1, NOON),
        entry("b", 2, NOON + 600, modality="infrared"),
        entry("c", 1, NOON + 900),
        entry("d", 4, 3.0, clock="video", source="/videos/north"),
        entry("e", 4, 9.0, clock="video", source="/videos/south"),
        entry("f", 7, None),
    ],
)


def bars(axes: object) -> list[Rectangle]:
    return [patch for container in axes.containers for patch in container]  # type: ignore[attr-defined]


def test_each_clock_has_an_axis_and_each_camera_a_lane() -> None:
    panels = lanes._panels(PERSON)
    assert [(panel.video, panel.cameras, len(panel.entries)) for panel in panels] == [
        ("", [1, 2], 3), ("/videos/north", [4], 1), ("/videos/south", [4], 1)
    ]  # fmt: skip
    whole = lanes._figure(panels, "note")
    day, north, south = whole.axes
    assert [label.get_text() for label in day.get_yticklabels()] == ["camera 1", "camera 2"]
    middles = [86400 * (bar.get_x() + bar.get_width() / 2) - NOON for bar in bars(day)]
    assert middles == pytest.approx([2.5, 602.5, 902.5], abs=0.01)
    assert north.get_xlabel() == "seconds of /videos/north" and south.get_xlabel() == "seconds of /videos/south"


def test_day_and_night_have_two_colours_and_the_night_is_hatched() -> None:
    from matplotlib.colors import to_hex

    day = lanes._figure(lanes._panels(PERSON), "").axes[0]
    found = {(to_hex(bar.get_facecolor()), bar.get_hatch() or "") for bar in bars(day)}
    assert found == {(COLOURS["visible"], ""), (COLOURS["infrared"], "//////")}


def test_a_page_says_what_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Lanes(f"person {i}", [entry(f"{i}-{j}", j, NOON + i) for j in range(1 + i % 3)]) for i in range(20)]
    note = lanes._note(many, many[:12])
    assert "The 12 people with most entries, of 20." in note
    assert "Entries without a time, which are not drawn: 1." in lanes._note([PERSON], [PERSON])
    assert cv2.imread(str(draw_lanes(tmp_path / "many.png", many))).shape[0] > 800


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("a", 1, None)],
        [entry("a", -1, 1e18)],
        [entry("a", 1, 0.0, end_s=0.0)],
        [entry("a", 1, None, end_s=NOON)],
        [entry("a", 1, -5.0, clock="video")],
        [entry("a", 1, 0.0), entry("b", 1, 2.5e11)],
    ],
)
def test_odd_times_are_drawn_or_left_out(tmp_path: Path, entries: list[Entry]) -> None:
    assert cv2.imread(str(draw_lanes(tmp_path / "odd.png", [Lanes("person 1", entries)]))) is not None

"""The report's pictures of people: ranked strips, the people found worst, sample tracklets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from duskmatch.evaluation import Evaluation
from duskmatch.evaluation.matches import SamePersonTable
from duskmatch.evaluation.words import ARROWS, percent
from duskmatch.pictures.cases import RULE, shown_cases, worst_people
from duskmatch.pictures.html import Html, element
from duskmatch.pictures.sheets import n_hits
from duskmatch.pictures.thumbnails import data_uri, middle_frame, thumbnail
from duskmatch.records import DIRECTIONS, Direction, Modality, Tracklet

N_SAMPLES = 4
N_FRAMES = 6


def strips_section(evaluation: Evaluation, n_strips: int) -> list[Html]:
    """Good, typical and bad queries of both directions with their first hits."""
    parts = [element("p", RULE, class_="small soft")]
    for direction in DIRECTIONS:
        parts.append(element("h3", ARROWS[direction]))
        for kind, rows in shown_cases(evaluation.scores[direction], n_strips).items():
            parts += [strip(evaluation, direction, row, kind) for row in rows]
    return parts


def strip(evaluation: Evaluation, direction: Direction, row: int, kind: str) -> Html:
    """One query and its first hits."""
    query, ranking = evaluation.query[direction].tracklets[row], evaluation.rankings[direction]
    caption = element(
        "figcaption",
        element("b", kind),
        f" · {who(query)} · {found_in_words(evaluation, direction, row)}, {int(ranking.matches[row].sum())} of "
        f"{n_matches(evaluation, direction, row)} matches shown",
    )
    tiles = query_tile(query), *hits(evaluation, direction, row)
    return element("figure", caption, element("ol", *tiles, class_="tiles strip"))


def query_tile(query: Tracklet) -> Html:
    return element("li", image(query, f"query: {who(query)}"), element("b", "query"), class_="query")


def hits(evaluation: Evaluation, direction: Direction, row: int) -> list[Html]:
    """A tile for each hit of a query, and a dash for each that it lacks beside longer lists."""
    ranking, gallery = evaluation.rankings[direction], evaluation.gallery[direction].tracklets
    found = zip(*(of[row, : n_hits(ranking)] for of in (ranking.indices, ranking.matches, ranking.dist)), strict=True)
    return [
        hit(rank, gallery[column], bool(match), float(dist)) if column >= 0 else element("li", "–", class_="none")
        for rank, (column, match, dist) in enumerate(found, start=1)
    ]


def found_in_words(evaluation: Evaluation, direction: Direction, row: int) -> str:
    """Average precision and rank of the first match of a query, as text."""
    scores = evaluation.scores[direction]
    place = int(np.searchsorted(scores.scored, row))
    return (
        f"average precision {percent(scores.average_precision[place])} %, first match at rank {scores.first_hit[place]}"
    )


def n_matches(evaluation: Evaluation, direction: Direction, row: int) -> int:
    """The number of matches that the camera rule leaves to a query."""
    query, gallery = evaluation.query[direction].embeddings, evaluation.gallery[direction].embeddings
    table = SamePersonTable(gallery.pids, gallery.camids, evaluation.camera_rule)
    return int(table.of(query.pids[row : row + 1], query.camids[row : row + 1]).matches.sum())


def people_section(evaluation: Evaluation, n: int = 8) -> list[Html]:
    """The people with the lowest mAP, with a visible and an infrared picture of each."""
    looks = {
        modality: {t.pid: t for t in reversed(evaluation.query[direction].tracklets)}
        for modality, direction in _DIRECTION_OF.items()
    }
    cards = []
    for pid, precision, rank1, count in worst_people(evaluation, n):
        images = [
            element("li", image(seen[pid], f"person {pid}, {modality}"), class_="sample")
            for modality, seen in looks.items()
            if pid in seen
        ]
        words = f"mAP {percent(precision)} %, {round(rank1 * count)} of {count} at rank 1"
        caption = element("figcaption", element("b", f"person {pid}"), element("br"), words)
        cards.append(element("figure", element("ul", *images, class_="tiles pair"), caption))
    note = "Mean over all of a person's queries, both directions together; worst first."
    return [element("p", note, class_="small soft"), element("div", *cards, class_="people")]


def samples_section(evaluation: Evaluation, n: int = N_SAMPLES) -> list[Html]:
    """Visible and infrared frames of some people, spread evenly over all."""
    visible = evaluation.query["visible_to_infrared"].tracklets
    infrared = {t.pid: t for t in reversed(evaluation.query["infrared_to_visible"].tracklets)}
    both = {t.pid: t for t in reversed(visible) if t.pid in infrared}
    people = sorted(both)
    chosen = [people[i] for i in np.unique(np.linspace(0, len(people) - 1, min(n, len(people))).astype(int))]
    rows = [_row(side[pid]) for pid in chosen for side in (both, infrared)]
    return [element("div", *rows, class_="columns")]


_DIRECTION_OF: dict[Modality, Direction] = {"visible": "visible_to_infrared", "infrared": "infrared_to_visible"}


def _row(tracklet: Tracklet) -> Html:
    at = np.linspace(0, len(tracklet) - 1, min(N_FRAMES, len(tracklet))).astype(int)
    images = [
        element("li", picture_tile(tracklet.frames[i], f"frame {i + 1} of {who(tracklet)}")) for i in dict.fromkeys(at)
    ]
    caption = element("figcaption", f"{who(tracklet)}, {len(tracklet)} frames")
    return element("figure", caption, element("ul", *islice(images, N_FRAMES), class_="tiles frames"))


def hit(rank: int, tracklet: Tracklet, match: bool, dist: float) -> Html:
    sign, word = ("✓", "right") if match else ("✗", "wrong")
    return element(
        "li",
        image(tracklet, f"hit {rank}, {word}: {who(tracklet)}"),
        element("b", f"{rank} {sign}"),
        f" {dist:.3f}",
        element("small", f"person {tracklet.pid}", element("br"), f"camera {tracklet.camid}"),
        class_=word,
    )


def image(tracklet: Tracklet, words: str) -> Html:
    return picture_tile(middle_frame(tracklet), words)


def picture_tile(path: object, words: str) -> Html:
    picture = thumbnail(path)  # type: ignore[arg-type]
    return element("img", src=data_uri(picture), alt=words, width=picture.shape[1], height=picture.shape[0])


def who(tracklet: Tracklet) -> str:
    return f"person {tracklet.pid}, camera {tracklet.camid}, {tracklet.modality}"


def has_pictures(evaluation: Evaluation) -> bool:
    """True if every side has its tracklets, and so pictures."""
    sides: Sequence[Sequence[Tracklet]] = [side.tracklets for side in evaluation.query.values()]
    return all(len(tracklets) > 0 for tracklets in sides)

"""Strip pages: a page for each eight queries, marks where they belong, holes where nothing is left."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from duskmatch.evaluation import rank
from duskmatch.pictures import ranked_strips, sheets
from duskmatch.pictures.sheets import RIGHT, UNKNOWN, WRONG, left_of
from duskmatch.pictures.strips import HEAD_PX, ROW_PX
from duskmatch.pictures.thumbnails import HEIGHT_PX, WIDTH_PX
from duskmatch.records import Embeddings, Tracklet


def page_of(path):
    return cv2.imread(str(path))[:, :, ::-1]


def has_frame(page, place, row, colour):
    """Whether the frame round a tile holds the colour."""
    top, left = HEAD_PX + row * ROW_PX - 6, left_of(place) - 6
    around = page[top : top + HEIGHT_PX + 12, left : left + WIDTH_PX + 12].astype(int)
    around = np.concatenate([around[:, :6].reshape(-1, 3), around[:, -6:].reshape(-1, 3)])
    return bool((np.abs(around - 255 * np.array(to_rgb(colour))).sum(axis=1) < 30).any())


def test_marks_follow_the_ranking(people, evaluation, tmp_path):
    direction = "infrared_to_visible"
    query = evaluation.query[direction].embeddings.take(np.arange(10))
    gallery = evaluation.gallery[direction].embeddings
    ranking = rank(query, gallery, camera_rule="same-pid-same-camera", k=5)
    pages = ranked_strips(tmp_path, query, gallery, ranking, {t.tracklet_id: t for t in people.test})
    assert [p.name for p in pages] == ["strips-001.png", "strips-002.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["strips-001.png", "strips-002.png"]
    for q in range(10):
        page, row = page_of(pages[q // 8]), q % 8
        for place in range(5):
            right = bool(ranking.matches[q, place])
            assert has_frame(page, place + 1, row, RIGHT) is right
            assert has_frame(page, place + 1, row, WRONG) is not right
    assert ranking.matches[:10].any() and not ranking.matches[:10].all()


def test_unknown_people_are_neither_right_nor_wrong_and_short_lists_end(tmp_path):
    query = Embeddings(np.eye(2), np.array([-1, 4]), np.array([1, 1]), "infrared", sources=["<a>$x$", "b"])
    gallery = Embeddings(np.eye(2), np.array([4, -1]), np.array([1, 2]), "visible", sources=["c", "d"])
    ranking = rank(query, gallery, camera_rule="same-pid-same-camera", k=3)
    (path,) = ranked_strips(tmp_path, query, gallery, ranking, {})
    page = page_of(path)
    for row in (0, 1):
        assert has_frame(page, 1, row, UNKNOWN)
        assert not any(has_frame(page, place, row, colour) for place in (1, 2, 3) for colour in (RIGHT, WRONG))


def drawn_texts(monkeypatch, tmp_path, query, gallery, ranking, **words):
    """The texts of the only page, by their place from the left."""
    kept = []
    monkeypatch.setattr(sheets, "save_figure", lambda make, path, dpi: kept.append(make()))
    ranked_strips(tmp_path, query, gallery, ranking, {}, **words)
    (axes,) = kept[0].axes
    return [text.get_text() for text in axes.texts], kept[0].get_figwidth() * 100


def test_a_gallery_shorter_than_asked_for_leaves_no_empty_columns(monkeypatch, tmp_path):
    query = Embeddings(np.eye(2), np.array([1, 2]), np.array([1, 1]), "infrared", sources=["a", "b"])
    gallery = Embeddings(np.eye(2), np.array([1, 2]), np.array([2, 2]), "visible", sources=["c", "d"])
    ranking = rank(query, gallery, camera_rule="none", k=10)
    texts, width = drawn_texts(monkeypatch, tmp_path, query, gallery, ranking)
    assert "2" in texts and "3" not in texts and "–" not in texts
    assert width < left_of(10)


def test_a_page_says_whose_people_and_whose_answer_it_shows(monkeypatch, tmp_path):
    query = Embeddings(np.eye(2), np.array([1, 2]), np.array([1, 1]), "infrared", sources=["a", "b"])
    ranking = rank(query, query, camera_rule="none", k=1)
    words = {"title": "SYNTHETIC data: nearest to each query, by RUN", "note": "2 queries"}
    texts, _ = drawn_texts(monkeypatch, tmp_path, query, query, ranking, **words)
    assert texts[0] == words["title"] and texts[1] == "camera rule: none"
    assert "1 − cosine" in texts[-1] and texts[-1].endswith("2 queries")


def test_a_slim_crop_stands_in_its_frame_without_bars(tmp_path):
    crop = tmp_path / "crop.png"
    cv2.imwrite(str(crop), np.full((160, 40, 3), (0, 0, 255), np.uint8))  # BGR: red
    side = Embeddings(np.eye(1), np.array([-1]), np.array([1]), "infrared", sources=["a"])
    found = {"a": Tracklet((crop,), 1, 1, "infrared")}
    (path,) = ranked_strips(tmp_path, side, side, rank(side, side, camera_rule="none", k=1), found)
    shown = page_of(path)[HEAD_PX + 40 : HEAD_PX + 120, left_of(0) - 8 : left_of(0) + WIDTH_PX + 8].astype(int)
    grey = (np.abs(shown - 128) < 12).all(axis=2)
    assert not grey.any() and (shown == (255, 0, 0)).all(axis=2).sum(axis=1).max() == 40


def test_the_same_ranking_gives_the_same_bytes(people, evaluation, tmp_path):
    query = evaluation.query["infrared_to_visible"].embeddings.take([0])
    gallery = evaluation.gallery["infrared_to_visible"].embeddings
    ranking = rank(query, gallery, camera_rule="none", k=2)
    found = {t.tracklet_id: t for t in people.test}
    made = [ranked_strips(tmp_path / name, query, gallery, ranking, found)[0].read_bytes() for name in "ab"]
    assert made[0] == made[1]

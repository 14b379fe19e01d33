"""Maps of embeddings: two placements, deterministic, with the right people in the right places."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from duskmatch.pictures.compared import mapped_tracklets
from duskmatch.pictures.embedding_map import (
    LETTERS,
    Map,
    Panel,
    caption,
    draw_map,
    maps_section,
    panels_of,
    placed,
    principal,
    save_maps,
)


def clouds(n=20, d=6, seed=0):
    """Two clouds far apart."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((2 * n, d)) * 0.1
    vectors[n:, 0] += 3
    return vectors.astype(np.float32)


def test_principal_components_are_those_of_the_covariance():
    vectors = clouds()
    values, axes = np.linalg.eigh(np.cov(vectors.T.astype(float)))
    found = principal(vectors)
    expected = (vectors - vectors.mean(axis=0)) @ axes[:, ::-1][:, :2]
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=1e-5)
    share = 100 * values[::-1][:2].sum() / values.sum()
    assert f"{share:.0f} % of the variance" in found.method


def test_principal_components_do_not_turn_with_the_sign_of_the_vectors_basis():
    vectors = clouds()
    flipped = vectors * np.array([-1, 1, 1, 1, 1, 1], np.float32)
    assert np.abs(principal(flipped).points) == pytest.approx(np.abs(principal(vectors).points), abs=1e-5)
    assert np.array_equal(principal(vectors).points, principal(vectors.copy()).points)


def test_t_sne_is_the_same_each_time_and_keeps_clouds_apart():
    found = placed(clouds())
    assert found.method.startswith("t-SNE (scikit-learn, perplexity 12, PCA start, fixed seed)")
    assert np.array_equal(found.points, placed(clouds()).points)
    first, second = found.points[:20], found.points[20:]
    apart = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert apart > 2 * max(np.linalg.norm(x - x.mean(axis=0), axis=1).mean() for x in (first, second))


@pytest.mark.parametrize("vectors", [np.ones((20, 4)), np.eye(2), np.ones((1, 3))], ids=["alike", "two", "one"])
def test_few_or_equal_vectors_are_placed_too(vectors):
    found = placed(vectors.astype(np.float32))
    assert found.points.shape == (len(vectors), 2) and np.isfinite(found.points).all()
    assert "principal components" in found.method


def test_people_are_spread_over_those_seen_in_both_modalities(compared):
    evaluation = compared[0].evaluation
    chosen = mapped_tracklets(evaluation, 3)
    assert sorted({t.pid for t in chosen}) == [1, 4, 8] and len(chosen) == 3 * 6
    assert [t.modality for t in chosen] == ["visible"] * 9 + ["infrared"] * 9
    assert {t.pid for t in mapped_tracklets(evaluation, 99)} == set(range(1, 9))


def test_both_maps_show_the_same_tracklets_by_their_own_vectors(compared):
    for run, (before, after) in zip(compared, panels_of(compared), strict=True):
        assert list(before.who.sources) == list(after.who.sources)
        assert np.array_equal(before.who.pids, after.who.pids) and before.who.modalities == after.who.modalities
        assert not np.allclose(before.who.vectors, after.who.vectors)
        for i, (modality, source) in enumerate(zip(after.who.modalities, after.who.sources, strict=True)):
            side = run.evaluation.query["visible_to_infrared" if modality == "visible" else "infrared_to_visible"]
            row = list(side.embeddings.sources).index(source)
            assert np.array_equal(after.who.vectors[i], side.embeddings.vectors[row])
        assert f"AUC {after.auc:.3f}" in after.title and f"AUC {before.auc:.3f}" in before.title


def test_each_clip_is_one_mark_with_its_persons_letter(compared):
    panel = panels_of(compared[:1])[0][1]
    n = len(panel.who)
    points = np.stack([np.arange(n) % 6, np.arange(n) // 6], axis=1).astype(float)
    axes = Figure().add_subplot()
    draw_map("$t$", Panel("t", panel.who, Map(points, "by hand"), None), axes)
    people = sorted(set(panel.who.pids.tolist()))
    for i in range(n):
        (text,) = [t for t in axes.texts if t.get_position() == tuple(points[i])]
        assert text.get_text() == LETTERS[people.index(panel.who.pids[i])]
    assert sum(len(marks.get_offsets()) for marks in axes.collections) == n


def test_no_letter_lies_on_another(compared):
    panel = panels_of(compared[:1])[0][1]
    points = np.random.default_rng(0).normal(size=(len(panel.who), 2)) * 0.01
    points[0] = 9, 9  # far away, so that the others lie on each other
    whole = Figure(figsize=(4.6, 4.6))
    axes = whole.add_subplot()
    draw_map("t", Panel("t", panel.who, Map(points, "by hand"), None), axes)
    whole.draw_without_rendering()
    places = [text.get_window_extent() for text in axes.texts]
    assert 2 <= len(places) < len(points)
    assert not any(one.overlaps(other) for i, one in enumerate(places) for other in places[:i])
    assert sum(len(marks.get_offsets()) for marks in axes.collections) == len(points)


def test_the_caption_says_method_people_and_loaded_weights(compared, tmp_path):
    maps = panels_of(compared)
    said = caption(compared, maps)
    assert "A = person 1" in said and maps[0][1].map.method in said and "began with loaded weights" not in said
    settings = compared[0].embedder.settings
    loaded = settings.model_copy(update={"model": settings.model.model_copy(update={"weights": "w.safetensors"})})
    compared[0].embedder.settings = loaded
    try:
        assert "Baseline began with loaded weights" in caption(compared, maps)
    finally:
        compared[0].embedder.settings = settings
    text = "".join(maps_section(compared, maps))
    assert text.count('role="img"') == 4 and text.count("SYNTHETIC data") == 1
    made = [save_maps(tmp_path / name, compared, maps, "note").read_bytes() for name in ("a.png", "b.png")]
    assert made[0] == made[1]

"""The probe: its closed form against scikit-learn's, a planted label, people apart, shuffled labels at chance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from duskmatch.experiments.probes.ridge import STRENGTHS, balanced_accuracy, fit, fit_chosen, halves, predict_others


def made(n: int = 90, d: int = 20, n_classes: int = 3, seed: int = 0):
    """Vectors of unlike scales, labels of unlike frequency, people of three rows each."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.choice(n_classes, n - n_classes, p=[0.7, 0.2, 0.1][:n_classes])])
    vectors = rng.standard_normal((n, d)) * rng.uniform(0.01, 50, d) + 10 * rng.standard_normal(d)
    return vectors, labels.astype(np.int64), np.arange(n) // 3


def planted(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The vectors with one direction for each class, larger than what else varies."""
    return vectors + 100 * vectors.std(axis=0) * np.random.default_rng(7).standard_normal((3, vectors.shape[1]))[labels]


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("d", [4, 20, 200])  # fewer features than rows, and more
def test_the_closed_form_is_scikit_learns(strength: float, d: int) -> None:
    vectors, labels, _ = made(d=d)
    probe = fit(vectors, labels, 3, strength)
    scaler = StandardScaler().fit(vectors)
    weights = compute_sample_weight("balanced", labels)
    oracle = Ridge(alpha=strength * d).fit(scaler.transform(vectors), np.eye(3)[labels], sample_weight=weights)
    assert probe.coefficients == pytest.approx(oracle.coef_.T, abs=1e-8)
    assert probe.intercept == pytest.approx(oracle.intercept_, abs=1e-8)
    new = made(d=d, seed=1)[0]
    assert (probe.predict(new) == oracle.predict(scaler.transform(new)).argmax(axis=1)).all()


def test_two_points_by_hand() -> None:
    # One feature, -1 and 1 once standardised; strength 1 leaves 2 / (2 + 1) of the way to the labels less their mean.
    probe = fit(np.array([[3.0], [5.0]]), np.array([0, 1]), 2, 1.0)
    assert probe.mean.tolist() == [4.0] and probe.spread.tolist() == [1.0]
    assert probe.coefficients == pytest.approx(np.array([[-1 / 3, 1 / 3]]))
    assert probe.intercept == pytest.approx([0.5, 0.5])
    assert probe.predict(np.array([[3.9], [4.1]])).tolist() == [0, 1]


def test_scales_and_shifts_of_features_do_not_matter() -> None:
    vectors, labels, _ = made()
    new = made(seed=2)[0]
    scale, shift = np.random.default_rng(3).uniform(0.1, 10, (2, vectors.shape[1]))
    plain, moved = fit(vectors, labels, 3, 0.1), fit(vectors * scale + shift, labels, 3, 0.1)
    assert (plain.predict(new) == moved.predict(new * scale + shift)).all()


def test_a_feature_that_never_changes_changes_nothing() -> None:
    vectors, labels, _ = made()
    constant = np.full((len(vectors), 1), 0.1)  # whose mean is not quite 0.1, so neither is its spread quite 0
    probe = fit(np.hstack([vectors, constant]), labels, 3, 0.1)
    assert probe.coefficients[-1] == pytest.approx(0, abs=1e-9)


def test_a_rare_class_is_not_given_up() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 20 == 0).astype(np.int64)
    vectors = rng.standard_normal((400, 5)) + 2.0 * labels[:, None]
    told = fit(vectors, labels, 2, 0.1).predict(vectors)
    assert balanced_accuracy(told, labels) > 0.9 and told[labels == 1].mean() > 0.9


def test_balanced_accuracy_is_scikit_learns() -> None:
    rng = np.random.default_rng(4)
    labels, told = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    assert balanced_accuracy(told, labels) == pytest.approx(balanced_accuracy_score(labels, told))


@pytest.mark.parametrize("n_people", [2, 7, 12])
def test_halves_hold_whole_people(n_people: int) -> None:
    pids = np.random.default_rng(0).permutation(np.repeat(np.arange(n_people), 4))
    first = halves(pids, 3)
    assert len(np.unique(pids[first])) == -(-n_people // 2)
    assert not set(pids[first]) & set(pids[~first]) and set(pids) == set(range(n_people))
    assert (first == halves(pids, 3)).all()


def test_a_planted_label_is_read_of_people_never_seen() -> None:
    vectors, labels, pids = made()
    told = predict_others(planted(vectors, labels), labels, pids, halves(pids, 0), 3)
    assert (told == labels).all()


def test_what_is_only_a_persons_own_is_not_read_of_others() -> None:
    # Every person has a direction and a label of its own: who has seen the person knows the label, nobody else can.
    rng = np.random.default_rng(5)
    pids = np.repeat(np.arange(200), 3)
    labels = rng.integers(0, 2, 200)[pids]
    vectors = rng.standard_normal((200, 300))[pids] + 0.01 * rng.standard_normal((600, 300))
    told = predict_others(vectors, labels, pids, halves(pids, 0), 2)
    assert abs(balanced_accuracy(told, labels) - 0.5) < 0.1
    assert balanced_accuracy(fit(vectors, labels, 2, 1e-3).predict(vectors), labels) > 0.9


def test_the_strength_is_chosen_on_an_inner_half_of_the_people() -> None:
    vectors, labels, pids = made(n=240, d=300, seed=6)
    vectors = vectors + 0.6 * vectors.std(axis=0) * np.random.default_rng(1).standard_normal((3, 300))[labels]
    first = halves(pids, 2)
    scores = {
        strength: balanced_accuracy_score(
            labels[~first], fit(vectors[first], labels[first], 3, strength).predict(vectors[~first])
        )
        for strength in STRENGTHS
    }
    best = max(strength for strength, score in scores.items() if score == max(scores.values()))
    chosen = fit_chosen(vectors, labels, pids, 3, 2)
    assert chosen.coefficients == pytest.approx(fit(vectors, labels, 3, best).coefficients)

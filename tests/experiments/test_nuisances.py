"""What is asked of whom: labels, strata, what is left out, and why nothing is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from duskmatch.errors import DataError
from duskmatch.experiments.probes.nuisances import Question, Sample, questions, sector
from duskmatch.experiments.probes.ridge import halves
from duskmatch.records import MODALITIES, Tracklet


def samples(n_people: int = 12, *, places: int = 1, truth: bool = True, **changes: object) -> list[Sample]:
    """Everybody once by each of two cameras in each modality, in every place."""
    made = []
    for place in range(places):
        for pid in range(1, n_people + 1):
            for modality in MODALITIES:
                for camid in (1, 2):
                    tracklet = Tracklet((Path("1.jpg"),), pid, camid, modality, f"{pid} {camid} {modality}")
                    told = {
                        "view_degrees": f"{90.0 * camid}",
                        "scene": f"{1000 * place + camid}",
                        "occluder": "post" if pid % 2 else "none",
                        "truncated": "1" if pid == 1 else "0",
                        **changes,
                    }
                    made.append(Sample(tracklet, {k: str(v) for k, v in told.items()} if truth else None, place > 0))
    return made


def asked(made: list[Sample]) -> dict[str, Question]:
    pids = np.array([sample.tracklet.pid for sample in made])
    return {question.name: question for question in questions(made, halves(pids, 0))}


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 0), (22.4, 0), (22.6, 1), (337.4, 7), (337.6, 0), (359.9, 0), (180, 4), (-90, 6)]
)
def test_sectors(degrees: float, expected: int) -> None:
    assert sector(degrees) == expected


def test_every_probe_is_asked_within_its_strata() -> None:
    made = samples(places=3)
    found = asked(made)
    sizes = {name: [(len(s.rows), s.n_classes) for s in question.strata] for name, question in found.items()}
    assert sizes["camera"] == sizes["view"] == sizes["occluder"] == [(24, 2)] * 2  # each modality
    assert sizes["background"] == [(36, 3)] * 4  # each camera and modality, three places
    assert sizes["modality"] == [(48, 2)]
    assert found["background"].chance == pytest.approx(1 / 3) and found["camera"].chance == 0.5
    for name in ("camera", "view", "occluder", "modality"):
        assert all(not made[row].other_places for stratum in found[name].strata for row in stratum.rows)
    for stratum in found["background"].strata:
        members = [made[row] for row in stratum.rows]
        assert len({(one.tracklet.camid, one.tracklet.modality) for one in members}) == 1
        assert len({(one.truth["scene"], label) for one, label in zip(members, stratum.labels, strict=True)}) == 3


def test_chance_is_the_mean_over_strata() -> None:
    made = samples()
    extra = [Sample(Tracklet((Path("1.jpg"),), pid, 3, "visible", f"{pid}"), None) for pid in range(1, 13)]
    assert [stratum.n_classes for stratum in asked([*made, *extra])["camera"].strata] in ([3, 2], [2, 3])
    assert asked([*made, *extra])["camera"].chance == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_classes_that_too_few_people_have_are_left_out_and_counted() -> None:
    found = asked(samples())
    assert found["truncated"].strata == [] and found["truncated"].n_left_out == 48
    assert found["truncated"].reason == "no two classes have 2 people in each half"
    rare = samples()
    rare[0] = Sample(rare[0].tracklet, {**rare[0].truth, "view_degrees": "45"})
    assert asked(rare)["view"].n_left_out == 1 and [s.n_classes for s in asked(rare)["view"].strata] == [2, 2]


def test_what_nobody_says_is_not_asked() -> None:
    found = asked(samples(truth=False))
    assert found["camera"].strata and found["modality"].strata
    for name in ("view", "occluder", "truncated", "background"):
        assert found[name].reason == "the data set does not say (no info/walks.csv)" and not found[name].strata
    assert asked(samples())["background"].reason == "needs --backgrounds, the same walks before other places"
    silent = samples()
    silent[5] = Sample(silent[5].tracklet, {**silent[5].truth, "occluder": ""})
    assert asked(silent)["occluder"].n_left_out == 1


@pytest.mark.parametrize("told", ["north", "nan", "inf"])
def test_a_direction_that_is_no_number_is_refused(told: str) -> None:
    with pytest.raises(DataError) as caught:
        asked(samples(view_degrees=told))
    assert str(caught.value) == (
        f"info/walks.csv: view_degrees of 1 1 visible must be a number; got {told!r}; correct it"
    )

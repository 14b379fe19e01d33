import math

import pytest

from duskmatch.config import TrainSettings, load_settings
from duskmatch.training.schedule import Schedule


def test_the_papers_lengths():
    schedule = Schedule(load_settings("paper").train, 268)
    assert schedule.n_steps == 53_600
    assert (schedule.stage(150 * 268 - 1), schedule.stage(150 * 268)) == (1, 2)


def test_the_papers_rate_warms_up_linearly_and_stays():
    schedule = Schedule(load_settings("paper").train, 268)
    assert schedule.learning_rate(0) == pytest.approx(0.12 / 2680)
    assert schedule.learning_rate(1339) == pytest.approx(0.06)
    assert {schedule.learning_rate(s) for s in (2680, 30_000, 53_599)} == {0.12}


def test_the_groups_rate_drops_twice():
    schedule = Schedule(load_settings("mitml").train, 100)
    rates = [schedule.learning_rate(100 * e) for e in (34, 35, 79, 80, 199)]
    assert rates == pytest.approx([0.12, 0.012, 0.012, 0.0012, 0.0012])


def test_cosine_ends_near_zero_and_warm_up_can_be_counted_in_iterations():
    schedule = Schedule(TrainSettings(stage1_epochs=1, stage2_epochs=1, warmup_steps=4, decay="cosine", lr=1.0), 50)
    rates = [schedule.learning_rate(s) for s in range(100)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True) and 0 < rates[-1] < 0.001


def test_stage_2_can_have_a_rate_of_its_own():
    schedule = Schedule(TrainSettings(stage1_epochs=1, stage2_epochs=1, warmup_epochs=0, stage2_lr=0.001), 10)
    assert (schedule.learning_rate(9), schedule.learning_rate(10)) == (0.12, 0.001)


def test_stage_0_with_a_rate_of_its_own_has_a_cosine_of_its_own():
    stages = {"stage0_epochs": 2, "stage1_epochs": 1, "stage2_epochs": 1}
    train = TrainSettings(**stages, lr=0.5, stage0_lr=2.0, warmup_steps=4, decay="cosine")
    rates = [Schedule(train, 10).learning_rate(step) for step in range(40)]
    assert rates[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0]) and rates[12] == pytest.approx(1.0)
    assert rates[19] == pytest.approx(1 + math.cos(math.pi * 15 / 16))
    assert rates[20:25] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5]) and rates[32] == pytest.approx(0.25)
    assert Schedule(train, 10).parts_judged_from == 24
    one = Schedule(TrainSettings(**stages, lr=0.5, warmup_steps=4, decay="cosine"), 10)
    assert one.learning_rate(22) == pytest.approx(0.25)

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

"""Verdicts by hand, words, and RUN/health.json read."""

import json
import math
from pathlib import Path

import pytest
import yaml

from duskmatch.config import parse_settings
from duskmatch.errors import CheckpointError
from duskmatch.health import (
    CHECKS,
    Health,
    KnockOut,
    Validation,
    figure_in_words,
    in_short,
    in_words,
    read_health,
    verdicts,
)
from duskmatch.models import MODELS, SelfAttackDefense
from duskmatch.training.monitor import read_log
from duskmatch.training.schedule import Schedule
from duskmatch.training.verdicts import DeathWatch

COLUMNS = SelfAttackDefense.logged
LIVING = {
    "motion_deviation": 0.07,
    "parts_deviation": 0.3,
    "highlight_low": 0.1,
    "highlight_high": 0.05,
    "highlight_deviation": 0.02,
    "self_attention_ratio": 0.05,
    "cross_attention3_ratio": 0.05,
    "cross_attention4_ratio": 0.05,
    "confusion_share": 0.15,
}


def log(n=40, **changes):
    """Rows 5, 10, ... in stage I; a change is a value, or a function of the step."""
    rows = []
    for step in range(5, 5 * n + 1, 5):
        own = {name: change(step) if callable(change) else change for name, change in changes.items()}
        rows.append({"step": step, "stage": 1, **LIVING, **own})
    return rows


def states(rows, columns=COLUMNS, warmup=30):
    return {one.part: one.state for one in verdicts(rows, columns, warmup=warmup)}


def the(part, rows, warmup=30):
    return next(one for one in verdicts(rows, COLUMNS, warmup=warmup) if one.part == part)


def test_a_living_run():
    found = states(log())
    assert found == {
        "LSTM_mot": "alive",
        "A (Eq. 12)": "alive",
        "pooled head": "not in this run",
        "IMSA": "alive",
        "CMCA after stage 3": "alive",
        "CMCA after stage 4": "alive",
        "temporal mixing": "not in this run",
        "Eq. 3": "alive",
    }
    assert the("Eq. 3", log()).why == "it has an effect"
    assert the("LSTM_mot", log()).figures[0].value == pytest.approx(0.07 / 0.3)


@pytest.mark.parametrize(
    ("part", "changes", "state"),
    [
        ("LSTM_mot", {"motion_deviation": 0.0061}, "alive"),
        ("LSTM_mot", {"motion_deviation": 0.0059}, "dead"),
        ("A (Eq. 12)", {"highlight_low": 0.5, "highlight_high": 0.44}, "alive"),
        ("A (Eq. 12)", {"highlight_low": 0.5, "highlight_high": 0.46}, "dead"),
        ("A (Eq. 12)", {"highlight_deviation": 0.0021}, "alive"),
        ("A (Eq. 12)", {"highlight_deviation": 0.0019}, "dead"),
        ("IMSA", {"self_attention_ratio": 0.011}, "alive"),
        ("IMSA", {"self_attention_ratio": 0.002}, "idle"),
        ("CMCA after stage 3", {"cross_attention3_ratio": 0.009}, "idle"),
        ("CMCA after stage 4", {"cross_attention4_ratio": 0.009}, "idle"),
        ("Eq. 3", {"confusion_share": 0.051}, "alive"),
        ("Eq. 3", {"confusion_share": 0.049}, "idle"),
    ],
)
def test_each_limit_from_both_sides(part, changes, state):
    assert the(part, log(**changes)).state == state
    others = {name: one for name, one in states(log(**changes)).items() if name != part}
    assert set(others.values()) == {"alive", "not in this run"}


@pytest.mark.parametrize(
    ("share", "why"),
    [(0.07, "it is weak; it has an effect from 0.1 on"), (0.2, "it has an effect"), (0.5, "it is strong: above 0.3")],
)
def test_the_strength_of_the_attack_is_in_the_verdict(share, why):
    assert the("Eq. 3", log(confusion_share=share)).why.startswith(why)


def test_judged_is_the_last_tenth_after_the_warm_up_and_one_row_decides_nothing():
    died_late = log(motion_deviation=lambda step: 0.07 if step < 180 else 0.0)
    one = the("LSTM_mot", died_late)  # 34 rows after the warm-up: the last 4
    assert (one.state, one.first, one.last) == ("dead", 185, 200)
    assert the("LSTM_mot", log(motion_deviation=lambda step: 0.0 if step == 200 else 0.07)).state == "alive"
    assert the("LSTM_mot", log(motion_deviation=lambda step: 0.0 if step <= 30 else 0.07)).state == "alive"
    recovered = log(motion_deviation=lambda step: 0.0 if step < 150 else 0.07)
    assert the("LSTM_mot", recovered).state == "alive"


def test_equation_3_is_judged_over_the_last_third_of_stage_one_alone():
    rows = log(60, confusion_share=lambda step: 0.2 if step <= 150 else 0.001)
    for row in rows:
        row["stage"] = 1 if row["step"] <= 200 else 2
    one = the("Eq. 3", rows)  # rows 35 to 200 are stage I's: the last 12 of 34 begin at 145
    assert (one.first, one.last, one.state) == (145, 200, "idle")
    late = log(60, confusion_share=0.001)
    for row in late:
        row["stage"] = 2
    assert the("Eq. 3", late).why == "fewer than 3 rows of the log in stage 1 after the warm-up"


def test_short_runs_are_not_judged_and_what_has_no_figure_is_not_in_the_run():
    assert the("LSTM_mot", log(2), warmup=0).state == "not judged"
    assert the("LSTM_mot", log(3), warmup=0).state == "alive"
    assert set(states(log(8)).values()) == {"not judged", "not in this run"}  # two rows after the warm-up
    assert set(states([]).values()) == {"not in this run"}
    baseline = [{"step": row["step"], "stage": 1, "lr": 0.1} for row in log()]
    assert set(states(baseline).values()) == {"not in this run"}


def test_a_log_from_before_there_were_figures_does_not_say_that_a_part_is_missing():
    older = [{"step": row["step"], "stage": 1, "sequence_identity": 2.0, "confusion": 5.0} for row in log()]
    found = {one.part: (one.state, one.why) for one in verdicts(older, COLUMNS, warmup=30)}
    for part in ("LSTM_mot", "A (Eq. 12)", "Eq. 3"):
        assert found[part] == ("not judged", "the log has no figure of it")
    temporal = [{**row, "motion_deviation": 0.1, "parts_deviation": 0.3} for row in older]
    assert states(temporal)["LSTM_mot"] == "alive" and states(temporal)["A (Eq. 12)"] == "not in this run"
    assert states(temporal)["pooled head"] == "not in this run"


def test_rows_that_are_not_numbers_or_divide_by_nothing_do_not_count():
    nan, nothing = float("nan"), 0.0
    rows = log(
        motion_deviation=lambda step: nan if step % 10 else 0.07, parts_deviation=lambda s: nothing if s > 190 else 0.3
    )
    one = the("LSTM_mot", rows)
    assert (one.state, one.last) == ("alive", 190)


def test_a_method_is_asked_for_its_own_parts_alone():
    assert states(log(), columns=MODELS["lba"].network.logged) == {}
    parts = {name: list(states([], columns=method.network.logged)) for name, method in MODELS.items()}
    assert parts["cajl"] == ["non-local blocks of stage 2", "non-local blocks of stage 3"]
    assert parts["mitml"] == ["memory", "guides"] and parts["ddag"] == ["part attention"]
    assert len(parts["vsd"]) == len(parts["mpanet"]) == 3


def test_every_column_that_is_asked_for_is_some_methods():
    logged = {column for method in MODELS.values() for column in method.network.logged}
    for check in CHECKS:
        for limit in check.limits:
            assert {*limit.columns, *([limit.over] if limit.over else [])} <= logged, check.part


def document(rows=None, validation=True):
    knocked = [
        KnockOut(part="LSTM_mot", mAP=0.25, difference=-0.05),
        KnockOut(part="A (Eq. 12)", mAP=0.31, difference=0.01),
    ]
    found = Validation(n_people=30, embedding="sequence", mAP=0.3, without=knocked)
    return Health(
        schema_version=1,
        checkpoint="iteration 816 of 816",
        parts=verdicts(log(**({} if rows is None else rows)), COLUMNS, warmup=30),
        validation=found if validation else None,
        not_measured=None if validation else "the data set has no validation people",
    ).model_dump(mode="json")


DEAD = {"motion_deviation": 0.0, "highlight_deviation": 0.0, "self_attention_ratio": 0.0}


def test_words():
    assert in_words(document(DEAD)) == [
        "health of the parts: dead: LSTM_mot, A (Eq. 12); idle: IMSA; alive: CMCA after stage 3, CMCA after stage 4, "
        "Eq. 3",
        "knock-outs, mAP on 30 validation people, both directions averaged: as it is 30.00, LSTM_mot fixed 25.00 "
        "(-5.00), A (Eq. 12) fixed 31.00 (+1.00)",
    ]
    assert in_words(document(validation=False))[1] == (
        "knock-outs: not measured: the data set has no validation people"
    )
    assert in_words(None) == ["health of the parts: not known (no health.json; `duskmatch train --resume` makes it)"]
    assert in_words({**document(), "parts": []})[0] == "health of the parts: none that is watched"


def test_in_short():
    assert in_short(document(DEAD)) == "dead: LSTM_mot, A (Eq. 12); idle: IMSA"
    assert (in_short(document()), in_short(None)) == ("all alive", "")
    not_judged = {**document(), "parts": [one.model_dump() for one in verdicts(log(2), COLUMNS, warmup=0)]}
    assert (in_short(not_judged), in_short({**document(), "parts": []})) == ("not judged", "")


def test_figures_in_words():
    (figure,) = the("LSTM_mot", log()).figures
    assert figure_in_words(figure.model_dump()) == "motion_deviation / parts_deviation 0.233 (at least 0.02)"


def test_health_is_read_as_it_was_written_and_none_where_there_is_none(tmp_path):
    assert read_health(tmp_path) is None
    (tmp_path / "health.json").write_text(json.dumps(document(DEAD)))
    assert read_health(tmp_path) == document(DEAD)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ('{"schema_version": 1}', "checkpoint: Field required"),
        (json.dumps({**document(), "schema_version": 9}), "schema_version: Input should be 1"),
        (
            json.dumps({**document(), "validation": {"n_people": 1, "embedding": "x", "mAP": math.nan, "without": []}}),
            "validation.mAP: Input should be a finite number",
        ),
        (
            json.dumps({**document(), "parts": [{"part": "LSTM_mot", "state": "well"}]}),
            "parts.0.state: Input should be",
        ),
    ],
)
def test_a_damaged_health_is_refused_in_one_line(text, why, tmp_path):
    path = tmp_path / "health.json"
    path.write_text(text)
    with pytest.raises(CheckpointError) as refused:
        read_health(tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{path} is damaged: {why}") and "\n" not in message
    assert message.endswith("; `duskmatch train --resume` makes it again")


def recorded(name: str):
    """The rows and columns of a recorded log."""
    path = Path(__file__).parent / "fixtures" / name
    return read_log(path), path.read_text().partition("\n")[0].split(",")


def test_the_recorded_run_of_small_at_one_rate_for_all_parts_is_dead():
    rows, columns = recorded("small_dead_log.csv")
    settings = parse_settings(yaml.safe_load((Path(__file__).parent / "fixtures" / "small_dead.yaml").read_text()))
    found = {one.part: one for one in verdicts(rows, columns, warmup=Schedule(settings.train, 48).warmup)}
    assert {part: one.state for part, one in found.items() if one.state != "not in this run"} == {
        "LSTM_mot": "dead",
        "A (Eq. 12)": "dead",
        "IMSA": "alive",
        "CMCA after stage 3": "alive",
        "CMCA after stage 4": "alive",
        "Eq. 3": "idle",
    }
    assert found["LSTM_mot"].figures[0].value < 0.005 and found["LSTM_mot"].last == 816
    assert found["A (Eq. 12)"].figures[0].value > 0.999 and found["A (Eq. 12)"].figures[1].value < 0.0001
    assert rows[-1]["defense_accuracy"] > 0.5  # it learns all the same: nothing else in the log tells


def test_the_recorded_run_is_told_to_be_dead_within_its_first_quarter():
    rows, columns = recorded("small_dead_log.csv")
    watch = DeathWatch(columns, warmup=30, named=[])
    said = {int(row["step"]): sentences for row in rows if (sentences := watch.update(row))}
    assert list(said) == [110, 200] and [sentence.split(" is dead")[0] for [sentence] in said.values()] == [
        "A (Eq. 12)",
        "LSTM_mot",
    ]


def test_the_recorded_living_run_is_alive_and_nothing_is_said_of_it_while_it_trains():
    rows, columns = recorded("small_living_log.csv")
    warm = 720 + 30  # a stage of Baseline, then as many iterations as the rate rises
    found = {one.part: one for one in verdicts(rows, columns, warmup=warm) if one.state != "not in this run"}
    assert {one.state for one in found.values()} == {"alive"} and len(found) == 6
    assert found["A (Eq. 12)"].figures[1].value > 0.01 and found["LSTM_mot"].figures[0].value > 0.05
    watch = DeathWatch(columns, warmup=warm, named=[])
    assert [said for row in rows if (said := watch.update(row))] == []

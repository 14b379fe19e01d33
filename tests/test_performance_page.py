import json

import pytest
from benchmarks import harness
from benchmarks.harness import Goal, Work, met, meter, result
from benchmarks.performance_page import PAGE, PICTURE, documents, page


def work(**changes) -> Work:
    facts = {
        "name": "a", "what": "adding", "unit": "sums", "ours": dict, "alternative": dict, "ours_is": "ours",
        "alternative_is": "theirs", "goal": Goal("at least 2x", ratio=2.0), "cost": ("GB copied", 0.5),
    }  # fmt: skip
    return Work(**{**facts, **changes})


def rounds(*seconds: float) -> list[dict[str, float]]:
    return [{"seconds": s, "amount": 4.0, "peak_mib": 10 * s} for s in seconds]


def test_the_performance_page_is_what_the_recorded_figures_give():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text
    assert documents() and PICTURE.is_file()
    for document in documents():
        assert document["what"] in text and document["goal"] in text


def test_ratios_are_paired_and_shares_are_of_the_limit():
    found = result(work(), {"ours": rounds(1, 2, 4), "alternative": rounds(3, 4, 4)}, {"GB copied": 8.0})
    assert found["ratio"] == {"median": 2.0, "least": 1.0, "most": 3.0}
    assert found["met"] is True
    assert found["ours"]["per_second"]["median"] == 2.0 and found["ours"]["peak_mib"] == 40
    assert found["limit"]["share"] == 2.0 * 0.5 / 8.0
    json.dumps(found)


def test_every_part_of_a_goal_counts():
    ours = {"per_second": {"median": 5.0}, "peak_mib": 100.0}
    assert met(Goal("", ratio=2, rate=5, peak_mib=100), 2.0, ours)
    assert not met(Goal("", ratio=2.1), 2.0, ours)
    assert not met(Goal("", rate=5.1), 2.0, ours)
    assert not met(Goal("", peak_mib=99), 2.0, ours)


def test_the_meter_sees_the_peak_above_the_level_at_entry():
    if not harness.memory_mib("VmHWM"):
        pytest.skip("needs Linux's memory figures")
    with meter(3) as numbers:
        kept = bytearray(512 * 2**20)  # more than what a training in this process may have made malloc keep
        del kept
    assert 480 < numbers["peak_mib"] < 570 and numbers["amount"] == 3 and numbers["seconds"] > 0


def test_digits_that_differ_between_both_are_refused(monkeypatch):
    answers = iter([{"GB copied": 1.0}, {"seconds": 1, "amount": 1, "peak_mib": 0, "rank1": 0.5},
                    {"seconds": 1, "amount": 1, "peak_mib": 0, "rank1": 0.6}])  # fmt: skip
    monkeypatch.setattr(harness, "in_fresh_process", lambda *_: next(answers))
    with pytest.raises(SystemExit, match=r"a: rank1 must be the same for both; got 0\.5, 0\.6"):
        harness.run_rounds("script", work(same=("rank1",), rounds=1))

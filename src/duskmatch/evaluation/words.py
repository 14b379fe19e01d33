"""A scores document as text; scores on synthetic data are always marked as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from duskmatch import health
from duskmatch.evaluation.operating_points import per_cent
from duskmatch.records import COUNTED, HITSZ_VCM, REMOVED

ARROWS = {"infrared_to_visible": "infrared → visible", "visible_to_infrared": "visible → infrared"}
FURTHER = {
    "visible_to_visible": "visible → visible",
    "infrared_to_infrared": "infrared → infrared",
    "omni": "all → all",
}
PUBLIC = "  as public code"
NO_ANSWERS = (
    "same person or not, somebody unknown: not measured, since a re-ranked distance depends on all queries; "
    "evaluate without re-ranking"
)
FIGURES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def origin(document: Mapping[str, Any]) -> str:
    """A line that names the data and says if the people are real or generated."""
    name = data_name(document["data"])
    if document["synthetic"]:
        return f"SYNTHETIC data ({name}): generated people, not a score on real ones"
    if document["synthetic"] is None:
        return f"{name}: not known whether these data are real or synthetic"
    return f"{name}: real data"


def data_name(data: Mapping[str, Any]) -> str:
    """Name and version of a data set, as far as they are known."""
    return " ".join(filter(None, (data.get("name"), data.get("version"))))


def scores_in_words(document: Mapping[str, Any]) -> str:
    """The text for the terminal: a table in per cent, and everything that the figures depend on."""
    header = f"{'':<22}" + "".join(f"{name:>8}" for name in FIGURES) + f"{'chance':>9}"
    lines = [origin(document), "", header]
    for arrow, scores, before in scored_pairs(document):
        lines.append(_row(arrow, scores))
        if before:
            lines.append(_row("  before training", before))
    if "health" in document:
        lines += ["", *health.in_words(document["health"])]
    lines += ["", *(_small_print(arrow, scores) for arrow, scores, _ in scored_pairs(document)), ""]
    if answers := list(_answers(document)):
        lines += [*answers, ""]
    return "\n".join([*lines, *_facts(document)])


def _answers(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines on verification and on people who are not in the gallery."""
    if document["protocol"]["re_ranking"] != "none":
        yield NO_ANSWERS
        return
    for names, found in verifications(document):
        yield f"{' and '.join(names)}, same person or not: {verification_in_words(found)}"
    for arrow, scores, _ in scored_pairs(document):
        if "open_set" in scores:
            yield f"{arrow}, {open_set_in_words(scores['open_set'])}"


def verifications(document: Mapping[str, Any]) -> list[tuple[list[str], Mapping[str, Any]]]:
    """(pairs of the protocol, their verification): directions that swap the sides have the same pairs and figures."""
    found: list[tuple[list[str], Mapping[str, Any]]] = []
    for arrow, scores, _ in scored_pairs(document):
        own = scores.get("verification")
        names = next((names for names, other in found if other == own), None)
        if names is not None:
            names.append(arrow)
        elif own:
            found.append(([arrow], own))
    return found


def verification_in_words(found: Mapping[str, Any]) -> str:
    """EER 12.1 % (10.4 to 13.9); TAR 81.2 % (78.0 to 84.1) at FAR 10 %, ...; the rates that are refused."""
    there = [f"{_measured(tar)} at FAR {per_cent(tar['far'])}" for tar in found["tar"] if tar["value"] is not None]
    refused = [tar["why"] for tar in found["tar"] if tar["value"] is None][:1]
    eer = f"EER {_measured(found['eer'])}" if found["eer"]["value"] is not None else found["eer"]["why"]
    return "; ".join([eer, *([f"TAR {', '.join(there)}"] if there else []), *refused])


def open_set_in_words(found: Mapping[str, Any]) -> str:
    """Gallery of 100 people, 212 entries: at FPIR 10 % FNIR 31 %, detected and identified at rank 1 60 %; ..."""
    there = [
        f"at FPIR {per_cent(rate['fpir'])} FNIR {_measured(rate['fnir'])}, "
        f"detected and identified at rank 1 {_measured(rate['rank1'])}"
        for rate in found["rates"]
        if rate["fnir"]["value"] is not None
    ]
    refused = [rate["fnir"]["why"] for rate in found["rates"] if rate["fnir"]["value"] is None][:1]
    size = f"somebody unknown, gallery of {found['gallery_people']:,} people ({found['gallery_entries']:,} entries)"
    return f"{size}: {'; '.join([*there, *refused])}"


def chance(probability: float) -> str:
    """A probability in per cent, never as certain as 0.0 % or 100.0 %."""
    per_cent = 100 * probability
    return "<0.1 %" if per_cent < 0.05 else ">99.9 %" if per_cent > 99.95 else f"{per_cent:.1f} %"


def _measured(figure: Mapping[str, Any]) -> str:
    return f"{percent(figure['value'])} % ({interval(figure['interval'])})"


def scored_pairs(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    """(words, scores, scores before training) of each pair of the protocol: both directions, then further ones.

    If public code has another camera rule for a direction, its scores follow those of the protocol.
    """
    untrained = document["untrained"]
    for key, arrow in ARROWS.items():
        if key in document:
            yield arrow, document[key], untrained and untrained[key]
        if scores := document.get("public_code", {}).get(key):
            yield PUBLIC, scores, untrained and untrained.get("public_code", {}).get(key)
    for key, scores in document.get("pairs", {}).items():
        yield FURTHER[key], scores, untrained and untrained.get("pairs", {}).get(key)


def percent(value: float) -> str:
    """0.4321 as 43.21."""
    return f"{100 * value:.2f}"


def interval(low_high: tuple[float, float] | list[float]) -> str:
    """An interval in per cent: 40.1 to 46.2."""
    return f"{100 * low_high[0]:.1f} to {100 * low_high[1]:.1f}"


def protocol_in_words(document: Mapping[str, Any]) -> dict[str, str]:
    """Everything the figures depend on: name -> words."""
    protocol, data = document["protocol"], document["data"]
    extras = protocol["test_time_extras"]
    reads = "not counted" if data["test_reads"] is None else str(data["test_reads"])
    return {
        "protocol": protocol["name"],
        "split": protocol["split"],
        "camera rule": protocol["camera_rule"],
        **_special_rules(protocol),
        "frames per clip": _or_not_said(protocol["frames_per_clip"]),
        "sampling": _or_not_said(protocol["sampling"]),
        "re-ranking": protocol["re_ranking"],
        "test-time extras": "not said" if extras is None else ", ".join(extras) or "none",
        "precision": _or_not_said(document["precision"]),
        "checkpoint": _or_not_said(document["checkpoint"]),
        "selection": _or_not_said(document["selection"]),
        "seed": _or_not_said(document["seed"]),
        "data": origin(document),
        "fingerprint": data["fingerprint"][:16],
        "times these test people were read": reads,
        "unreadable tracklets left out": str(data["n_unreadable"]),
    }


def _special_rules(protocol: Mapping[str, Any]) -> dict[str, str]:
    """The CMC counting, the trials and the pairs, if they differ from HITSZ-VCM's."""
    found = {}
    if protocol.get("cmc") not in (None, "entries"):
        found["CMC counts"] = COUNTED[protocol["cmc"]]
    if len(protocol.get("trials") or ()) > 1:
        found["mean of trials"] = f"{len(protocol['trials'])} ({protocol['trial_definition']})"
    elif protocol.get("trials") not in (None, list(HITSZ_VCM.trials)):
        found["trial"] = f"{protocol['trials'][0]} ({protocol['trial_definition']})"
    if protocol["name"] == HITSZ_VCM.name:
        return found
    for key, pair in (protocol.get("pairs") or {}).items():
        unpublished = "" if pair["published"] else "; not in the data set's own tables"
        found[{**ARROWS, **FURTHER}[key]] = f"{pair['query']} among {pair['gallery']}{unpublished}"
        if rule := pair.get("public_rule"):
            what = f"removed: {REMOVED[rule]}; in the line above it, {protocol['removed']}"
            found[f"{ARROWS[key]}, as public code"] = what
    return found


def _row(name: str, scores: Mapping[str, Any]) -> str:
    return f"{name:<22}" + "".join(f"{percent(scores[f]):>8}" for f in FIGURES) + f"{percent(scores['chance']):>9}"


def _small_print(arrow: str, scores: Mapping[str, Any]) -> str:
    left_out = f", {scores['n_left_out']} left out (no match)" if scores["n_left_out"] else ""
    ties = f", {scores['n_ties']} with an ambiguous tie" if scores["n_ties"] else ""
    junk = f", {scores['n_junk']} of them ignored (pid -1)" if scores.get("n_junk") else ""
    return (
        f"{arrow}: {scores['n_queries']} queries{left_out}{ties}, {scores['n_gallery']} in the gallery{junk}; "
        f"95 %: rank-1 {interval(scores['rank1_interval'])}, mAP {interval(scores['mAP_interval'])}"
    )


def _facts(document: Mapping[str, Any]) -> list[str]:
    return [f"{what}: {how}" for what, how in protocol_in_words(document).items() if what != "data"]


def _or_not_said(value: Any) -> str:
    return "not said" if value is None else str(value)

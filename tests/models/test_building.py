"""A method by its settings: what it takes, and which of its terms can be weighed."""

import pytest

from duskmatch.config import REMOVED, load_settings, parse_settings
from duskmatch.errors import SettingsError
from duskmatch.models import MODELS, Due
from duskmatch.models.building import build_model, check_weights, due_updates
from tests.models.methods import made, weights

# One term of each method.
TERMS = {
    "self_attack": "attack_identity",
    "hc_tri": "centre_triplet",
    "lba": "dense_triplet",
    "mpanet": "agreement",
    "ddag": "graph",
    "vsd": "mutual",
    "cajl": "squared_difference",
    "mitml": "modality",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_term_has_the_weight_it_is_given_and_what_is_no_term_is_refused(name):
    model, settings = made(name, f"loss.weights={{{TERMS[name]}: 7.0}}")
    check_weights(model, settings)
    found = [weights(step) for step in due_updates(model, settings, Due(step=1))]
    assert [step[TERMS[name]] for step in found if TERMS[name] in step] == [7.0]
    for unknown in ("defense_accuracy", "sequence_triplet"):  # columns of the log, and no terms of these runs
        _, settings = made(name, f"loss.weights={{{unknown}: 3}}")
        with pytest.raises(SettingsError, match=rf"^loss\.weights {unknown} must name a term of this run; it has "):
            check_weights(model, settings)


def test_the_terms_are_named_with_the_nearest_first():
    model, settings = made("self_attack", "loss.weights={sequence_identty: 3}")
    with pytest.raises(SettingsError) as refused:
        check_weights(model, settings)
    assert str(refused.value) == (
        "loss.weights sequence_identty must name a term of this run; it has sequence_identity, defense_identity, "
        "attack_identity, defense_triplet, confusion"
    )


def test_a_term_that_only_some_settings_bring_about_can_be_weighed_with_them():
    model, settings = made("self_attack", "loss.weights={sequence_triplet: 2}", "loss.sequence_triplet=0.5")
    check_weights(model, settings)
    assert weights(due_updates(model, settings, Due())[1])["sequence_triplet"] == 2


def test_what_was_taken_away_is_read_at_its_default_and_refused_by_name_elsewhere():
    tree = load_settings("tiny").model_dump()
    old = {**tree, "model": {**tree["model"], **REMOVED}}
    assert parse_settings(old) == load_settings("tiny")
    old["model"]["highlight_reduction"] = 8
    with pytest.raises(SettingsError, match=r"^model\.highlight_reduction is now always 16; got 8; leave it out$"):
        parse_settings(old)


def test_a_setting_that_the_method_does_not_take_is_refused_and_its_own_are_typed():
    with pytest.raises(SettingsError, match=r"^model\.n_parts is no setting of model\.name vsd; leave it at 6$"):
        build_model(load_settings("tiny", overrides=["model.name=vsd", "model.n_parts=3"]), 4)
    with pytest.raises(SettingsError, match=r"^model\.options z must be a valid integer; got 'much'$"):
        build_model(load_settings("tiny", overrides=["model.name=vsd", "model.options={z: much}"]), 4)

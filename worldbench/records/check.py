"""`check.json`: every metric of a world, measured on its references and on damage of growing severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from worldbench.core.metric import Direction
from worldbench.records.parts import Count, Key, Part, Real, Record, Values, check_world


class CheckedMetric(Part, frozen=True, kw_only=True):
    """A metric. claims: the kinds of damage for which the metric states how its scores change."""

    version: Count
    primary: str
    direction: Direction
    claims: list[str]


class Severity(Part, frozen=True, kw_only=True):
    """One severity of damage: values[metric][score] holds a number for each corruption."""

    size: float
    values: Mapping[str, Mapping[str, Sequence[Real | None]]]


class Verdict(Part, frozen=True):
    """A statement of a metric about its scores. holds: whether it is true; None if it could not be judged."""

    metric: str
    statement: str
    measured: str
    holds: bool | None


class Measurement(Record, frozen=True, kw_only=True):
    """One reference, or one corruption of one severity, as a check that was stopped has measured it.

    question: the identity of what was measured, and how. subject: what was measured, for people.
    """

    kind: ClassVar[str] = "measurement"
    marks: ClassVar[tuple[str, ...]] = ("question", "subject")
    remedy: ClassVar[str] = "delete the file and check the world again"

    question: Key
    subject: str
    scores: Mapping[str, Values]
    not_applicable: dict[str, str]


class Check(Record, frozen=True, kw_only=True):
    """The check of a world. references[metric][model][score]: the value. not_applicable[metric][model]: the reason.
    ladders: kind of damage -> its severities, from none to the largest.
    """

    kind: ClassVar[str] = "check"
    marks: ClassVar[tuple[str, ...]] = ("verdicts", "ladders")
    remedy: ClassVar[str] = "delete the file and check the world again"

    world: dict[str, Any]
    card: dict[str, Any]
    settings: dict[str, Any]
    corruptions: Count
    severities: Count
    metrics: dict[str, CheckedMetric]
    references: Mapping[str, Mapping[str, Values]]
    not_applicable: dict[str, dict[str, str]]
    ladders: dict[str, Annotated[list[Severity], msgspec.Meta(min_length=1)]]
    verdicts: list[Verdict]

    def __post_init__(self) -> None:
        check_world(self.world)

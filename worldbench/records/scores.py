"""The scores of metrics in a record."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal

from worldbench.core.files import INFINITE
from worldbench.core.metric import Direction
from worldbench.core.metric import Score as Measured
from worldbench.records.parts import Count, Digest, Part, Real, Values

Which = Literal["floor", "ceiling"]
NO_REASON = "the result states no reason"
"""Why a score has no value, where the file does not say so (files before schema 4)."""


class Score(Part, frozen=True, kw_only=True):
    """A score. value: None if it is missing; `reason` then says why. n: number of independent units. interval: 95%
    interval over the units; None without one. over: the units ("prompts"); "" in files before schema 4.
    """

    value: Real | None
    n: Count
    interval: tuple[Real, Real] | None
    over: str = ""
    reason: str = ""

    @classmethod
    def of(cls, measured: Measured) -> Score:
        """The score that a metric returned, in which NaN is a value that is not defined."""
        value, interval = float(measured.value), measured.interval
        if interval is not None and any(math.isnan(end) for end in interval):
            interval = None
        return cls(
            value=None if math.isnan(value) else value,
            n=int(measured.n),
            interval=interval,
            over="" if interval is None else measured.over,
            reason=measured.reason if math.isnan(value) else "",
        )


class Metric(Part, frozen=True, kw_only=True):
    """All scores of one metric.

    primary: the score that boards print. beside: scores that tables print next to it. series: curves, {name: {column:
    values}}. evidence_sha256: of the metric's file of arrays, where it has one. floor, ceiling: the references that
    bound the primary score, by name; their scores are in results of their own (`records.bounds`). bounds_as_recorded:
    reference -> its scores, in a file from before schema 3.
    """

    version: Count
    direction: Direction
    primary: str
    scores: dict[str, Score]
    series: dict[str, dict[str, list[Any]]]
    notes: list[str]
    evidence_sha256: Digest | None = None
    floor: str | None = None
    ceiling: str | None = None
    bounds_as_recorded: Mapping[str, Values] = {}
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.primary not in self.scores:
            raise ValueError(f"the primary score {self.primary!r} is not among the scores")
        if absent := [name for name in self.beside if name not in self.scores]:
            raise ValueError(f"the score {absent[0]!r} beside the primary score is not among the scores")

    @property
    def shown(self) -> tuple[str, ...]:
        """The scores of the metric in tables: the primary score, and those beside it."""
        return (self.primary, *self.beside)

    def value(self, score: str) -> float | None:
        """The value of a score; None if the metric does not have the score, or the score has no value."""
        return self.scores[score].value if score in self.scores else None

    def reference(self, which: Which) -> str | None:
        """The name of the reference model; None where there is none."""
        return self.floor if which == "floor" else self.ceiling

    def curve(self, name: str, *columns: str) -> list[tuple[float, ...]]:
        """The rows of a series in which all `columns` are numbers. Without one of the columns there are no rows."""
        series = self.series.get(name, {})
        rows = itertools.zip_longest(*(map(_number, series.get(column, [])) for column in columns))
        return [known for row in rows if len(known := tuple(x for x in row if x is not None)) == len(columns)]


def _number(value: Any) -> float | None:
    value = INFINITE.get(value, value) if isinstance(value, str) else value
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


Scores = dict[str, Metric]
"""Name of the metric -> its scores."""


def value_of(scores: Scores, column: str) -> float | None:
    """The value of `metric.score`; None if there is no such score."""
    name, _, score = column.partition(".")
    return scores[name].value(score) if name in scores else None


def finite(value: float | None) -> float | None:
    """The value if it is a finite number, else None."""
    return value if value is not None and math.isfinite(value) else None

"""What a metric is, and what it reports."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from worldbench.core.abilities import Able, asks_for_labels, asks_for_tokens, lacking
from worldbench.core.model import SequenceModel
from worldbench.core.proportions import proportion_interval, share_interval
from worldbench.core.statistics import ratio_interval, trials_interval
from worldbench.core.world import World


@dataclass(frozen=True)
class Score:
    """One number, and its 95% interval.

    value: NaN where the score is missing; `reason` then says why. It may be infinite (the KL divergence of a model that
    gives probability 0 to a token of the law): that is the worst value, and not a missing one.
    n: number of independent units (prompts, documents, pairs ..) behind the value.
    interval: over those units. None where they are not exchangeable, or where there are too few.
    over: what the units are, as a plural noun ("prompts"). "" without an interval.
    """

    value: float
    n: int
    interval: tuple[float, float] | None = None
    over: str = ""
    reason: str = ""

    @classmethod
    def missing(cls, reason: str, n: int = 0) -> Score:
        """A score that has no value here. reason: one sentence for people."""
        return cls(math.nan, n, None, "", reason)

    @classmethod
    def rate(cls, successes: np.ndarray, over: str = "trials") -> Score:
        """The share of true trials (bool [n]), with Wilson's interval, whose ends are farther out near
        0 and 1 (`proportions.proportion_interval`)."""
        n = len(successes)
        if n == 0:
            return cls.missing(f"there are no {over}")
        count = int(np.count_nonzero(successes))
        return cls(count / n, n, proportion_interval(count, n), over)

    @classmethod
    def share(cls, hits: np.ndarray, tried: np.ndarray | None = None, over: str = "trials") -> Score:
        """A share between 0 and 1: sum(hits) / sum(tried) over independent units, both [n]. Without `tried`, the mean
        of values in [0, 1].

        The interval is that of a rate, with the number of units divided by the design effect
        (`proportions.share_interval`):
        never of width 0, never outside [0, 1].
        """
        tried = np.ones(len(hits)) if tried is None else tried
        if not len(hits) or not np.sum(tried) > 0:
            return cls.missing(f"there are no {over}", len(hits))
        mean = share_interval(np.asarray(hits, float), np.asarray(tried, float))
        return cls(mean.value, mean.n, mean.interval, over)

    @classmethod
    def mean(cls, values: np.ndarray, over: str = "trials") -> Score:
        """The mean of independent trials [n], with Student's t interval, corrected for skewness. For values without
        bounds; see `share`."""
        n = len(values)
        if n == 0:
            return cls.missing(f"there are no {over}")
        mean = trials_interval(values)
        return cls(mean.value, n, mean.interval, over if mean.interval is not None else "")

    @classmethod
    def ratio(cls, total: np.ndarray, count: np.ndarray, over: str = "documents") -> Score:
        """sum(total) / sum(count) over independent units, both [n], with the t interval of the linearized ratio,
        corrected for skewness. For
        values without bounds; see `share`."""
        if not np.sum(count) > 0:
            return cls.missing(f"there are no {over}", len(total))
        mean = ratio_interval(total, count)
        return cls(mean.value, mean.n, mean.interval, over if mean.interval is not None else "")


@dataclass
class Report:
    """scores: by name. series: curves, {column: values}. arrays: per-trial outcomes and what figures need, for
    `evidence/<metric>.npz`. notes: sentences."""

    scores: dict[str, Score]
    series: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Evaluation(Protocol):
    """What a metric works on: a model in a world, named random streams, sizes, and work that metrics share."""

    world: Able
    model: Able
    settings: Any
    seed: int


@dataclass(frozen=True)
class Expectation:
    """What a reference must score: `low <= value <= high`."""

    score: str
    low: float
    high: float

    def met_by(self, value: float) -> bool:
        return self.low - 1e-9 <= value <= self.high + 1e-9


Effect = Literal["worse", "unchanged", "any"]

DAMAGE: dict[str, str] = {
    "deleted": "edges of the map are deleted",
    "added": "edges are added to the map",
    "rewired": "edges of the map lead elsewhere",
    "noise": "Gaussian noise on the logits, drawn anew for every prefix",
    "blur": "noise on the hidden states",
    "drift": "noise on the hidden states that the dynamics of the model makes, or that a swap puts in",
    "wrong_goal": "after some prompts the model aims at another goal than the one asked for",
    "blind": "the model does not know the goal",
    "late": "at some positions the model predicts as it should have one token earlier",
    "forgets": "the model is exact at first, and predicts uniformly from some position on",
    "leak": "some probability goes to illegal tokens",
    "temperature": "the model is less sure than the law: its logits are divided by a number above 1",
}
"""The kinds of damage to an exact model, and what each does. `goal`: the part of the state that no move changes
(abilities.HasGoals)."""


@dataclass(frozen=True)
class Damage:
    """What damage to an exact model does to one of its scores, in expectation over corruptions of the same severity.

    worse: the kinds of damage (keys of DAMAGE) that make the score worse than undamaged (`direction` says which way
    that is). unchanged: the kinds that leave the score equal to within `tolerance`. About every other kind nothing is
    claimed.
    monotone: every "worse" also holds from one severity to the next.
    """

    score: str
    worse: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    monotone: bool = False
    direction: Literal["higher", "lower"] = "higher"
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        named = (*self.worse, *self.unchanged)
        if unknown := [kind for kind in named if kind not in DAMAGE]:
            raise ValueError(f"no kind of damage is named {unknown[0]!r}; the kinds are {', '.join(DAMAGE)}")
        if len(set(named)) < len(named):
            raise ValueError(f"a kind of damage is named twice: {', '.join(named)}")

    def effect(self, kind: str) -> Effect:
        """What this kind of damage does to the score."""
        return "worse" if kind in self.worse else "unchanged" if kind in self.unchanged else "any"


Direction = Literal["higher", "lower", "none"]


class Metric(abc.ABC):
    """A question about a world that a model must answer.

    Attributes:
        name, version: a change that alters any score raises the version.
        needs, needs_of_model: the abilities that the metric needs of a world and of a model.
        serves_labels: does the metric make sense where documents ask for labels, not for the next token?
        serves_tokens: does it make sense where they ask for the next token?
        primary: the score that boards print.
        beside: scores that every table prints next to the primary, which misleads without them.
        direction: which way the primary is better; "none" where neither is.
        directions: which way other scores are better, by name or by a pattern such as "arrives_*". The first one that
        fits counts. `direction_of` also knows the scores of `damage`.
        same_for_all: scores that do not depend on the trained weights, by name or by pattern. Comparisons leave them
        out.
        outcomes: scores that are 0 or 1 for a whole run. Comparisons count the runs in which they are 1.
        floor, ceiling: the reference models whose scores bound the primary from below and above.
        expects: by reference model, the bounds that its scores must keep. `check` and the tests compare them with
        measurements.
        damage: what each kind of damage to the oracle does to the scores; compared with measurements in the same way.
        blind: why no kind of damage makes any score worse; None where some kind does.
        apart: may the metric be measured in a process of its own? Only where it asks for no rides of the evaluation
        (`Evaluation.rides`), which metrics share. It pays off for a metric that takes seconds.

    The line of text about a metric, and its options, are registered with it: `metrics.add(name, line, METRIC,
    config=Options)`.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[tuple[type, ...]] = ()
    needs_of_model: ClassVar[tuple[type, ...]] = ()
    serves_labels: ClassVar[bool] = False
    serves_tokens: ClassVar[bool] = True
    primary: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    direction: ClassVar[Direction]
    directions: ClassVar[dict[str, Direction]] = {}
    same_for_all: ClassVar[tuple[str, ...]] = ("chance", "*_untrained", "*_constant")
    outcomes: ClassVar[tuple[str, ...]] = ()
    floor: ClassVar[str | None] = "random-legal"
    ceiling: ClassVar[str | None] = "oracle"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {}
    damage: ClassVar[tuple[Damage, ...]] = ()
    blind: ClassVar[str | None] = None
    apart: ClassVar[bool] = False

    def not_applicable(self, world: World, model: SequenceModel) -> str | None:
        """None, or the reason why this metric says nothing about that model in that world."""
        return self.not_in(world) or lacking(self.needs_of_model, model) or self.applies(world, model)

    def not_in(self, world: World) -> str | None:
        """None, or the reason why this metric says nothing about any model in that world: what it asks of worlds."""
        reason = None if self.serves_labels else asks_for_labels(world)
        reason = reason or (None if self.serves_tokens else asks_for_tokens(world))
        return reason or lacking(self.needs, world)

    def applies(self, world: Able, model: Able) -> str | None:
        """None, or what is particular to this metric: why it says nothing although both have all that it needs."""
        return None

    def direction_of(self, score: str) -> Direction:
        """Which way a score is better; "none" where nothing states it."""
        if score == self.primary:
            return self.direction
        ways: list[Direction] = [d.direction for d in self.damage if d.score == score]
        ways.extend(way for pattern, way in self.directions.items() if fnmatchcase(score, pattern))
        return ways[0] if ways else "none"

    @abc.abstractmethod
    def measure(self, evaluation: Any) -> Report:
        """Score the evaluation's model."""

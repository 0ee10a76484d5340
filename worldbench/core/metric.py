"""What a metric is, and what it reports."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from worldbench.core.abilities import Able, asks_for_labels, lacking
from worldbench.core.model import SequenceModel
from worldbench.core.statistics import normal_interval, wilson
from worldbench.core.world import World


@dataclass(frozen=True)
class Score:
    """One number, the trials behind it, and its 95% interval over those trials (None where trials are not
    exchangeable)."""

    value: float
    n: int
    interval: tuple[float, float] | None = None

    @classmethod
    def rate(cls, successes: np.ndarray) -> Score:
        """The share of true trials (bool [n]), with Wilson's interval."""
        n = len(successes)
        if n == 0:
            return cls(float("nan"), 0, None)
        count = int(np.count_nonzero(successes))
        return cls(count / n, n, wilson(count, n))

    @classmethod
    def mean(cls, values: np.ndarray) -> Score:
        """The mean of independent trials [n], with the normal interval."""
        n = len(values)
        if n == 0:
            return cls(float("nan"), 0, None)
        mean = normal_interval(values)
        return cls(mean.value, n, mean.interval)


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


@dataclass(frozen=True)
class Damage:
    """What damage to an exact model does to one of its scores, in expectation over corruptions of the same severity.

    deleted, added, rewired: edges of the map. noise: Gaussian noise on the logits, drawn anew for every prefix. blur:
    noise on the hidden states. drift: noise on the hidden states that the model's dynamics makes, or that a swap puts
    in.
    Each says "worse": worse than undamaged (`direction` says which way that is); "unchanged": equal to within
    `tolerance`; or "any": nothing is claimed. monotone: every "worse" also holds from one severity to the next.
    """

    score: str
    deleted: Effect
    added: Effect
    rewired: Effect
    noise: Effect
    monotone: bool = False
    blur: Effect = "any"
    drift: Effect = "any"
    direction: Literal["higher", "lower"] = "higher"
    tolerance: float = 0.0


Direction = Literal["higher", "lower", "none"]


class Metric(abc.ABC):
    """A question put to a model about a world.

    Attributes:
        name, version: a change that alters any score raises the version.
        needs, needs_of_model: the abilities that the metric needs of a world and of a model.
        serves_labels: does the metric make sense where documents ask for labels, not for the next token?
        primary: the score that boards print.
        direction: which way is better; "none" where neither is.
        floor, ceiling: the reference models whose scores bound the primary from below and above.
        expects: by reference model, the bounds that its scores must keep. `check` and the tests compare them with
        measurements.
        damage: what each kind of damage to the oracle does to the scores; compared with measurements in the same way.

    The line of text about a metric, and its options, are registered with it: `metrics.add(name, line, METRIC,
    config=Options)`.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[tuple[type, ...]] = ()
    needs_of_model: ClassVar[tuple[type, ...]] = ()
    serves_labels: ClassVar[bool] = False
    primary: ClassVar[str]
    direction: ClassVar[Direction]
    floor: ClassVar[str | None] = "random-legal"
    ceiling: ClassVar[str | None] = "oracle"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {}
    damage: ClassVar[tuple[Damage, ...]] = ()

    def not_applicable(self, world: World, model: SequenceModel) -> str | None:
        """None, or the reason why this metric says nothing about that model in that world."""
        reason = None if self.serves_labels else asks_for_labels(world)
        reason = reason or lacking(self.needs, world) or lacking(self.needs_of_model, model)
        return reason or self.applies(world, model)

    def applies(self, world: Able, model: Able) -> str | None:
        """None, or what is particular to this metric: why it says nothing although both have all that it needs."""
        return None

    @abc.abstractmethod
    def measure(self, evaluation: Any) -> Report:
        """Score the evaluation's model."""

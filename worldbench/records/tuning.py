"""`tuning.json` with all trials of a tuning, and `trial-<identity>.json` with one training of one trial. Neither holds
times, so that a repeated tuning gives the same files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from worldbench.records.parts import Count, Environment, Key, Part, Real, Record, Settings, Values, check_world


class TrialRun(Record, frozen=True, kw_only=True):
    """One training of one trial. folder: name of the run folder. training: its training identity. scores: scores of the
    metric of the criterion. failed: why there are no scores; None if there are. missing: score -> why it has no value.
    """

    kind: ClassVar[str] = "trial"
    marks: ClassVar[tuple[str, ...]] = ("failed", "folder")
    remedy: ClassVar[str] = "delete the file and repeat the command: only this trial is scored again"

    seed: Count
    folder: str
    training: Key
    scores: Values
    failed: str | None
    missing: Mapping[str, str] = {}


class Trial(Part, frozen=True, kw_only=True):
    """The settings that were tried, by option, and the value of the criterion: its mean over the runs, infinite if a
    score is infinite, None if a run failed."""

    trial: Count
    settings: dict[str, float]
    value: Real | None
    runs: list[TrialRun]


class TunedModel(Part, frozen=True, kw_only=True):
    name: str


class Amount(Part, frozen=True, kw_only=True):
    """Number of trials, and of seeds of each trial. halving: 1 if every trial is trained in full; else only 1 / halving
    of the trials are, after a short training of all. further: trials near the best of them, trained in full."""

    trials: Count
    seeds: Count
    halving: Count = 1
    further: Count = 0


class Short(Part, frozen=True, kw_only=True):
    """The short trainings of every trial, on the first seed. steps, warmup: their numbers of steps."""

    steps: Count
    warmup: Count
    trials: list[Trial]


class JudgedBy(Part, frozen=True, kw_only=True):
    """The criterion. score: `metric.score` or `loss`. evaluation: the evaluation identity of the scores."""

    score: str
    direction: Literal["higher", "lower"]
    evaluation: Key


class Seeds(Part, frozen=True, kw_only=True):
    """The seeds of a tuning. shared_documents: share of the documents of the criterion that are also documents of the
    reported results."""

    training: list[Count]
    evaluation: Count
    shared_documents: float


class Bounds(Part, frozen=True, kw_only=True):
    """The value of a setting in trial 0, and the range of the other trials."""

    start: float
    low: float
    high: float


class Further(Part, frozen=True, kw_only=True):
    """Trials near the best of the first ones. space: their ranges, around its settings. trials: trained in full; their
    numbers go on from those of the first ones."""

    space: dict[str, Bounds]
    trials: list[Trial]


class Best(Part, frozen=True, kw_only=True):
    trial: Count
    value: Real
    settings: dict[str, float]


class Tuning(Record, frozen=True, kw_only=True):
    """All trials of a tuning. best: None if no trial has a finite value. short: the short trainings that chose which
    trials are trained in full, and are in `trials`; None if every trial is trained in full. further: the trials that
    were drawn near the best of `trials`; None if there were none."""

    kind: ClassVar[str] = "tuning"
    marks: ClassVar[tuple[str, ...]] = ("trials", "space")
    versioned: ClassVar[bool] = True
    remedy: ClassVar[str] = "delete the file and repeat the command: finished trials are not trained again"

    world: dict[str, Any]
    model: TunedModel
    preset: str
    command: str
    budget: Amount
    criterion: JudgedBy
    seeds: Seeds
    space: dict[str, Bounds]
    config: Settings
    best: Best | None
    trials: list[Trial]
    environment: Environment
    short: Short | None = None
    further: Further | None = None

    @property
    def full(self) -> list[Trial]:
        """Every trial that was trained in full, in the order of the numbers."""
        return [*self.trials, *(self.further.trials if self.further is not None else ())]

    @property
    def trained(self) -> list[Trial]:
        """The outcomes of all trainings, the short ones first. A trial that was trained twice is there twice."""
        return [*(self.short.trials if self.short is not None else ()), *self.full]

    def __post_init__(self) -> None:
        check_world(self.world)
        if not self.trials:
            raise ValueError("`trials` is empty")
        every, numbers = self.short.trials if self.short is not None else self.trials, [t.trial for t in self.trials]
        if [t.trial for t in every] != list(range(len(every))):
            raise ValueError("the trials are not numbered 0, 1, 2, ..")
        if sorted({0, *numbers}) != numbers or not set(numbers) <= {t.trial for t in every}:
            raise ValueError(f"the trials that were trained in full are not some of all, the preset first: {numbers}")
        if (self.short is None) != (self.budget.halving == 1):
            raise ValueError(f"`short` does not agree with a halving of {self.budget.halving}")
        more = [t.trial for t in self.further.trials] if self.further is not None else []
        if more != list(range(len(every), len(every) + self.budget.further)):
            asked = f"the budget asks for {self.budget.further}, numbered from {len(every)}"
            raise ValueError(f"the trials of `further` are {more}; {asked}")
        if (self.further is None) != (self.budget.further == 0):
            raise ValueError("`further` is there, but the budget asks for no further trials")
        if self.best is not None and (self.best.trial, self.best.value) not in [(t.trial, t.value) for t in self.full]:
            raise ValueError("`best` is not one of the trials")

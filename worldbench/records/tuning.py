"""`tuning.json`, every trial of a tuning and what came of it; `trial-<identity>.json`, one training of one trial. No
clock in them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from worldbench.records.parts import Count, Environment, Key, Part, Real, Record, Settings, Values, check_world


class TrialRun(Record, frozen=True, kw_only=True):
    """folder: of the run, by its name. training: its identity. scores: of the criterion's metric. failed: why there is
    no score; None where there is one.
    """

    kind: ClassVar[str] = "trial"
    marks: ClassVar[tuple[str, ...]] = ("failed", "folder")
    remedy: ClassVar[str] = "delete the file and repeat the command: only this trial is scored again"

    seed: Count
    folder: str
    training: Key
    scores: Values
    failed: str | None


class Trial(Part, frozen=True, kw_only=True):
    """settings: by option. value: of the criterion, the mean over the runs; None where one of them failed."""

    trial: Count
    settings: dict[str, float]
    value: Real | None
    runs: list[TrialRun]


class TunedModel(Part, frozen=True, kw_only=True):
    name: str


class Amount(Part, frozen=True, kw_only=True):
    """How many settings, each trained from how many seeds."""

    trials: Count
    seeds: Count


class JudgedBy(Part, frozen=True, kw_only=True):
    """score: `metric.score`, or loss. evaluation: the identity of the evaluation."""

    score: str
    direction: Literal["higher", "lower"]
    evaluation: Key


class Seeds(Part, frozen=True, kw_only=True):
    """shared_documents: the share of the documents judged on that are also among those that are reported."""

    training: list[Count]
    evaluation: Count
    shared_documents: float


class Bounds(Part, frozen=True, kw_only=True):
    """What a setting was in trial 0, and between which values it was drawn."""

    start: float
    low: float
    high: float


class Best(Part, frozen=True, kw_only=True):
    trial: Count
    value: Real
    settings: dict[str, float]


class Tuning(Record, frozen=True, kw_only=True):
    """best: None where every trial failed."""

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

    def __post_init__(self) -> None:
        check_world(self.world)
        if not self.trials:
            raise ValueError("`trials` is empty")
        if [t.trial for t in self.trials] != list(range(len(self.trials))):
            raise ValueError("the trials are not numbered 0, 1, 2, ..")
        if self.best is not None and (
            self.best.trial >= len(self.trials) or self.trials[self.best.trial].value != self.best.value
        ):
            raise ValueError("`best` is not one of the trials")

"""`speedrun.json`: processor seconds of training that several runs of one recipe took, and whether their mean score
reaches a target."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from worldbench.core.statistics import LARGEST_VALUE, below_bound, mean_interval
from worldbench.core.text import counted
from worldbench.records.parts import Count, Environment, Key, Part, Real, Record, Settings, check_numbers, check_world

SIGNIFICANT = 0.01
"""The p value must be below this one."""
FEWEST = 5
"""Fewest runs of a record that counts."""


Bounded = Annotated[float, msgspec.Meta(gt=-LARGEST_VALUE, lt=LARGEST_VALUE)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Target(Part, frozen=True, kw_only=True):
    """What the mean over the runs must reach. score: METRIC.SCORE. direction: higher: at or above the value; lower: at
    or below."""

    score: str
    value: Bounded
    direction: Literal["higher", "lower"]


class TimedRun(Part, frozen=True, kw_only=True):
    """One training and its score.

    training: its identity. parts: processor seconds of each process that trained it, in order; None for a process that
    did not end by itself, or has not ended yet. trained: training reached its last step. failed: why there is no score.
    """

    seed: Count
    training: Key
    parts: list[Seconds | None] = msgspec.field(default_factory=list)
    trained: bool = False
    score: Real | None = None
    failed: str | None = None

    @property
    def seconds(self) -> float | None:
        """Processor seconds of the whole training; None until it is trained."""
        known = [part for part in self.parts if part is not None]
        return math.fsum(known) if self.trained and len(known) == len(self.parts) else None

    @property
    def ended(self) -> bool:
        return self.score is not None or self.failed is not None


class Outcome(Part, frozen=True, kw_only=True):
    """Means over all runs, with 95% t intervals. p: of the hypothesis that the true mean of the score misses the
    target."""

    n: Count
    seconds: float
    seconds_interval: tuple[float, float]
    score: Real
    score_interval: tuple[float, float] | None
    p: float


class Speedrun(Record, frozen=True, kw_only=True):
    """An entry of a speedrun board.

    recipe: its name. task: digest of the world, the evaluation and the target; only entries of one task are compared.
    settings: digest of everything that changes the scores, apart from the seed. command: without seeds, which are 0,
    1, 2 .. outcome: None until every run has a score.
    """

    kind: ClassVar[str] = "speedrun"
    marks: ClassVar[tuple[str, ...]] = ("speedrun", "outcome")
    remedy: ClassVar[str] = "delete the file and run worldbench speedrun again"

    recipe: str
    task: Key
    target: Target
    command: str
    environment: Environment
    world: dict[str, Any]
    model: str
    preset: str
    config: Settings
    settings: Key
    parameters: Count
    runs: list[TimedRun]
    outcome: Outcome | None

    def __post_init__(self) -> None:
        check_world(self.world)
        check_numbers("config", self.config)
        if [run.seed for run in self.runs] != list(range(len(self.runs))):
            raise ValueError("`runs` must have the seeds 0, 1, 2 ..")
        if not _same(self.outcome, outcome_of(self.runs, self.target)):
            raise ValueError("`outcome` does not follow from `runs` and `target`")


def outcome_of(runs: list[TimedRun], target: Target) -> Outcome | None:
    """The means of runs, and the test. None if there are fewer than two runs, or if one has no seconds or no score."""
    seconds = [run.seconds for run in runs if run.seconds is not None]
    scores = [float(run.score) for run in runs if run.score is not None]
    if not len(seconds) == len(scores) == len(runs) >= 2:
        return None
    time, score, sign = mean_interval(seconds), mean_interval(scores), 1 if target.direction == "higher" else -1
    if time.interval is None or math.isnan(score.value):
        return None
    return Outcome(
        n=len(runs),
        seconds=time.value,
        seconds_interval=time.interval,
        score=score.value,
        score_interval=score.interval,
        p=below_bound([sign * value for value in scores], sign * target.value),
    )


def _same(stored: Outcome | None, computed: Outcome | None) -> bool:
    """Whether two outcomes agree, apart from rounding."""
    if stored is None or computed is None or (stored.score_interval is None) != (computed.score_interval is None):
        return stored is computed
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(_numbers(stored), _numbers(computed)))


def _numbers(outcome: Outcome) -> list[float]:
    o = outcome
    return [o.n, o.seconds, *o.seconds_interval, o.score, *(o.score_interval or ()), o.p]


def reasons(record: Speedrun) -> list[str]:
    """Why an entry does not count; empty if it counts."""
    out, target, runs = [], record.target, record.runs
    failed, left = [run for run in runs if run.failed], sum(not run.ended for run in runs)
    if left:
        out.append(f"{counted(left, 'run')} of {len(runs)} {'has' if left == 1 else 'have'} not ended")
    if failed:
        out.append(f"{counted(len(failed), 'run')} of {len(runs)} failed (seed {failed[0].seed}: {failed[0].failed})")
    if len(runs) < FEWEST:
        out.append(f"{counted(len(runs), 'run')}; at least {FEWEST} are needed")
    if (outcome := record.outcome) is not None and not outcome.p < SIGNIFICANT:
        side = "below" if target.direction == "higher" else "above"
        out.append(f"p {outcome.p:.2g} that the mean is {side} {target.value:g}; it must be less than {SIGNIFICANT:g}")
    if outcome is None and not out:
        out.append("its scores have no mean")
    if record.environment.dirty:
        out.append("the checkout had changes that are not committed")
    return out

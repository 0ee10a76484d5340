"""Out of distribution: prompts from other distributions, in the same words. Does a model follow the rule, or habits of
its data?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasDistance, HasShifts
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.options import require_at_least, small
from worldbench.core.proportions import proportion_interval
from worldbench.core.world import ARRIVED, Automaton
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.rollout import moves_of, roll_out


@dataclass(frozen=True, kw_only=True)
class ShiftOptions:
    """How many prompts of each shift are asked."""

    shift_trials: int = field(default=300, metadata=small(100))
    """Number of prompts of each distribution shift."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "shift_trials")


def mean_of_rates(groups: list[np.ndarray]) -> Score:
    """The mean over groups of the share of true trials, each bool [n_k]. The interval is the one of as many trials as
    give a rate the variance that this mean has where all shares are equal."""
    if not all(map(len, groups)):
        return Score.missing("one of the shifts has no prompts", sum(map(len, groups)))
    mean = float(np.mean([group.mean() for group in groups]))
    trials = len(groups) ** 2 / sum(1 / len(group) for group in groups)
    return Score(mean, sum(map(len, groups)), proportion_interval(mean * trials, trials), "prompts")


class OutOfDistribution(Metric):
    """Share of prompts from each shift of the world whose greedy answer reaches the target legally (`reaches_<shift>`),
    and with the fewest moves (`optimal_<shift>`). Shifts of mazes: other generators, loops, a smaller grid in the same
    words.

    `optimal`, `reaches`: the means over the shifts. `optimal_own`, `reaches_own`: prompts of the world itself.

    Sees: what was learned beyond the law of training. Cannot see: why a model fails elsewhere. Longer prompts, for one,
    also have positions that training never showed.
    """

    name, version, direction = "out_of_distribution", 2, "higher"
    primary = "optimal"
    directions: ClassVar[dict[str, Direction]] = {"optimal_*": "higher", "reaches*": "higher"}
    needs = (Automaton, HasShifts, HasDistance)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": tuple(
            Expectation(name, 1, 1)
            for name in ("optimal", "reaches", "optimal_own", "optimal_loops", "optimal_smaller", "optimal_wilson")
        ),
        "random-legal": (Expectation("optimal", 0, 0.6),),
        "uniform": (Expectation("reaches", 0, 0),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("optimal", worse=("deleted", "added", "rewired"), unchanged=("noise",), monotone=True),
        *(
            Damage(
                score,
                worse=("wrong_goal", "blind", "late", "forgets"),
                unchanged=("leak", "temperature"),
            )
            for score in ("optimal", "optimal_own")
        ),
        Damage("optimal_own", worse=("deleted", "added", "rewired"), unchanged=("noise",)),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, seed, n = evaluation.world, evaluation.seed, evaluation.settings.shift_trials
        report = Report({})
        for name, other in {"own": world, **world.shifted()}.items():
            prompts, lengths = other.prompts(seed, n)
            rides = (
                evaluation.rides("greedy", n)
                if name == "own"
                else roll_out(other, evaluation.model, prompts, lengths, seed, "greedy")
            )
            reaches = rides.outcome == ARRIVED
            optimal = reaches & (moves_of(other, rides) == rides.distance)
            report.arrays |= {f"reaches_{name}": reaches, f"optimal_{name}": optimal}
        for what in ("optimal", "reaches"):
            by_shift = {k: v for k, v in report.arrays.items() if k.startswith(f"{what}_")}
            shifts = [v for k, v in by_shift.items() if k != f"{what}_own"]
            report.scores[what] = mean_of_rates(shifts)
            report.scores |= {k: Score.rate(v, "prompts") for k, v in by_shift.items()}
        return report


METRIC = OutOfDistribution()

"""Calibration of arrival: how probable is it, from each prompt, that a ride of the model arrives? Under the exact law,
arrival is certain.

Shape letters: N prompts, R rides from each prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.options import LATER, require_at_least, small
from worldbench.core.proportions import proportion_interval
from worldbench.core.statistics import bootstrap
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, Automaton
from worldbench.metrics.evaluation import Evaluation, single_prompt
from worldbench.metrics.rollout import roll_out

HOPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100)
"""Where the bins of distances begin, in hops."""
FEWEST = 20
"""Prompts that must lose a ride, and prompts that must arrive at least once. With fewer, the bootstrap's interval of a
variance is too short (measured: it covers 84% instead of 95%)."""


@dataclass(frozen=True, kw_only=True)
class ArrivalOptions:
    """From how many prompts rides are sampled, and how many from each."""

    arrival_prompts: int = field(default=100, metadata={**LATER, **small(50)})
    """Number of held-out prompts of arrival_calibration; fewer if the world has fewer prompts."""
    arrival_rides: int = field(default=16, metadata={**LATER, **small(8)})
    """Number of rides that are sampled from each prompt of arrival_calibration."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 2, "arrival_prompts", "arrival_rides")


def between_prompts(moments: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The variance of the arrival probability between n prompts, and m (1 - m), its largest possible value at the mean
    m.

    moments: means over prompts [.., 3] of a, a^2 and a (1 - a) / (R - 1), where a is the share of a prompt's R rides
    that arrive. The third is the expected variance of a within a prompt, so both results are unbiased (Searle, Casella
    and McCulloch, Variance Components, 1992, chapter 3).
    """
    mean, square, within = np.moveaxis(moments, -1, 0)
    total = (square - mean**2) * n / (n - 1)
    return total - within, mean * (1 - mean) + total / n


def mean_probability(arrived: np.ndarray, rides: int) -> Score:
    """The share of rides that arrive, of arrivals int [N] of `rides` rides each, with the interval of `Score.share`
    over prompts. The rides of one prompt may fail together, and the prompts that always fail may be so few that none
    was drawn: `Score.share` allows for both."""
    n = len(arrived)
    if n < 2:
        return Score.missing("the mean over prompts needs at least two prompts", n)
    return Score.share(arrived, np.full(n, rides), "prompts")


def spread_scores(arrived: np.ndarray, rides: int, seed: int) -> dict[str, Score]:
    """`spread` and `concentration` of arrivals int [N], each of `rides` rides. Bootstrap over prompts (BCa);
    no interval where fewer than FEWEST prompts lose a ride, or fewer arrive."""
    n, a = len(arrived), arrived / rides
    if n < 2:
        reason = "the spread between prompts needs at least two prompts"
        return {name: Score.missing(reason, n) for name in ("spread", "concentration")}
    moments = np.stack([a, a**2, a * (1 - a) / (rides - 1)], axis=1)

    def variance(means: np.ndarray) -> np.ndarray:
        return between_prompts(means, n)[0]

    def share(means: np.ndarray) -> np.ndarray:
        variance, most = between_prompts(means, n)
        return np.where(most > 0, variance / np.where(most > 0, most, 1), 0.0)

    if len(np.unique(a)) == 1 and a[0] in (0, 1):
        # No prompt differs from the others. The interval says how many might, and still not be among these n.
        other = proportion_interval(0, n)[1]
        one = "every" if a[0] else "no"
        return {
            "spread": Score(0.0, n, (0.0, float(np.sqrt(other * (1 - other)))), "prompts"),
            "concentration": Score.missing(f"{one} ride arrives, so no prompt differs from another one", n),
        }
    few = min(np.count_nonzero(arrived < rides), np.count_nonzero(arrived > 0)) < FEWEST
    out = {}
    for name, statistic, shown in (("spread", variance, np.sqrt), ("concentration", share, np.asarray)):
        found = bootstrap(moments, statistic, "evaluation", seed, "arrival")
        assert found.interval is not None
        value, low, high = shown(np.clip([found.value, *found.interval], 0, 1)).tolist()
        out[name] = Score(value, n) if few else Score(value, n, (low, high), "prompts")
    return out


def by_distance(arrived: np.ndarray, rides: int, distance: np.ndarray) -> dict[str, list[Any]]:
    """The calibration curve: arrivals int [N] by the distance of the prompt in hops [N], with intervals over
    prompts."""
    columns = ("from", "below", "prompts", "arrives", "low", "high", "always", "never")
    out: dict[str, list[Any]] = {name: [] for name in columns}
    for low, high in zip(HOPS, (*HOPS[1:], 1 << 30)):
        inside = arrived[(distance >= low) & (distance < high)]
        if not len(inside):
            continue
        mean = mean_probability(inside, rides)
        value, ends = float(inside.mean() / rides), mean.interval or (0.0, 1.0)
        always, never = float((inside == rides).mean()), float((inside == 0).mean())
        row = (low, high if high < 1 << 30 else -1, len(inside), value, *ends, always, never)
        for column, value in zip(out.values(), row):
            column.append(value)
    return out


class ArrivalCalibration(Metric):
    """The probability, by prompt, that a ride sampled from the model arrives. Under the exact law it is 1 for every
    prompt. The metric estimates it from R sampled rides per prompt.

    `always` (primary): the share of prompts from which all R rides arrive. `never`: from which none arrives. Both
    depend on R (option arrival_rides). `arrives`: the mean probability; the interval is over prompts. `spread`: the
    standard deviation of the probability between prompts, without the noise of R rides. `concentration`: spread^2 over
    its largest possible value m (1 - m) at the mean m: 0 if every prompt fails equally often, 1 if some prompts always
    fail and the others never do (the intraclass correlation). The series `by_hops` is the calibration curve.

    A reliability diagram would say nothing here: the rides are drawn from the model's own distributions, so these are
    calibrated for the rides by construction. This metric compares the probability of the model with the probability of
    the law.

    Sees: whether losses lie in some prompts or in all. Cannot see: why a prompt fails (see planning_tracking).
    """

    name, version, direction = "arrival_calibration", 1, "higher"
    primary = "always"
    needs = (Automaton,)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("always", 1, 1), Expectation("arrives", 1, 1), Expectation("never", 0, 0),
            Expectation("spread", 0, 0),
        ),
        "random-legal": (Expectation("always", 0, 0.9), Expectation("arrives", 0, 0.9)),
        "uniform": (Expectation("always", 0, 0.5),),
    }  # fmt: skip
    damage: ClassVar[tuple[Damage, ...]] = tuple(
        Damage(
            score,
            worse=("added", "rewired", "wrong_goal", "blind", "late", "forgets", "leak"),
            unchanged=("noise", "temperature"),
            tolerance=tolerance,
        )
        for score, tolerance in (("always", 0.03), ("arrives", 0.005))
    )

    def applies(self, world: Automaton, model: SequenceModel) -> str | None:
        return single_prompt(world)

    def measure(self, evaluation: Evaluation) -> Report:
        world, c, seed = evaluation.world, evaluation.settings, evaluation.seed
        prompts, lengths = evaluation.prompts(c.arrival_prompts)
        n, rides = len(prompts), c.arrival_rides
        made = roll_out(
            world, evaluation.model, np.repeat(prompts, rides, axis=0), np.repeat(lengths, rides), seed, "sampled",
            stream="arrival",
        )  # fmt: skip
        arrived = (made.outcome == ARRIVED).reshape(n, rides).sum(axis=1)
        distance = made.distance[::rides]
        report = Report({
            "always": Score.rate(arrived == rides, "prompts"),
            "never": Score.rate(arrived == 0, "prompts"),
            "arrives": mean_probability(arrived, rides),
            **spread_scores(arrived, rides, seed),
        })  # fmt: skip
        if (distance >= 0).all():
            report.series["by_hops"] = by_distance(arrived, rides, distance)
            report.arrays |= {f"by_{name}": np.asarray(values) for name, values in report.series["by_hops"].items()}
        report.arrays |= {"prompts": prompts, "distance": distance, "arrived": arrived, "rides": np.array([rides])}
        report.notes.append(f"{counted(rides, 'ride')} from each of {counted(n, 'prompt')}")
        return report


METRIC = ArrivalCalibration()

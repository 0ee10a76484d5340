"""Intervals, tests and corrections, in one place. All at 95%.

A rate over trials gets Wilson's interval; a mean over many independent trials the normal one; a mean over a few seeds
Student's t; one seed gets none. Two models are compared on the seeds that they share, with a correction for the number
of comparisons in the table. Anything else is bootstrapped over prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from worldbench.core import streams

Z95 = 1.959963984540054
SQUARED = 1e150
"""Numbers below it have squares that are numbers too, and sums of squares: intervals and tests can be taken of them."""
RESAMPLE_CELLS = 1 << 22
"""Indices of bootstrap resamples held at once: bounds memory, changes no result."""


def squared(value: float) -> bool:
    """Can intervals and tests be taken of the value: is it finite, and its square too?"""
    return abs(value) < SQUARED


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a proportion (Wilson, JASA 1927)."""
    if n < 1:
        raise ValueError(f"an interval needs at least one trial, not {n}")
    p, z2 = successes / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


@lru_cache
def t_quantile(degrees: int) -> float:
    """The .975 quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


@dataclass(frozen=True)
class Mean:
    """An estimate over n independent values with its interval (None where there is nothing to tell its spread from)."""

    value: float
    n: int
    interval: tuple[float, float] | None


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean of a few values and Student's t interval with n - 1 degrees of freedom (Student, Biometrika 1908)."""
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    mean = math.fsum(values) / n
    if n == 1:
        return Mean(mean, 1, None)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return Mean(mean, n, (mean - half, mean + half))


def normal_interval(values: np.ndarray) -> Mean:
    """Mean of many independent trials [n] and the normal interval, mean +- 1.96 sd / sqrt(n) (central limit
    theorem)."""
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    mean = float(np.mean(values))
    if n == 1:
        return Mean(mean, 1, None)
    half = Z95 * float(np.std(values, ddof=1)) / n**0.5
    return Mean(mean, n, (mean - half, mean + half))


def ratio_interval(total: np.ndarray, count: np.ndarray) -> Mean:
    """sum(total) / sum(count) over independent units (documents) [n]: a mean over what the units contain, with an
    interval over the units.

    Linearised ratio estimator: the variance is that of total - ratio * count (Cochran, Sampling Techniques, 3rd ed.
    1977, section 6.4).
    """
    n = len(total)
    if n == 0 or not count.sum() > 0:
        raise ValueError("a ratio needs at least one unit that is not empty")
    value = float(total.sum() / count.sum())
    if n < 2 or not math.isfinite(value):
        return Mean(value, n, None)
    half = Z95 * float(np.std(total - value * count, ddof=1)) / n**0.5 / float(count.mean())
    return Mean(value, n, (value - half, value + half))


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *stream: streams.Name,
    resamples: int = 2000,
    method: Literal["bca", "percentile"] = "bca",
) -> Mean:
    """A statistic of column means and its bootstrap interval over independent units (prompts), which are resampled
    whole.

    values: float [n, k], one row a unit (for a paired difference of two models, both models' columns). statistic: means
    [.., k] -> [..]; a mean is `lambda m: m[..., 0]`, a ratio `lambda m: m[..., 0] / m[..., 1]`. stream: names the
    draws, which are the same for the same name, n and resamples. Percentile, or bias-corrected and accelerated with the
    jackknife's acceleration (Efron, JASA 1987; Efron and Tibshirani 1993, ch. 13-14). Where every unit
    gives the same the interval is a point: a rate of 0 or 1 wants Wilson's.
    """
    n = len(values)
    if n < 2 or resamples < 1 or values.ndim != 2:
        raise ValueError(f"a bootstrap needs values [n >= 2, k] and a resample, not {values.shape} and {resamples}")
    from scipy.special import ndtr, ndtri

    rng, drawn = streams.generator("bootstrap", *stream), np.empty(resamples)
    batch = max(1, RESAMPLE_CELLS // n)
    for i in range(0, resamples, batch):
        chosen = rng.integers(0, n, (min(batch, resamples - i), n))
        means = np.stack([column[chosen].mean(axis=1) for column in values.T], axis=-1)
        drawn[i : i + batch] = statistic(means)
    value = float(statistic(values.mean(axis=0)))
    tails = np.array([0.025, 0.975])
    if method == "bca" and np.ptp(drawn) > 0:
        below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
        one_less = statistic((values.sum(axis=0) - values) / (n - 1))
        pull = one_less.mean() - one_less
        acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5) if (pull != 0).any() else 0.0
        bias = ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
        shifted = bias + ndtri(tails)
        tails = ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(drawn, tails)
    return Mean(value, n, (float(low), float(high)))


@dataclass(frozen=True)
class Paired:
    """Mean of the differences a - b over n pairs, t interval, and the two-sided p value that the true mean is 0."""

    difference: float
    n: int
    interval: tuple[float, float]
    p: float


def _t_of(differences: Sequence[float], centre: float) -> float:
    """Student's t of the mean of the differences against `centre`; 0 or infinite where they all agree."""
    n = len(differences)
    gap = math.fsum(differences) / n - centre
    error = math.sqrt(math.fsum((d - centre - gap) ** 2 for d in differences) / (n - 1) / n)
    return gap / error if error > 0 else math.copysign(math.inf, gap) if gap else 0.0


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"pairs need two values or more of each, not {len(a)} and {len(b)}")
    return [x - y for x, y in zip(a, b)]


def paired_t(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Student's t test of paired values: those of two models trained on the same seeds (the same data in the same
    order).

    Differences that are all alike leave no spread to judge by: the interval is then a point, and p is 1 if they are 0,
    else 0.
    """
    from scipy.special import stdtr

    differences = _differences(a, b)
    mean = mean_interval(differences)
    assert mean.interval is not None
    return Paired(mean.value, mean.n, mean.interval, float(2 * stdtr(mean.n - 1, -abs(_t_of(differences, 0.0)))))


def equivalence(a: Sequence[float], b: Sequence[float], margin: float) -> float:
    """p value that the paired means differ by `margin` or more, against their differing by less: the larger of two
    one-sided t tests.

    Below .05 the two are equivalent within the margin, which must be stated (Schuirmann, J. Pharmacokinet. Biopharm.
    1987).
    """
    if not margin > 0:
        raise ValueError(f"a margin of equivalence is above 0, not {margin}")
    from scipy.special import stdtr

    differences = _differences(a, b)
    degrees = len(differences) - 1
    return float(max(stdtr(degrees, -_t_of(differences, -margin)), stdtr(degrees, _t_of(differences, margin))))


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for how many they are: below .05 where Holm's step-down procedure rejects (Holm, Scand. J.
    Statist. 1979)."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    out = np.empty(len(values))
    out[order] = np.minimum(stepped, 1.0)
    return out.tolist()

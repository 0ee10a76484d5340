"""Intervals, tests and corrections for all tables. All intervals are at 95%.

A mean over many independent trials, and a ratio of two sums, get Student's t interval with a correction for skewness. A
mean over a few seeds gets Student's t interval. A single seed gets no interval. Two models are compared on the seeds
that both have, with a correction for the number of comparisons in the table. `bootstrap` is for other statistics of
means. Intervals of rates and shares: `core/proportions.py`. Intervals of probes: `metrics/probe_scores.py`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from worldbench.core import streams

Z95 = 1.959963984540054
LARGEST_VALUE = 1e150
"""Intervals and tests are computed only of numbers below this one. Their squares, and sums of squares, are finite."""
RESAMPLE_CELLS = 1 << 22
"""Indices of bootstrap resamples that are held at once. Bounds memory and changes no result."""


def finite_square(value: float) -> bool:
    """True if intervals and tests can be computed of the value: the value is finite, and so is its square."""
    return abs(value) < LARGEST_VALUE


@lru_cache
def t_quantile(degrees: float) -> float:
    """The .975 quantile of Student's t distribution. The degrees of freedom need not be a whole number."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


@dataclass(frozen=True)
class Mean:
    """An estimate over n independent values, with its interval. The interval is None if the spread cannot be
    estimated."""

    value: float
    n: int
    interval: tuple[float, float] | None


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean of a few values, and Student's t interval with n - 1 degrees of freedom (Student, Biometrika 1908).
    Raises ValueError if there is no value.

    With an infinite value the mean is infinite, and with infinite values of both signs the mean is NaN. Then, and with
    values beyond LARGEST_VALUE, there is no interval.
    """
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    if not all(map(finite_square, values)):
        return Mean(sum(values) / n, n, None)
    mean = math.fsum(values) / n
    if n == 1:
        return Mean(mean, 1, None)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return Mean(mean, n, (mean - half, mean + half))


def skewed_bounds(skew: float, degrees: float) -> tuple[float, float]:
    """Between which bounds (low < 0 < high) the error of an estimate lies in 95 of 100 samples, in standard errors that
    are estimated from the same sample. The interval is then (value - high * error, value - low * error).

    skew: the third central moment of the estimate, divided by its variance^1.5; for a mean of n values their skewness
    / sqrt(n). degrees: the degrees of freedom of the standard error. Without skew, the bounds are Student's quantiles.

    A few documents with a large KL divergence give a mean, and its standard error, that are too small when few of
    them are in the sample. Hall's transformation corrects for this (J. R. Statist. Soc. B 1992): if T is the error in
    standard errors, T + skew (T^2 / 3 + 1 / 6) + skew^2 T^3 / 27 is close to symmetric. It is monotone and has a closed
    inverse.
    """
    t = t_quantile(degrees)
    if abs(skew) < 1e-6:
        return -t, t
    low, high = (3 / skew * (float(np.cbrt(1 + skew * (end - skew / 6))) - 1) for end in (-t, t))
    return low, high


def _bounds_of_mean(values: np.ndarray) -> tuple[float, float]:
    """`skewed_bounds` of the mean of values [n >= 2]."""
    centered = values - np.mean(values)
    spread = float(np.std(values))
    skew = float(np.mean((centered / spread) ** 3)) if 0 < spread < math.inf else 0.0
    return skewed_bounds(skew / len(values) ** 0.5, len(values) - 1)


def trials_interval(values: np.ndarray) -> Mean:
    """Mean of many independent trials [n], and Student's t interval with a correction for skewness (`skewed_bounds`).
    Without an interval if a value is infinite. Raises ValueError if there is no value."""
    return ratio_interval(values, np.ones(len(values)))


def ratio_interval(total: np.ndarray, count: np.ndarray) -> Mean:
    """sum(total) / sum(count) over independent units (documents), both [n], with an interval over the units. Raises
    ValueError if no unit has a count.

    Linearized ratio estimator: its variance is the variance of total - ratio * count (Cochran, Sampling Techniques,
    3rd ed. 1977, section 6.4), and so is its skewness (`skewed_bounds`).
    """
    n = len(total)
    if n == 0 or not count.sum() > 0:
        raise ValueError("a ratio needs at least one unit that is not empty")
    value = float(total.sum() / count.sum())
    if n < 2 or not math.isfinite(value):
        return Mean(value, n, None)
    rest = total - value * count
    error = float(np.std(rest, ddof=1)) / n**0.5 / float(count.mean())
    low, high = _bounds_of_mean(rest)
    return Mean(value, n, (value - high * error, value - low * error))


def gain_interval(won: np.ndarray, possible: np.ndarray) -> Mean:
    """sum(won) / sum(possible) over independent units, both [n], where either may be negative in a unit. The interval
    has the variance of both. It is None where the mean of `possible` may be 0: no interval of the ratio is then
    bounded. Raises ValueError without units.

    Fieller's interval (J. R. Statist. Soc. B 1954): all ratios r for which the mean of won - r * possible is within
    bounds, in its own standard errors. The bounds are those of `skewed_bounds`. With the normal quantile, the interval
    is bounded exactly where the normal interval of the denominator does not contain 0. An end that the skewed bound
    leaves unbounded there is the one of the normal quantile. The linearized interval (`ratio_interval`) is close to
    Fieller's if the denominator is far from 0.
    """
    n = len(won)
    if n == 0:
        raise ValueError("a ratio needs at least one unit")
    if np.mean(possible) < 0:
        won, possible = -won, -possible
    a, b = float(np.mean(won)), float(np.mean(possible))
    value = a / b if b else math.nan
    if n < 2:
        return Mean(value, n, None)
    (aa, ab), (_, bb) = (np.cov(won, possible, ddof=1) / n).tolist()
    if not b * b > Z95**2 * bb:
        return Mean(value, n, None)

    def end(bound: float) -> float:
        """The ratio r for which the mean of won - r * possible is `bound` standard errors from 0."""
        if not b * b > bound**2 * bb:
            bound = math.copysign(Z95, bound)
        square, mixed, rest = (x - bound**2 * y for x, y in ((b * b, bb), (a * b, ab), (a * a, aa)))
        return (mixed - math.copysign(math.sqrt(max(mixed**2 - square * rest, 0.0)), bound)) / square

    low, high = _bounds_of_mean(won - value * possible)
    return Mean(value, n, (end(high), end(low)))


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *stream: streams.Name,
    resamples: int = 2000,
    method: Literal["bca", "percentile"] = "bca",
) -> Mean:
    """A statistic of column means, and its bootstrap interval. Whole independent units (prompts) are resampled.

    values: float [n, k], one row per unit. For a paired difference of two models, a row holds the columns of both.
    statistic: means [.., k] -> [..]. A mean is `lambda m: m[..., 0]`, a ratio `lambda m: m[..., 0] / m[..., 1]`.
    stream: name of the random draws. The same name, n and resamples give the same draws.
    method: percentile, or bias-corrected and accelerated (BCa) with the jackknife's acceleration (Efron, JASA 1987;
        Efron and Tibshirani 1993, ch. 13-14).

    If all units have the same value, the interval is a point. So use Wilson's interval for a rate that may be 0 or
    1. Raises ValueError for fewer than two units.
    """
    n = len(values)
    if n < 2 or resamples < 1 or values.ndim != 2:
        raise ValueError(f"a bootstrap needs values [n >= 2, k] and resamples >= 1, not {values.shape} and {resamples}")
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
    """Mean of the differences a - b over n pairs, its t interval, and the two-sided p value of the hypothesis that
    the true mean is 0. interval: None where all differences are equal and not 0."""

    difference: float
    n: int
    interval: tuple[float, float] | None
    p: float


def _t_of(differences: Sequence[float], centre: float) -> float:
    """Student's t of the mean of the differences against `centre`. 0 or infinite if all differences are equal."""
    n = len(differences)
    gap = math.fsum(differences) / n - centre
    error = math.sqrt(math.fsum((d - centre - gap) ** 2 for d in differences) / (n - 1) / n)
    return gap / error if error > 0 else math.copysign(math.inf, gap) if gap else 0.0


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"paired values need equal numbers of at least 2, not {len(a)} and {len(b)}")
    return [x - y for x, y in zip(a, b)]


def equal_differences(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether all differences of paired finite values are equal, apart from rounding, and not 0."""
    differences = _differences(a, b)
    return any(differences) and _all_equal(differences, (*a, *b))


def _all_equal(values: Sequence[float], sizes: Sequence[float]) -> bool:
    """Whether finite values are equal, apart from the rounding of numbers as large as `sizes`."""
    return max(values) - min(values) <= 4 * sys.float_info.epsilon * max(map(abs, sizes))


def _sign_test(values: Sequence[float], sizes: Sequence[float]) -> float:
    """The p value of the one-sided sign test where all n values are equal, 1 / 2^n; 0 where they are not."""
    return 2.0 ** -len(values) if _all_equal(values, sizes) else 0.0


def paired_t(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Student's t test of paired values: two models trained on the same seeds (the same data in the same order).

    If all differences are 0, p is 1, and the interval is the point 0. If all are equal and not 0, a t test has no
    valid p value, because it takes the spread from the differences. Then p is that of the two-sided sign test,
    2 / 2^n: the probability that n differences have one sign, if both signs are equally probable. There is then no
    interval. Raises ValueError for fewer than two pairs.
    """
    from scipy.special import stdtr

    differences = _differences(a, b)
    mean = mean_interval(differences)
    if equal_differences(a, b):
        return Paired(mean.value, mean.n, None, 2.0 ** (1 - mean.n))
    return Paired(mean.value, mean.n, mean.interval, float(2 * stdtr(mean.n - 1, -abs(_t_of(differences, 0.0)))))


def below_bound(values: Sequence[float], bound: float) -> float:
    """The p value of the hypothesis that the true mean of independent values is below `bound`: Student's one-sided t
    test. If p is small, the mean is at or above the bound.

    If all values are equal and above the bound, the t test has no spread; p is then that of the one-sided sign test,
    1 / 2^n. For the bound itself p is 1/2. p is 1 if a value or the bound is beyond LARGEST_VALUE. Raises ValueError
    for fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"a t test needs at least two values, not {len(values)}")
    from scipy.special import stdtr

    if not all(map(finite_square, (*values, bound))):
        return 1.0
    return max(float(stdtr(len(values) - 1, -_t_of(values, bound))), _sign_test(values, values))


def equivalence(a: Sequence[float], b: Sequence[float], margin: float) -> float:
    """The p value of the hypothesis that the paired means differ by `margin` or more: the larger p of two one-sided
    t tests.

    Below .05, the two are equivalent within the margin. Reports must state the margin (Schuirmann, J. Pharmacokinet.
    Biopharm. 1987). If all differences are equal and within the margin, the t tests have no spread; p is then that of
    the one-sided sign test, 1 / 2^n. Raises ValueError unless `margin` > 0.
    """
    if not margin > 0:
        raise ValueError(f"an equivalence margin must be above 0, not {margin}")
    from scipy.special import stdtr

    differences = _differences(a, b)
    degrees = len(differences) - 1
    below, above = stdtr(degrees, -_t_of(differences, -margin)), stdtr(degrees, _t_of(differences, margin))
    return max(float(below), float(above), _sign_test(differences, (*a, *b)))


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for their number. They are below .05 where Holm's step-down procedure rejects (Holm, Scand.
    J. Statist. 1979)."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    out = np.empty(len(values))
    out[order] = np.minimum(stepped, 1.0)
    return out.tolist()

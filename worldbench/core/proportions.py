"""Intervals of rates and shares at 95%: never of width 0, never outside [0, 1].

A rate over trials gets Wilson's interval, with wider ends near 0 and 1. A share over units with several tries each gets
the same interval, with a design effect.
"""

from __future__ import annotations

import math

import numpy as np

from worldbench.core.statistics import Z95, Mean

PRIOR_UNITS = 6
"""Weight, in units, of the assumption that all tries of a unit agree, in the design effect of a share."""


def wilson(successes: float, n: float, quantile: float = Z95) -> tuple[float, float]:
    """Wilson's interval of a proportion (Wilson, JASA 1927). n may be an effective number of trials. quantile: that of
    the standard normal distribution, or Student's. Raises ValueError unless n > 0."""
    if not n > 0:
        raise ValueError(f"an interval needs at least one trial, not {n}")
    p, z2 = successes / n, quantile**2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = quantile * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, center - half) if p > 0 else 0.0, min(1.0, center + half) if p < 1 else 1.0


def proportion_interval(successes: float, n: float) -> tuple[float, float]:
    """The interval of a proportion: Wilson's, but each end at least as far out as the one-sided 95% bound of Clopper
    and Pearson (Biometrika 1934). n may be an effective number of trials. Raises ValueError unless n > 0.

    The end of Wilson's interval that is nearer to 0 or 1 is too close to a few successes (or failures): with one
    success of 60, the interval starts at .0029. If the true share is .0022, it holds the share in 88 of 100 samples
    (Brown, Cai and DasGupta, Statist. Sci. 2001). Each bound of Clopper and Pearson fails in at most 5 of 100. So
    this interval holds every share in at least 90 of 100 samples of every size. From about 10 successes and 10 failures
    on, it is Wilson's.
    """
    from scipy.special import betaincinv

    low, high = wilson(successes, n)
    failures = n - successes
    if successes > 0:
        low = min(low, float(betaincinv(successes, failures + 1, 0.05)))
    if failures > 0:
        high = max(high, 1 - float(betaincinv(failures, successes + 1, 0.05)))
    return low, high


def share_interval(hits: np.ndarray, tried: np.ndarray) -> Mean:
    """sum(hits) / sum(tried) over independent units (documents, pairs), both [n], 0 <= hits <= tried, with an interval
    over the units. Raises ValueError if no unit has a try.

    `proportion_interval` of n / design effect units. The design effect is the linearized variance of the ratio, over
    that of n independent trials with the same share (Kish, Survey Sampling 1965; Franco et al., JSSAM 2019). It is
    below 1 where the tries of a unit are nearly independent. Near 0 and 1 it is estimated from the few units that have
    both hits and misses to show, and is often too small. So it is averaged with the design effect of units whose tries
    all agree (1, or the estimate if that is larger), with the weights: units that have a hit or units that have a miss,
    whichever are fewer, and PRIOR_UNITS.
    """
    kept = tried > 0
    hits, tried = hits[kept], tried[kept]
    n = len(hits)
    if n == 0:
        raise ValueError("a share needs at least one unit that is not empty")
    p = min(max(float(hits.sum() / tried.sum()), 0.0), 1.0)
    if n < 2:
        return Mean(p, n, None)
    design = 1.0
    if 0 < p < 1:
        variance = float(np.var(hits - p * tried, ddof=1)) / float(tried.mean()) ** 2
        measured, seen = variance / (p * (1 - p)), min(np.count_nonzero(hits > 0), np.count_nonzero(hits < tried))
        design = (seen * measured + PRIOR_UNITS * max(measured, 1.0)) / (seen + PRIOR_UNITS)
    units = n / float(design)
    return Mean(p, n, proportion_interval(p * units, units))

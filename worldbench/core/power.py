"""What a comparison over a few seeds can detect: tests of outcomes that are 0 or 1, and the smallest true difference
that a test detects with a probability of 80%.

A result that is "not separable" says something only beside this number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from worldbench.core.proportions import wilson

POWER = 0.8
"""The probability with which a difference is called, where reports say that it could have been seen."""
STEPS = 100
"""Differences of two shares are tried in steps of 1 / STEPS."""


@lru_cache
def _standard_errors(n: int, level: float) -> float:
    """The true mean of n differences, in its true standard errors, that the two-sided t test calls with probability
    POWER. The power grows with the mean, so halving finds it."""
    from scipy.special import nctdtr, stdtr, stdtrit

    critical = float(stdtrit(n - 1, 1 - level / 2))
    low, high = 0.0, 1.0

    def power(mean: float) -> float:
        found = 1 - float(nctdtr(n - 1, mean, critical))
        # For means far above the critical value scipy's series has no answer; the chance of less is then below .001.
        return found if math.isfinite(found) else float(stdtr(n - 1, mean - critical))

    while power(high) < POWER:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def detectable(differences: Sequence[float], level: float) -> float:
    """The smallest true mean of paired differences that the t test at this level calls with probability POWER, if the
    spread is that of the given differences. Raises ValueError for fewer than two."""
    n = len(differences)
    if n < 2:
        raise ValueError("a spread needs at least two differences")
    mean = math.fsum(differences) / n
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    return _standard_errors(n, level) * spread / math.sqrt(n) if spread else 0.0


@lru_cache(maxsize=1 << 14)
def fisher(a: int, of_a: int, b: int, of_b: int) -> float:
    """Fisher's exact test of two shares, a of of_a and b of of_b, two-sided: the p value is the probability of all
    tables with the same margins that are at most as probable (Fisher, J. R. Statist. Soc. 1935)."""
    if not (0 <= a <= of_a and 0 <= b <= of_b and of_a and of_b):
        raise ValueError(f"no shares: {a} of {of_a} and {b} of {of_b}")
    hits = a + b
    ways = {k: math.comb(of_a, k) * math.comb(of_b, hits - k) for k in range(max(0, hits - of_b), min(of_a, hits) + 1)}
    return sum(w for w in ways.values() if w <= ways[a]) / sum(ways.values())


def shares_interval(a: int, of_a: int, b: int, of_b: int) -> tuple[float, float]:
    """95% interval of the difference a / of_a - b / of_b, from Wilson's intervals of both (Newcombe, Statist. Med.
    1998, method 10)."""
    p, q = a / of_a, b / of_b
    (low_p, high_p), (low_q, high_q) = wilson(a, of_a), wilson(b, of_b)
    below, above = math.hypot(p - low_p, high_q - q), math.hypot(high_p - p, q - low_q)
    return p - q - below, p - q + above


@lru_cache
def detectable_share(lower: float, n: int, level: float) -> float | None:
    """The smallest difference of two shares, of n independent seeds each, that Fisher's test at this level calls with
    probability POWER. lower: the smaller share. None if no difference is called so often."""
    calls = [[fisher(a, n, b, n) < level for b in range(n + 1)] for a in range(n + 1)]

    def chances(p: float) -> list[float]:
        return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]

    one = chances(lower)
    for step in range(1, round((1 - lower) * STEPS) + 1):
        other = chances(min(lower + step / STEPS, 1.0))
        power = sum(x * y for x, row in zip(one, calls) for y, called in zip(other, row) if called)
        if power >= POWER - 1e-12:
            return step / STEPS
    return None

"""Intervals. A rate over trials gets Wilson's; a mean over seeds gets Student's t; one seed gets none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Z95 = 1.959963984540054


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion (Wilson, JASA 1927)."""
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
    """A mean over independent values with Student's t 95% interval (None for a single value)."""

    value: float
    n: int
    interval: tuple[float, float] | None


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean and t interval with n - 1 degrees of freedom."""
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    mean = math.fsum(values) / n
    if n == 1:
        return Mean(mean, 1, None)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return Mean(mean, n, (mean - half, mean + half))

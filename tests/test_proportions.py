"""Intervals of rates, against scipy and by exact sums over all samples: they cover every share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from worldbench.core.proportions import proportion_interval, wilson


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_is_scipys(n: int, share: float) -> None:
    k = round(n * share)
    theirs = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(n=st.integers(1, 10**6), share=st.floats(0, 1))
def test_wilson_ends_solve_the_score_equation(n: int, share: float) -> None:
    successes = round(n * share)
    p, z = successes / n, stats.norm.ppf(0.975)
    low, high = wilson(successes, n)
    assert 0 <= low <= p + 1e-12
    assert p - 1e-12 <= high <= 1
    for end in (low, high):
        assert (p - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, rel=1e-6, abs=1e-12)


def test_wilson_of_a_textbook_case() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe, Stat. Med. 1998, table I
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)


def covered(ends: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How often each share [P] is held by the intervals [n + 1, 2] of 0 .. n successes: exact, float [P]."""
    n = len(ends) - 1
    probability = stats.binom.pmf(np.arange(n + 1)[:, None], n, shares)
    held = (ends[:, :1] <= shares) & (shares <= ends[:, 1:])
    return (probability * held).sum(axis=0)


@pytest.mark.parametrize("n", [2, 10, 60, 300])
def test_every_share_is_held_in_at_least_90_of_100_samples(n: int) -> None:
    shares = np.concatenate([np.geomspace(1e-4, 0.5, 2000), 1 - np.geomspace(1e-4, 0.5, 2000)])
    found = covered(np.array([proportion_interval(k, n) for k in range(n + 1)]), shares)
    assert found.min() >= 0.9
    assert covered(np.array([wilson(k, n) for k in range(n + 1)]), shares).min() < 0.87, "the rule can fail"


@given(n=st.floats(0.5, 2000), share=st.floats(0, 1))
def test_the_ends_are_never_nearer_than_wilsons(n: float, share: float) -> None:
    low, high = proportion_interval(n * share, n)
    inner = wilson(n * share, n)
    assert 0 <= low <= inner[0] <= share + 1e-12
    assert share - 1e-12 <= inner[1] <= high <= 1


def test_with_ten_of_each_the_interval_is_wilsons() -> None:
    for successes, n in ((11, 60), (30, 60), (40, 4000), (3960, 4000)):
        assert proportion_interval(successes, n) == pytest.approx(wilson(successes, n), rel=1e-3)
    assert proportion_interval(1, 60) == pytest.approx((1 - 0.95 ** (1 / 60), wilson(1, 60)[1]))

"""Statistics against scipy, literal implementations and simulation: intervals cover, tests keep their level,
corrections are Holm's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from worldbench.core import statistics
from worldbench.core.statistics import (
    below_bound,
    bootstrap,
    equivalence,
    holm,
    mean_interval,
    paired_t,
    ratio_interval,
    skewed_bounds,
    trials_interval,
)
from worldbench.core.streams import generator


def mean_of(m: np.ndarray) -> np.ndarray:
    return m[..., 0]


def ratio_of(m: np.ndarray) -> np.ndarray:
    return m[..., 0] / m[..., 1]


def share_covered(intervals: list[tuple[float, float] | None], truth: float) -> float:
    return float(np.mean([i is not None and i[0] <= truth <= i[1] for i in intervals]))


# Intervals


def test_values_without_skewness_have_students_interval() -> None:
    values = generator("test", "normal interval").random(25)
    values = np.concatenate([values, 1 - values])
    mean = trials_interval(values)
    assert (mean.value, mean.n) == (np.mean(values), 50)
    assert mean.interval == pytest.approx(stats.t.interval(0.95, 49, np.mean(values), stats.sem(values)))
    assert trials_interval(values[:1]).interval is None
    with pytest.raises(ValueError, match="at least one"):
        trials_interval(values[:0])


@given(skew=st.floats(-1, 1), degrees=st.integers(2, 1000))
def test_bounds_are_where_halls_transformation_is_students_quantile(skew: float, degrees: int) -> None:
    for t, sign in zip(skewed_bounds(skew, degrees), (-1, 1)):
        moved = t + skew * (t**2 / 3 + 1 / 6) + skew**2 * t**3 / 27
        assert moved == pytest.approx(sign * stats.t.ppf(0.975, degrees), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [-1, 1])
def test_means_of_skewed_values_miss_on_both_sides_alike(sign: int) -> None:
    """A tenth of the documents have a large value. The normal interval lies below the truth in 8 of 100 samples."""
    rng, truth = generator("test", "skewed values"), 0.1 * 5
    normal, found = [], []
    for _ in range(2000):
        values = sign * np.where(rng.random(100) < 0.1, rng.exponential(5, 100), 0.0)
        half = 1.96 * stats.sem(values)
        normal.append(abs(values.mean()) + half < truth)
        low, high = trials_interval(values).interval or (0, 0)
        found.append((high if sign > 0 else -low) < truth)
    assert np.mean(normal) > 0.07
    assert np.mean(found) < 0.04


def test_ratio_is_the_jackknifes_limit() -> None:
    """Linearisation and jackknife are the same to first order; a ratio with equal counts is a mean."""
    rng = generator("test", "ratio")
    count = rng.integers(2, 9, 4000).astype(float)
    total = count * 0.4 + rng.normal(0, 1, 4000)
    mean = ratio_interval(total, count)
    assert mean.value == total.sum() / count.sum()
    one_less = (total.sum() - total) / (count.sum() - count)
    error = np.sqrt((4000 - 1) / 4000 * ((one_less - one_less.mean()) ** 2).sum())
    assert mean.interval == pytest.approx((mean.value - 1.96 * error, mean.value + 1.96 * error), rel=3e-2)
    alike, plain = ratio_interval(total, np.full(4000, 2.0)), trials_interval(total / 2)
    assert alike.interval == pytest.approx(plain.interval)
    with pytest.raises(ValueError, match="not empty"):
        ratio_interval(np.zeros(3), np.zeros(3))
    assert ratio_interval(np.ones(1), np.ones(1)).interval is None


def test_intervals_cover_95_of_100() -> None:
    """2,000 experiments each: the share is binomial with sd .005."""
    rng = generator("test", "coverage")
    repeats = 2000
    t = [mean_interval(rng.normal(3, 2, 5).tolist()).interval for _ in range(repeats)]
    assert share_covered(t, 3) == pytest.approx(0.95, abs=0.02)
    means = [trials_interval(rng.exponential(2, 300)).interval for _ in range(repeats)]
    assert share_covered(means, 2) == pytest.approx(0.95, abs=0.02)
    ratios = []
    for _ in range(repeats):
        count = rng.integers(1, 30, 200)
        ratios.append(ratio_interval(count * 0.3 + rng.normal(0, 1, 200) * count**0.5, count.astype(float)).interval)
    assert share_covered(ratios, 0.3) == pytest.approx(0.95, abs=0.02)


# Bootstrap


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
def test_bootstrap_is_scipys_on_the_same_draws(method: str, theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = generator("test", "skewed").exponential(1, 30)
    mine = bootstrap(values[:, None], mean_of, "test", 1, resamples=999, method=method)  # type: ignore[arg-type]
    rng = generator("bootstrap", "test", 1)
    options: dict[str, Any] = {"n_resamples": 999, "method": theirs, "vectorized": True, "random_state": rng}
    other = stats.bootstrap((values,), np.mean, **options).confidence_interval
    assert mine.interval == pytest.approx((other.low, other.high), rel=1e-9)
    monkeypatch.setattr(statistics, "RESAMPLE_CELLS", 30 * 100)
    again, other = (
        bootstrap(values[:, None], mean_of, "test", k, resamples=999, method=method)  # type: ignore[arg-type]
        for k in (1, 2)
    )
    assert again == mine
    assert other != mine


def test_bootstrap_of_a_ratio_is_near_the_linearised_one() -> None:
    rng = generator("test", "bootstrap ratio")
    count = rng.integers(1, 30, 800).astype(float)
    total = count * 0.3 + rng.normal(0, 1, 800)
    a, b = bootstrap(np.stack([total, count], axis=1), ratio_of, "ratio"), ratio_interval(total, count)
    assert a.value == pytest.approx(b.value)
    assert a.interval is not None
    assert b.interval is not None
    assert np.subtract(a.interval, b.interval) == pytest.approx([0, 0], abs=0.1 * (b.interval[1] - b.interval[0]))


def test_bootstrap_covers() -> None:
    rng = generator("test", "bootstrap coverage")
    intervals = [
        bootstrap(rng.exponential(1, (60, 1)), mean_of, "coverage", i, resamples=400).interval for i in range(600)
    ]
    assert share_covered(intervals, 1) == pytest.approx(0.94, abs=0.035)


def test_bootstrap_of_nothing_to_tell_is_a_point() -> None:
    assert bootstrap(np.ones((9, 1)), mean_of, "x").interval == (1.0, 1.0)
    with pytest.raises(ValueError, match="bootstrap needs"):
        bootstrap(np.ones((1, 1)), mean_of, "x")


# Tests of two models


@given(
    pairs=st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=3, max_size=12),
    margin=st.floats(0.5, 300),
)
def test_paired_tests_are_scipys(pairs: list[tuple[int, int]], margin: float) -> None:
    a, b = [x / 7 for x, _ in pairs], [y / 7 for _, y in pairs]
    if len({x - y for x, y in pairs}) == 1:
        return
    mine, theirs = paired_t(a, b), stats.ttest_rel(a, b)
    assert mine.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    ends = theirs.confidence_interval(0.95)
    assert mine.interval == pytest.approx((ends.low, ends.high), rel=1e-6, abs=1e-9)
    d = np.subtract(a, b)
    error = np.std(d, ddof=1) / len(d) ** 0.5
    above, below = (float(stats.t.sf((margin + sign * np.mean(d)) / error, len(d) - 1)) for sign in (1, -1))
    assert equivalence(a, b, margin) == pytest.approx(max(above, below), rel=1e-6, abs=1e-12)


def test_differences_that_are_all_alike() -> None:
    same = paired_t([1.0, 2.0, 4.0], [1.0, 2.0, 4.0])
    assert (same.difference, same.interval, same.p) == (0.0, (0.0, 0.0), 1.0)
    apart = paired_t([2.0, 3.0, 5.0], [1.0, 2.0, 4.0])
    assert (apart.difference, apart.interval, apart.p) == (1.0, None, 0.25)
    assert apart.p == stats.binomtest(3, 3).pvalue, "the sign test"
    rounded = paired_t([0.3, 0.7, 0.9, 1.3], [0.2, 0.6, 0.8, 1.2])  # the differences are .1 apart from their last bits
    assert (rounded.interval, rounded.p) == (None, 0.125)
    assert equivalence([1.0, 2.0], [1.0, 2.0], 0.1) == 0.25
    assert equivalence([0.3, 0.7, 0.9], [0.2, 0.6, 0.8], 0.2) == stats.binomtest(0, 3, alternative="less").pvalue
    assert equivalence([2.0, 3.0], [1.0, 2.0], 0.1) == 1.0
    with pytest.raises(ValueError, match="above 0"):
        equivalence([1.0, 2.0], [1.0, 2.0], 0.0)
    for a, b in (([1.0], [1.0]), ([1.0, 2.0], [1.0])):
        with pytest.raises(ValueError, match="paired values need"):
            paired_t(a, b)


def test_equal_values_against_a_bound() -> None:
    assert below_bound([0.97] * 5, 0.95) == stats.binomtest(5, 5, alternative="greater").pvalue
    assert below_bound([0.95] * 5, 0.95) == 0.5
    assert below_bound([0.94] * 5, 0.95) == 1.0
    assert below_bound([0.97, 0.97, 0.971], 0.95) < 0.001, "a t test"


def test_tests_keep_their_level() -> None:
    """Five seeds with a shared effect of the seed: false alarms in 5 of 100 cases, at the edge of the margin too."""
    rng = generator("test", "level")
    alarms, alike, repeats = 0, 0, 2000
    for _ in range(repeats):
        seed = rng.normal(0, 5, 5)
        a, b = seed + rng.normal(0, 1, 5), seed + rng.normal(0, 1, 5)
        alarms += paired_t(a.tolist(), b.tolist()).p < 0.05
        alike += equivalence((a + 8).tolist(), b.tolist(), 8.0) < 0.05
    assert alarms / repeats == pytest.approx(0.05, abs=0.02)
    assert alike / repeats == pytest.approx(0.05, abs=0.02)


# Holm


def literal_holm(p: list[float], level: float) -> list[bool]:
    """The procedure, step by step: reject the smallest while it is below level / (how many are left), then stop."""
    left, rejected = list(range(len(p))), [False] * len(p)
    while left:
        smallest = min(left, key=lambda i: p[i])
        if p[smallest] > level / len(left):
            break
        rejected[smallest] = True
        left.remove(smallest)
    return rejected


@given(
    p=st.lists(st.integers(0, 10**6).map(lambda k: k / 10**6), max_size=12),
    level=st.sampled_from([0.013, 0.0511, 0.3007]),
)
def test_holm_rejects_what_the_literal_procedure_rejects(p: list[float], level: float) -> None:
    adjusted = holm(p)
    assert [q <= level for q in adjusted] == literal_holm(p, level)
    assert all(x <= q <= 1 for x, q in zip(p, adjusted))
    assert [adjusted[i] for i in np.argsort(p, kind="stable")] == sorted(adjusted)


def test_holm_of_a_worked_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_holm_keeps_the_level_of_the_family() -> None:
    rng = generator("test", "family")
    families = rng.random((4000, 8))
    alarms = np.mean([min(holm(p)) < 0.05 for p in families.tolist()])
    assert alarms == pytest.approx(0.05, abs=0.012)

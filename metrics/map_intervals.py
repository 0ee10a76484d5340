"""Intervals of the scores of a drawn map: over rides, and over orders of the same rides.

Shape letters: K drawings of the same n rides, in different orders.

Over rides. A score is the mean over the K drawings. Its variance is estimated by the delete-one jackknife (Efron and
Stein, Annals of Statistics 1981). A drawing without one ride lacks the edges that only this ride uses; edges that other
rides use too stay. This ignores that the other rides might then be explained differently. For this, the variance over
orders, divided by K, is added. The interval of a share is Wilson's interval, with as many trials as give this variance
(at most as many as there are edges or rides), and with the quantile of Student's t for the degrees of freedom of the
sum (Welch and Satterthwaite). A count gets the score interval of a Poisson count, scaled in the same way.

Why not a bootstrap: a resample contains about 63% of the rides, so it lacks many edges that are used once, and counts
others twice. Its spread is too small for rare edges, and its center is too high. `tests/test_map_intervals.py` measures
the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldbench.core.metric import Score
from worldbench.core.proportions import wilson
from worldbench.core.statistics import mean_interval, t_quantile
from worldbench.core.text import counted
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED, Reconstruction

LEAST_EXPLAINED = 0.5
"""A precision is missing where fewer rides than this share are explained."""


@dataclass(frozen=True)
class Spread:
    """A mean over drawings, its variance over rides and orders, and the degrees of freedom of the variance."""

    value: float
    variance: float
    degrees: float

    @property
    def quantile(self) -> float:
        return t_quantile(self.degrees)


def spread(values: np.ndarray, without: np.ndarray) -> Spread:
    """values: float [K], a score of each drawing. without: float [K, n], the score without each ride."""
    k, n = without.shape
    influence = (values[:, None] - without).mean(0)
    rides = (n - 1) / n * float(((influence - influence.mean()) ** 2).sum())
    orders = float(np.var(values, ddof=1)) / k if k > 1 else 0.0
    both = rides + orders
    degrees = both**2 / (rides**2 / max(n - 1, 1) + orders**2 / max(k - 1, 1)) if both > 0 else max(n - 1, 1)
    return Spread(float(values.mean()), both, max(degrees, 1.0))


def share_of(part: np.ndarray, whole: np.ndarray, less: np.ndarray, less_whole: np.ndarray) -> Score:
    """A share of edges or of rides, mean over drawings of part / whole (both [K]), over rides.

    less, less_whole: [K, n], how much smaller part and whole are without this one ride.
    """
    n = less.shape[1]
    share = part / whole
    left = whole[:, None] - less_whole
    without = np.where(left > 0, (part[:, None] - less) / np.maximum(left, 1), share[:, None])
    found = spread(share, without)
    p, trials = found.value, float(whole.mean())
    if found.variance > 0 and 0 < p < 1:
        trials = min(trials, p * (1 - p) / found.variance)
    low, high = wilson(p * trials, trials, found.quantile)
    return Score(p, n, (min(low, p), max(high, p)), "rides")


def count_of_edges(count: np.ndarray, less: np.ndarray) -> Score:
    """The mean over drawings of a count of edges [K], over rides. less: [K, n], as in `share_of`."""
    found = spread(count, count[:, None] - less)
    z = found.quantile
    scale = max(found.variance / found.value, 1.0) if found.value > 0 else 1.0
    events = found.value / scale
    middle, half = events + z * z / 2, z * math.sqrt(events + z * z / 4)
    return Score(found.value, less.shape[1], (scale * max(middle - half, 0.0), scale * (middle + half)), "rides")


def map_scores(drawings: Sequence[Reconstruction]) -> dict[str, Score]:
    """The scores of a map, each the mean over drawings of the same rides in different orders, with its interval over
    rides: precision, recall, black, red, unused, failed, without_red, with_red."""
    n, edges = len(drawings[0].status), len(drawings[0].edges)
    black, red = (np.array([getattr(d, f"n_{kind}") for d in drawings], float) for kind in ("black", "red"))
    sole_black, sole_red = (np.array([getattr(d, f"sole_{kind}") for d in drawings]) for kind in ("black", "red"))
    explained = float(np.mean([(d.status != FAILED).mean() for d in drawings])) if n else 0.0
    out: dict[str, Score] = {}
    if explained < LEAST_EXPLAINED:
        reason = f"of {counted(n, 'ride')}, {explained:.0%} are explained, fewer than half"
        out["precision"] = Score.missing(reason, n)
    elif not (black + red).all():
        out["precision"] = Score.missing("the rides that are explained use no street", n)
    else:
        out["precision"] = share_of(black, black + red, sole_black, sole_black + sole_red)
    if edges and n:
        whole = np.full(len(drawings), float(edges))
        recall = share_of(black, whole, sole_black, np.zeros_like(sole_black))
        low, high = recall.interval or (0.0, 1.0)
        out["recall"] = recall
        out["black"] = Score(recall.value * edges, n, (low * edges, high * edges), "rides")
        out["unused"] = Score((1 - recall.value) * edges, n, ((1 - high) * edges, (1 - low) * edges), "rides")
        out["red"] = count_of_edges(red, sole_red)
    else:
        why = "there are no rides" if edges else "the map has no street"
        out |= {name: Score.missing(why, n) for name in ("recall", "black", "unused", "red")}
    for name, status in (("failed", FAILED), ("without_red", DRAWN), ("with_red", DRAWN_WITH_RED)):
        such = np.array([d.status == status for d in drawings])
        whole = np.full(len(drawings), float(n))
        out[name] = share_of(such.sum(1), whole, such, np.ones_like(such)) if n else Score.missing("there are no rides")
    return out


def over_orders(share: Score, drawings: Sequence[Reconstruction]) -> Score:
    """The precision from moves alone, with Student's t interval over the orders of the same rides, cut to 0..1."""
    if math.isnan(share.value):
        return Score.missing(share.reason, len(drawings))
    mean = mean_interval([d.precision for d in drawings])
    if mean.interval is None:
        return Score(mean.value, 1)
    return Score(mean.value, mean.n, (max(0.0, mean.interval[0]), min(1.0, mean.interval[1])), "orders")


def range_over_orders(share: Score, drawings: Sequence[Reconstruction]) -> dict[str, Score]:
    """The lowest and the highest precision among the orders of the same rides, without intervals.

    With the forced end, a few orders are much worse than the others. Five orders often hold none of these, so that no
    interval of five values would hold the mean over all orders (Student's held it in .81 of 200 draws).
    """
    if math.isnan(share.value):
        return dict.fromkeys(("lowest", "highest"), Score.missing(share.reason, len(drawings)))
    found = [d.precision for d in drawings]
    return {"lowest": Score(min(found), len(found)), "highest": Score(max(found), len(found))}

"""Intervals of a drawn map: they cover the mean over fresh rides, and are never of width 0 or outside [0, 1]."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_routes import rewired_walks
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.core.metric import Score
from worldbench.metrics.map_intervals import count_of_edges, map_scores, over_orders, share_of
from worldbench.metrics.reconstruction import reconstruct
from worldbench.metrics.routes import from_table

REPEATS = 200
JUDGED = ("precision", "recall", "black", "unused", "red", "failed", "without_red", "with_red")


def covered(graph: Graph, slips: float, *, forced_end: bool, orders: int, rides: int = 80) -> dict[str, float]:
    """The share of REPEATS sets of fresh rides whose interval holds the mean over all sets."""
    rng = streams.generator("coverage", graph.n_places)
    found: list[dict[str, Score]] = []
    for _ in range(REPEATS):
        origin, destination, table = rewired_walks(graph, rng, rides, 10, slips)
        moves, shuffled = from_table(table), [None, *(rng.permutation(rides) for _ in range(orders - 1))]
        drawings = [
            reconstruct(graph, origin, destination, moves, distance=400.0, forced_end=forced_end, order=order)
            for order in shuffled
        ]
        found.append(map_scores(drawings))
    share = {}
    for name in JUDGED:
        scores = [f[name] for f in found if not math.isnan(f[name].value)]
        truth = np.mean([s.value for s in scores])
        inside = [s.interval[0] <= truth <= s.interval[1] for s in scores if s.interval is not None]
        assert len(inside) == len(scores) > REPEATS / 2
        share[name] = float(np.mean(inside))
    return share


@pytest.mark.slow
@pytest.mark.parametrize(
    ("places", "slips"),
    [(20, 0.0), (20, 0.02), (150, 0.0), (150, 0.02)],
)
def test_intervals_over_rides_cover(places: int, slips: float) -> None:
    """Two maps: one small, where most streets are used by many rides; one large, where many are used by one."""
    cover = covered(small_map(places, 3, 20 if places < 100 else 60), slips, forced_end=False, orders=2)
    assert min(cover.values()) >= 0.9, cover


@pytest.mark.slow
@pytest.mark.parametrize(("places", "slips"), [(20, 0.0), (20, 0.02), (150, 0.0), (150, 0.02)])
def test_intervals_over_rides_cover_with_the_forced_end(places: int, slips: float) -> None:
    cover = covered(small_map(places, 3, 20 if places < 100 else 60), slips, forced_end=True, orders=5)
    assert min(cover.values()) >= 0.9, cover


def test_an_interval_is_never_of_width_0_nor_outside_its_bounds() -> None:
    for part in (0.0, 7.0, 10.0):
        share = share_of(np.array([part]), np.array([10.0]), np.zeros((1, 30), int), np.zeros((1, 30), int))
        low, high = share.interval or (0, 0)
        assert 0 <= low <= share.value <= high <= 1
        assert high - low > 0.1
        count = count_of_edges(np.array([part]), np.zeros((1, 30), int))
        low, high = count.interval or (0, 0)
        assert 0 <= low <= part < high


def test_the_interval_over_orders_is_of_the_same_rides() -> None:
    graph = small_map(20, 3, 20)
    origin, destination, table = rewired_walks(graph, streams.generator("orders"), 60, 10, 0.05)
    moves, rng = from_table(table), streams.generator("shuffled")
    drawings = [
        reconstruct(graph, origin, destination, moves, distance=400.0, order=rng.permutation(60)) for _ in range(4)
    ]
    value = map_scores(drawings)["precision"]
    spread = over_orders(value, drawings)
    assert (spread.value, spread.n, spread.over) == (pytest.approx(value.value), 4, "orders")
    assert spread.interval is not None
    assert 0 <= spread.interval[0] < spread.interval[1] <= 1
    assert over_orders(value, drawings[:1]).interval is None
    assert over_orders(Score.missing("a reason"), drawings).reason == "a reason"

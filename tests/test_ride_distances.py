"""Distances on maps of rides: the fewest moves, once for each destination, in bounded memory."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from small_maps import small_map

from worldbench.core.graph import UNREACHABLE, Graph
from worldbench.envs.rides import distances
from worldbench.envs.rides.distances import Distances
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld


def literal(graph: Graph, place: int, destination: int) -> int:
    """A breadth-first search from the place."""
    front, seen, moves = {place}, {place}, 0
    while front and destination not in front:
        front = {int(v) for u in front for v in graph.successor[u] if v >= 0} - seen
        seen |= front
        moves += 1
    return moves if front else UNREACHABLE


@pytest.mark.parametrize(("n", "extra", "cut"), [(2, 0, 0), (9, 3, 0), (30, 20, 0), (30, 5, 6)])
def test_against_a_search_from_each_place(n: int, extra: int, cut: int) -> None:
    """Also where moves are cut, so that some places do not reach each other."""
    graph = small_map(n, 1, extra)
    successor = graph.successor.copy()
    successor[:cut] = -1
    graph = dataclasses.replace(graph, successor=successor)
    expected = [[literal(graph, v, d) for v in range(n)] for d in range(n)]
    assert graph.hops_to(np.arange(n)).tolist() == expected
    assert (np.array(expected) == UNREACHABLE).any() == (cut > 0)


@pytest.mark.parametrize("most", [1, 3, 10, 10**6])
def test_each_destination_once_while_there_is_room(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = TaxiWorld(TaxiConfig(map="city:100", min_moves=2, max_moves=9)).graph()
    n = graph.n_places
    expected, made, hops_to = graph.hops_to(np.arange(n)), Counter(), Graph.hops_to
    monkeypatch.setattr(distances, "KEPT_BYTES", 2 * n * most)

    def counting(self, destinations: np.ndarray) -> np.ndarray:
        made.update(np.asarray(destinations).tolist())
        return hops_to(self, destinations)

    monkeypatch.setattr(Graph, "hops_to", counting)
    table, rng = Distances(graph), np.random.default_rng(0)
    for size in (1, 3, 40, 10, 40):
        place, destination = rng.integers(0, n, (size, 4)), rng.integers(0, n, (size, 1))
        assert np.array_equal(table.hops(place, destination), expected[destination, place])
        assert len(table.table) <= most
    assert max(made.values()) == 1 or most < n
    once = made.copy()
    table.hops(place[:1], destination[:1])
    table.hops(place[:1, 0], destination[:1, 0])
    assert sum(made.values()) <= sum(once.values()) + 1

"""The destinations that rides at a place can have: three ways of computing them agree with walks, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import small_map

from worldbench.core.graph import Graph
from worldbench.envs.rides import goals
from worldbench.envs.rides.goals import Goals
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld


def literal(graph: Graph, low: int, high: int, held_out: HeldOut, place: int, moves: int) -> np.ndarray:
    """Every walk of at most `high` moves that is at the place after `moves`, one destination after the other."""
    n = graph.n_places
    out = np.zeros(n, bool)
    for d in range(n):
        free = [v for v in range(n) if held_out.kind != "states" or not held_out.holds(np.array([v]), np.array([d]))]
        at = set(range(n))
        for _ in range(moves):  # the first place may be a held-out state
            at = {int(v) for u in at for v in graph.successor[u] if v >= 0} & set(free)
        if place not in at:
            continue
        at = {place}
        for t in range(moves, high + 1):
            out[d] |= t >= low and d in at
            at = {int(v) for u in at for v in graph.successor[u] if v >= 0} & set(free)
    return out


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["pairs", "states"]),
    n=st.integers(3, 20),
    low=st.integers(1, 4),
    longer=st.integers(0, 4),
    seed=st.integers(0, 99),
    cut=st.booleans(),
    small=st.booleans(),
    block=st.sampled_from([1, 300, 10**6]),
)
def test_against_walks(kind: str, n: int, low: int, longer: int, seed: int, cut: bool, small: bool, block: int) -> None:
    graph, held_out, rng = small_map(n, seed, extra=n // 2), HeldOut(kind, 0.2, seed), np.random.default_rng(seed)
    if cut:
        graph.successor[0, graph.successor[0] >= 0] = 1
        graph.__dict__.pop("edges", None)
    place, moves = rng.integers(0, n, 9), rng.integers(0, low + longer + 1, 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goals, "TABLE_BYTES", 10**9 if small else -1)
        patch.setattr(goals, "BLOCK_BYTES", block)
        sets = Goals(graph, low, low + longer, held_out)
        assert sets.small == small
        found = np.full((9, n), -1)
        for rows, possible in sets.sets(place, moves):
            found[rows] = possible
    expected = [literal(graph, low, low + longer, held_out, v, t) for v, t in zip(place, moves)]
    assert np.array_equal(found, expected)


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    """On 8,000 places, for which the destinations of all states need 800 MB."""
    w = TaxiWorld(TaxiConfig(map="city:8000", min_moves=2, max_moves=99))
    prompts, lengths = w.prompts(0, 100)
    states = w.start(prompts, lengths)
    tracemalloc.start()
    try:
        others = w.other_goals(states, np.random.default_rng(0).random(100))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 30_000_000
    assert (w.hops(states.place, others) <= 99).all()
    assert (others != states.destination).all()

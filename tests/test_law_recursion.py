"""The recursions of the law of rides (all times or some, all places or those in reach) give the numbers of a literal
recursion over all places and times, to the last bit, once for each destination, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import small_map
from some_cases import others_slow

from worldbench.baselines.references import Oracle
from worldbench.envs.rides import law as law_of_rides
from worldbench.envs.rides import recursion
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.law import Kept, LawTable
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics import rollout


def literal(w: TaxiWorld, place: np.ndarray, destination: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """The weights from the definition in law.py: one destination after the other, all places, all times."""
    from scipy.sparse import csr_matrix

    g, low, high = w.graph(), w.config.min_moves, w.config.max_moves
    n, degree, edges = g.n_places, (g.successor >= 0).sum(1), g.edges
    walk = csr_matrix((1.0 / degree[edges[:, 0]], (edges[:, 0], edges[:, 1])), shape=(n, n))
    out = np.zeros((len(place), g.successor.shape[1] + 1))
    for d in np.unique(destination):
        s = np.zeros((high + 2, n))
        for t in range(high, -1, -1):
            s[t] = walk @ s[t + 1]
            s[t, d] += t >= low
            if w.held_out.kind == "states":
                s[t, w.held_out.holds(np.arange(n), np.full(n, d))] = 0
        rows = np.flatnonzero((destination == d) & (moves <= high))
        v, t = place[rows], moves[rows]
        following = g.successor[v]
        out[rows, :-1] = np.where(following >= 0, s[t[:, None] + 1, following], 0) / degree[v][:, None]
        out[rows, -1] = (v == d) & (t >= low)
    return out


def city(n: int, **options) -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map=f"city:{n}", **options))


@pytest.fixture(scope="module")
def downtown() -> TaxiWorld:
    """A map that is much larger than what a ride of 20 moves can see. Only some times are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recursion, "WHOLE_BYTES", 10**8)
        w = city(2500, max_moves=20)
        assert (w._law.recursion.whole, w._law.recursion.dense) == (False, False)
    return w


def empty_table(w: TaxiWorld) -> LawTable:
    """A new table of the same world, that works in the same way."""
    table = LawTable(w.graph(), w.config.min_moves, w.config.max_moves, w.held_out)
    table.recursion, table.near = w._law.recursion, Kept(w._law.near.number.size, law_of_rides.WINDOW_BYTES)
    return table


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["pairs", "states"]),
    n=st.integers(5, 30),
    low=st.integers(1, 6),
    longer=st.integers(0, 12),
    seed=st.integers(0, 99),
    damage=st.booleans(),
    every=st.integers(1, 5),
    dense=st.booleans(),
    room=st.sampled_from([1, 4000, 10**9]),
)
def test_any_states_in_any_order(
    kind: str, n: int, low: int, longer: int, seed: int, damage: bool, every: int, dense: bool, room: int
) -> None:
    config = TaxiConfig(map="city:8", min_moves=low, max_moves=low + longer, held_out=kind, held_out_share=0.1)
    w = TaxiWorld(
        config, small_map(n, seed, extra=n), held_out=HeldOut(kind, 0.1, seed)
    )  # a rule that is not checked for rides
    w = w.damaged(1, 2, 2, seed) if damage else w
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recursion, "WHOLE_BYTES", 10**9 if every == 1 else 0)
        patch.setattr(recursion, "LEAST_EVERY", every)
        patch.setattr(recursion, "MOST_KEPT", 100)
        patch.setattr(recursion, "DENSE_SHARE", np.inf if dense else 0)
        patch.setattr(law_of_rides, "CACHE_BYTES", room)
        patch.setattr(law_of_rides, "WINDOW_BYTES", room)
        table, rng = w._law, np.random.default_rng(seed)
    assert (table.recursion.whole, table.recursion.dense) == (every == 1, dense or every == 1)
    for rows in (1, 7, 60, 60):
        place, destination = rng.integers(0, n, (2, rows))
        moves = rng.integers(0, low + longer + 3, rows)
        expected = literal(w, place, destination, moves)
        assert np.array_equal(table.weights(place, destination, moves), expected)


@pytest.mark.parametrize("kind", ["pairs", "states"])
@pytest.mark.parametrize(("most", "dense"), others_slow([(10**9, True), (10**8, True), (10**8, False)], (10**8, False)))
def test_on_a_large_map(kind: str, most: int, dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the destination is out of reach, and for rides that go on after the first request."""
    monkeypatch.setattr(recursion, "WHOLE_BYTES", most)
    monkeypatch.setattr(recursion, "DENSE_SHARE", 1.4 if not dense else 10)
    w = city(1500, max_moves=25, held_out=kind)
    assert (w._law.recursion.whole, w._law.recursion.dense) == (most == 10**9, dense)
    g, rng = w.graph(), np.random.default_rng(0)
    document = w.sample(0, "test", 0, 20)
    place, destination = document.tokens[:, 0] - w.first_place, document.tokens[:, 1] - w.first_place
    place[:5] = rng.integers(0, g.n_places, 5)
    moves = np.zeros(20, np.int64)
    reached = 0
    for _ in range(27):
        weights = w._law.weights(place, destination, moves)
        assert np.array_equal(weights, literal(w, place, destination, moves))
        reached += int((weights.sum(1) > 0).sum())
        place, moves = g.successor[place, (g.successor[place] >= 0).argmax(1)], moves + 1
    assert reached > 100


def test_small_blocks_and_a_full_table_change_nothing(downtown: TaxiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    w, rng = downtown, np.random.default_rng(0)
    place = rng.integers(0, w.graph().n_places, 60)
    destination, moves = rng.permutation(place), rng.integers(0, 21, 60)
    expected = literal(w, place, destination, moves)
    monkeypatch.setattr(recursion, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(w._law.recursion, "at_once", 5)
    monkeypatch.setattr(law_of_rides, "CACHE_BYTES", 200_000)
    monkeypatch.setattr(law_of_rides, "WINDOW_BYTES", 100_000)
    table = empty_table(w)
    for _ in range(2):
        for part in (slice(0, 60), slice(20, 40)):
            got = table.weights(place[part], destination[part], moves[part])
            assert np.array_equal(got, expected[part])
    for kept, most in ((table.far, 200_000), (table.near, 100_000)):
        assert kept.bytes == sum(block.bytes for _, block in kept.blocks.values()) <= most
        assert len(kept.blocks) > 1


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each destination is computed from now on."""
    made, blocks = Counter(), recursion.Recursion.blocks

    def counting(self, destinations: np.ndarray, *rest):
        made.update(destinations.tolist())
        return blocks(self, destinations, *rest)

    monkeypatch.setattr(recursion.Recursion, "blocks", counting)
    return made


def test_each_recursion_is_done_once(downtown: TaxiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A roll-out of the oracle once repeated the recursions of a batch at every token."""
    w = TaxiWorld(downtown.config, downtown.graph(), held_out=downtown.held_out)
    w.__dict__["_law"] = empty_table(downtown)
    prompts, lengths = w.prompts(0, 600)
    made = counted(monkeypatch)
    rides = rollout.roll_out(w, Oracle(w), prompts, lengths, 0, "sampled")
    assert (rides.length > 1).all()
    chunks = [prompts[low : low + rollout.CHUNK, 1] - w.first_place for low in range(0, 600, rollout.CHUNK)]
    assert set(made) == set(np.concatenate(chunks).tolist())
    once = Counter(d for chunk in chunks for d in set(chunk.tolist()))
    assert all(made[d] <= max(once[d], 2) for d in made)
    assert sum(made.values()) < 1.1 * len(made)


def test_a_full_table_computes_each_destination_once_a_request(
    downtown: TaxiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(law_of_rides, "CACHE_BYTES", 100_000)
    made = counted(monkeypatch)
    table = empty_table(downtown)
    destination = np.random.default_rng(0).permutation(np.repeat(np.arange(200), 5))
    table.weights(destination, destination, np.zeros(1000, np.int64))
    assert made == Counter(range(200))


def test_memory_is_bounded() -> None:
    """100 destinations on 8,000 places, for which a recursion over all places needs 138 MB."""
    w = city(8000, max_moves=20)
    d = np.random.default_rng(0).permutation(w.graph().n_places)[:100]
    table = w._law
    tracemalloc.start()
    try:
        table.weights(d, d, np.zeros(100, np.int64))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table.far.bytes + table.near.bytes < most < 14_000_000

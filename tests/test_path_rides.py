"""Rides on shortest paths, against networkx and against enumeration of the weightings."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import networkx
import numpy as np
import pytest
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.world import ARRIVED
from worldbench.envs.rides import weightings
from worldbench.envs.rides.next_moves import next_moves
from worldbench.envs.rides.path_world import PathWorld
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld

Ride = tuple[int, int, tuple[int, ...]]


def lengthy(n: int, seed: int, extra: int) -> Graph:
    """A small map with random lengths, and one move whose length is not known."""
    graph = small_map(n, seed, extra)
    length = np.where(graph.successor >= 0, streams.generator("lengths", seed).integers(20, 400, (n, 8)), np.nan)
    length[tuple(np.argwhere(graph.successor >= 0)[0])] = np.nan
    return replace(graph, length=length)


def world(graph: Graph, rides: str = "noisy", low: int = 1, high: int = 9, **options: object) -> PathWorld:
    if rides == "shortest":
        options.pop("weightings", None)
    made = TaxiWorld(TaxiConfig(map="city:8", min_moves=low, max_moves=high, rides=rides, **options), graph)
    assert isinstance(made, PathWorld)
    return made


def spread(graph: Graph) -> Graph:
    """The same map with lengths at which noise often changes the shortest path: noise is large beside short lengths."""
    return replace(graph, length=graph.length / 100)


def net_of(graph: Graph, weights: np.ndarray) -> networkx.DiGraph:
    """The map with weights int64 [N, A]; of several moves between two places, the shortest."""
    net = networkx.DiGraph()
    for v, a in np.argwhere(graph.successor >= 0).tolist():
        w, old = int(weights[v, a]), net.get_edge_data(v, int(graph.successor[v, a]))
        if old is None or w < old["weight"]:
            net.add_edge(v, int(graph.successor[v, a]), weight=w)
    return net


def by_networkx(
    graph: Graph, weights: np.ndarray, net: networkx.DiGraph, ride: tuple[int, int]
) -> list[tuple[int, ...]]:
    """All shortest paths as directions, in the order of the directions."""
    found = set()
    for path in networkx.all_shortest_paths(net, *ride, weight="weight"):
        ways: list[tuple[int, ...]] = [()]
        for v, u in itertools.pairwise(path):
            moves = np.flatnonzero((graph.successor[v] == u) & (weights[v] == net[v][u]["weight"]))
            ways = [(*way, int(a)) for way in ways for a in moves]
        found |= set(ways)
    return sorted(found)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
def test_next_moves_are_those_of_networkx(seed: int, ties: bool) -> None:
    """Of several shortest paths, the first in the order of the directions."""
    graph = small_map(11, seed, 25) if ties else lengthy(11, seed, 25)
    weights = weightings.lengths(graph)
    table, net = next_moves(graph, [weights])[0], net_of(graph, weights)
    several = 0
    for origin in range(11):
        for goal in range(11):
            at, way = origin, []
            while table[goal, at] != 8:
                way.append(int(table[goal, at]))
                at = int(graph.successor[at, way[-1]])
            exact = by_networkx(graph, weights, net, (origin, goal))
            assert at == goal
            assert tuple(way) == exact[0]
            several += len(exact) > 1
    assert several if ties else True


def test_weightings_are_the_published_ones() -> None:
    """W + Gamma(shape W, scale 1): the mean is 2 W and the variance W, in meters."""
    plain = np.full((4000, 8), 90_000)
    plain[:, 5] = weightings.NO_MOVE
    noise = (weightings.noisy(plain, 3, 7) - plain)[plain > 0] / 1000
    assert noise.mean() == pytest.approx(90, rel=0.01)
    assert noise.var() == pytest.approx(90, rel=0.05)
    assert (weightings.noisy(plain, 3, 7)[:, 5] == weightings.NO_MOVE).all()
    changed = plain.copy()
    changed[0, 0] = weightings.NO_MOVE
    assert np.array_equal(weightings.noisy(changed, 3, 7)[1:], weightings.noisy(plain, 3, 7)[1:])
    assert not np.array_equal(weightings.noisy(plain, 4, 7), weightings.noisy(plain, 3, 7))


def every_ride(w: PathWorld, split: str) -> dict[Ride, float]:
    """The probability of each ride of the split, by enumeration of weightings and pairs with networkx."""
    graph, c, out = w.graph(), w.config, defaultdict(float)
    plain = weightings.lengths(graph)
    count = c.weightings if c.rides == "noisy" else 0
    noisy = [weightings.noisy(plain, k, w.held_out.salt) for k in range(count)] or [plain]
    for weights in noisy:
        net = net_of(graph, weights)
        for origin in range(graph.n_places):
            for goal in set(range(graph.n_places)) - {origin}:
                way = by_networkx(graph, weights, net, (origin, goal))[0]
                visited = [origin]
                for a in way:
                    visited.append(int(graph.successor[visited[-1], a]))
                first, *later = w.held_out.holds(np.array(visited), np.full(len(visited), goal)).tolist()
                shown = first == (split == "test") and not (c.held_out == "states" and any(later))
                if shown and c.min_moves <= len(way) <= c.max_moves:
                    out[origin, goal, way] += 1.0
    return {ride: count / sum(out.values()) for ride, count in out.items()}


def law_along(w: PathWorld, ride: Ride) -> np.ndarray:
    """The law after the prompt and after each move: float64 [moves + 1, A]."""
    states = w.start(np.array([ride[:2]]) + w.first_place, np.array([2]))
    laws = [w.law(states)[0]]
    for a in ride[2]:
        states = w.step(states, np.array([w.vocabulary.actions[a]]))
        laws.append(w.law(states)[0])
    return np.array(laws)


CASES = [("shortest", "pairs"), ("noisy", "pairs"), ("noisy", "states")]


@pytest.mark.parametrize(("rides", "held_out"), CASES)
def test_law_equals_enumeration(rides: str, held_out: str) -> None:
    graph = spread(lengthy(8, 1, 22))
    w = world(
        graph, rides, low=2, high=4, weightings=50 if held_out == "pairs" else 8, held_out=held_out, held_out_share=0.15
    )
    uncertain = 0
    for split in ("train", "test"):
        exact: dict[tuple[int, int], dict[tuple[int, ...], float]] = defaultdict(dict)
        for (origin, goal, way), p in every_ride(w, split).items():
            exact[origin, goal][way] = p
        assert exact
        for pair, ways in exact.items():
            for way in ways:
                for t, law in enumerate(law_along(w, (*pair, way))):
                    following = np.zeros(9)
                    for other, p in ways.items():
                        if other[:t] == way[:t]:
                            following[other[t] if t < len(other) else 8] += p
                    assert np.abs(law - following / following.sum()).max() < 1e-12
                    uncertain += law.max() < 1
    assert (uncertain > 0) == (rides == "noisy")


@pytest.mark.parametrize(("rides", "held_out"), CASES)
def test_rides_follow_the_enumeration(rides: str, held_out: str) -> None:
    from scipy.stats import chisquare

    w = world(spread(lengthy(7, 2, 18)), rides, low=2, high=4, weightings=12, held_out=held_out, held_out_share=0.2)
    for split in ("train", "test"):
        exact = every_ride(w, split)
        origin, goal, moves, directions = w.walker.rides(3, split, 0, 20_000)
        counts: dict[Ride, int] = defaultdict(int)
        for o, d, m, way in zip(origin.tolist(), goal.tolist(), moves.tolist(), directions.tolist()):
            counts[o, d, tuple(way[:m])] += 1
        assert set(counts) <= set(exact)
        common = [ride for ride, p in exact.items() if p * 20_000 > 5]
        rest = 20_000 - sum(counts[ride] for ride in common)
        expected = [20_000 * exact[ride] for ride in common]
        observed = [counts[ride] for ride in common]
        if (left := 20_000 - sum(expected)) > 5:
            observed, expected = [*observed, rest], [*expected, left]
        expected = np.array(expected) * sum(observed) / sum(expected)
        assert chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("rides", ["shortest", "noisy"])
def test_any_range_gives_the_same_rides_and_splits_are_disjoint(rides: str) -> None:
    w = world(lengthy(15, 0, 25), rides, held_out_share=0.1)
    for split in ("train", "test"):
        whole, part = w.sample(1, split, 0, 400), w.sample(1, split, 150, 20)
        assert np.array_equal(whole.tokens[150:170], part.tokens)
        states = w.after(whole)
        assert (states.status == ARRIVED).all()
        ends = whole.tokens[:, :2].astype(int) - w.first_place
        assert (w.held_out.holds(*ends.T) == (split == "test")).all()
    assert w.walker.drawable("test").sum() == len(w.prompts(0, 10_000)[0])


def test_off_the_path_the_law_finds_its_way() -> None:
    """From every state that a legal walk reaches, the most likely moves lead to the destination."""
    w = world(lengthy(12, 3, 20), "noisy", high=40)
    rng = streams.generator("walks")
    states = w.draw_states(rng.random((300, 4)))
    for _ in range(4):
        moves = w.legal(states)[:, :-1]
        action = np.argmax(moves * rng.random(moves.shape), axis=1)
        states = w.step(states, np.array(w.vocabulary.actions)[action])
    for _ in range(40):
        states = w.step(states, np.array(w.vocabulary.actions)[w.law(states).argmax(axis=1)])
    assert (states.status == ARRIVED).all()


@pytest.mark.parametrize("held_out", ["pairs", "states"])
def test_other_goals_are_those_of_rides(held_out: str) -> None:
    w = world(spread(lengthy(8, 1, 22)), low=2, high=5, weightings=4, held_out=held_out, held_out_share=0.15)
    reached = defaultdict(set)
    for split in ("train", "test"):
        for origin, goal, way in every_ride(w, split):
            at = origin
            for t, a in enumerate((*way, 0)):
                reached[at, t].add(goal)
                at = int(w.graph().successor[at, a])
    place, moves = np.divmod(np.arange(8 * 6), 6)
    possible = w._trees.goals(place, moves)
    for v, t, found in zip(place.tolist(), moves.tolist(), possible):
        assert set(np.flatnonzero(found).tolist()) == reached[v, t]


def test_blind_law_is_the_average_over_paths() -> None:
    graph = spread(lengthy(9, 4, 20))
    w = world(graph, "shortest", low=1, high=30, held_out_share=0.01)
    count = np.zeros((9, 9))
    for split in ("train", "test"):
        for origin, _, way in every_ride(w, split):
            at = origin
            for a in (*way, 8):
                count[at, a] += 1
                at = int(graph.successor[at, a]) if a < 8 else at
    assert np.array_equal(w._trees.blind, count)


def test_damage_leaves_the_noise_of_other_streets() -> None:
    w = world(spread(lengthy(14, 0, 30)), "noisy")
    damaged = w.damaged(0, 0, 1, 0)
    assert isinstance(damaged, PathWorld)
    assert 0 < (damaged.walker.table != w.walker.table).mean() < 0.5  # type: ignore[attr-defined]


def test_large_tables_are_kept_and_checked(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from worldbench.envs.rides import next_moves as module

    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    graph = lengthy(10, 0, 10)
    weights = [weightings.lengths(graph)]
    plain = next_moves(graph, weights)
    monkeypatch.setattr(module, "KEPT_FROM", 1)
    assert np.array_equal(next_moves(graph, weights), plain)
    (path,) = (module.cache_folder() / "rides").glob("*.npy")
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert np.array_equal(next_moves(graph, weights), plain)
    assert "computed again" in caplog.text
    assert path.read_bytes() == raw


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rides": "shrotest"}, "'shortest'"),
        ({"rides": "noisy", "weightings": 0}, "1 to 64, not 0"),
        ({"rides": "noisy", "weightings": 65}, "1 to 64, not 65"),
        ({"weightings": 7}, "no effect on rides of the kind 'random'"),
        ({"rides": "shortest", "stop": 0.5}, "used by random rides"),
        ({"trips": "trips.csv"}, "used by shortest and noisy rides"),
        ({"rides": "random:0.5"}, "different kinds with shares"),
        ({"rides": "random:0.5,random:0.5"}, "different kinds with shares"),
        ({"rides": "random:half,noisy:0.5"}, "different kinds with shares"),
        ({"rides": "random:0.5,noisy:0.6"}, "add up to 1.1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        TaxiConfig(**options)


def test_a_map_without_rides_is_refused() -> None:
    with pytest.raises(InputError, match="shortest paths between random places, none are rides"):
        world(lengthy(8, 0, 20), "shortest", low=50, high=60)

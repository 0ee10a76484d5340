"""The controls of map reconstruction: their mistakes, and the routes that they are made of."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from drawn_routes import WORDS, E, W, held_out, line, walks
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.metrics.reconstruction import reconstruct
from worldbench.metrics.ride_routes import routes_from_data
from worldbench.metrics.route_controls import (
    completed_routes,
    ends_of,
    matched_errors,
    mistakes,
    places_along,
    shortest_routes,
    uniform_errors,
)
from worldbench.metrics.routes import NOT_A_DIRECTION, from_table


def literal_mistakes(graph: Graph, origin: np.ndarray, moves: np.ndarray) -> tuple[Counter, Counter]:
    """Illegal moves by (place, direction), and moves by place, of the known parts."""
    wrong, made = Counter(), Counter()
    for start, row in zip(origin.tolist(), moves.tolist()):
        at = start
        for turn in row:
            if turn < 0:
                break
            made[at] += 1
            to = int(graph.successor[at, turn])
            if to < 0:
                wrong[at, turn] += 1
                break
            at = to
    return wrong, made


def literal_places(graph: Graph, start: int, row: list[int]) -> list[int]:
    places = [start]
    for turn in itertools.takewhile(lambda a: a >= 0, row):
        places.append(int(graph.successor[places[-1], turn]))
    return places


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 10),
    seed=st.integers(0, 10**6),
    extra=st.integers(0, 9),
    wrong=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_mistakes_and_both_controls_agree_with_their_literal_definitions(
    n: int, seed: int, extra: int, wrong: float
) -> None:
    graph = small_map(n, seed, extra)
    rng = streams.generator("routes", seed)
    origin, _, rides = walks(graph, rng, 25, 9, wrong)
    rides[3, 0] = NOT_A_DIRECTION
    found = mistakes(graph, origin, from_table(rides))
    by_turn, by_place = literal_mistakes(graph, origin, rides)
    assert {(int(v), int(a)): int(found.wrong[v, a]) for v, a in np.argwhere(found.wrong)} == dict(by_turn)
    assert {int(v): int(found.made[v]) for v in np.flatnonzero(found.made)} == dict(by_place)
    share = sum(by_turn.values()) / max(sum(by_place.values()), 1)
    assert found.share == pytest.approx(share)

    start, goal, true = walks(graph, rng, 30, 9, 0.0)
    routes = from_table(true)
    assert ends_of(graph, start, routes).tolist() == goal.tolist()
    uniform, matched = (
        uniform_errors(graph, start, routes, found.share, seed),
        matched_errors(graph, start, routes, found.rate, seed),
    )
    draws = streams.uniform(0, 30, 18, "evaluation", seed, "control uniform")
    coins = streams.uniform(0, 30, 9, "evaluation", seed, "control matched")
    expected_uniform, expected_matched, candidates = true.copy(), true.copy(), []
    for i in range(30):
        places = literal_places(graph, int(start[i]), true[i].tolist())
        assert places_along(graph, start, routes)[routes.row == i].tolist() == places[:-1]
        for t, v in enumerate(places[:-1]):
            missing = [a for a in range(8) if graph.successor[v, a] < 0]
            if missing:
                candidates.append((draws[i, t], i, t, missing[int(draws[i, 9 + t] * len(missing))]))
            reached = 0.0
            for a in range(8):
                reached += by_turn[v, a] / max(by_place[v], 1)
                if coins[i, t] < reached:
                    expected_matched[i, t] = a
                    break
    for _, i, t, a in sorted(candidates)[: round(found.share * int((true >= 0).sum()))]:
        expected_uniform[i, t] = a
    assert uniform.table().tolist() == expected_uniform.tolist()
    assert matched.table().tolist() == expected_matched.tolist()


def test_a_slip_of_the_true_map_is_what_the_uniform_control_makes() -> None:
    """Routes with random slips, given as a model's rides, have a control that is drawn with as many red streets as they
    are."""
    graph = small_map(60, 7, 60)
    start, goal, table = walks(graph, streams.generator("routes", 1), 600, 12, 0.0)
    true = from_table(table)
    slips = uniform_errors(graph, start, true, 0.03, seed=5)
    assert (slips.words != true.words).sum() == round(0.03 * len(true.words))
    share = mistakes(graph, start, slips).share
    assert share == pytest.approx(0.03, rel=0.2)
    red = [
        reconstruct(graph, start, goal, m, distance=300.0).n_red
        for m in (slips, uniform_errors(graph, start, true, share, seed=6))
    ]
    assert red[0] == pytest.approx(red[1], rel=0.25)
    assert red[0] > 20


def test_the_matched_control_errs_only_where_the_rides_did() -> None:
    graph = small_map(12, 3, 8)
    start, _, table = walks(graph, streams.generator("routes", 2), 200, 12, 0.0)
    true = from_table(table)
    rides = true.words.copy()
    place = places_along(graph, start, true)
    here = int(np.bincount(place[place >= 0]).argmax())
    turn = int(np.flatnonzero(graph.successor[here] < 0)[0])
    rides[place == here] = turn
    found = mistakes(graph, start, replace(true, words=rides))
    assert found.rate[here, turn] == 1
    matched = matched_errors(graph, start, true, found.rate, seed=0).words
    assert ((matched != true.words) == (place == here)).all()
    assert (matched[place == here] == turn).all()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 14), seed=st.integers(0, 10**6), extra=st.integers(0, 9))
def test_shortest_routes_are_legal_arrive_and_are_as_short_as_breadth_first_search_says(
    n: int, seed: int, extra: int
) -> None:
    graph = small_map(n, seed, extra)
    if seed % 2:  # a place that nothing leads to
        graph = replace(graph, successor=np.where(graph.successor == 0, -1, graph.successor))
    origin, destination = np.divmod(np.arange(n * n), n)
    moves, reached = shortest_routes(graph, origin, destination)
    for o, d, row, there in zip(origin.tolist(), destination.tolist(), moves.table().tolist(), reached.tolist()):
        hops, queue = {o: 0}, deque([o])
        while queue:
            at = queue.popleft()
            for to in graph.successor[at][graph.successor[at] >= 0].tolist():
                if to not in hops:
                    hops[to] = hops[at] + 1
                    queue.append(to)
        assert there == (d in hops)
        if there:
            places = literal_places(graph, o, row)
            assert places[-1] == d
            assert len(places) - 1 == hops[d]


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(3, 10), seed=st.integers(0, 10**6), extra=st.integers(0, 9), wrong=st.sampled_from([0.0, 0.2, 1.0])
)
def test_completed_routes_keep_what_is_legal_and_go_on_by_a_shortest_way(
    n: int, seed: int, extra: int, wrong: float
) -> None:
    graph = small_map(n, seed, extra)
    origin, destination, moves = walks(graph, streams.generator("routes", seed), 30, 8, wrong)
    hops = graph.hops_to(np.arange(n))
    completed, reached = completed_routes(graph, origin, destination, from_table(moves))
    assert reached.all()
    assert completed.width == completed.lengths.max(initial=1)
    assert ends_of(graph, origin, completed).tolist() == destination.tolist()
    for o, d, row, whole in zip(origin.tolist(), destination.tolist(), moves.tolist(), completed.table().tolist()):
        at, kept = o, []
        for turn in itertools.takewhile(lambda a: a >= 0, row):
            if graph.successor[at, turn] < 0:
                break
            at = int(graph.successor[at, turn])
            kept.append(turn)
        given = list(itertools.takewhile(lambda a: a >= 0, whole))
        assert given[: len(kept)] == kept
        assert len(given) == len(kept) + hops[d, at]
        assert set(whole[len(given) :]) <= {-1}


class Held(SimpleNamespace):
    """Held-out documents in place of a world."""

    __hash__ = object.__hash__


def test_true_routes_are_those_of_the_first_held_out_documents_with_the_prompt() -> None:
    world = Held(sample=held_out, longest=5, vocabulary=WORDS)
    prompts = np.array([[11, 12], [10, 12], [13, 12], [11, 12]])
    routes = routes_from_data(world, line(), 0, prompts, np.full(4, 2))  # pyright: ignore[reportArgumentType]
    assert routes.tolist() == [
        [E, -1, -1, -1, -1],
        [E, W, E, E, -1],
        [NOT_A_DIRECTION, -1, -1, -1, -1],
        [E, -1, -1, -1, -1],
    ]


def test_true_routes_are_looked_for_once_for_all_models() -> None:
    asked: list[int] = []

    def sample(*of: Any) -> Any:
        asked.append(1)
        return held_out(*of)

    world, prompts, graph = Held(sample=sample, longest=5, vocabulary=WORDS), np.array([[11, 12], [10, 12]]), line()
    first = routes_from_data(world, graph, 0, prompts, np.full(2, 2))  # pyright: ignore[reportArgumentType]
    searched = len(asked)
    again = routes_from_data(world, graph, 0, prompts.copy(), np.full(2, 2))  # pyright: ignore[reportArgumentType]
    assert np.array_equal(first, again)
    assert len(asked) == searched > 0
    routes_from_data(world, graph, 0, prompts[:1], np.full(1, 2))  # pyright: ignore[reportArgumentType]
    assert len(asked) > searched

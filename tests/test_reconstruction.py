"""Map reconstruction against a slow, literal, independent implementation, and against hand-made cases."""

from __future__ import annotations

import itertools
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.baselines.references import Uniform
from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.core.world import Documents, Vocabulary
from worldbench.envs.hmm.world import HMM
from worldbench.metrics.map_reconstruction import METRIC
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED, reconstruct
from worldbench.metrics.ride_routes import routes_from_data, routes_of
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

sys.path.insert(0, str(Path(__file__).parent))
from small_maps import small_map

N, E, S, W = 0, 2, 4, 6


class Literal:
    """The definition, word by word: a dict of edges, breadth-first search over whole paths, every candidate tried on a
    copy."""

    def __init__(self, graph: Graph, degree: int, distance: float) -> None:
        self.true = {(int(u), int(a)): int(v) for u, v, a in graph.edges}
        self.cap = [max(degree, sum(1 for u, _ in self.true if u == node)) for node in range(graph.n_places)]
        self.used: dict[tuple[int, int], int] = {}
        gap = np.hypot(*(graph.metres[:, None] - graph.metres[None]).transpose(2, 0, 1))
        self.near = [
            sorted((v for v in range(graph.n_places) if v != u and gap[u, v] <= distance), key=lambda v: (gap[u, v], v))
            for u in range(len(gap))
        ]

    def room(self, used: dict, node: int, direction: int) -> bool:
        return (node, direction) not in used and sum(1 for u, _ in used if u == node) < self.cap[node]

    def search(self, used: dict, start: int, goal: int, directions: list[int]) -> list[tuple[int, int, int]] | None:
        """The whole path if there is one, else the longest path that ends where an edge in the next direction could be
        added."""
        queue: list[tuple[int, list[tuple[int, int, int]]]] = [(start, [])]
        best = None
        while queue:
            at, path = queue.pop(0)
            now = used | {(u, a): v for u, a, v in path}
            k = len(path)
            if k == len(directions):
                if at == goal:
                    return path
                continue
            if self.room(now, at, directions[k]):
                best = path
            key = (at, directions[k])
            steps = [now[key]] if key in now else [self.true[key]] if key in self.true and self.room(now, *key) else []
            queue += [(v, [*path, (*key, v)]) for v in steps]
        return best

    def explain(
        self, origin: int, goal: int, directions: list[int], roll_back: bool
    ) -> list[tuple[int, int, int]] | None:
        before = dict(self.used)
        path = self.search(self.used, origin, goal, directions)
        if path is None:
            return None
        self.used |= {(u, a): v for u, a, v in path}
        while path is not None and len(path) < len(directions):
            at = path[-1][2] if path else origin
            rest = directions[len(path) + 1 :]
            best: list[tuple[int, int, int]] = []
            for v in self.near[at]:
                new = (at, directions[len(path)], v)
                if not rest:
                    if v == goal:
                        best = [new]
                    continue
                sub = self.search(self.used | {new[:2]: v}, v, goal, rest)
                if sub and len(sub) + 1 > len(best):
                    best = [new, *sub]
            self.used |= {(u, a): v for u, a, v in best}
            path = [*path, *best] if best else None
        if path is None and roll_back:
            self.used = before
        return path


def literal(
    graph: Graph, origin, destination, moves, degree: int, distance: float, roll_back: bool, order
) -> tuple[set, set, list]:
    drawing = Literal(graph, degree, distance)
    paths: dict[int, list | None] = {}
    for i in order:
        row = [int(a) for a in itertools.takewhile(lambda a: a != -1, moves[i])]
        paths[i] = (
            None if NOT_A_DIRECTION in row else drawing.explain(int(origin[i]), int(destination[i]), row, roll_back)
        )
    edges = {(u, v, a) for (u, a), v in drawing.used.items()}
    red = {(u, v, a) for u, v, a in edges if drawing.true.get((u, a)) != v}
    status = [
        FAILED if (p := paths[i]) is None else DRAWN_WITH_RED if any((u, v, a) in red for u, a, v in p) else DRAWN
        for i in range(len(moves))
    ]
    return edges - red, red, status


def walks(
    graph: Graph, rng: np.random.Generator, count: int, longest: int, wrong: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Legal walks, each direction replaced with probability `wrong`."""
    origin = rng.integers(graph.n_places, size=count)
    destination = origin.copy()
    moves = np.full((count, longest), -1)
    for i in range(count):
        for t in range(rng.integers(1, longest + 1)):
            turn = rng.choice(np.flatnonzero(graph.successor[destination[i]] >= 0))
            destination[i] = graph.successor[destination[i], turn]
            moves[i, t] = turn if rng.random() >= wrong else rng.integers(8)
    return origin, destination, moves


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(3, 12),
    seed=st.integers(0, 10**6),
    extra=st.integers(0, 7),
    degree=st.integers(1, 5),
    distance=st.sampled_from([0.0, 200.0, 450.0, 2000.0]),
    wrong=st.sampled_from([0.1, 0.4, 1.0]),
    roll_back=st.booleans(),
)
def test_agrees_with_the_literal_definition(
    n: int, seed: int, extra: int, degree: int, distance: float, wrong: float, roll_back: bool
) -> None:
    graph = small_map(n, seed, extra)
    rng = streams.generator("routes", seed)
    origin, destination, moves = walks(graph, rng, 20, 10, wrong)
    moves[3, 0] = NOT_A_DIRECTION
    order = rng.permutation(20)
    ours = reconstruct(
        graph,
        origin,
        destination,
        from_table(moves),
        degree=degree,
        distance=distance,
        roll_back=roll_back,
        order=order,
    )
    black, red, status = literal(graph, origin, destination, moves, degree, distance, roll_back, order.tolist())
    assert {tuple(e) for e in ours.edges[ours.black].tolist()} == black
    assert {tuple(e) for e in ours.red.tolist()} == red
    assert ours.status.tolist() == status
    assert (
        ours.precision == pytest.approx(len(black) / (len(black) + len(red)), nan_ok=True)
        if black or red
        else np.isnan(ours.precision)
    )
    assert ours.recall == len(black) / len(graph.edges)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 12), seed=st.integers(0, 10**6), extra=st.integers(0, 7), degree=st.integers(1, 4))
def test_valid_routes_alone_need_nothing_new(n: int, seed: int, extra: int, degree: int) -> None:
    graph = small_map(n, seed, extra)
    origin, destination, moves = walks(graph, streams.generator("routes", seed), 30, 12, 0.0)
    drawing = reconstruct(graph, origin, destination, from_table(moves), degree=degree)
    assert (drawing.n_red, drawing.n_failed, (drawing.status == DRAWN).all()) == (0, 0, True)
    assert drawing.uses.sum() == (moves >= 0).sum()
    assert (drawing.black == (drawing.uses > 0)).all()


def line(gap: float = 100.0, places: int = 5) -> Graph:
    """Places 0 .. places - 1 from west to east; E leads one on, W one back."""
    graph = small_map(3, 0)
    successor = np.full((places, 8), -1, np.int32)
    successor[:-1, E] = np.arange(1, places)
    successor[1:, W] = np.arange(places - 1)
    metres = np.stack([np.arange(places) * gap, np.zeros(places)], axis=1)
    return replace(
        graph,
        places=tuple(map(str, range(places))),
        metres=metres,
        successor=successor,
        length=successor * 1.0,
        street=successor.astype(object),
    )


def draw(graph: Graph, *routes: tuple[int, int, list[int]], **options):
    moves = np.full((len(routes), max(len(r[2]) for r in routes)), -1)
    for row, route in zip(moves, routes):
        row[: len(route[2])] = route[2]
    return reconstruct(
        graph, np.array([r[0] for r in routes]), np.array([r[1] for r in routes]), from_table(moves), **options
    )


def test_one_wrong_turn_is_one_red_edge_to_where_the_rest_can_be_followed() -> None:
    # N from 1 is no street; E E then ends at 4 only from 2, which is nearer than 0 is by index alone.
    drawing = draw(line(), (0, 4, [E, N, E, E]))
    assert drawing.red.tolist() == [[1, 2, N]]
    assert drawing.red_uses.tolist() == [1]
    assert drawing.edges[drawing.black].tolist() == [[0, 1, E], [2, 3, E], [3, 4, E]]
    assert drawing.status.tolist() == [DRAWN_WITH_RED]
    assert (drawing.precision, drawing.recall) == (3 / 4, 3 / 8)


def test_the_last_move_goes_straight_to_the_destination_if_it_is_near() -> None:
    route = (0, 4, [E, N])
    assert draw(line(), route, distance=300.0).red.tolist() == [[1, 4, N]]
    assert draw(line(), route, distance=299.0).status.tolist() == [FAILED]


def test_a_failed_route_leaves_no_trace_unless_the_released_behaviour_is_asked_for() -> None:
    # Place 1 may have two edges. The bad route invents S from 1 to 2 and comes back to take W: 1 is full. Then its end
    # is out of reach.
    bad, good = (1, 4, [S, W, W, N]), (0, 2, [E, E])
    ours = draw(line(), bad, good, degree=1, distance=150.0)
    assert ours.status.tolist() == [FAILED, DRAWN]
    assert (ours.n_red, ours.n_black, ours.uses.sum()) == (0, 2, 2)
    released = draw(line(), bad, good, degree=1, distance=150.0, roll_back=False)
    assert released.status.tolist() == [FAILED, FAILED]
    assert released.red.tolist() == [[1, 2, S]]
    assert released.edges[released.black].tolist() == [[1, 0, W], [2, 1, W]]


def test_the_order_of_routes_matters() -> None:
    # One edge may leave in each direction: whoever comes first settles where N from 1 leads.
    routes = ((1, 3, [N, E]), (1, 4, [N, E]))
    first = draw(line(), *routes)
    second = draw(line(), *routes, order=np.array([1, 0]))
    assert first.red.tolist() != second.red.tolist()
    assert first.red.tolist()[0] == [1, 2, N]
    assert second.red.tolist()[0] == [1, 3, N]


def test_only_directions_are_labels_and_only_the_destination_will_do() -> None:
    drawing = draw(line(), (0, 2, [E, NOT_A_DIRECTION]), (0, 0, []), (0, 1, []), (0, 2, [E, E]))
    assert drawing.status.tolist() == [FAILED, DRAWN, FAILED, DRAWN]


def rides_of(tokens: list[list[int]], length: list[int]) -> SimpleNamespace:
    prompts = np.array([[10, 12]] * len(tokens))
    return SimpleNamespace(
        prompts=prompts, prompt_lengths=np.full(len(tokens), 2), tokens=np.array(tokens), length=np.array(length)
    )


WORDS = Vocabulary(words=("<pad>", "end", *"ABCDEFGH", *"01234"), pad=0, end=1, actions=(*range(2, 10), 1))


def test_a_ride_is_its_directions_up_to_the_first_end() -> None:
    rides = rides_of([[4, 4, 1, 0], [4, 4, 4, 4], [4, 11, 1, 0], [1, 0, 0, 0], [0, 4, 1, 0]], [3, 4, 3, 1, 3])
    assert routes_of(rides.tokens, rides.length, WORDS, 8).tolist() == [
        [2, 2, -1, -1],
        [2, 2, 2, -2],
        [2, -2, -1, -1],
        [-1, -1, -1, -1],
        [-2, 2, -1, -1],
    ]


def held_out(seed: int, split: str, start: int, count: int) -> Documents:
    """The data: rides 1 -> 2 along one street, and 0 -> 2 by a detour."""
    assert split == "test"
    tokens = np.where(
        (np.arange(start, start + count) % 3 == 2)[:, None], [10, 12, 4, 8, 4, 4, 1], [11, 12, 4, 1, 0, 0, 0]
    )
    return Documents(tokens, np.where(tokens[:, 0] == 10, 7, 4), np.full(count, 2))


def measure(
    tokens: list[list[int]], length: list[int], orders: int = 3, roll_back: bool = True, sample: Callable = held_out
):
    """The metric on rides 0 -> 2 over the line."""
    world = SimpleNamespace(
        graph=line,
        vocabulary=WORDS,
        route_ends=lambda prompts: (prompts[:, 0] - 10, prompts[:, 1] - 10),
        name="line",
        longest=5,
        sample=sample,
    )
    options = SimpleNamespace(
        reconstruction_rides=len(tokens),
        reconstruction_decoding="greedy",
        reconstruction_degree=4,
        reconstruction_distance=804.672,
        reconstruction_orders=orders,
        reconstruction_roll_back=roll_back,
    )
    return METRIC.measure(
        SimpleNamespace(world=world, settings=options, seed=0, rides=lambda kind, count: rides_of(tokens, length))
    )  # pyright: ignore[reportArgumentType]


def test_rides_that_arrive_score_the_ceiling_and_every_kind_is_counted() -> None:
    report = measure([[4, 4, 1, 0, 0], [4, 8, 4, 4, 1]], [3, 5])
    assert {k: v.value for k, v in report.scores.items() if not k.startswith("control_")} == {
        "illegal_moves": 0,
        "edge_precision": 1,
        "edge_recall": 3 / 8,
        "black_edges": 3,
        "red_edges": 0,
        "unused_edges": 5,
        "failed_routes": 0,
        "routes_without_red": 1,
        "routes_with_red": 0,
    }
    assert report.scores["edge_precision"].interval == (1, 1)
    assert all(e.met_by(report.scores[e.score].value) for e in METRIC.expects["oracle"])
    assert {"metres", "edges", "uses", "black", "red", "red_uses", "status", "places", "directions"} <= set(
        report.arrays
    )


def test_one_wrong_turn_and_one_ride_without_end_show() -> None:
    report = measure([[4, 4, 1, 0], [4, 2, 1, 0], [4, 4, 4, 4], [4, 4, 1, 0]], [3, 3, 4, 3])
    assert report.scores["red_edges"].value == 1
    assert report.scores["edge_precision"].value == 2 / 3
    assert report.scores["failed_routes"].value == 1 / 4
    assert report.scores["routes_with_red"].value == 1 / 4
    assert report.series["by_order"]["order"] == [0, 1, 2]
    assert "1 of them could not be explained" in report.notes[0]


def test_rides_that_draw_nothing_have_no_precision_and_say_so() -> None:
    report = measure([[4, 4, 4, 4]], [4])
    assert np.isnan(report.scores["edge_precision"].value)
    assert any("undefined" in note for note in report.notes)


def test_other_worlds_are_told_why_not() -> None:
    assert METRIC.not_applicable(HMM(), Uniform(HMM())) == "the world 'hmm' has no street map"


# Released behaviour


def test_the_option_for_released_behaviour_reaches_the_algorithm() -> None:
    rides = [[4, 2, 2, 2, 1]]  # no street leads north: the ride fails after its first move, E
    released, ours = (measure(rides, [5], orders=1, roll_back=back) for back in (False, True))
    assert (ours.scores["failed_routes"].value, released.scores["failed_routes"].value) == (1, 1)
    assert ours.arrays["black"].sum() == len(ours.arrays["red"]) == 0
    assert released.arrays["edges"][released.arrays["black"]].tolist() == [[0, 1, E]]
    assert "released" in released.notes[0]
    assert "draw nothing" in ours.notes[0]


# Controls


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


def test_true_routes_are_those_of_the_first_held_out_documents_with_the_prompt() -> None:
    world = SimpleNamespace(sample=held_out, longest=5, vocabulary=WORDS)
    prompts = np.array([[11, 12], [10, 12], [13, 12], [11, 12]])
    routes = routes_from_data(world, line(), 0, prompts, np.full(4, 2))  # pyright: ignore[reportArgumentType]
    assert routes.tolist() == [
        [E, -1, -1, -1, -1],
        [E, W, E, E, -1],
        [NOT_A_DIRECTION, -1, -1, -1, -1],
        [E, -1, -1, -1, -1],
    ]


def test_controls_without_mistakes_draw_the_true_routes_alone() -> None:
    report = measure([[4, 4, 1, 0, 0], [4, 4, 4, 1, 0]], [3, 4])  # the second ends elsewhere, which is no illegal move
    assert report.scores["failed_routes"].value + report.scores["routes_with_red"].value > 0
    assert report.scores["illegal_moves"].value == 0
    assert all(
        e.met_by(report.scores[e.score].value) for e in METRIC.expects["oracle"] if e.score.startswith("control")
    )
    assert report.arrays["control_uniform_black"].sum() == 3  # the detour of the data: 0 -> 1 -> 0 -> 1 -> 2


def test_controls_err_as_the_rides_do_and_fall_back_on_the_rides_themselves() -> None:
    rides, lengths = [[4, 2, 1, 0]] * 4 + [[4, 4, 1, 0]] * 4, [3] * 8
    report = measure(rides, lengths)
    assert report.scores["illegal_moves"].value == 4 / 16
    assert report.scores["illegal_moves"].n == 16
    assert report.scores["control_uniform_red"].value + report.scores["control_uniform_failed"].value > 0
    assert report.scores["control_matched_red"].value + report.scores["control_matched_failed"].value > 0
    report = measure(
        rides,
        lengths,
        sample=lambda seed, split, start, count: Documents(
            np.full((count, 4), 11), np.full(count, 4), np.full(count, 2)
        ),
    )
    assert any("8 true routes of the controls are no draws from the data" in note for note in report.notes)
    assert set(report.arrays["control_rides"].tolist()) == set(range(8))
    assert report.arrays["control_matched_status"].shape == (8,)

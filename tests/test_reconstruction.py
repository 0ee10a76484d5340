"""The drawing of a map against a slow, literal, independent implementation, and against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_routes import E, N, S, W, line, literal, walks
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED, reconstruct
from worldbench.metrics.routes import NO_END, NOT_A_DIRECTION, from_table


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(3, 12),
    seed=st.integers(0, 10**6),
    extra=st.integers(0, 7),
    degree=st.integers(1, 5),
    distance=st.sampled_from([0.0, 200.0, 450.0, 2000.0]),
    wrong=st.sampled_from([0.1, 0.4, 1.0]),
    roll_back=st.booleans(),
    forced_end=st.booleans(),
)
def test_agrees_with_the_literal_definition(
    n: int, seed: int, extra: int, degree: int, distance: float, wrong: float, roll_back: bool, forced_end: bool
) -> None:
    graph = small_map(n, seed, extra)
    rng = streams.generator("routes", seed)
    origin, destination, moves = walks(graph, rng, 20, 10, wrong)
    moves[3, 0] = NOT_A_DIRECTION
    moves[4, np.flatnonzero(moves[4] >= 0)[-1]] = NO_END
    destination[5] = rng.integers(n)
    order = rng.permutation(20)
    ours = reconstruct(
        graph,
        origin,
        destination,
        from_table(moves),
        degree=degree,
        distance=distance,
        roll_back=roll_back,
        forced_end=forced_end,
        order=order,
    )
    black, red, status = literal(
        graph, origin, destination, moves, degree, distance, roll_back, order.tolist(), forced_end
    )
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


@settings(max_examples=30, deadline=None)
@given(n=st.integers(3, 12), seed=st.integers(0, 10**6), extra=st.integers(0, 7), wrong=st.sampled_from([0.0, 0.3]))
def test_with_moves_alone_no_wrong_end_and_no_order_adds_an_edge_for_legal_routes(
    n: int, seed: int, extra: int, wrong: float
) -> None:
    graph = small_map(n, seed, extra)
    rng = streams.generator("routes", seed)
    origin, _, table = walks(graph, rng, 30, 12, 0.0)
    _, _, others = walks(graph, rng, 30, 12, wrong)
    moves = from_table(np.concatenate([others, table])) if wrong else from_table(table)
    starts = np.concatenate([origin, origin])[: len(moves)]
    drawing = reconstruct(graph, starts, rng.integers(n, size=len(moves)), moves, distance=300.0, forced_end=False)
    assert (drawing.status[-30:] == DRAWN).all()
    assert (drawing.uses > 0)[drawing.black].all()
    if not wrong:
        assert (drawing.n_red, drawing.n_failed) == (0, 0)
    # Edges that one route alone uses: without this route, the others have fewer edges by that number.
    kept = np.flatnonzero(drawing.status == DRAWN)
    legal = reconstruct(graph, starts[kept], starts[kept], moves.take(kept), forced_end=False)
    for i in range(0, len(kept), 7):
        less = np.delete(kept, i)
        without = reconstruct(graph, starts[less], starts[less], moves.take(less), forced_end=False)
        assert legal.n_black - without.n_black == legal.sole_black[i]


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


def test_with_moves_alone_a_wrong_end_needs_no_edge_and_a_wrong_turn_one() -> None:
    elsewhere, illegal = (0, 4, [E, E]), (0, 3, [E, N])
    assert draw(line(), elsewhere).red.tolist() == [[1, 4, E]]
    alone = draw(line(), elsewhere, illegal, forced_end=False)
    assert alone.status.tolist() == [DRAWN, DRAWN_WITH_RED]
    assert alone.red.tolist() == [[1, 3, N]]  # the destination, as it is near
    assert draw(line(), illegal, forced_end=False, distance=150.0).red.tolist() == [[1, 0, N]]  # the nearest
    # Of the edges that explain all moves, the one is preferred from which the ride ends at its destination.
    for goal, to in ((1, 0), (2, 1), (4, 3), (0, 1)):
        assert draw(line(), (2, goal, [N, E]), forced_end=False).red.tolist() == [[2, to, N]]


def test_with_moves_alone_a_route_that_never_ends_is_its_moves() -> None:
    routes = (0, 2, [E, E, NO_END]), (0, 2, [NO_END]), (0, 2, [E, NOT_A_DIRECTION, NO_END])
    assert draw(line(), *routes, forced_end=False).status.tolist() == [DRAWN, DRAWN, FAILED]
    assert draw(line(), *routes).status.tolist() == [FAILED] * 3


def test_edges_that_one_route_alone_uses_are_counted() -> None:
    drawing = draw(line(), (0, 2, [E, E]), (0, 1, [E]), (2, 3, [N]), (1, 2, [E, E, W]))
    assert drawing.sole_black.tolist() == [0, 0, 0, 2]
    assert drawing.sole_red.tolist() == [0, 0, 1, 0]


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

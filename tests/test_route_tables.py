"""Routes of all lengths in a table: followed together or one by one, and one cell at a time."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_texts import GOOD, saved
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.metrics import route_controls
from worldbench.metrics.routes import NOT_A_DIRECTION, from_table
from worldbench.studies.reconstruction import ReconstructionOptions, measure
from worldbench.studies.routes import read_routes


def test_a_long_route_full_of_mistakes_takes_no_time(tmp_path: Path, graph: Graph) -> None:
    """Each wrong move looks only as far ahead as a street can be followed, not at all the rest of the route."""
    rng = np.random.default_rng(0)
    words = " ".join(rng.choice(["N", "E", "S", "W", "SE"], 80_000))
    read = read_routes(saved(tmp_path, f"a c {words} end\n" + GOOD), graph)
    report = measure(graph, read, ReconstructionOptions(orders=1))
    assert report.arrays["status"].tolist()[1:] == [0, 0, 0, 0]


@pytest.mark.slow
def test_true_routes_of_the_controls_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a ring of 400 one-way streets, an empty route is completed by 200 moves in the mean."""
    ring = saved(tmp_path, "\n".join(f"p{i:03},N,p{(i + 1) % 400:03}" for i in range(400)), "ring.csv")
    graph = load_map(TaxiConfig(map=str(ring)))
    read = read_routes(saved(tmp_path, "".join(f"p000 p{i:03} end\n" for i in range(400))), graph)
    monkeypatch.setattr("worldbench.studies.reconstruction.MOVES_COMPLETED", 0.01)
    report = measure(graph, read, ReconstructionOptions(orders=1))
    assert report.arrays["control_rides"].tolist() == list(range(141))  # 0 + 1 + .. + 140 moves are at most 10,000
    notes = "; ".join(report.notes)
    assert "259 rides have no true route between their ends, and are left out of the controls" in notes
    assert "259 of the rides left out of the controls have a true route" in notes


@pytest.mark.parametrize("few", [0, 2, 10**9])
def test_routes_followed_one_by_one_or_together_stand_at_the_same_places(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = streams.generator("places", few)
    graph, table = small_map(9, 1, 30), rng.integers(-2, 8, (50, 12))
    moves, origin = from_table(table), rng.integers(9, size=50)
    expected = []
    for at, row in zip(origin.tolist(), table.tolist()):
        for turn in itertools.takewhile(lambda a: a != -1, row):
            at = at if turn >= 0 else -1
            expected.append(at)
            at = int(graph.successor[at, turn]) if at >= 0 else -1
    monkeypatch.setattr(route_controls, "FEW", few)
    assert route_controls.places_along(graph, origin, moves).tolist() == expected


@settings(max_examples=60)
@given(
    cells=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 69)), max_size=50),
    width=st.integers(70, 75),
    seek=st.sampled_from([0, 3, 1 << 12]),
    longest=st.sampled_from([4, 64, 1 << 20]),
)
def test_single_cells_are_those_of_whole_rows(
    cells: list[tuple[int, int]], width: int, seek: int, longest: int
) -> None:
    row, column = np.array(cells, np.int64).reshape(-1, 2).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "SEEK", seek)
        patch.setattr(streams, "LONGEST_DRAW", longest)
        found = streams.uniform_cells(row, column, width, "cells", 3)
    whole = streams.uniform(0, 3001, width, "cells", 3)
    assert (found == whole[row, column]).all()


def test_a_far_cell_of_a_wide_row_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        streams.uniform_cells(np.array([10**6, 0]), np.array([10**5, 5]), 10**6, "wide")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_routes_of_all_lengths_fill_a_table() -> None:
    table = np.array([[1, -1, -1], [-1, -1, -1], [0, NOT_A_DIRECTION, 2]])
    moves = from_table(table)
    assert moves.table().tolist() == table.tolist()
    assert (len(moves), moves.lengths.tolist(), moves.row.tolist()) == (3, [1, 0, 3], [0, 2, 2, 2])
    assert moves.take(np.array([2, 0, 2])).table().tolist() == table[[2, 0, 2]].tolist()
    assert moves.take(np.array([False, True, True])).table().tolist() == table[1:].tolist()
    longer = moves.followed_by(from_table(np.array([[3, 3, 3, 3]])))
    assert longer.table().tolist() == [[*row, -1] for row in table.tolist()] + [[3, 3, 3, 3]]

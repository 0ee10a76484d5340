"""Which rides a map leaves for each split, and what is said, soon, where it leaves none."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from small_maps import small_map
from test_rides_and_law import every_ride

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.maze.config import MazeConfig
from worldbench.envs.maze.nav import MazeWorld
from worldbench.envs.rides import held_out as module
from worldbench.envs.rides import walker as walking
from worldbench.envs.rides.held_out import HeldOut, drawable
from worldbench.envs.rides.walker import Walker
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld

LINE = "node,direction,to\na,E,b\nb,W,a\nb,N,c\nc,S,b\n"
"""Three places in a row. At the default share none of their six pairs is held out."""


@pytest.mark.parametrize("kind", ["pairs", "states"])
@pytest.mark.parametrize("moves", [(1, 1), (2, 6), (5, 6), (6, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_drawable_pairs_are_those_of_all_rides(kind: str, moves: tuple[int, int], seed: int) -> None:
    share = 0.3 if kind == "pairs" else 0.15
    graph = small_map(6, seed)
    config = TaxiConfig(map="city:8", min_moves=moves[0], max_moves=moves[1])
    w = TaxiWorld(config, graph, HeldOut.of(graph, kind, share))
    for split in ("train", "test"):
        found = drawable(w.graph(), *moves, w.held_out, split)
        assert {(int(o), int(d)) for o, d in np.argwhere(found)} == set(every_ride(w, split))


def test_sets_of_destinations_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = small_map(37, 1, extra=30)
    held = HeldOut.of(graph, "states", 0.05)
    whole = drawable(graph, 3, 40, held, "test")
    monkeypatch.setattr(module, "ROWS", 5)
    assert np.array_equal(drawable(graph, 3, 40, held, "test"), whole)


def line_of_three() -> Graph:
    successor = np.array([[1, -1], [2, 0], [-1, 1]], np.int32)
    return Graph(
        name="line", places=("a", "b", "c"), directions=("E", "W"), metres=np.array([[0.0, 0], [100, 0], [200, 0]]),
        lonlat=None, successor=successor, length=np.where(successor >= 0, 100.0, np.nan),
        street=np.full((3, 2), "", object),
    )  # fmt: skip


def message(graph: Graph, low: int, high: int, kind: str, share: float, salt: int | None = None) -> str:
    held = HeldOut.of(graph, kind, share) if salt is None else HeldOut(kind, share, salt)
    walker = Walker(graph, low, high, held)
    started = time.process_time()
    with pytest.raises(InputError) as error:
        walker.check()
    with pytest.raises(InputError):
        _ = [walker.rides(0, split, 0, 3) for split in ("train", "test")]
    assert time.process_time() - started < 10
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_is_held_out() -> None:
    graph = line_of_three()
    held = HeldOut.of(graph, "pairs", 0)
    place = np.arange(3)
    values = held.threshold(place[:, None], place[None, :])[~np.eye(3, dtype=bool)]
    least = float(np.ceil(values.min() * 100) / 100)
    said = message(graph, 2, 99, "pairs", 0.001)
    assert said.startswith(
        "line: no pair (origin, destination) of its 3 places is held out with env.held_out_share 0.001"
    )
    assert f"set env.held_out_share to {least:g} or more" in said
    Walker(graph, 2, 99, HeldOut.of(graph, "pairs", least)).check()


def test_what_is_held_out_has_no_route() -> None:
    """On a line, an even number of moves leads to an even distance, and the held-out pair is at an odd distance."""
    graph = line_of_three()
    place = np.arange(3)
    for salt in range(100):
        value = HeldOut("pairs", 0, salt).threshold(place[:, None], place[None, :])
        odd = value[np.abs(place[:, None] - place[None, :]) == 1].min()
        if odd < min(value[0, 2], value[2, 0]):
            break
    share = float(odd) + 1e-9
    assert "of 1 held-out pair of places, none has a route of 2 moves" in message(graph, 2, 2, "pairs", share, salt)
    Walker(graph, 1, 3, HeldOut("pairs", share, salt)).check()


def test_nothing_is_left_to_train_on() -> None:
    said = message(line_of_three(), 1, 1, "pairs", 0.99999)
    assert "of 3 pairs of places that are not held out, none has a route of 1 move," in said
    said = message(line_of_three(), 2, 9, "states", 0.99999)
    assert "that avoids all held-out states" in said
    assert "change env.min_moves and env.max_moves, or env.held_out_share" in said


def test_rides_too_rare_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair with a route that few walks take: the error says how many walks were drawn."""
    monkeypatch.setattr(walking, "ENOUGH_WALKS", 4096)
    monkeypatch.setattr(walking, "FEWEST_RIDES", 2000)
    graph = small_map(12, 0)
    walker = Walker(graph, 2, 30, HeldOut.of(graph, "pairs", 0.1))
    for draw in (walker.check, lambda: walker.rides(0, "test", 0, 2000)):
        with pytest.raises(InputError, match=r"walks of 2 to 30 moves, only \d+ are rides of the test split"):
            draw()
    assert len(walker.rides(0, "test", 0, 5)[0]) == 5


def test_single_rides_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "MAX_ATTEMPTS", 50)
    graph = line_of_three()
    with pytest.raises(InputError, match="is held out"):
        Walker(graph, 2, 99, HeldOut.of(graph, "pairs", 0.001)).rides(0, "test", 5, 1)
    monkeypatch.setattr(walking, "MAX_ATTEMPTS", 20_000)
    monkeypatch.setattr(walking, "SUSPICIOUS", 20)
    with pytest.raises(InputError, match="is held out"):
        Walker(graph, 2, 99, HeldOut.of(graph, "pairs", 0.001)).rides(0, "test", 5, 1)


def test_a_small_table_is_refused_before_anything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It once hung: 20,000 attempts at 2,048 rides of a hundred moves each."""
    path = tmp_path / "line.csv"
    path.write_text(LINE)
    started = time.process_time()
    assert main(["run", "taxi", "--env.map", str(path), "--model", "oracle", "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert "no pair (origin, destination) of its 3 places is held out" in said
    assert "set env.held_out_share to" in said
    assert not (tmp_path / "runs").exists()
    assert time.process_time() - started < 10


def test_no_prompt_is_looked_for_that_has_no_ride() -> None:
    """Few pairs of a small maze are held out; asked for more prompts than there are, the search ends with them."""
    w = MazeWorld(MazeConfig(rows=4, columns=3, max_moves=9))
    there_are = drawable(w.graph(), w.config.min_moves, 9, w.held_out, "test").sum()
    started = time.process_time()
    assert len(w.prompts(0, 1000)[0]) == there_are
    assert time.process_time() - started < 5

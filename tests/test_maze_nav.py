"""Rides in a maze: the maze as a map, the same law and metrics as on street maps, and the figure of the model's
walls."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sample_records import ceiling_of, result_of

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.cli.main import main
from worldbench.core.arrays import npz
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.graph import UNREACHABLE
from worldbench.core.metric import Report
from worldbench.core.world import ARRIVED, Documents
from worldbench.envs.maze.config import PERCOLATION, MazeConfig
from worldbench.envs.maze.generators import GENERATORS, TREES, generate
from worldbench.envs.maze.grid import from_walls
from worldbench.envs.maze.nav import CELL, MazeWorld, maze_graph
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.rides.controls import beeline_arrival, counter_accuracy
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.walker import Walker
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.figures import interactive_map, maze_map, street_map
from worldbench.figures.run_figures import draw_run
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.lookahead import LEAST, PROMPTS, share_of_the_law
from worldbench.metrics.lookahead import METRIC as LOOKAHEAD
from worldbench.metrics.map_reconstruction import METRIC as RECONSTRUCTION
from worldbench.studies.check.damage import damaged

FIVE = MazeConfig(rows=5, columns=5, min_moves=2, max_moves=20)


def tokens(world: MazeWorld, text: str) -> np.ndarray:
    return np.array([[world.vocabulary.words.index(w) for w in text.split()]], np.int32)


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_map_is_the_maze(kind: str) -> None:
    """Every passage, both ways, in the direction that it says; nothing else."""
    world = MazeWorld(
        MazeConfig(generator=kind, rows=6, columns=8, seed=3, percolation=0.7 if kind == "percolation" else None)
    )
    g, report = world.graph(), world.graph().report
    source, target, way = g.edges.T
    step = np.array([[0, CELL], [CELL, 0], [0, -CELL], [-CELL, 0]])
    assert np.allclose(g.metres[target] - g.metres[source], step[way])
    assert (g.successor[target, (way + 2) % 4] == source).all()
    assert (g.hops_to(np.arange(g.n_places)) < UNREACHABLE).all()
    passages = generate(
        kind, 6, 8, np.array([3]), ("maze",), 0.7 if kind == "percolation" else PERCOLATION.get(kind, 0.0)
    )[0]
    cell = np.array([int(r) * 8 + int(c) for r, c in (p.strip("()").split(",") for p in g.places)])
    assert ((g.successor >= 0) == passages[cell]).all()
    assert report["cells_outside_largest_part"] == 48 - g.n_places
    if kind in TREES:
        assert len(g.edges) == 2 * 47


def test_the_largest_part_is_kept_and_announced() -> None:
    world = MazeWorld(MazeConfig(generator="percolation", percolation=0.45, rows=9, columns=9))
    outside = world.graph().report["cells_outside_largest_part"]
    assert isinstance(outside, int)
    assert outside == 81 - world.graph().n_places > 0
    assert f"{outside} cells outside the largest connected part" in world.summary(0)
    assert world.card(0)["map_report"]["cells_outside_largest_part"] == outside
    parts = np.zeros(
        (1, 7), bool
    )  # the walls of a 1x8 maze: parts of 1, 3, 1 and 3 cells; the first of the two largest stays
    parts[0, [1, 2, 5, 6]] = True
    assert maze_graph(from_walls(parts, 1, 8)[0], 1, 8, "parts").places == ("(0,1)", "(0,2)", "(0,3)")
    with pytest.raises(InputError, match=r"raise env\.percolation"):
        MazeWorld(MazeConfig(generator="percolation", percolation=0.0))


def test_examples_of_the_documentation() -> None:
    """The corridor and the two rides of `MazeWorld`, and the street of `TaxiWorld`'s."""
    world = MazeWorld(MazeConfig(rows=2, columns=3, min_moves=2, max_moves=5))
    corridor = ["(0,2)", "(0,1)", "(0,0)", "(1,0)", "(1,1)", "(1,2)"]
    assert " ".join(corridor) in " ".join((MazeWorld.__doc__ or "").split())
    joined = {(world.graph().places[u], world.graph().places[v]) for u, v, _ in world.graph().edges}
    assert joined == {(a, b) for i, a in enumerate(corridor) for j, b in enumerate(corridor) if abs(i - j) == 1}
    rides = [
        line.strip().split("   ")[0]
        for line in (MazeWorld.__doc__ or "").splitlines()
        if " end " in line and line.strip().startswith("(")
    ]
    assert len(rides) == 2
    for ride in rides:
        row = tokens(world, ride)
        documents = Documents(row, np.array([row.shape[1]]), np.array([2]))
        assert world.outcome(world.after(documents)).tolist() == [ARRIVED]
        states = world.start(row[:, :2], np.array([2]))
        for token in row[0, 2:]:
            assert world.law(states)[0, world.vocabulary.action_of_token[token]] > 0
            states = world.step(states, np.array([token]))


def test_options_decide_the_maze_and_wrong_ones_are_refused() -> None:
    base = MazeWorld(FIVE).identity()["map_digest"]
    others = [
        {"generator": "kruskal"},
        {"rows": 6},
        {"columns": 6},
        {"seed": 1},
        {"generator": "depth-first-percolation", "percolation": 0.5},
    ]
    digests = [MazeWorld(dataclasses.replace(FIVE, **other)).identity()["map_digest"] for other in others]
    assert len({base, *digests}) == 6
    settled, _ = MazeWorld.settle(MazeConfig(generator="percolation"))
    assert settled.percolation == PERCOLATION["percolation"]
    for wrong, words in (
        ({"generator": "wilsen"}, "did you mean 'wilson'"),
        ({"rows": 51}, "env.rows must lie between 1 and 50"),
        ({"rows": 1, "columns": 2}, "at least 3"),
        ({"percolation": 0.3}, "does not apply to env.generator 'depth-first'"),
        ({"generator": "percolation", "percolation": 1.2}, "between 0 and 1"),
        ({"seed": -1}, "env.seed"),
        ({"min_moves": 5, "max_moves": 4}, "env.min_moves"),
        ({"columns": 0}, "env.columns"),
    ):
        with pytest.raises(InputError, match=words):
            MazeConfig(**wrong)


@pytest.mark.slow
def test_fifty_by_fifty() -> None:
    world = MazeWorld(MazeConfig(generator="wilson", rows=50, columns=50, min_moves=2, max_moves=60))
    documents = world.sample(0, "test", 0, 300)
    assert (world.outcome(world.after(documents)) == ARRIVED).all()
    assert world.held_out.share == 0.01
    assert len(world.vocabulary) == 2506


def test_what_can_be_had_without_the_map() -> None:
    """Counting moves tells the place on any grid; positions alone win where there are no walls, and never in a corridor
    that winds."""
    config = MazeConfig(generator="percolation", percolation=1.0, rows=6, columns=6, min_moves=2, max_moves=20)
    empty, winding = MazeWorld(config), MazeWorld(MazeConfig(rows=7, columns=7, min_moves=5, max_moves=60))
    assert counter_accuracy(empty.walker) == 1
    assert beeline_arrival(empty.walker) == 1
    assert counter_accuracy(winding.walker) == 1
    assert beeline_arrival(winding.walker) < 0.3
    city = TaxiWorld(TaxiConfig(map="city:60", min_moves=3, max_moves=20))
    assert counter_accuracy(city.walker) < 0.5
    spiral = np.zeros((1, 12), bool)
    # 3x3, in one winding corridor (0,0) (0,1) (0,2) (1,2) (1,1) (1,0) (2,0) (2,1) (2,2): driven by sight
    walls = {(0, 1): 0, (1, 2): 2, (2, 5): 4, (4, 5): 7, (3, 4): 5, (3, 6): 6, (6, 7): 10, (7, 8): 11}
    spiral[0, list(walls.values())] = True
    graph = maze_graph(from_walls(spiral, 3, 3)[0], 3, 3, "spiral")
    assert len(graph.edges) == 16
    walker = Walker(graph, 1, 40, HeldOut("pairs", 0.999999, 0))
    by_sight = literal_beeline(graph)
    assert beeline_arrival(walker, 40_000) == pytest.approx(by_sight, abs=0.06)


def literal_beeline(graph) -> float:
    """The mean over pairs of different places of the probability that uniform nearer moves are all legal."""
    n, steps = graph.n_places, np.array([[0, CELL], [CELL, 0], [0, -CELL], [-CELL, 0]])

    def arrives(v: int, d: int) -> float:
        if v == d:
            return 1.0
        left = graph.metres[d] - graph.metres[v]
        near = [a for a in range(4) if np.hypot(*(left - steps[a])) < np.hypot(*left) - 1e-6]
        return sum(arrives(int(graph.successor[v, a]), d) for a in near if graph.successor[v, a] >= 0) / len(near)

    return float(np.mean([arrives(v, d) for v in range(n) for d in range(n) if v != d]))


def test_lookahead_says_where_the_law_itself_takes_no_short_ways() -> None:
    """With a long budget the exact law goes to and fro; with a short one its likely rides are short."""
    short, long = (MazeWorld(MazeConfig(rows=5, columns=5, min_moves=2, max_moves=m)) for m in (8, 60))
    for world in (short, long):
        oracle = Oracle(world)
        scored = LOOKAHEAD.measure(Evaluation(world, oracle, eval_config(trials=PROMPTS))).scores["shortest"].value
        assert share_of_the_law(world) == pytest.approx(scored)
        assert (LOOKAHEAD.not_applicable(world, oracle) is None) == (scored >= LEAST)
    assert LOOKAHEAD.not_applicable(short, Oracle(short)) is None
    assert "greedy rides are shortest in 0% of prompts" in str(LOOKAHEAD.not_applicable(long, Oracle(long)))


# Figures


def evidence(path: Path, world: MazeWorld | TaxiWorld, model) -> Report:
    report = RECONSTRUCTION.measure(
        Evaluation(world, model, eval_config(reconstruction_rides=150, reconstruction_orders=2))
    )
    path.write_bytes(npz(report.arrays))
    return report


def test_the_grid_is_read_off_the_evidence(tmp_path: Path) -> None:
    world = MazeWorld(
        MazeConfig(generator="percolation", percolation=0.5, rows=6, columns=7, min_moves=2, max_moves=12)
    )
    evidence(tmp_path / "maze.npz", world, Oracle(world))
    data = street_map.load(tmp_path / "maze.npz")
    grid = maze_map.grid_of(data)
    assert grid is not None
    assert grid.side == CELL
    g = world.graph()
    segments, empty = maze_map.walls(grid, g.edges[:, :2])
    cells, (columns, rows) = g.n_places, grid.shape
    assert len(empty) == columns * rows - cells
    bounds = 4 * cells - len(g.edges)  # sides of cells without a passage; a wall between two cells is two of them
    at = {tuple(a) for a in grid.at.tolist()}
    between = sum((x + dx, y + dy) in at for x, y in at for dx, dy in ((1, 0), (0, 1))) - len(g.edges) // 2
    assert len(segments) == bounds - between
    one_way = data | {"edges": data["edges"][1:]}
    assert maze_map.grid_of(one_way) is None
    city = TaxiWorld(TaxiConfig(map="city:24", min_moves=2, max_moves=9))
    evidence(tmp_path / "city.npz", city, Oracle(city))
    assert maze_map.grid_of(street_map.load(tmp_path / "city.npz")) is None
    assert maze_map.draw(tmp_path / "city.npz", tmp_path / "city") == []


def test_walls_driven_through_and_ways_elsewhere_are_distinguished(tmp_path: Path) -> None:
    world = MazeWorld(MazeConfig(rows=4, columns=4, min_moves=2, max_moves=12))
    evidence(tmp_path / "maze.npz", world, RandomLegal(world))
    data, g = street_map.load(tmp_path / "maze.npz"), world.graph()
    free = np.argwhere(g.successor < 0)
    steps = np.array([[0, CELL], [CELL, 0], [0, -CELL], [-CELL, 0]])
    near = [
        (int(v), int(w), int(a)) for v, a in free for w in range(16) if np.allclose(g.metres[w], g.metres[v] + steps[a])
    ]
    far = [(int(v), int((v + 5) % 16), int(a)) for v, a in free[:3]]
    red = np.array(near[:4] + [e for e in far if e not in near], np.int32)
    more = data | {"red": red, "red_uses": np.ones(len(red), int)}
    np.savez(tmp_path / "red.npz", **more)  # pyright: ignore[reportArgumentType]
    paths = maze_map.draw(tmp_path / "red.npz", tmp_path / "maze", title="a maze")
    assert [p.name for p in paths] == ["maze.png", "maze.svg", "maze.csv"]
    with paths[2].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = [r["kind"] for r in rows]
    assert kinds.count("through a wall") == 4
    assert kinds.count("elsewhere") == len(red) - 4
    assert kinds.count("true") == data["black"].sum()
    assert kinds.count("true") + kinds.count("unused") == len(g.edges)
    first = [p.read_bytes() for p in paths]
    maze_map.draw(tmp_path / "red.npz", tmp_path / "maze", title="a maze")
    assert [p.read_bytes() for p in paths] == first


@pytest.mark.slow
@pytest.mark.pictures
def test_all_figures_of_a_run_are_drawn(tmp_path: Path) -> None:
    world = MazeWorld(FIVE)
    (tmp_path / "evidence").mkdir()
    report = evidence(
        tmp_path / "evidence" / "map_reconstruction.npz", world, Corrupted(world, CorruptedConfig(rewired=6), 0)
    )
    assert report.scores["red_edges"].value > 0
    names = {p.name for p in draw_run(tmp_path)}
    assert names == {f"{n}.{k}" for n in ("map", "map-zoom", "maze") for k in ("png", "svg", "csv")} | {"map.html"}
    page = interactive_map.page(street_map.load(tmp_path / "evidence" / "map_reconstruction.npz"))
    assert "depth-first 5x5, seed 0" in page


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = [
        *("--env.rows", "4", "--env.columns", "4", "--env.min_moves", "2", "--env.max_moves", "10"),
        *("--data.documents", "200", "--train.steps", "20"),
    ]
    tiny += ["--model.layers", "1", "--model.width", "16", "--train.curve_documents", "20", "--train.row_tokens", "0"]
    small = [
        *("--eval.trials", "20", "--eval.documents", "20", "--eval.metrics", "valid_trajectories"),
        *("map_reconstruction", "--eval.reconstruction_rides", "20"),
    ]
    assert main(["run", "maze", "--preset", "small", "--model", "gpt", *tiny, *small, "--out", str(tmp_path)]) == 0, (
        capsys.readouterr().err
    )
    folder = next(tmp_path.glob("maze-gpt-small-*"))
    result = result_of(folder)
    assert result.world_name == "maze"
    assert result.card["cells"] == 16
    assert ceiling_of(folder, "valid_trajectories", "arrives_sampled") == 1
    assert (folder / "figures" / "maze.png").is_file()


@pytest.mark.parametrize("prompt", [False, True])
def test_noise_makes_rides_longer_only_where_documents_are_random_walks(prompt: bool) -> None:
    """In maze-solve with loops, noise chooses between shortest paths. So lookahead claims nothing about noise."""
    loops = "depth-first-percolation"
    world = (
        SolveWorld(SolveConfig(rows=4, generator=loops))
        if prompt
        else MazeWorld(MazeConfig(rows=5, columns=5, generator=loops, min_moves=2, max_moves=20))
    )

    def shortest(noise: float) -> float:
        return (
            LOOKAHEAD.measure(Evaluation(world, damaged(world, "noise", noise, 0), eval_config(trials=60)))
            .scores["shortest"]
            .value
        )

    assert (shortest(1.0) == shortest(0.0) == 1) if prompt else (shortest(1.0) < shortest(0.0) - 0.1)
    assert all(d.effect("noise") == "any" for d in LOOKAHEAD.damage)
    assert LOOKAHEAD.ceiling is None

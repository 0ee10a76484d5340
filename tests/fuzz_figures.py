"""What the fuzz tests draw: damaged evidence of every metric that has a figure, traces, learning curves and
calibrations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sample_records as samples
from fuzz_reader import Reader
from fuzz_run_files import CURVE
from fuzz_words import answer
from fuzz_world_files import ROUTES, TABLE
from small_maps import small_map
from test_trace_figures import beliefs, trace

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.untrained import make_untrained
from worldbench.core.eval_config import eval_config
from worldbench.core.files import make_folder
from worldbench.core.world import World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.config import MazeConfig
from worldbench.envs.maze.nav import MazeWorld
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.figures import (
    arrival_curve,
    belief_distances,
    belief_simplex,
    calibration,
    filmstrip,
    interactive_map,
    learning_curves,
    lost_rides,
    matched,
    maze_gallery,
    maze_map,
    position_loss,
    spectra,
    state_curve,
    street_map,
)  # fmt: skip
from worldbench.records.reading import read, text
from worldbench.records.runs import Trace
from worldbench.runs.scoring import score

SETTINGS = eval_config(
    documents=20, trials=6, reconstruction_rides=20, probe_documents=60, rank_tokens=60, arrival_prompts=6
)
Draw = Callable[..., list[Path]]


def evidence(folder: Path, world: World, metric: str) -> dict[str, bytes]:
    """The evidence of a metric for an untrained model."""
    from dataclasses import replace

    model = make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    score(world, model, replace(SETTINGS, metrics=(metric,)), folder)
    return {f"evidence/{metric}.npz": (folder / f"{metric}.npz").read_bytes()}


def drawn(draw: Draw) -> Callable[[Path], object]:
    return lambda path: draw(path, make_folder(path.parent.parent / "figures") / "figure", title="a $run")


def figures(folder: Path) -> dict[str, Reader]:
    """folder: for what is measured first."""
    hmm, long = HMM(HMMConfig(process="mess3", length=6)), HMM(HMMConfig(process="rrxor", length=6))
    taxi = TaxiWorld(TaxiConfig(min_moves=2, max_moves=8), small_map(9, 0))
    maze = MazeWorld(MazeConfig(rows=3, columns=3, min_moves=2, max_moves=8))
    solve = SolveWorld(SolveConfig(rows=3, columns=3))
    wholes: dict[str, tuple[World, str, tuple[Draw, ...]]] = {
        "beliefs": (hmm, "belief_probe", (belief_simplex.draw, belief_distances.draw)),
        "components": (long, "belief_probe", (belief_simplex.draw,)),
        "position": (long, "excess_loss", (position_loss.draw,)),
        "arrival": (taxi, "arrival_calibration", (arrival_curve.draw,)),
        "lost": (taxi, "planning_tracking", (lost_rides.draw,)),
        "state": (hmm, "state_curve", (state_curve.draw,)),
        "spectra": (hmm, "effective_rank", (spectra.draw,)),
        "map": (taxi, "map_reconstruction", (street_map.draw, interactive_map.draw)),
        "maze": (maze, "map_reconstruction", (maze_map.draw,)),
        "gallery": (solve, "solved_paths", (maze_gallery.draw,)),
    }
    out = {}
    for name, (world, metric, draws) in wholes.items():
        whole = evidence(make_folder(folder / name), world, metric)
        for draw in draws:
            out[f"{name} by {draw.__module__.rpartition('.')[2]}"] = Reader(whole, drawn(draw), 40, "npz")
    return out | of_traces(folder / "traced") | of_records() | of_routes(folder)


def of_traces(folder: Path) -> dict[str, Reader]:
    """Damaged traces beside whole evidence, and the other way round."""
    trace(make_folder(folder), beliefs(3))
    whole, damaged = (folder / "trace.json").read_bytes(), folder / "trace-evidence" / "00000009" / "belief_probe.npz"

    def film(path: Path) -> None:
        (folder / "trace.json").write_bytes(path.read_bytes())
        filmstrip.draw(folder / "trace.json", folder / "film")

    def of_evidence(path: Path) -> None:
        (folder / "trace.json").write_bytes(whole)
        before = damaged.read_bytes()
        damaged.write_bytes(path.read_bytes())
        try:
            filmstrip.draw(folder / "trace.json", folder / "film")
        finally:
            damaged.write_bytes(before)

    def frontier(path: Path) -> None:
        record = read(path, Trace)
        if matched.applies(record):
            matched.draw([("gpt", record), ("nextlat", record)], path.with_name("matched"), title="runs")

    traces = {"trace.json": whole}
    return {
        "film of a trace": Reader(traces, film, 40, "json"),
        "film of evidence": Reader({"film.npz": damaged.read_bytes()}, of_evidence, 40, "npz"),
        "frontier": Reader(traces, frontier, 80, "json"),
    }


def of_routes(folder: Path) -> dict[str, Reader]:
    """The whole verb, over damaged routes and over a damaged table."""
    table, routes = folder / "square.csv", folder / "good.txt"
    table.write_text(TABLE, encoding="utf-8")
    routes.write_text(ROUTES["routes.txt"], encoding="utf-8")

    def reconstruct(file: Path, on: Path) -> None:
        answer(["reconstruct", str(file), "--map", str(on), "--orders", "1", "--out", str(folder / "maps")])

    return {
        "reconstruct": Reader({"routes.txt": routes.read_bytes()}, lambda path: reconstruct(path, table), 40),
        "reconstruct on a table": Reader({"map.csv": table.read_bytes()}, lambda path: reconstruct(routes, path), 40),
    }


def of_records() -> dict[str, Reader]:
    def curve(path: Path) -> None:
        learning_curves.draw(path, path.with_name("learning"), title="a run")

    def checked(path: Path) -> None:
        calibration.draw(path, path.with_name("calibration"))

    return {
        "drawn curve": Reader({"metrics.jsonl": CURVE.encode()}, curve, 80),
        "calibration": Reader({"check.json": text(samples.checked()).encode()}, checked, 80, "json"),
    }

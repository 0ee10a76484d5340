"""The street map that a file of routes implies: scored and drawn, without a model.

`routes.py` reads the file. `metrics/reconstruction.py` describes how a map is reconstructed from routes.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from worldbench.core.arrays import npz
from worldbench.core.errors import InputError
from worldbench.core.files import identity_hash, lock, make_folder, write_atomic
from worldbench.core.graph import Graph
from worldbench.core.metric import Report, Score
from worldbench.core.text import counted
from worldbench.core.version import __version__
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.metrics.reconstruction import HALF_MILE
from worldbench.records.reading import read, write
from worldbench.records.reconstruction import Explained, MapFacts, Reconstruction, RouteFacts
from worldbench.records.scores import Score as Scored
from worldbench.studies.routes import Routes, read_routes, with_directions

MOVES_COMPLETED = 16
"""Bound on the length of the controls' true routes: this many moves for each word of the file (for at least a
million words)."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """How a map is reconstructed from routes: degree, distance, orders, roll_back and seed of `reconstruct_file`."""

    degree: int = 4
    distance: float = HALF_MILE
    orders: int = 5
    roll_back: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("degree", "orders"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.distance < math.inf:
            raise InputError(f"--distance must be above 0 metres, not {self.distance}")
        if self.seed < 0:
            raise InputError(f"--seed must be 0 or more, not {self.seed}")


def reconstruct_file(
    file: Path, map_spec: str, out: Path, *, degree: int = 4, distance: float = HALF_MILE, orders: int = 5,
    roll_back: bool = True, seed: int = 0, region: str = "all", city_seed: int = 0, directions: tuple[str, ...] = (),
    positions: Path | None = None, connected: bool = False, strict: bool = False,
) -> tuple[Reconstruction, Path]:  # fmt: skip
    """Scores and draws the routes of a file on a map.

    file: the routes, see `routes.py`. map_spec: the map, any value that `--env.map` takes.
    out: the folder for results.
    degree: most used edges that leave a node (more where the true map has more).
    distance: length of the longest street that may be added, in meters.
    orders: how often the routes are drawn in each mode, each time in another random order.
    roll_back: true: a failed route leaves no edges. False: it leaves the edges drawn before it failed, as in the
        released code of Vafa et al. (2024).
    seed: of the orders and the controls.
    region, city_seed: options of the taxi world of the same names.
    directions: additional words for directions.
    positions: a file with the positions of nodes, for maps without positions (see `envs/taxi/positions.py`).
    connected: true: the map is reduced to the part in which every node can reach every other node, as worlds do.
    strict: true: a file with a line that cannot be placed is refused.

    Writes the folder `<out>/reconstruct-<file>-<identity>/`: reconstruction.json, evidence/map_reconstruction.npz
    (the arrays of the metric, `moves` of all routes one after another, and `move_counts` of each route), and
    figures/map*. The record holds no path and no time. The controls' true routes are the given routes as far as they
    are legal, each completed by a shortest path.

    Returns the record and its folder. Raises InputError for options, a map or routes that cannot be used.
    """
    from worldbench.envs.taxi.maps import load_map
    from worldbench.envs.taxi.world import TaxiWorld

    options = ReconstructionOptions(degree=degree, distance=distance, orders=orders, roll_back=roll_back, seed=seed)
    config, announcement = TaxiWorld.settle(TaxiConfig(map=map_spec, region=region, city_seed=city_seed))
    graph = load_map(config, whole=not connected, positions=positions)
    wide = with_directions(graph, directions)
    routes = read_routes(file, wide, strict=strict)
    report = measure(wide, routes, options)
    report.notes[:0] = [str(note) for note in (announcement, graph.report.get("notes")) if note]
    return _write(file, out, graph, routes, Explained(**asdict(options), directions=list(directions)), report)


def measure(graph: Graph, routes: Routes, options: ReconstructionOptions) -> Report:
    """The scores of the metric map_reconstruction for any routes, and the share of valid routes."""
    from worldbench.envs.taxi.table_maps import LAID_OUT
    from worldbench.metrics.measured_routes import completed, measure_routes, modes
    from worldbench.metrics.route_controls import TOO_LONG, ends_of

    most = MOVES_COMPLETED * max(len(routes.moves.words), 1_000_000)
    true, found = completed(graph, routes.origin, routes.destination, routes.moves, most)
    report = measure_routes(graph, routes.origin, routes.destination, routes.moves, true, **asdict(options))
    valid = ends_of(graph, routes.origin, routes.moves) == routes.destination
    report.scores["valid_routes"] = Score.rate(valid, "rides")
    report.arrays |= {
        "moves": routes.moves.words, "move_counts": routes.moves.lengths, "line": routes.line, "valid": valid,
    }  # fmt: skip
    report.notes[:0] = _notes(routes, valid, modes(report, options.roll_back))
    report.notes.append(
        "the controls start from the routes themselves: each route as far as it is legal, completed by a shortest path "
        "to its destination"
    )
    if too_long := int((found == TOO_LONG).sum()):
        report.notes.append(
            f"{too_long:,} of the rides left out of the controls have a true route, but these "
            "routes take too much memory"
        )
    if graph.report.get("positions") == LAID_OUT:
        report.notes.append(
            "the map has no positions: nodes were laid out for the picture, and the distance of added streets is "
            "measured in that layout; give positions with --positions FILE"
        )
    return report


def _notes(routes: Routes, valid: np.ndarray, modes: list[str]) -> list[str]:
    n = routes.without_end
    without_end = f"; {counted(n, 'route has', 'routes have')} no `end`" if n else ""
    notes = [
        f"{counted(len(routes), 'route')}{without_end}",
        *modes,
        f"valid: {int(valid.sum()):,} of {counted(len(routes), 'route')}, all moves legal and `end` at the destination",
    ]
    if n := routes.skipped:
        lines = counted(n, "line")
        notes.append(
            f"left out: {lines} that cannot be placed on the map ({routes.reasons()}); --strict refuses the file"
        )
    if n := routes.past_end:
        notes.append(f"words after the first `end` of a line are ignored: {counted(n, 'line')} had such words")
    if n := routes.naming_places:
        notes.append(f"a node among the directions: {counted(n, 'route')}, which cannot be explained for this reason")
    return notes


def _write(
    file: Path, out: Path, graph: Graph, routes: Routes, options: Explained, report: Report
) -> tuple[Reconstruction, Path]:
    from worldbench.figures import interactive_map, maze_map, street_map
    from worldbench.metrics.map_reconstruction import METRIC

    identity = identity_hash([METRIC.version, graph.digest, routes.sha256, msgspec.to_builtins(options)])
    raw = npz(report.arrays)
    record = Reconstruction(
        version=METRIC.version,
        worldbench=__version__,
        identity=identity,
        map=MapFacts(
            name=graph.name, digest=graph.digest, places=graph.n_places, moves=len(graph.edges), report=graph.report
        ),
        routes=RouteFacts(
            name=file.name,
            sha256=routes.sha256,
            count=len(routes),
            without_end=routes.without_end,
            past_end=routes.past_end,
            naming_places=routes.naming_places,
            skipped=routes.skipped,
        ),
        settings=options,
        scores={name: Scored.of(score) for name, score in report.scores.items()},
        series=report.series,
        notes=report.notes,
        evidence_sha256=hashlib.sha256(raw).hexdigest(),
    )
    folder = make_folder(make_folder(out) / f"reconstruct-{file.stem}-{identity[:10]}")
    with lock(folder, wait=True):  # the same command in another process writes the same bytes
        evidence, figures = make_folder(folder / "evidence"), make_folder(folder / "figures")
        write_atomic(evidence / "map_reconstruction.npz", raw)
        write(folder / "reconstruction.json", record)
        for figure, name in ((street_map, "map"), (interactive_map, "map"), (maze_map, "maze")):
            figure.draw(evidence / "map_reconstruction.npz", figures / name, title=f"{file.stem} on {graph.name}")
        record = read(folder / "reconstruction.json", Reconstruction)
    return record, folder

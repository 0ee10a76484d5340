"""The street map that a file of routes implies, scored and drawn, without any model at hand.

See `routes.py` for the file, `metrics/reconstruction.py` for how a map explains routes.
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
from worldbench.metrics.reconstruction import FAILED, HALF_MILE
from worldbench.records.reading import read, write
from worldbench.records.reconstruction import Explained, MapFacts, Reconstruction, RouteFacts
from worldbench.records.scores import Score as Scored
from worldbench.studies.routes import Routes, read_routes, with_directions

MOVES_COMPLETED = 16
"""Most moves of the controls' true routes, for each word of the file (and at least for each of a million words)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How routes are explained; see `metrics/reconstruction.py`."""

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
    """Score and draw the routes of a file on the map that `map_spec` names (anything that `--env.map` takes).

    degree: most used edges that leave a place (more where the map has more). distance: longest invented street, in
    metres. orders: how often the routes are drawn, in shuffled orders. roll_back: failed routes leave nothing; False as
    in the released code. seed: of orders and controls. directions: further words. positions: where the places of a
    table are (see `envs/taxi/positions.py`). connected: reduce the map to the part in which every place can reach every
    other, as worlds do; otherwise it is taken as it is. strict: refuse a file with a line that cannot be placed.

    Writes `<out>/reconstruct-<file>-<identity>/`: reconstruction.json, evidence/map_reconstruction.npz (the arrays of
    the metric; `moves` of all routes end to end, `move_counts` of each), and figures/map*. The record holds no path and
    no clock. Returns the record and its folder. The controls' true routes are the given ones as far as they
    are legal, completed by a shortest way.
    Errors: InputError for options, map or routes that cannot be used.
    """
    from worldbench.envs.taxi.maps import load_map
    from worldbench.envs.taxi.world import TaxiWorld

    settings = Settings(degree=degree, distance=distance, orders=orders, roll_back=roll_back, seed=seed)
    config, announcement = TaxiWorld.settle(TaxiConfig(map=map_spec, region=region, city_seed=city_seed))
    graph = load_map(config, whole=not connected, positions=positions)
    wide = with_directions(graph, directions)
    routes = read_routes(file, wide, strict=strict)
    report = measure(wide, routes, settings)
    report.notes[:0] = [str(note) for note in (announcement, graph.report.get("notes")) if note]
    return _write(file, out, graph, routes, Explained(**asdict(settings), directions=list(directions)), report)


def measure(graph: Graph, routes: Routes, settings: Settings) -> Report:
    """What the metric map_reconstruction measures, on routes from anywhere; and how many of them are valid."""
    from worldbench.metrics.measured_routes import completed, measure_routes
    from worldbench.metrics.route_controls import TOO_LONG, ends_of

    most = MOVES_COMPLETED * max(len(routes.moves.words), 1_000_000)
    true, found = completed(graph, routes.origin, routes.destination, routes.moves, most)
    report = measure_routes(graph, routes.origin, routes.destination, routes.moves, true, **asdict(settings))
    valid = ends_of(graph, routes.origin, routes.moves) == routes.destination
    report.scores["valid_routes"] = Score.rate(valid)
    report.arrays |= {
        "moves": routes.moves.words, "move_counts": routes.moves.lengths, "line": routes.line, "valid": valid,
    }  # fmt: skip
    report.notes[:0] = _notes(routes, valid, int((report.arrays["status"] == FAILED).sum()), settings)
    report.notes.append(
        "the controls start from the routes themselves, each as far as it is legal, completed by a shortest way to its "
        "destination"
    )
    if too_long := int((found == TOO_LONG).sum()):
        report.notes.append(
            f"of the rides left out of the controls {too_long:,} have a true route, but all "
            "together take too much memory"
        )
    if str(graph.report.get("positions", "")).startswith("laid out"):
        report.notes.append(
            "the map gives no positions: it was laid out for the picture, and the distance of invented streets is "
            "measured there; --positions FILE gives them"
        )
    return report


def _notes(routes: Routes, valid: np.ndarray, failed: int, settings: Settings) -> list[str]:
    kept = "and draw nothing" if settings.roll_back else "and leave what they had drawn, as in the released code"
    lacking = f" ({routes.without_end:,} for want of `end`)" if routes.without_end else ""
    notes = [
        (
            f"{counted(len(routes), 'route')}; {failed:,} could not be explained{lacking} (in the "
            f"order of the file), {kept}"
        ),
        f"valid: {int(valid.sum()):,} of {counted(len(routes), 'route')}, all moves legal and `end` at the destination",
    ]
    if n := routes.skipped:
        lines = counted(n, "line")
        notes.append(f"left out: {lines} that cannot be placed on the map ({routes.told()}); --strict refuses the file")
    if n := routes.past_end:
        notes.append(f"after the first `end` of its line a route is not read: {counted(n, 'line')} went on")
    if n := routes.naming_places:
        notes.append(f"a place among the directions: {counted(n, 'route')}, which cannot be explained for that")
    return notes


def _write(
    file: Path, out: Path, graph: Graph, routes: Routes, settings: Explained, report: Report
) -> tuple[Reconstruction, Path]:
    from worldbench.figures import interactive_map, maze_map, street_map
    from worldbench.metrics.map_reconstruction import METRIC

    identity = identity_hash([METRIC.version, graph.digest, routes.sha256, msgspec.to_builtins(settings)])
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
        settings=settings,
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

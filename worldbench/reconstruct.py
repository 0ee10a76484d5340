"""`worldbench reconstruct FILE`: the street map that a file of routes implies, scored and drawn, without any model at hand.

The file is text, one route a line, as a model would write it: `origin destination direction .. direction end`. Blank lines and lines that begin with # are
skipped. A line without `end` makes no claim to have arrived, and one that names a place after the first two is no route of directions: both count as failed, as
they do for a model. Directions are those of the map, the eight compass words, and what `--directions` names: a route may take a direction that no street of
the map has. Any other word is a mistake in the file.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import worldbench
from worldbench.core.errors import InputError
from worldbench.core.files import clean, identity_hash, make_folder, to_json, write_atomic
from worldbench.core.graph import Graph
from worldbench.core.metric import Report
from worldbench.core.text import counted, visible
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.streets import DIRECTIONS
from worldbench.metrics.reconstruction import FAILED, HALF_MILE, NOT_A_DIRECTION, PAST_END

END, PADDING = "end", ("pad", "<pad>")
SHOWN = 3
"""Faulty lines that a message names."""


@dataclass(frozen=True)
class Routes:
    """origin, destination: int64 [n], places of the map; moves: int16 [n, L] as `reconstruct` takes them; without_end: how many lines lack `end`."""

    origin: np.ndarray
    destination: np.ndarray
    moves: np.ndarray
    without_end: int

    def __len__(self) -> int:
        return len(self.origin)


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


def with_directions(graph: Graph, more: tuple[str, ...] = ()) -> Graph:
    """The map with further directions, in which no street leads anywhere: the compass words that are no places, and `more`. Errors: InputError for a place."""
    for word in more:
        if word in graph.places or word == END or not word or any(c.isspace() for c in word):
            raise InputError(f"--directions {word!r} cannot be a direction: it is a place of the map, 'end', or not one word")
    new = [w for w in dict.fromkeys((*DIRECTIONS, *more)) if w not in graph.directions and w not in graph.places]
    shape = (graph.n_places, len(new))
    return replace(
        graph, directions=(*graph.directions, *new), successor=np.concatenate([graph.successor, np.full(shape, -1, np.int32)], axis=1),
        length=np.concatenate([graph.length, np.full(shape, np.nan)], axis=1), street=np.concatenate([graph.street, np.full(shape, "", object)], axis=1),
    )  # fmt: skip


def read_routes(file: Path, graph: Graph) -> Routes:
    """The routes of a file. Errors: InputError, one message for all that is wrong, with the first few lines."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the routes {str(file)!r} ({error.strerror or error}); it is a text file, one route a line") from error
    except ValueError as error:
        raise InputError(f"the routes {str(file)!r} are not text in UTF-8; it is a text file, one route a line") from error
    place = {word: i for i, word in enumerate(graph.places)}
    code: dict[str, int] = dict.fromkeys((*graph.places, *PADDING), NOT_A_DIRECTION)
    code |= {word: a for a, word in enumerate(graph.directions)}
    ends: list[tuple[int, int]] = []
    rows: list[list[int]] = []
    problems: list[str] = []
    without_end = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        while words and words[-1] in PADDING:
            words.pop()
        if not words or words[0].startswith("#"):
            continue
        problem = _problem(words, place, code, graph)
        if problem:
            problems.append(f"line {number}: {problem}")
            continue
        ended = words[-1] == END
        without_end += not ended
        ends.append((place[words[0]], place[words[1]]))
        rows.append([code[w] for w in (words[2:-1] if ended else words[2:])] + ([] if ended else [NOT_A_DIRECTION]))
    if problems:
        more = f"; and {len(problems) - SHOWN:,} more lines" if len(problems) > SHOWN else ""
        told = "; ".join(problems[:SHOWN])
        raise InputError(f"the routes {str(file)!r} cannot be used: {told}{more}. A line reads: origin destination direction .. direction end")
    if not rows:
        raise InputError(f"the routes {str(file)!r} hold no route; a line reads: origin destination direction .. direction end")
    if without_end == len(rows):
        raise InputError(f"no line of the routes {str(file)!r} finishes with 'end', so no route says that it has arrived; add the word to those that do")
    moves = np.full((len(rows), max(1, *map(len, rows))), PAST_END, np.int16)
    for out, row in zip(moves, rows):
        out[: len(row)] = row
    both = np.array(ends, np.int64)
    return Routes(both[:, 0], both[:, 1], moves, without_end)


def _problem(words: list[str], place: dict[str, int], code: dict[str, int], graph: Graph) -> str:
    """What is wrong with a line, or nothing."""
    if len(words) < 2:
        return "an origin and a destination are needed"
    for word, what in zip(words, ("origin", "destination")):
        if word not in place:
            return f"the {what} {_quoted(word)} is no place of the map {graph.name!r}, whose places are {graph.places[0]!r}, {graph.places[1]!r} and so on"
    body = words[2:]
    if END in body[:-1]:
        return "words follow 'end'"
    for word in body:
        if word not in code and word != END:
            return f"{_quoted(word)} is neither a direction ({', '.join(graph.directions)}) nor 'end' nor a place"
    return ""


def reconstruct_file(
    file: Path, map_spec: str, out: Path, *, degree: int = 4, distance: float = HALF_MILE, orders: int = 5, roll_back: bool = True, seed: int = 0,
    region: str = "all", city_seed: int = 0, directions: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Score and draw the routes of a file on the map that `map_spec` names (anything that `--env.map` takes).

    degree: most used edges that leave a place (more where the map has more). distance: longest invented street, in metres. orders: how often the routes are
    drawn, in shuffled orders. roll_back: failed routes leave nothing; False as in the released code. seed: of orders and controls. directions: further words.

    Writes `<out>/reconstruct-<file>-<identity>/`: reconstruction.json, evidence/map_reconstruction.npz (the arrays of the metric), and figures/map*. The record
    holds no path and no clock; the one returned names its `folder` as well. The controls' true routes are
    the given ones as far as they are legal, completed by a shortest way.
    Errors: InputError for options, map or routes that cannot be used.
    """
    from worldbench.envs.taxi.maps import load_map
    from worldbench.envs.taxi.world import TaxiWorld

    settings = Settings(degree=degree, distance=distance, orders=orders, roll_back=roll_back, seed=seed)
    if not file.is_file():
        raise InputError(f"there is no file of routes {str(file)!r}")
    config, announcement = TaxiWorld.settle(TaxiConfig(map=map_spec, region=region, city_seed=city_seed))
    graph = load_map(config)
    wide = with_directions(graph, directions)
    routes = read_routes(file, wide)
    report = measure(wide, routes, settings)
    report.notes[:0] = [announcement] if announcement else []
    return _write(file, out, graph, routes, {**asdict(settings), "directions": list(directions)}, report)


def measure(graph: Graph, routes: Routes, settings: Settings) -> Report:
    """What the metric map_reconstruction measures, on routes from anywhere."""
    from worldbench.metrics.map_reconstruction import completed, measure_routes

    true = completed(graph, routes.origin, routes.destination, routes.moves)
    report = measure_routes(graph, routes.origin, routes.destination, routes.moves, true, **asdict(settings))
    failed = int((report.arrays["status"] == FAILED).sum())
    kept = "and draw nothing" if settings.roll_back else "and leave what they had drawn, as in the released code"
    lacking = f" ({routes.without_end} of them for want of `end`)" if routes.without_end else ""
    report.notes.insert(0, f"{len(routes)} routes; {failed} of them could not be explained{lacking} (in the order of the file), {kept}")
    report.notes.append("the controls start from the routes themselves, each as far as it is legal, completed by a shortest way to its destination")
    if str(graph.report.get("positions", "")).startswith("laid out"):
        report.notes.append("the map gives no positions: it was laid out for the picture, and the distance of invented streets is measured there")
    return report


def _write(file: Path, out: Path, graph: Graph, routes: Routes, settings: dict[str, Any], report: Report) -> dict[str, Any]:
    from worldbench.figures import interactive_map, maze_map, street_map
    from worldbench.metrics.map_reconstruction import METRIC
    from worldbench.scoring import npz

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    identity = identity_hash([METRIC.version, graph.digest, digest, settings])
    folder = make_folder(make_folder(out) / f"reconstruct-{file.stem}-{identity[:10]}")
    evidence, figures = make_folder(folder / "evidence"), make_folder(folder / "figures")
    raw = npz(report.arrays)
    write_atomic(evidence / "map_reconstruction.npz", raw)
    record: dict[str, Any] = {
        "reconstruction": METRIC.version,
        "worldbench": worldbench.__version__,
        "identity": identity,
        "map": {"name": graph.name, "digest": graph.digest, "places": graph.n_places, "moves": len(graph.edges), "report": graph.report},
        "routes": {"name": file.name, "sha256": digest, "count": len(routes), "without_end": routes.without_end},
        "settings": settings,
        "scores": {k: {"value": s.value, "n": s.n, "interval": s.interval} for k, s in report.scores.items()},
        "series": report.series,
        "notes": report.notes,
        "evidence_sha256": hashlib.sha256(raw).hexdigest(),
    }
    write_atomic(folder / "reconstruction.json", to_json(record) + "\n")
    for figure, name in ((street_map, "map"), (interactive_map, "map"), (maze_map, "maze")):
        figure.draw(evidence / "map_reconstruction.npz", figures / name, title=f"{file.stem} on {graph.name}")
    return {**clean(record), "folder": folder}


def show(record: dict[str, Any]) -> None:
    """A short table: the scores with their intervals over orders, and the two controls beside those that they have."""
    from worldbench import tables
    from worldbench.display import number, print_notes

    controlled = {"edge_precision": "precision", "red_edges": "red", "failed_routes": "failed"}
    title = f"{counted(record['routes']['count'], 'route')} on {record['map']['name']}"
    over = f"95% over {counted(record['settings']['orders'], 'order')}"
    head, body = ["score", "value", over, "uniform control", "matched control"], []
    scores = record["scores"]
    for name, s in scores.items():
        if name.startswith("control_"):
            continue
        interval = f"{number(s['interval'][0])} .. {number(s['interval'][1])}" if s["interval"] else ""
        beside = [number(scores[f"control_{c}_{controlled[name]}"]["value"]) if name in controlled else "" for c in ("uniform", "matched")]
        body.append([name, number(s["value"]), interval, *beside])
    print(tables.terminal(head, body, 1, title=title, right=range(1, 5)))
    print_notes(record["notes"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE", help="text, one route a line: origin destination direction .. direction end")
    parser.add_argument("--map", required=True, metavar="MAP", help="manhattan, city:N, a GraphML file, or a table: CSV node,direction,to[,x,y] or JSON")
    parser.add_argument("--region", default="all", metavar="REGION", help="the part of a street map that the routes are on (default all)")
    parser.add_argument("--city-seed", type=int, default=0, metavar="N", help="which generated city (default 0)")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where the result's folder is put (default runs)")
    parser.add_argument("--degree", type=int, default=4, metavar="N", help="most streets used that may leave a place (default 4)")
    parser.add_argument("--distance", type=float, default=HALF_MILE, metavar="METRES", help=f"longest invented street (default {HALF_MILE}, half a mile)")
    parser.add_argument("--orders", type=int, default=5, metavar="N", help="orders of the routes to draw them in (default 5)")
    parser.add_argument("--directions", nargs="+", default=[], metavar="WORD", help="further words that are directions, though no street of the map has them")
    parser.add_argument("--released", action="store_true", help="failed routes leave their streets behind, as in the released code of Vafa et al.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the orders and the controls (default 0)")


def run(arguments: argparse.Namespace) -> int:
    """The verb: score, draw, print."""
    record = reconstruct_file(
        arguments.file, arguments.map, arguments.out, degree=arguments.degree, distance=arguments.distance, orders=arguments.orders,
        roll_back=not arguments.released, seed=arguments.seed, region=arguments.region, city_seed=arguments.city_seed, directions=tuple(arguments.directions),
    )  # fmt: skip
    show(record)
    for what, path in (("result", record["folder"] / "reconstruction.json"), ("figures", record["folder"] / "figures")):
        print(visible(f"{what}: {path}"))
    return 0


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "..")

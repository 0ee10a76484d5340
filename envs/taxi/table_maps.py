"""A map from a plain table: which direction leads from which place to which.

CSV: columns `node,direction,to` with, optionally, `x,y`, the position of `node` in metres east and north (a row `node,,,x,y`
gives a position alone). A header line is optional; with one, the columns may stand in any order.
JSON: {"moves": {place: {direction: place}}} with, optionally, "nodes": {place: [x, y]}. Example, a triangle of one-way streets:

    node,direction,to,x,y
    a,E,b,0,0
    b,NW,c,100,0
    c,SW,a,50,80

Places and directions are words of the table's choosing. The eight compass words come first among the directions, in their order; others follow by name. Of the
map the largest strongly connected part stays, as of a street map; a table that is read `whole` keeps every place, also those
without a way out. Nothing is inferred from positions: a direction may lead anywhere.

A table without positions is laid out by the spring model of networkx, with a fixed seed and a median street of 100 metres: good for a picture, and the
distances that map reconstruction asks for are then those of the picture. Another version of networkx may lay it out otherwise, and so change the map's digest:
give positions where results shall be compared. Which rows come first has no effect.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph, largest_component
from worldbench.envs.taxi.moves import DIRECTIONS, FEWEST_PLACES, FEWEST_WHOLE, distance, place_order, project

SUFFIXES = (".csv", ".json")
COLUMNS = ("node", "direction", "to", "x", "y")
LARGEST_BYTES = 1 << 27
MOST_DIRECTIONS = 16
"""A random ride keeps its directions in four bits each (`rides.DIRECTION_BITS`)."""
RESERVED = ("end", "pad", "<pad>")
"""Words of a ride that no place or direction may bear."""
LAID_OUT = "laid out by a spring model, for the map has none: distances are those of the picture"
LAID_OUT_MEDIAN = 100.0
"""Metres of the median street of a map without positions."""
MOST_LAID_OUT = 3_000
"""Places of the largest map that is laid out, which takes about 20 seconds."""


class _Refused(Exception):
    """Why the file cannot be a map."""


@dataclass
class _Table:
    """moves: (place, direction) -> place, as first given; rows that gave one, and rows that repeated one. position: of the places that have one.

    named: places that are named without a move. problems: what is wrong -> where; said at the end, all at once.
    """

    moves: dict[tuple[str, str], str] = field(default_factory=dict)
    position: dict[str, tuple[float, float]] = field(default_factory=dict)
    rows: int = 0
    repeated: int = 0
    named: set[str] = field(default_factory=set)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def problem(self, kind: str, where: str) -> None:
        self.problems.setdefault(kind, []).append(where)

    def move(self, node: str, direction: str, to: str, where: str) -> None:
        self.rows += 1
        before = self.moves.get((node, direction))
        if before is None:
            self.moves[node, direction] = to
        elif before == to:
            self.repeated += 1
        else:
            self.problem("a direction of a place leads to two others", f"{where}: {_quoted(node)} {_quoted(direction)} to {_quoted(before)} and {_quoted(to)}")

    def place(self, node: str, x: Any, y: Any, where: str) -> None:
        at = (_number(x), _number(y))
        if not all(map(math.isfinite, at)):
            self.problem("a position is not two numbers", f"{where}: {_quoted(str(x))}, {_quoted(str(y))}")
        elif self.position.setdefault(node, at) != at:
            self.problem("a place has two positions", f"{where}: {_quoted(node)}")


def is_table(spec: str) -> bool:
    """Whether `env.map` names a table, by the ending of its name."""
    return spec.lower().endswith(SUFFIXES)


def read(path: Path, *, whole: bool = False, lonlat: Mapping[str, tuple[float, float]] | None = None) -> Graph:
    """The map of a CSV or JSON table.

    whole: keep all of it, instead of the largest strongly connected part. lonlat: longitude and latitude of its places
    in degrees, in place of the positions that the table gives.
    Errors: InputError, one sentence that gathers all that is wrong.
    """
    try:
        text = _text(path)
        table = _json(text) if path.suffix.lower() == ".json" else _csv(text)
        return _graph(path.stem, table, whole, lonlat)
    except _Refused as reason:
        raise InputError(f"the map {str(path)!r} {reason}; a table has the columns node,direction,to and, optionally, x,y in metres") from reason


def _text(path: Path) -> str:
    try:
        if not path.exists():
            raise _Refused("does not exist")
        if not path.is_file():
            raise _Refused("is not a file")
        if path.stat().st_size > LARGEST_BYTES:
            raise _Refused(f"holds more than {LARGEST_BYTES >> 20} MiB, which is the limit")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _Refused(f"cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise _Refused(f"is not text in UTF-8 ({error.reason} at byte {error.start})") from error


def _csv(text: str) -> _Table:
    table = _Table()
    columns: tuple[str, ...] | None = None
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    try:
        for cells in reader:
            row = [c.strip() for c in cells]
            if not any(row):
                continue
            where = f"line {reader.line_num}"
            if columns is None:
                columns, is_header = _columns(row)
                if is_header:
                    continue
            if len(row) != len(columns):
                table.problem(f"a row has not {len(columns)} cells", f"{where}: {len(row)}")
                continue
            cell = dict(zip(columns, row))
            if cell["node"] and not cell["direction"] and not cell["to"] and cell.get("x"):
                table.named.add(cell["node"])
            elif cell["node"] and cell["direction"] and cell["to"]:
                table.move(cell["node"], cell["direction"], cell["to"], where)
            else:
                table.problem("a cell is empty", where)
                continue
            if "x" in cell and (cell["x"] or cell["y"]):
                table.place(cell["node"], cell["x"], cell["y"], where)
    except csv.Error as error:
        raise _Refused(f"is not CSV (line {reader.line_num}: {error})") from error
    return table


def _columns(row: list[str]) -> tuple[tuple[str, ...], bool]:
    """The columns by the first row, and whether that row is a header: it is where two of its cells are names of columns."""
    names = [c.lower() for c in row]
    if sum(name in COLUMNS for name in names) < 2:
        if len(row) not in (3, 5):
            raise _Refused(f"has {len(row)} columns in its first row and no header, where 3 or 5 are needed")
        return COLUMNS[: len(row)], False
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise _Refused(f"has an unknown column {_quoted(unknown[0])}")
    if len(set(names)) < len(names):
        raise _Refused("has a column twice")
    missing = [name for name in COLUMNS[:3] if name not in names]
    if missing:
        raise _Refused(f"lacks the column {missing[0]!r}")
    if ("x" in names) != ("y" in names):
        raise _Refused("has one of the columns x and y without the other")
    return tuple(names), True


def _json(text: str) -> _Table:
    table = _Table()

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if key in out:
                table.problem("a key stands twice in one object", _quoted(key))
            out[key] = value
        return out

    try:
        data = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"is not JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("moves"), dict) or not isinstance(data.get("nodes", {}), dict):
        raise _Refused('is not {"moves": {place: {direction: place}}, "nodes": {place: [x, y]}}, of which "nodes" may be left out')
    unknown = [key for key in data if key not in ("moves", "nodes")]
    if unknown:
        raise _Refused(f'has an unknown key {_quoted(unknown[0])}; it takes "moves" and "nodes"')
    for node, ways in data["moves"].items():
        if not isinstance(ways, dict):
            table.problem("the moves of a place are not {direction: place}", _quoted(node))
            continue
        for direction, to in ways.items():
            if isinstance(to, str):
                table.move(node, direction, to, "moves")
            else:
                table.problem("a move leads to something that is not text", f"{_quoted(node)} {_quoted(direction)}")
        if not ways:
            table.named.add(node)
    for node, at in data.get("nodes", {}).items():
        x, y = at if isinstance(at, list) and len(at) == 2 else (at, None)
        table.place(node, x, y, f"node {_quoted(node)}")
        if node not in data["moves"]:
            table.named.add(node)
    return table


def _graph(name: str, table: _Table, whole: bool, lonlat: Mapping[str, tuple[float, float]] | None) -> Graph:
    """The map of a table, or everything that is wrong with it."""
    leaving = {node for node, _ in table.moves}
    places = leaving | set(table.moves.values()) | set(table.position) | table.named
    words = {direction for _, direction in table.moves}
    for node in [] if whole else sorted((table.named | set(table.moves.values())) - leaving):
        table.problem("a place has no way out", _quoted(node))
    for kind, these in (("place", places), ("direction", words)):
        for word in sorted(w for w in these if not w or not w.isprintable() or any(c.isspace() for c in w) or w in RESERVED):
            table.problem(f"a {kind} cannot be a word (no spaces; not {', '.join(RESERVED)})", _quoted(word))
    for word in sorted(places & words):
        table.problem("a word is a place and a direction", _quoted(word))
    if len(words) > MOST_DIRECTIONS:
        table.problem(f"there are more than {MOST_DIRECTIONS} directions", str(len(words)))
    if lonlat is not None:
        for node in sorted(places - lonlat.keys()):
            table.problem("a place has no position in the file of positions", _quoted(node))
    elif table.position and (without := sorted(places - set(table.position))):
        way_out = ", which a row node,,,x,y gives" if whole else ""
        table.problem(f"a place has no position although others have{way_out}", ", ".join(map(_quoted, without[:3])))
    if not table.moves and not table.problems:
        raise _Refused("has no moves")
    if table.problems:
        told = (f"{kind} ({_some(rows)})" for kind, rows in table.problems.items())
        raise _Refused(f"cannot be used: {'; '.join(told)}")
    return _cut(name, table, sorted(places), words, whole, lonlat)


def _cut(
    name: str, table: _Table, places: list[str], words: set[str], whole: bool,
    lonlat: Mapping[str, tuple[float, float]] | None,
) -> Graph:  # fmt: skip
    """All of a faultless table, or its largest strongly connected part."""
    places = [places[i] for i in place_order(places)]
    directions = (*(d for d in DIRECTIONS if d in words), *sorted(words - set(DIRECTIONS)))
    row = {place: i for i, place in enumerate(places)}
    column = {direction: a for a, direction in enumerate(directions)}
    moves = np.array([(row[node], column[direction], row[to]) for (node, direction), to in table.moves.items()], np.int64)
    inside = np.ones(len(places), bool) if whole else largest_component(len(places), moves[:, 0], moves[:, 2])
    if whole and len(places) < FEWEST_WHOLE:
        raise _Refused(f"has {len(places)} place, and at least {FEWEST_WHOLE} are needed")
    if not whole and inside.sum() < FEWEST_PLACES:
        raise _Refused(f"has {len(places)} places, but no {FEWEST_PLACES} of them can all reach each other by its moves")
    stays = inside[moves[:, 0]] & inside[moves[:, 2]]
    new = np.cumsum(inside) - 1
    n = int(inside.sum())
    successor = np.full((n, len(directions)), -1, np.int32)
    successor[new[moves[stays, 0]], moves[stays, 1]] = new[moves[stays, 2]]
    kept = [place for place, there in zip(places, inside.tolist()) if there]
    on_globe = None if lonlat is None else np.array([lonlat[place] for place in kept], float)
    if on_globe is not None:
        metres = project(on_globe, globe=True)
    elif table.position:
        metres = np.array([table.position[place] for place in kept], float)
        metres -= metres.mean(0)
    else:
        metres = _laid_out(successor, whole)
    source, direction = np.nonzero(successor >= 0)
    target = successor[source, direction]
    length = np.full(successor.shape, np.nan)
    at = metres if on_globe is None else on_globe
    length[source, direction] = distance(at[source], at[target], globe=on_globe is not None)
    return Graph(
        name=name, places=tuple(kept), directions=directions, metres=metres, lonlat=on_globe, successor=successor,
        length=length, street=np.full(successor.shape, "", object),
        report={
            "rows_read": table.rows, "rows_repeated": table.repeated,
            "places_outside_largest_part": len(places) - n, "moves_outside_largest_part": int((~stays).sum()), "places": n, "moves": int(stays.sum()),
            "positions": "given" if table.position or lonlat is not None else LAID_OUT,
            **({"places_without_way_out": int((successor < 0).all(1).sum())} if whole else {}),
        },
    )  # fmt: skip


def _laid_out(successor: np.ndarray, whole: bool) -> np.ndarray:
    """Positions for a map without any, to the metre: float64 [N, 2]."""
    import networkx as nx

    if len(successor) > MOST_LAID_OUT:
        way_out = ", or --positions FILE gives them" if whole else ""
        raise _Refused(
            f"has {len(successor):,} places and no positions; with more than {MOST_LAID_OUT:,} places it must give them{way_out}"
        )
    source, direction = np.nonzero((successor >= 0) & (successor != np.arange(len(successor))[:, None]))
    target = successor[source, direction]
    graph = nx.Graph()
    graph.add_nodes_from(range(len(successor)))
    graph.add_edges_from(sorted(set(zip(np.minimum(source, target).tolist(), np.maximum(source, target).tolist()))))
    layout = nx.spring_layout(graph, seed=0, iterations=200 if len(successor) < 500 else 50)
    at = np.array([layout[i] for i in range(len(successor))], float)
    gap = np.median(np.hypot(*(at[source] - at[target]).T)) if len(source) else 0.0
    at = (at - at.mean(0)) * (LAID_OUT_MEDIAN / max(float(gap), 1e-9))
    return np.round(at)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _some(rows: Iterable[str]) -> str:
    """The first of the rows, and how many there are more."""
    found = list(rows)
    return found[0] + (f", and {len(found) - 1} more" if len(found) > 1 else "")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "..")

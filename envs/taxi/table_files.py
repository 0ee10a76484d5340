"""Reads the CSV or JSON file of a table map. `table_maps.py` describes its form."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldbench.core.text import counted
from worldbench.envs.taxi.containers import GEOJSON, GEOJSON_TYPES, NODE_LINK
from worldbench.envs.taxi.reading import FARTHEST, Refused, content, number, quoted

COLUMNS = ("node", "direction", "to", "x", "y")
LARGEST_BYTES = 1 << 26
MOST_LINES = 1_000_000
"""Most lines of a CSV table, and most moves of a JSON table. All of Manhattan has 10 thousand moves."""
LONGEST_LINE = 10_000
"""Most characters of a line."""
SMALLER = "give a smaller part of the map"


@dataclass
class Table:
    """The content of a table.

    moves: (place, direction) -> place, as first given. rows: number of rows with a move; repeated: how many of them
    repeat an earlier one. position: (x, y) by place. named: places that the table names without a move. problems: what
    is wrong -> (where it first occurs, how often). All problems are reported together, at the end.
    """

    moves: dict[tuple[str, str], str] = field(default_factory=dict)
    position: dict[str, tuple[float, float]] = field(default_factory=dict)
    rows: int = 0
    repeated: int = 0
    named: set[str] = field(default_factory=set)
    problems: dict[str, tuple[str, int]] = field(default_factory=dict)

    def problem(self, kind: str, where: str) -> None:
        """Notes a problem."""
        first, count = self.problems.get(kind, (where, 0))
        self.problems[kind] = first, count + 1

    def move(self, node: str, direction: str, to: str, where: str) -> None:
        """Adds a move, or notes a contradiction to an earlier one."""
        self.rows += 1
        before = self.moves.get((node, direction))
        if before is None:
            self.moves[node, direction] = to
            if len(self.moves) > MOST_LINES:
                raise Refused(f"has more than {MOST_LINES:,} moves, which is the limit", SMALLER)
        elif before == to:
            self.repeated += 1
        else:
            ends = f"{quoted(node)} {quoted(direction)} to {quoted(before)} and {quoted(to)}"
            self.problem("a direction of a place leads to two others", f"{where}: {ends}")

    def place(self, node: str, x: Any, y: Any, where: str) -> None:
        """Adds the position of a place, or notes what is wrong with it."""
        at = (number(x), number(y))
        if not all(map(math.isfinite, at)):
            self.problem("a position is not two numbers", f"{where}: {quoted(str(x))}, {quoted(str(y))}")
        elif max(map(abs, at)) > FARTHEST:
            self.problem("a position lies beyond a million kilometers", f"{where}: {quoted(str(x))}, {quoted(str(y))}")
        elif self.position.setdefault(node, at) != at:
            self.problem("a place has two positions", f"{where}: {quoted(node)}")


def read_table(path: Path) -> Table:
    """The content of a table file. Raises Refused if it cannot be read."""
    try:
        text = content(path, LARGEST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"is not text in UTF-8 ({error.reason} at byte {error.start})") from error
    return _json(text) if path.suffix.lower() == ".json" else _csv(text)


def _lines(text: str) -> Iterator[str]:
    for count, line in enumerate(io.StringIO(text, newline=None)):
        if count >= MOST_LINES:
            raise Refused(f"has more than {MOST_LINES:,} lines, which is the limit", SMALLER)
        if len(line) > LONGEST_LINE:
            raise Refused(f"has a line of more than {LONGEST_LINE:,} characters (line {count + 1})")
        yield line


def _csv(text: str) -> Table:
    table = Table()
    columns: tuple[str, ...] | None = None
    reader = csv.reader(_lines(text), skipinitialspace=True)
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
                table.problem(f"a row does not have {len(columns)} cells", f"{where}: {len(row)}")
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
        raise Refused(f"is not CSV (line {reader.line_num}: {error})") from error
    return table


def _columns(row: list[str]) -> tuple[tuple[str, ...], bool]:
    """The columns, from the first row, and whether this row is a header (at least two cells are names of columns)."""
    names = [c.lower() for c in row]
    if sum(name in COLUMNS for name in names) < 2:
        if len(row) not in (3, 5):
            raise Refused(f"has {counted(len(row), 'column')} in its first row and no header, where 3 or 5 are needed")
        return COLUMNS[: len(row)], False
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise Refused(f"has an unknown column {quoted(unknown[0])}")
    if len(set(names)) < len(names):
        raise Refused("has two columns with the same name")
    missing = [name for name in COLUMNS[:3] if name not in names]
    if missing:
        raise Refused(f"lacks the column {missing[0]!r}")
    if ("x" in names) != ("y" in names):
        raise Refused("has one of the columns x and y without the other")
    return tuple(names), True


def _json(text: str) -> Table:
    table = Table()

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in pairs:
            if key in out:
                table.problem("a key occurs twice in one object", quoted(key))
            out[key] = value
        return out

    try:
        data = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused(f"is not JSON ({str(error)[:160]})") from error
    if isinstance(data, dict) and data.get("type") in GEOJSON_TYPES:
        raise Refused(*GEOJSON)
    if isinstance(data, dict) and "nodes" in data and ("links" in data or "edges" in data):
        raise Refused(*NODE_LINK)
    if not (isinstance(data, dict) and isinstance(data.get("moves"), dict) and isinstance(data.get("nodes", {}), dict)):
        raise Refused(
            'is not {"moves": {place: {direction: place}}, "nodes": {place: [x, y]}} ("nodes" may be left out)'
        )
    unknown = [key for key in data if key not in ("moves", "nodes")]
    if unknown:
        raise Refused(f'has an unknown key {quoted(unknown[0])}; it takes "moves" and "nodes"')
    for node, ways in data["moves"].items():
        if not isinstance(ways, dict):
            table.problem("the moves of a place are not {direction: place}", quoted(node))
            continue
        for direction, to in ways.items():
            if isinstance(to, str):
                table.move(node, direction, to, "moves")
            else:
                table.problem("a move leads to something that is not text", f"{quoted(node)} {quoted(direction)}")
        if not ways:
            table.named.add(node)
    for node, at in data.get("nodes", {}).items():
        x, y = at if isinstance(at, list) and len(at) == 2 else (at, None)
        table.place(node, x, y, f"node {quoted(node)}")
        if node not in data["moves"]:
            table.named.add(node)
    return table

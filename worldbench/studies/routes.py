"""Files of routes: text with one route per line, as a model would write it: `origin destination direction ..
direction end`.

Spaces or tabs separate words. Ignored are blank lines, lines that begin with #, and `pad` or `<pad>` at the end of a
line. The text is UTF-8, with or without a byte order mark, or UTF-16 with one.

A route is judged like the output of a model: by the words before its first `end`. A line without `end` is a route
that never ends: its moves count, and it did not arrive. A line with a node after the first two words is a route that
fails. Directions are the directions of the map, the eight compass words, and the words that the caller adds. A line
cannot be placed if its origin or destination is not a node of the map, or if any other word comes before `end`. Such
lines are left out and counted.

A file is read in pieces of bounded size. Each word takes two bytes, however long a line is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular
from worldbench.core.graph import Graph
from worldbench.envs.rides.route_reader import END, FORM, NO_END, PLACE, RouteReader
from worldbench.envs.rides.route_text import joined
from worldbench.envs.taxi.streets import DIRECTIONS
from worldbench.metrics import routes as codes
from worldbench.metrics.routes import Moves


@dataclass(frozen=True)
class Routes:
    """The routes of a file on a map.

    origin, destination: nodes of the map, int64 [n].
    moves: the directions of each route.
    line: the line of each route in the file, from 1, int64 [n].
    sha256: digest of the file.
    without_end: how many routes lack `end`.
    past_end: how many lines have words after `end`.
    naming_places: how many routes have a node among their directions.
    skipped: how many lines cannot be placed.
    problems: for the first of these lines, the line number and what is wrong.
    """

    origin: np.ndarray
    destination: np.ndarray
    moves: Moves
    line: np.ndarray
    sha256: str
    without_end: int
    past_end: int
    naming_places: int
    skipped: int
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.origin)

    def reasons(self) -> str:
        """What is wrong with the lines that were left out."""
        return joined(self.problems, self.skipped)


def with_directions(graph: Graph, more: tuple[str, ...] = ()) -> Graph:
    """The map with more directions, in which no street leads: the compass words that are not nodes, and `more`.

    Raises InputError for a word that is a node, `end`, or not a single word.
    """
    for word in more:
        if word in graph.places or word == END or not word or any(c.isspace() for c in word):
            raise InputError(
                f"--directions {word!r} cannot be a direction: it is a node of the map, 'end', or not a single word"
            )
    known = {*graph.directions, *graph.places}
    new = [w for w in dict.fromkeys((*DIRECTIONS, *more)) if w not in known]
    shape = (graph.n_places, len(new))
    return replace(
        graph, directions=(*graph.directions, *new),
        successor=np.concatenate([graph.successor, np.full(shape, -1, np.int32)], axis=1),
        length=np.concatenate([graph.length, np.full(shape, np.nan)], axis=1),
        street=np.concatenate([graph.street, np.full(shape, "", object)], axis=1),
    )  # fmt: skip


def read_routes(file: Path, graph: Graph, *, strict: bool = False) -> Routes:
    """The routes of a file. strict: refuse a file with a line that cannot be placed.

    Raises InputError with the first lines that cannot be placed and the reasons, or if no line is a route, or if no
    line has `end`.
    """
    raw = read_regular(file)
    reader = RouteReader(graph)
    reader.read(raw)
    routes = _routes(reader, hashlib.sha256(raw).hexdigest())
    name = repr(str(file))
    if strict and routes.skipped:
        raise InputError(
            f"the routes {name} cannot be used: {routes.reasons()}. {FORM}; without --strict such lines are left out"
        )
    if not len(routes):
        why = f" that can be placed on the map {graph.name!r}: {routes.reasons()}" if routes.skipped else ""
        raise InputError(f"the routes {name} contain no route{why}. {FORM}")
    if routes.without_end == len(routes):
        raise InputError(
            f"no line of the routes {name} has the word 'end', so no route claims to arrive; "
            "add 'end' to the routes that arrive"
        )
    return routes


def _routes(reader: RouteReader, sha256: str) -> Routes:
    """All routes that were read."""
    words = np.array(reader.words, np.int16)
    start = np.array(reader.start, np.int64)
    moves = Moves(words, start, max(1, int(np.diff(start).max(initial=0))))
    place, no_end = words == PLACE, words == NO_END
    naming = len(np.unique(moves.row[place]))
    words[words < 0] = codes.NOT_A_DIRECTION
    words[no_end] = codes.NO_END
    origin, destination, line = (np.array(x, np.int64) for x in (reader.origin, reader.destination, reader.line))
    return Routes(
        origin, destination, moves, line, sha256,
        reader.without_end, reader.past_end, naming, reader.skipped, tuple(reader.problems),
    )  # fmt: skip

"""Reads a map from a plain table of moves: (place, direction) -> place.

CSV: columns `node,direction,to` and optionally `x,y`, the position of `node` in meters east and north. A row
`node,,,x,y` gives a position alone. A header line is optional; with a header, the columns may be in any order.
JSON: {"moves": {place: {direction: place}}} with, optionally, "nodes": {place: [x, y]}. Example, a triangle of one-way
streets:

    node,direction,to,x,y
    a,E,b,0,0
    b,NW,c,100,0
    c,SW,a,50,80

The table chooses the words for places and directions. The eight compass words come first in the order of directions;
the others follow by name. As for a street map, only the largest strongly connected part of the map stays. A table that
is read `whole` keeps every place, even places without a move that leaves. A direction may lead anywhere, whatever the
positions are. The order of the rows has no effect.

A table without positions gets positions from the spring model of networkx, with a fixed seed and a median street of
100 meters. This is good for a picture, but map reconstruction then measures distances in this picture. Another version
of networkx may give other positions, and so another digest of the map. If results are to be compared, give positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph, largest_component
from worldbench.core.text import counted
from worldbench.envs.taxi.moves import place_order
from worldbench.envs.taxi.reading import Refused, quoted
from worldbench.envs.taxi.regions import FEWEST_PLACES, FEWEST_WHOLE
from worldbench.envs.taxi.streets import DIRECTIONS, distance, project
from worldbench.envs.taxi.table_files import Table, read_table

SUFFIXES = (".csv", ".json")
MOST_DIRECTIONS = 16
"""Most directions of a map: `rides/walker.py` packs a direction into four bits (DIRECTION_BITS)."""
RESERVED = ("end", "pad", "<pad>")
"""Words with a meaning in a ride, which cannot name a place or direction."""
FORM = "a table has the columns node,direction,to and, optionally, x,y in meters"
LAID_OUT = "computed by a spring model, because the map gives none: distances are those of the picture"
LAID_OUT_MEDIAN = 100.0
"""Length in meters of the median street of a map without positions."""
MOST_LAID_OUT = 3_000
"""Most places of a map without positions. To compute positions for this many takes about 20 seconds."""


def is_table(spec: str) -> bool:
    """Does `env.map` name a table? The ending of the name decides."""
    return spec.lower().endswith(SUFFIXES)


STUCK = "a place has no way out"
LEAVE = "for a place without a way out, add a row with a move that leaves it, or leave out the rows that lead to it"


def read(path: Path, *, whole: bool = False, lonlat: Mapping[str, tuple[float, float]] | None = None) -> Graph:
    """The map of a CSV or JSON table.

    whole: keep the whole map, not only the largest strongly connected part. lonlat: longitude and latitude of each
    place in degrees, used instead of the positions in the table. Raises InputError with all that is wrong, in one
    sentence.
    """
    try:
        return _graph(path.stem, read_table(path), whole, lonlat)
    except Refused as reason:
        raise InputError(f"the map {str(path)!r} {reason}; {reason.remedy or FORM}") from reason


def _graph(name: str, table: Table, whole: bool, lonlat: Mapping[str, tuple[float, float]] | None) -> Graph:
    """The map of a table. Raises Refused with everything that is wrong with it."""
    leaving = {node for node, _ in table.moves}
    places = leaving | set(table.moves.values()) | set(table.position) | table.named
    words = {direction for _, direction in table.moves}
    for node in [] if whole else sorted((table.named | set(table.moves.values())) - leaving):
        table.problem(STUCK, quoted(node))
    for kind, these in (("place", places), ("direction", words)):
        for word in sorted(w for w in these if not w or not w.isprintable() or " " in w or w in RESERVED):
            table.problem(f"a {kind} cannot be a word (no spaces; not {', '.join(RESERVED)})", quoted(word))
    for word in sorted(places & words):
        table.problem("a word is a place and a direction", quoted(word))
    if len(words) > MOST_DIRECTIONS:
        table.problem(f"there are more than {MOST_DIRECTIONS} directions", str(len(words)))
    if lonlat is not None:
        for node in sorted(places - lonlat.keys()):
            table.problem("a place has no position in the file of positions", quoted(node))
    elif table.position and (without := sorted(places - set(table.position))):
        way_out = " (a row node,,,x,y gives one)" if whole else ""
        table.problem(f"a place has no position although others have{way_out}", ", ".join(map(quoted, without[:3])))
    if not table.moves and not table.problems:
        raise Refused("has no moves")
    if table.problems:
        problems = (
            f"{kind} ({first}{f', and {count - 1:,} more' if count > 1 else ''})"
            for kind, (first, count) in table.problems.items()
        )
        raise Refused(f"cannot be used: {'; '.join(problems)}", f"{LEAVE}; {FORM}" if STUCK in table.problems else "")
    return _cut(name, table, sorted(places), words, whole, lonlat)


def _cut(
    name: str, table: Table, places: list[str], words: set[str], whole: bool,
    lonlat: Mapping[str, tuple[float, float]] | None,
) -> Graph:  # fmt: skip
    """The map of a table without faults: all of it (`whole`), or its largest strongly connected part."""
    places = [places[i] for i in place_order(places)]
    directions = (*(d for d in DIRECTIONS if d in words), *sorted(words - set(DIRECTIONS)))
    row = {place: i for i, place in enumerate(places)}
    column = {direction: a for a, direction in enumerate(directions)}
    moves = np.array([(row[node], column[way], row[to]) for (node, way), to in table.moves.items()], np.int64)
    inside = np.ones(len(places), bool) if whole else largest_component(len(places), moves[:, 0], moves[:, 2])
    if whole and len(places) < FEWEST_WHOLE:
        raise Refused(f"has {len(places)} place, and at least {FEWEST_WHOLE} are needed")
    if not whole and inside.sum() < FEWEST_PLACES:
        raise Refused(
            f"has {counted(len(places), 'place')}, but no {FEWEST_PLACES} of them can all reach each other by its moves"
        )
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
            "places_outside_largest_part": len(places) - n, "moves_outside_largest_part": int((~stays).sum()),
            "places": n, "moves": int(stays.sum()),
            "positions": "given" if table.position or lonlat is not None else LAID_OUT,
            **({"places_without_way_out": int((successor < 0).all(1).sum())} if whole else {}),
        },
    )  # fmt: skip


def _laid_out(successor: np.ndarray, whole: bool) -> np.ndarray:
    """Computed positions for a map without positions, rounded to meters: float64 [N, 2]."""
    import networkx as nx

    if len(successor) > MOST_LAID_OUT:
        way_out = ", or --positions FILE gives them" if whole else ""
        raise Refused(
            f"has {len(successor):,} places and no positions",
            f"with more than {MOST_LAID_OUT:,} places it must give them{way_out}",
        )
    source, direction = np.nonzero((successor >= 0) & (successor != np.arange(len(successor))[:, None]))
    target = successor[source, direction]
    graph = nx.Graph()
    graph.add_nodes_from(range(len(successor)))
    low, high = np.minimum(source, target), np.maximum(source, target)
    graph.add_edges_from(sorted(set(zip(low.tolist(), high.tolist()))))
    layout = nx.spring_layout(graph, seed=0, iterations=200 if len(successor) < 500 else 50)
    at = np.array([layout[i] for i in range(len(successor))], float)
    gap = float(np.median(np.hypot(*(at[source] - at[target]).T))) if len(source) else 1.0
    at = (at - at.mean(0)) * (LAID_OUT_MEDIAN / max(gap, 1e-9))
    return np.round(at)

"""Turns streets into the moves of a map: at most one move per place and direction.

The rules, in this order:

1. A street without a direction (a loop) is dropped.
2. Of several streets that leave one place in one sector, the shortest stays; of equally short streets the one to the
   smallest place id, then the first by name.
3. Only the largest strongly connected part stays; of equally large parts, the one with the smallest place id.
4. Only the places of the region stay.
5. Again, only the largest strongly connected part stays.

Places are sorted by id first, so the order of places and streets in a file has no effect. A map that is read `whole`
(for routes made by another program) skips rules 3 and 5.
Letters: N places, E streets (one row per direction of travel).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph, largest_component
from worldbench.core.text import counted
from worldbench.envs.taxi.regions import (
    FEWEST_PLACES,
    FEWEST_WHOLE,
    Nearest,
    Part,
    around_the_middle,
    cut,
    parse_region,
)
from worldbench.envs.taxi.streets import DIRECTIONS, Streets, bearing, project, sector

WHOLE_RULE = "the shorter street of one sector stays, then the smaller target"


def place_order(places: Sequence[str]) -> list[int]:
    """The rows of `places`, sorted by id: as numbers if all ids are integers, else as text."""
    if all(re.fullmatch(r"-?[0-9]{1,18}", place, re.ASCII) for place in places):
        return sorted(range(len(places)), key=lambda i: (int(places[i]), places[i]))
    return sorted(range(len(places)), key=lambda i: places[i])


def has_direction(streets: Streets) -> np.ndarray:
    """bool [E]: does the street have a direction (rule 1)? It has none if both ends have the same place or position."""
    start, end = streets.position[streets.source], streets.position[streets.target]
    return (streets.source != streets.target) & (start != end).any(1)


def resolve(streets: Streets) -> tuple[np.ndarray, np.ndarray, dict[str, int | str]]:
    """Applies rules 1 and 2 to streets whose places are sorted by id.

    Returns the rows of the streets that stay, ordered by (source, direction); the direction of every street; and counts
    of what was dropped.
    """
    moving = np.flatnonzero(has_direction(streets))
    start, end = streets.position[streets.source], streets.position[streets.target]
    direction = sector(bearing(start, end, globe=streets.globe))
    rows = moving
    if len(moving):
        name_rank = np.unique(np.asarray(streets.street, dtype=object), return_inverse=True)[1]
        keys = (name_rank, streets.target, streets.length, direction, streets.source)
        rows = moving[np.lexsort([key[moving] for key in keys])]
    slot = streets.source[rows] * len(DIRECTIONS) + direction[rows]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = slot[1:] != slot[:-1]
    winner = rows[first][np.cumsum(first) - 1] if len(rows) else rows
    parallel = ~first & (streets.target[rows] == streets.target[winner])
    collision = ~first & ~parallel
    loops = int((streets.source == streets.target).sum())
    counts: dict[str, int | str] = {
        "loops_dropped": loops,
        "same_position_dropped": len(streets.source) - len(moving) - loops,
        "parallel_dropped": int(parallel.sum()),
        "collisions_dropped": int(collision.sum()),
        "colliding_pairs": len(np.unique(slot[~first])),
        "rule": f"{WHOLE_RULE}; then the largest strongly connected part",
    }
    return rows[first], direction, counts


def build(streets: Streets, region: str = "all", *, whole: bool = False) -> Graph:
    """The graph of `streets` inside `region`.

    whole: skip rules 3 and 5, so that some places may have no move into or out of them. Raises InputError for a
    malformed region, and for one with fewer than 3 intersections that can all reach each other (`whole`: fewer than 2
    intersections).
    """
    wanted = parse_region(region)
    streets = _ordered(streets)
    kept, direction, counts = resolve(streets)
    part, report = _connected(streets, kept, whole)
    report = {**streets.report, **counts, "moves_resolved": len(kept), **report}
    if whole:
        report["rule"] = WHOLE_RULE
    connected = int((part.inside[part.source] & part.inside[part.target]).sum())
    if wanted is not None:
        inside, counted = cut(part, wanted, region, whole=whole)
        part, report = replace(part, inside=inside), report | counted
    stays = part.inside[part.source] & part.inside[part.target]
    report |= {
        "moves_outside_largest_part": int(len(kept) - connected),
        "moves_outside_region": int(connected - stays.sum()),
        "places": int(part.inside.sum()),
        "moves": int(stays.sum()),
    }
    return _graph(streets, part.inside, kept[stays], direction, report)


def village(streets: Streets, known: str) -> str:
    """The region that `village` means on this map: `known` if the map contains it, else a region around the middle.

    Raises InputError if fewer than 3 intersections of the map can all reach each other.
    """
    streets = _ordered(streets)
    part, _ = _connected(streets, resolve(streets)[0], whole=False)
    wanted = parse_region(known)
    assert isinstance(wanted, Nearest)
    if streets.globe:
        try:
            cut(part, wanted, known)
        except InputError:  # the map does not cover the region, or has too few intersections there
            pass
        else:
            return known
    return around_the_middle(part, wanted.count)


def _connected(streets: Streets, kept: np.ndarray, whole: bool) -> tuple[Part, dict[str, int | str]]:
    """Applies rule 3 to the moves `kept` (`whole`: keeps all places), and counts the places that each rule drops.

    A place that no street with a direction touches is counted apart. A place that would be in the largest part if all
    streets had stayed is counted as cut off by rule 2 (a collision).
    """
    n, source, target = len(streets.places), streets.source[kept], streets.target[kept]
    if whole:
        if n < FEWEST_WHOLE:
            raise InputError(
                f"the map {streets.name!r} has {counted(n, 'intersection')}, and at least {FEWEST_WHOLE} are needed; "
                "choose a larger map"
            )
        keys = ("places_without_street", "places_outside_largest_part", "places_cut_off_by_collisions")
        counts: dict[str, int | str] = dict.fromkeys(keys, 0)
        return Part(streets, np.ones(n, dtype=bool), source, target), counts
    inside = largest_component(n, source, target) if n else np.zeros(0, dtype=bool)
    if inside.sum() < FEWEST_PLACES:
        raise InputError(
            f"the map {streets.name!r} has {counted(n, 'intersection')}, "
            f"but no {FEWEST_PLACES} of them can all reach each other "
            "by its one-way moves; choose a larger map"
        )
    every = has_direction(streets)
    alone = np.ones(n, dtype=bool)
    alone[streets.source[every]] = alone[streets.target[every]] = False
    before = largest_component(n, streets.source[every], streets.target[every])
    counts = {
        "places_without_street": int(alone.sum()),
        "places_outside_largest_part": int((~inside & ~before & ~alone).sum()),
        "places_cut_off_by_collisions": int((~inside & before).sum()),
    }
    return Part(streets, inside, source, target), counts


def _ordered(streets: Streets) -> Streets:
    """The same streets, with places sorted by id."""
    ordered = place_order(streets.places)
    order = np.asarray(ordered, dtype=np.int64)
    row = np.empty_like(order)
    row[order] = np.arange(len(order))
    return replace(
        streets,
        places=[streets.places[i] for i in ordered],
        position=streets.position[order],
        source=row[streets.source],
        target=row[streets.target],
    )


def _graph(
    streets: Streets, inside: np.ndarray, rows: np.ndarray, direction: np.ndarray, report: dict[str, int | str]
) -> Graph:
    n, a = int(inside.sum()), len(DIRECTIONS)
    new = np.cumsum(inside) - 1
    at = (new[streets.source[rows]], direction[rows])
    successor = np.full((n, a), -1, dtype=np.int32)
    successor[at] = new[streets.target[rows]]
    length = np.full((n, a), np.nan)
    length[at] = streets.length[rows]
    street = np.full((n, a), "", dtype=object)
    street[at] = np.asarray(streets.street, dtype=object)[rows]
    position = streets.position[inside]
    return Graph(
        name=streets.name,
        places=tuple(place for place, stays in zip(streets.places, inside, strict=True) if stays),
        directions=DIRECTIONS,
        metres=project(position, globe=streets.globe),
        lonlat=position if streets.globe else None,
        successor=successor,
        length=length,
        street=street,
        report=report,
    )

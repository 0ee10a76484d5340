"""Manhattan by its street plan: a map without a network, from the facts of `plan_facts.py`, `plan_village.py` and
`plan_old_city.py`.

The grid of 1811 with today's avenues, Broadway, superblocks and one-way directions, and the bent or older streets of
Greenwich Village, of the city below Houston Street, and of the heights above 155th Street. It is not a survey:
intersections lie within some tens of meters of the real ones, and small streets are left out. No map data is copied.
Intersections are named after what crosses, such as `5Av&W42St`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from worldbench.envs.taxi.crossings import Line, draw, named
from worldbench.envs.taxi.plan_facts import (
    ACROSS,
    AGAINST,
    ANCHOR,
    AVENUES,
    BLOCK,
    BROADWAY,
    BROADWAY_BOTH_FROM,
    CLOSED,
    EAST_END,
    FEET,
    LAST_STREET,
    STREET_WIDTH,
    TILT,
    TRANSVERSES,
    TWO_WAY,
    WEST_END,
    WIDE_STREET,
)
from worldbench.envs.taxi.plan_heights import HEIGHTS
from worldbench.envs.taxi.plan_old_city import OLD_CITY
from worldbench.envs.taxi.plan_village import VILLAGE
from worldbench.envs.taxi.streets import EARTH_RADIUS, Streets

NAME = "manhattan-plan"
WEST, EAST = -6500.0, 6500.0
"""Feet east of Fifth Avenue: how far a street may run from river to river. It ends at its last avenue."""


@lru_cache(maxsize=1)
def along() -> np.ndarray:
    """Feet north of 42nd Street along an avenue, of the middle of each street: float64 [LAST_STREET + 1]; entry 0 is
    Houston Street."""
    width = np.full(LAST_STREET + 1, float(STREET_WIDTH))
    width[list(TWO_WAY)] = WIDE_STREET
    steps = BLOCK + (width[1:] + width[:-1]) / 2
    at = np.concatenate([[0.0], np.cumsum(steps)])
    return at - at[42]


def streets() -> Streets:
    """The streets of the plan."""
    drawing = draw(list(lines()), closed)
    report: dict[str, int | str] = {
        "nodes_read": len(drawing.names),
        "edges_read": len(drawing.source),
        "notes": "drawn from public facts about the street plan, not from OpenStreetMap and not surveyed",
    }
    length = np.hypot(*(drawing.position[drawing.target] - drawing.position[drawing.source]).T) * FEET
    return Streets(
        name=NAME,
        places=drawing.names,
        position=degrees(drawing.position),
        globe=True,
        source=drawing.source,
        target=drawing.target,
        length=np.round(length, 1),
        street=drawing.street,
        report=report,
    )


def lines() -> Iterator[Line]:
    """Every street of the plan, in the order in which they name an intersection: Broadway, the avenues, the older
    streets, the numbered streets."""
    at = along()
    for way, part in (("down", _broadway(0, BROADWAY_BOTH_FROM)), ("both", _broadway(BROADWAY_BOTH_FROM, LAST_STREET))):
        yield Line(named("Broadway"), way, part, opens=True)
    for avenue in AVENUES:
        for first, last, way in avenue.stretches:
            yield Line(named(avenue.name), way, np.array([(avenue.across, at[first]), (avenue.across, at[last])]))
    for table in (VILLAGE, OLD_CITY, HEIGHTS):
        yield from parse(table)
    for east, west in TRANSVERSES:
        ends = np.array([(ACROSS["8Av"], at[west]), (ACROSS["5Av"], at[east])])
        yield Line(_transverse(east, west), "both", ends, opens=True)
    for street in range(1, LAST_STREET + 1):
        eastbound = (street % 2 == 0) != (street in AGAINST)
        way = "both" if street in TWO_WAY else "up" if eastbound else "down"
        ends = WEST_END.get(street, WEST), EAST_END.get(street, EAST)
        yield Line(_numbered(street), way, np.array([(x, at[street]) for x in ends]))


def parse(table: str) -> Iterator[Line]:
    """The lines of a table of older streets (see `plan_village.py`). A line that starts with a space continues the line
    before it."""
    for row in table.strip().replace("\n ", " ").splitlines():
        name, way, *points = row.split()
        degrees_north_first = np.array([[float(number) for number in point.split(",")] for point in points])
        yield Line(named(name), way, feet(degrees_north_first[:, ::-1]))


def closed(points: np.ndarray) -> np.ndarray:
    """bool [N]: is a point float64 [N, 2], feet across and along, strictly inside a superblock?"""
    box = np.array([[c.west, c.east, along()[int(c.south)], along()[int(c.north)]] for c in CLOSED])
    across, up = points[:, :1], points[:, 1:]
    inside = (across > box[:, 0]) & (across < box[:, 1]) & (up > box[:, 2] + 1) & (up < box[:, 3] - 1)
    return np.asarray(inside.any(1))


def _broadway(first: int, last: int) -> np.ndarray:
    """Broadway between two streets: float64 [K, 2], feet."""
    return np.array([(across, along()[street]) for street, across in BROADWAY if first <= street <= last], float)


def _numbered(street: int) -> Callable[[float, float], str]:
    """The name of a numbered street: west of Fifth Avenue, and on it, `W42St`; east of it `E42St`."""
    return lambda across, _along: f"{'W' if across <= 1 else 'E'}{street}St"


def _transverse(east: int, west: int) -> Callable[[float, float], str]:
    """The name of a road through Central Park, which has the names of its streets at its two ends."""

    def name(across: float, _along: float) -> str:
        at_end = f"W{west}St" if across < ACROSS["8Av"] + 100 else f"W{east}St" if across > ACROSS["5Av"] - 100 else ""
        return at_end or f"{east}StTransverse"

    return name


def degrees(points: np.ndarray) -> np.ndarray:
    """Longitude and latitude float64 [N, 2], in degrees to six decimals, of points in feet across and along."""
    across, up = np.asarray(points, float).T * FEET
    tilt = np.radians(TILT)
    east, north = across * np.cos(tilt) + up * np.sin(tilt), up * np.cos(tilt) - across * np.sin(tilt)
    latitude = ANCHOR[0] + np.degrees(north / EARTH_RADIUS)
    longitude = ANCHOR[1] + np.degrees(east / EARTH_RADIUS) / np.cos(np.radians(ANCHOR[0]))
    return np.round(np.stack([longitude, latitude], axis=1), 6)


def feet(position: np.ndarray) -> np.ndarray:
    """Feet across and along, float64 [N, 2], of longitudes and latitudes in degrees: the inverse of `degrees`."""
    longitude, latitude = np.asarray(position, float).T
    east = np.radians((longitude - ANCHOR[1]) * np.cos(np.radians(ANCHOR[0]))) * EARTH_RADIUS
    north = np.radians(latitude - ANCHOR[0]) * EARTH_RADIUS
    tilt = np.radians(TILT)
    across, up = east * np.cos(tilt) - north * np.sin(tilt), east * np.sin(tilt) + north * np.cos(tilt)
    return np.stack([across, up], axis=1) / FEET

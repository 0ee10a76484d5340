"""Manhattan by its street plan: a map without a network, from the facts of `plan_facts.py`.

The grid of 1811 with today's avenues, Broadway, superblocks and one-way directions. It is not a survey: intersections
lie where the plan puts them, within some tens of meters of the real ones, and no street south of Houston Street or in
the West Village is on it. Intersections are named after what crosses, such as `5Av&42St`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np

from worldbench.envs.taxi.plan_facts import (
    ANCHOR,
    AVENUES,
    BLOCK,
    BROADWAY,
    BROADWAY_BOTH_FROM,
    CLOSED,
    FEET,
    LAST_STREET,
    STREET_WIDTH,
    TILT,
    TRANSVERSES,
    TWO_WAY,
    WIDE_STREET,
)
from worldbench.envs.taxi.streets import EARTH_RADIUS, Streets

NAME = "manhattan-plan"
ONE = 130.0
"""Feet: an avenue and Broadway that cross a street nearer to each other than this make one intersection."""

Place = tuple[int, float]
"""A street, and feet east of Fifth Avenue."""
Edge = tuple[Place, Place, str]
"""A piece of street from one place to the next, and its name."""


@lru_cache(maxsize=1)
def along() -> np.ndarray:
    """Feet north of 42nd Street along an avenue, of the middle of each street: float64 [LAST_STREET + 1]; entry 0 is
    Houston Street."""
    width = np.full(LAST_STREET + 1, float(STREET_WIDTH))
    width[list(TWO_WAY)] = WIDE_STREET
    steps = BLOCK + (width[1:] + width[:-1]) / 2
    at = np.concatenate([[0.0], np.cumsum(steps)])
    return at - at[42]


def broadway_at(street: int) -> float | None:
    """Feet east of Fifth Avenue of Broadway at a street; None where the plan does not have it."""
    streets, across = zip(*BROADWAY)
    if not streets[0] <= street <= streets[-1]:
        return None
    return float(np.interp(along()[street], along()[list(streets)], across))


def _inside(street: float, across: float) -> bool:
    """Is a point strictly inside a superblock?"""
    return any(c.south < street < c.north and c.west < across < c.east for c in CLOSED)


def _crossings() -> dict[int, dict[float, str]]:
    """By street: feet east of Fifth Avenue of every avenue that crosses there, and its name; Broadway included, merged
    with an avenue that is near."""
    out: dict[int, dict[float, str]] = defaultdict(dict)
    for avenue in AVENUES:
        for first, last, _ in avenue.stretches:
            for street in range(first, last + 1):
                if not _inside(street, avenue.across):
                    out[street][avenue.across] = _joined(out[street].get(avenue.across), avenue.name)
    for street in range(BROADWAY[0][0], BROADWAY[-1][0] + 1):
        across = broadway_at(street)
        assert across is not None
        gap, near = min(((abs(x - across), x) for x in out[street]), default=(ONE, 0.0))
        if gap < ONE:
            out[street][near] = _joined("Broadway", out[street][near])
        elif not _inside(street, across):
            out[street][round(across)] = "Broadway"
    return out


def _joined(one: str | None, other: str) -> str:
    return other if one is None or one == other else f"{one}&{other}"


def streets() -> Streets:
    """The streets of the plan."""
    crossing = _crossings()
    where: dict[str, Place] = {}
    name_of: dict[Place, str] = {}
    for street in sorted(crossing):
        for across, what in sorted(crossing[street].items()):
            name_of[street, across] = f"{what}&{street}St"
            where[name_of[street, across]] = street, across
    edges: list[Edge] = []
    for street, places in crossing.items():
        edges += _street(street, sorted(places))
    for avenue in AVENUES:
        for first, last, way in avenue.stretches:
            found = [(s, avenue.across) for s in range(first, last + 1) if (s, avenue.across) in name_of]
            edges += _line(found, avenue.name, way, lambda a, b: not _through(a, b))
    edges += _broadway(name_of)
    for east, west in TRANSVERSES:
        ends = (east, 0.0), (west, -2440.0)
        if all(end in name_of for end in ends):
            edges += [(*ends, f"{east}StTransverse"), (*ends[::-1], f"{east}StTransverse")]
    row = {name: i for i, name in enumerate(where)}
    position = _degrees(np.array(list(where.values()), float))
    source, target = np.array([(row[name_of[a]], row[name_of[b]]) for a, b, _ in edges]).T
    feet = _feet(np.array(list(where.values()), float))
    length = np.hypot(*(feet[target] - feet[source]).T) * FEET
    report: dict[str, int | str] = {
        "nodes_read": len(where),
        "edges_read": len(edges),
        "notes": "drawn from the street plan of 1811 and today's directions, not surveyed; north of Houston Street",
    }
    return Streets(
        name=NAME,
        places=list(where),
        position=position,
        globe=True,
        source=source,
        target=target,
        length=np.round(length, 1),
        street=[edge[2] for edge in edges],
        report=report,
    )


def _street(street: int, across: list[float]) -> list[Edge]:
    """A street from west to east, cut where superblocks lie."""
    way = "both" if street in TWO_WAY else "up" if street % 2 == 0 else "down"  # up: to the east
    places = [(street, x) for x in across]
    return _line(places, f"{street}St", way, lambda a, b: not _inside(street, (a[1] + b[1]) / 2))


def _through(a: Place, b: Place) -> bool:
    """Does a piece of an avenue lie inside a superblock?"""
    return _inside((a[0] + b[0]) / 2, a[1])


def _line(places: list[Place], name: str, way: str, free: Callable[[Place, Place], bool]) -> list[Edge]:
    """The pieces between neighbors of places in order. way: up is the order of the places. free: may a piece be?"""
    out: list[Edge] = []
    for a, b in pairwise(places):
        if not free(a, b):
            continue
        out += [(a, b, name)] if way in ("up", "both") else []
        out += [(b, a, name)] if way in ("down", "both") else []
    return out


def _broadway(name_of: dict[Place, str]) -> list[Edge]:
    """The pieces of Broadway, from one street to the next."""
    line = []
    for street in range(BROADWAY[0][0], BROADWAY[-1][0] + 1):
        across = broadway_at(street)
        assert across is not None
        here = [(abs(p[1] - across), p) for p in name_of if p[0] == street and abs(p[1] - across) < ONE]
        if here:
            line.append(min(here)[1])
    both = [p for p in line if p[0] >= BROADWAY_BOTH_FROM]
    down = [p for p in line if p[0] <= BROADWAY_BOTH_FROM]
    # Where Broadway follows an avenue for some blocks, the avenue has the street.
    return [
        edge
        for part, way in ((down, "down"), (both, "both"))
        for edge in _line(part, "Broadway", way, lambda a, b: a[1] != b[1] or a[1] == broadway_at(a[0]))
    ]


def _feet(places: np.ndarray) -> np.ndarray:
    """Feet across and along the island, float64 [N, 2], of places (street, feet across)."""
    return np.stack([places[:, 1], along()[places[:, 0].astype(int)]], axis=1)


def _degrees(places: np.ndarray) -> np.ndarray:
    """Longitude and latitude of places, float64 [N, 2], in degrees to six decimals."""
    across, up = _feet(places).T * FEET
    tilt = np.radians(TILT)
    east, north = across * np.cos(tilt) + up * np.sin(tilt), up * np.cos(tilt) - across * np.sin(tilt)
    latitude = ANCHOR[0] + np.degrees(north / EARTH_RADIUS)
    longitude = ANCHOR[1] + np.degrees(east / EARTH_RADIUS) / np.cos(np.radians(ANCHOR[0]))
    return np.round(np.stack([longitude, latitude], axis=1), 6)

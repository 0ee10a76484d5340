"""A part of a street map: `env.region` read, and cut out of the strongly connected part.

Letters: N places, K places of a part.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import largest_component
from worldbench.core.text import counted
from worldbench.envs.taxi.streets import EARTH_RADIUS, Streets, distance, wrap_degrees

FEWEST_PLACES = 3
FEWEST_WHOLE = 2
"""Places that a map must have which is not reduced to its strongly connected part."""
OUTSIDE_METRES = 1_000.0
"""How far from the map's bounding box the point of a region may lie."""
REGION_FORMS = (
    "'all', 'village', 'N@lat,lon' (on a city or a map in metres 'N@east,north') or 'south,west,north,east' in degrees"
)
VILLAGE_HOLDS, VILLAGE_KEEPS = 50, 40
"""Intersections of a village around the middle of a map, and the fewest of them that must be able to reach each other.
Greenwich Village has 50 and 43."""


@dataclass(frozen=True)
class Nearest:
    """The `count` intersections nearest to a point: (latitude, longitude), or metres (east, north) off the globe."""

    count: int
    point: tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Degrees: south, west, north, east."""

    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True, eq=False)
class Part:
    """The places of a map that stay, so far: inside bool [N]. source, target: int [E], the rows of its moves' ends."""

    streets: Streets
    inside: np.ndarray
    source: np.ndarray
    target: np.ndarray

    def largest(self, rows: np.ndarray) -> np.ndarray:
        """bool [N]: of the places `rows` [K] those of the largest strongly connected part."""
        held = np.zeros(len(self.inside), dtype=bool)
        held[rows] = True
        both, row = held[self.source] & held[self.target], np.cumsum(held) - 1
        if len(rows):
            held[held] = largest_component(len(rows), row[self.source[both]], row[self.target[both]])
        return held


def parse_region(text: str) -> Nearest | Box | None:
    """What `env.region` asks for; None for `all`. Raises InputError with the accepted forms."""
    if text.strip() == "all":
        return None
    number = r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*"
    if match := re.fullmatch(rf"\s*([0-9]{{1,9}})\s*@{number},{number}", text, re.ASCII):
        count, point = int(match[1]), (float(match[2]), float(match[3]))
        if count < FEWEST_PLACES:
            raise InputError(
                f"env.region {text!r} asks for {counted(count, 'intersection')}; ask for at least {FEWEST_PLACES}"
            )
        if all(map(np.isfinite, point)):
            return Nearest(count, point)
    if match := re.fullmatch(f"{number},{number},{number},{number}", text, re.ASCII):
        box = Box(*map(float, match.groups()))
        if not (-90 <= box.south < box.north <= 90 and -180 <= box.west < box.east <= 180):
            raise InputError(
                f"env.region {text!r} is no box: south must be below north (-90..90) and west below east (-180..180), "
                "in this order"
            )
        return box
    raise InputError(f"env.region {text!r} is not understood; it is {REGION_FORMS}")


def cut(
    part: Part, region: Nearest | Box, text: str, *, whole: bool = False
) -> tuple[np.ndarray, dict[str, int | str]]:
    """The places of the region, bool [N]: its largest strongly connected part, or all of them (`whole`); and counts."""
    streets, where = part.streets, np.flatnonzero(part.inside)
    if isinstance(region, Box):
        if not streets.globe:
            raise InputError(
                f"env.region {text!r} is a box in degrees, but {streets.name!r} is not on the globe; "
                "use 'N@east,north' in metres"
            )
        lon, lat = streets.position[where].T
        chosen = where[(lat >= region.south) & (lat <= region.north) & (lon >= region.west) & (lon <= region.east)]
    else:
        chosen = where[_nearest(streets, where, region, text)]
    if whole:
        kept = np.zeros(len(part.inside), dtype=bool)
        kept[chosen] = True
    else:
        kept = part.largest(chosen)
    if kept.sum() < (FEWEST_WHOLE if whole else FEWEST_PLACES):
        hint = "a larger box" if isinstance(region, Box) else "a larger N or another point"
        mutual = len(chosen) and not whole
        spread = f", and at most {int(kept.sum())} of them can all reach each other" if mutual else ""
        lon, lat = streets.position[where].T
        extent = f"the map spans {lat.min():.4f},{lon.min():.4f},{lat.max():.4f},{lon.max():.4f}"
        raise InputError(
            f"env.region {text!r} holds {counted(len(chosen), 'intersection')} of {streets.name!r}{spread}; try {hint}"
            + (f" ({extent})" if streets.globe else "")
        )
    lost = int(len(chosen) - kept.sum())
    return kept, {"region": text, "places_in_region": len(chosen), "places_lost_in_region": lost}


def _nearest(streets: Streets, where: np.ndarray, region: Nearest, text: str) -> np.ndarray:
    """Which of the rows `where` are the nearest to the point; ties to the smaller id."""
    position = streets.position[where]
    first, second = region.point
    if streets.globe and not (abs(first) <= 90 and abs(second) <= 180):
        raise InputError(f"env.region {text!r}: latitude (-90..90) comes first, then longitude (-180..180)")
    point = np.array([[second, first]]) if streets.globe else np.array([[first, second]])
    away = distance(np.broadcast_to(point, position.shape), position, globe=streets.globe)
    margin = OUTSIDE_METRES / (np.radians(1) * EARTH_RADIUS) if streets.globe else OUTSIDE_METRES
    low, high = position.min(0) - margin, position.max(0) + margin
    if ((point < low) | (point > high)).any():
        order = "latitude comes first, then longitude" if streets.globe else "metres east, then north, as in the map"
        raise InputError(
            f"env.region {text!r} lies {away.min() / 1000:,.0f} km from the map {streets.name!r}; "
            f"choose a point on it ({order})"
        )
    if region.count > len(where):
        raise InputError(
            f"env.region {text!r} asks for {counted(region.count, 'intersection')}, "
            f"but {streets.name!r} has {len(where)}; "
            "ask for fewer, or 'all'"
        )
    return np.argsort(away, kind="stable")[: region.count]


def around_the_middle(part: Part) -> str:
    """The region of about as many intersections as a village has, around the map's middle; `all` of a small map.

    The middle is the mean of the positions, to 11 metres. The region grows by a tenth until enough of its intersections
    can all reach each other. A function of the map alone.
    """
    streets, where = part.streets, np.flatnonzero(part.inside)
    if len(where) <= VILLAGE_HOLDS:
        return "all"
    east, north = streets.position[where].T
    middle_north = math.fsum(north) / len(where)
    if streets.globe:
        shift = math.fsum(wrap_degrees(east - east[0])) / len(where)
        middle_east = float(wrap_degrees(np.array(east[0] + shift)))
        first, second = f"{middle_north:.4f}", f"{middle_east:.4f}"
        point = np.array([[float(second), float(first)]])
    else:
        first, second = f"{math.fsum(east) / len(where):.0f}", f"{middle_north:.0f}"
        point = np.array([[float(first), float(second)]])
    position = streets.position[where]
    order = np.argsort(distance(np.broadcast_to(point, position.shape), position, globe=streets.globe), kind="stable")
    count = VILLAGE_HOLDS
    while count < len(where):
        if part.largest(where[order[:count]]).sum() >= VILLAGE_KEEPS:
            return f"{count}@{first},{second}"
        count += max(5, count // 10)
    return "all"

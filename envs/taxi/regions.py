"""Parts of a street map: reads `env.region`, and selects its places.

Letters: N places of the map, K places of a part, E moves.
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
"""Fewest places of a map."""
FEWEST_WHOLE = 2
"""Fewest places of a map that is read `whole`, not reduced to its strongly connected part."""
OUTSIDE_METRES = 1_000.0
"""Largest distance of the point of a region from the bounding box of the map, in meters."""
REGION_FORMS = (
    "'all', 'village', 'village:N', 'N@lat,lon' (on a city or a map in meters 'N@east,north') or "
    "'south,west,north,east' in degrees"
)
VILLAGE_HOLDS, VILLAGE_KEEPS = 50, 0.8
"""Number of intersections of a village around the middle of a map, and which share of them must be able to reach each
other. For Greenwich Village these are 50, and 43 of 50."""
VILLAGE_POINT = "40.7355,-74.0000"
VILLAGE = f"{VILLAGE_HOLDS}@{VILLAGE_POINT}"
"""Greenwich Village. On the map of March 2025, 43 of its intersections, with 75 moves, can all reach each other."""


@dataclass(frozen=True)
class Nearest:
    """The `count` intersections nearest to a point: (latitude, longitude), or (east, north) on a map in meters."""

    count: int
    point: tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A box; its four sides in degrees."""

    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a map. inside: bool [N], is the place in the part? source, target: int [E], the ends of all moves."""

    streets: Streets
    inside: np.ndarray
    source: np.ndarray
    target: np.ndarray

    def largest(self, rows: np.ndarray) -> np.ndarray:
        """bool [N]: the largest strongly connected part of the places `rows` [K]."""
        held = np.zeros(len(self.inside), dtype=bool)
        held[rows] = True
        both, row = held[self.source] & held[self.target], np.cumsum(held) - 1
        if len(rows):
            held[held] = largest_component(len(rows), row[self.source[both]], row[self.target[both]])
        return held


def named_village(text: str) -> str | None:
    """The region in Greenwich Village that `village` or `village:N` names, as `N@lat,lon`; None for another text."""
    match = re.fullmatch(r"village(?::([0-9]{1,9}))?", text.strip(), re.ASCII)
    return f"{int(match[1] or VILLAGE_HOLDS)}@{VILLAGE_POINT}" if match else None


def parse_region(text: str) -> Nearest | Box | None:
    """The region that `env.region` names; None for `all`. Raises InputError for another text."""
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
                f"env.region {text!r} is not a box 'south,west,north,east': south must be below north (-90..90), "
                "and west below east (-180..180)"
            )
        return box
    raise InputError(f"env.region {text!r} is not understood; it is {REGION_FORMS}")


def cut(
    part: Part, region: Nearest | Box, text: str, *, whole: bool = False
) -> tuple[np.ndarray, dict[str, int | str]]:
    """The places of the region, bool [N], and counts for the report. The places are the largest strongly connected part
    of the region, or all of it (`whole`). Raises InputError if there are too few."""
    streets, where = part.streets, np.flatnonzero(part.inside)
    if isinstance(region, Box):
        if not streets.globe:
            raise InputError(
                f"env.region {text!r} is a box in degrees, but {streets.name!r} is not on the globe; "
                "use 'N@east,north' in meters"
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
        spread = f", of which at most {int(kept.sum())} can all reach each other" if mutual else ""
        lon, lat = streets.position[where].T
        extent = f"the map spans {lat.min():.4f},{lon.min():.4f},{lat.max():.4f},{lon.max():.4f}"
        raise InputError(
            f"env.region {text!r} holds {counted(len(chosen), 'intersection')} of {streets.name!r}{spread}; try {hint}"
            + (f" ({extent})" if streets.globe else "")
        )
    lost = int(len(chosen) - kept.sum())
    return kept, {
        "region": text,
        "places_outside_region": len(where) - len(chosen),
        "places_in_region": len(chosen),
        "places_lost_in_region": lost,
    }


def _nearest(streets: Streets, where: np.ndarray, region: Nearest, text: str) -> np.ndarray:
    """Indices into `where` of the places nearest to the point. Of equally near places, the smaller id comes first."""
    position = streets.position[where]
    first, second = region.point
    if streets.globe and not (abs(first) <= 90 and abs(second) <= 180):
        raise InputError(f"env.region {text!r}: give latitude (-90..90) first, then longitude (-180..180)")
    point = np.array([[second, first]]) if streets.globe else np.array([[first, second]])
    away = distance(np.broadcast_to(point, position.shape), position, globe=streets.globe)
    margin = OUTSIDE_METRES / (np.radians(1) * EARTH_RADIUS) if streets.globe else OUTSIDE_METRES
    low, high = position.min(0) - margin, position.max(0) + margin
    if ((point < low) | (point > high)).any():
        order = "latitude comes first, then longitude" if streets.globe else "meters east, then north, as in the map"
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


def around_the_middle(part: Part, holds: int) -> str:
    """The text of a region of about `holds` intersections around the middle of the map; `all` for a small map.

    The middle is the mean of the positions, rounded to about 11 meters. The region grows in steps of a tenth until
    `VILLAGE_KEEPS` of `holds` intersections can all reach each other. The result depends on the map alone.
    """
    streets, where = part.streets, np.flatnonzero(part.inside)
    if len(where) <= holds:
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
    count = holds
    while count < len(where):
        if part.largest(where[order[:count]]).sum() >= VILLAGE_KEEPS * holds:
            return f"{count}@{first},{second}"
        count += max(5, count // 10)
    return "all"

"""From streets to moves: at most one move per direction, loops and collisions resolved, the strongly connected part, a region.

The order is fixed and stated: (1) streets without a direction (loops) are dropped; (2) of two streets that leave one place in one sector the shorter stays,
then the one to the smaller place, then the first by name; (3) the largest strongly connected part stays, on a tie the one that holds the smallest place;
(4) the region is cut out of it; (5) again the largest strongly connected part stays. Places are ordered by id, so the order of a file has no effect.
A map that is read `whole`, for routes that were made elsewhere, leaves out rules (3) and (5).
Shapes: N places, E streets (one row per direction of travel).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph, largest_component

DIRECTIONS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
"""The words of the eight 45-degree sectors centred on north, clockwise: columns 0..7."""
EARTH_RADIUS = 6_371_009.0
"""Mean radius in metres, the value that osmnx uses."""
FEWEST_PLACES = 3
FEWEST_WHOLE = 2
"""Places that a map must have which is not reduced to its strongly connected part."""
WHOLE_RULE = "the shorter street of one sector stays, then the smaller target"
OUTSIDE_METRES = 1_000.0
"""How far from the map's bounding box the point of a region may lie."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Streets:
    """Streets as read or generated, before any rule.

    name: the map's name. places: N distinct ids. position: float64 [N, 2]: longitude and latitude in degrees (`globe`), else metres east and north.
    source, target: int [E], rows of `places`. length: float64 [E], metres. street: E names. report: counts that belong before the others.
    """

    name: str
    places: Sequence[str]
    position: np.ndarray
    globe: bool
    source: np.ndarray
    target: np.ndarray
    length: np.ndarray
    street: Sequence[str]
    report: dict[str, int | str]


def place_order(places: Sequence[str]) -> list[int]:
    """Rows of `places` by id: as numbers when all are whole numbers, else as text."""
    if all(re.fullmatch(r"-?[0-9]{1,18}", place, re.ASCII) for place in places):
        return sorted(range(len(places)), key=lambda i: (int(places[i]), places[i]))
    return sorted(range(len(places)), key=lambda i: places[i])


def wrap_degrees(degrees: np.ndarray) -> np.ndarray:
    """Degrees in [-180, 180)."""
    return (degrees + 180) % 360 - 180


def bearing(start: np.ndarray, end: np.ndarray, *, globe: bool) -> np.ndarray:
    """Initial bearing [E] in degrees clockwise from north, in [0, 360), of the great circle (or the straight line) from start to end [E, 2]."""
    if not globe:
        east, north = (end - start).T
        return np.degrees(np.arctan2(east, north)) % 360
    (lon1, lat1), (lon2, lat2) = np.radians(start).T, np.radians(end).T
    east = np.sin(lon2 - lon1) * np.cos(lat2)
    north = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(lon2 - lon1)
    return np.degrees(np.arctan2(east, north)) % 360


def sector(degrees: np.ndarray) -> np.ndarray:
    """Column of DIRECTIONS of each bearing. A bearing on the line between two sectors belongs to the clockwise one."""
    return np.floor((degrees + 22.5) / 45).astype(np.int64) % len(DIRECTIONS)


def distance(start: np.ndarray, end: np.ndarray, *, globe: bool) -> np.ndarray:
    """Metres [E] between positions [E, 2]: great circle (haversine), or straight."""
    if not globe:
        return np.hypot(*(end - start).T)
    (lon1, lat1), (lon2, lat2) = np.radians(start).T, np.radians(end).T
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def project(position: np.ndarray, *, globe: bool) -> np.ndarray:
    """Metres east and north [N, 2] of the mean position; equirectangular about it on the globe."""
    if not globe:
        return position - position.mean(0)
    lon, lat = position.T
    east = wrap_degrees(lon - lon[0])
    east, north = east - east.mean(), lat - lat.mean()
    return np.radians(np.stack([east * np.cos(np.radians(lat.mean())), north], axis=1)) * EARTH_RADIUS


def resolve(streets: Streets) -> tuple[np.ndarray, np.ndarray, dict[str, int | str]]:
    """Rules (1) and (2), for streets whose places are in order of id.

    Returns the rows of the streets that stay, ordered by (source, direction); the direction of every street; and counts of what was dropped.
    """
    start, end = streets.position[streets.source], streets.position[streets.target]
    moving = np.flatnonzero((streets.source != streets.target) & (start != end).any(1))
    direction = sector(bearing(start, end, globe=streets.globe))
    name_rank = np.unique(np.asarray(streets.street, dtype=object).astype(str), return_inverse=True)[1] if len(moving) else np.zeros(0, dtype=np.int64)
    keys = (name_rank[moving], streets.target[moving], streets.length[moving], direction[moving], streets.source[moving]) if len(moving) else ()
    rows = moving[np.lexsort(keys)] if len(moving) else moving
    slot = streets.source[rows] * len(DIRECTIONS) + direction[rows]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = slot[1:] != slot[:-1]
    winner = rows[first][np.cumsum(first) - 1] if len(rows) else rows
    parallel = ~first & (streets.target[rows] == streets.target[winner])
    collision = ~first & ~parallel
    counts: dict[str, int | str] = {
        "loops_dropped": len(streets.source) - len(moving),
        "parallel_dropped": int(parallel.sum()),
        "collisions_dropped": int(collision.sum()),
        "colliding_pairs": len(np.unique(slot[~first])),
        "rule": f"{WHOLE_RULE}; then the largest strongly connected part",
    }
    return rows[first], direction, counts


def build(streets: Streets, region: str = "all", *, whole: bool = False) -> Graph:
    """The graph of `streets` inside `region`; `whole`: without rules (3) and (5), so that places may lack a way in or out.

    Errors: InputError for a malformed region, or one that leaves fewer than 3 strongly connected intersections (`whole`: fewer than 2).
    """
    wanted = parse_region(region)
    streets = _ordered(streets)
    n = len(streets.places)
    kept, direction, counts = resolve(streets)
    source, target = streets.source[kept], streets.target[kept]

    inside = largest_component(n, source, target) if n and not whole else np.ones(n, dtype=bool)
    report: dict[str, int | str] = {**streets.report, **counts, "moves_resolved": len(kept), "places_outside_largest_part": int(n - inside.sum())}
    if whole:
        report["rule"] = WHOLE_RULE
    if whole and n < FEWEST_WHOLE:
        raise InputError(f"the map {streets.name!r} has {n} intersections, and at least {FEWEST_WHOLE} are needed; choose a larger map")
    if not whole and inside.sum() < FEWEST_PLACES:
        raise InputError(
            f"the map {streets.name!r} has {n} intersections, but no {FEWEST_PLACES} of them can all reach each other by its one-way moves; choose a larger map"
        )
    if wanted is not None:
        inside = _cut(streets, inside, wanted, region, source, target, report, whole)
    stays = inside[source] & inside[target]
    report |= {"moves_outside_largest_part": int(len(kept) - stays.sum()), "places": int(inside.sum()), "moves": int(stays.sum())}
    return _graph(streets, inside, kept[stays], direction, report)


def _ordered(streets: Streets) -> Streets:
    ordered = place_order(streets.places)
    order = np.asarray(ordered, dtype=np.int64)
    row = np.empty_like(order)
    row[order] = np.arange(len(order))
    return Streets(
        name=streets.name,
        places=[streets.places[i] for i in ordered],
        position=streets.position[order],
        globe=streets.globe,
        source=row[streets.source],
        target=row[streets.target],
        length=streets.length,
        street=streets.street,
        report=streets.report,
    )


def _graph(streets: Streets, inside: np.ndarray, rows: np.ndarray, direction: np.ndarray, report: dict[str, int | str]) -> Graph:
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


# Regions


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


REGION_FORMS = "'all', 'N@lat,lon' (on a city 'N@east,north' in metres) or 'south,west,north,east' in degrees"


def parse_region(text: str) -> Nearest | Box | None:
    """What `env.region` asks for; None for `all`. Errors: InputError with the accepted forms."""
    if text.strip() == "all":
        return None
    number = r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*"
    if match := re.fullmatch(rf"\s*([0-9]{{1,9}})\s*@{number},{number}", text, re.ASCII):
        count, point = int(match[1]), (float(match[2]), float(match[3]))
        if count < FEWEST_PLACES:
            raise InputError(f"env.region {text!r} asks for {count} intersections; ask for at least {FEWEST_PLACES}")
        if all(map(np.isfinite, point)):
            return Nearest(count, point)
    if match := re.fullmatch(f"{number},{number},{number},{number}", text, re.ASCII):
        box = Box(*map(float, match.groups()))
        if not (-90 <= box.south < box.north <= 90 and -180 <= box.west < box.east <= 180):
            raise InputError(f"env.region {text!r} is no box: south must be below north (-90..90) and west below east (-180..180), in this order")
        return box
    raise InputError(f"env.region {text!r} is not understood; it is {REGION_FORMS}")


def _cut(
    streets: Streets, inside: np.ndarray, region: Nearest | Box, text: str, source: np.ndarray, target: np.ndarray, report: dict[str, int | str],
    whole: bool,
) -> np.ndarray:  # fmt: skip
    """bool [N]: rules (4) and, unless `whole`, (5). Adds to the report how many intersections the region holds and how many of them it loses."""
    where = np.flatnonzero(inside)
    if isinstance(region, Box):
        if not streets.globe:
            raise InputError(f"env.region {text!r} is a box in degrees, but {streets.name!r} is not on the globe; use 'N@east,north' in metres")
        lon, lat = streets.position[where].T
        chosen = where[(lat >= region.south) & (lat <= region.north) & (lon >= region.west) & (lon <= region.east)]
    else:
        chosen = where[_nearest(streets, where, region, text)]
    held = np.zeros(len(inside), dtype=bool)
    held[chosen] = True
    both, row = held[source] & held[target], np.cumsum(held) - 1
    kept = held.copy()
    if len(chosen) and not whole:
        kept[held] = largest_component(len(chosen), row[source[both]], row[target[both]])
    if kept.sum() < (FEWEST_WHOLE if whole else FEWEST_PLACES):
        hint = "a larger box" if isinstance(region, Box) else "a larger N or another point"
        spread = f", and at most {int(kept.sum())} of them can all reach each other" if len(chosen) and not whole else ""
        lon, lat = streets.position[where].T
        extent = f" (the map spans {lat.min():.4f},{lon.min():.4f},{lat.max():.4f},{lon.max():.4f})" if streets.globe else ""
        raise InputError(f"env.region {text!r} holds {len(chosen)} intersections of {streets.name!r}{spread}; try {hint}{extent}")
    report |= {"region": text, "places_in_region": len(chosen), "places_lost_in_region": int(len(chosen) - kept.sum())}
    return kept


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
        order = "latitude comes first, then longitude" if streets.globe else "metres east, then north, of the city's centre"
        raise InputError(f"env.region {text!r} lies {away.min() / 1000:,.0f} km from the map {streets.name!r}; choose a point on it ({order})")
    if region.count > len(where):
        raise InputError(f"env.region {text!r} asks for {region.count} intersections, but {streets.name!r} has {len(where)}; ask for fewer, or 'all'")
    return np.argsort(away, kind="stable")[: region.count]

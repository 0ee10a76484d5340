"""Streets as they are read or generated, before any rule, and the geometry of their ends.

Letters: N places, E streets (one row per direction of travel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DIRECTIONS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
"""The words of the eight 45-degree sectors centred on north, clockwise: columns 0..7."""
EARTH_RADIUS = 6_371_009.0
"""Mean radius in metres, the value that osmnx uses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Streets:
    """Streets as read or generated, before any rule.

    name: the map's name. places: N distinct ids. position: float64 [N, 2]: longitude and latitude in degrees (`globe`),
    else metres east and north. source, target: int [E], rows of `places`. length: float64 [E], metres. street: E names.
    report: counts that belong before the others, and under "notes" what people should know.
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


def wrap_degrees(degrees: np.ndarray) -> np.ndarray:
    """Degrees in [-180, 180)."""
    return (degrees + 180) % 360 - 180


def bearing(start: np.ndarray, end: np.ndarray, *, globe: bool) -> np.ndarray:
    """Initial bearing [E] in degrees clockwise from north, in [0, 360), from start to end [E, 2].

    Of the great circle (`globe`), else of the straight line.
    """
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

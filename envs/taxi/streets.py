"""Streets as they are read or generated, before the rules of `moves.py`; and the geometry of their ends.

Letters: N places, E streets (one row per direction of travel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DIRECTIONS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
"""The words for the eight sectors of 45 degrees, clockwise. The first sector is centered on north."""
EARTH_RADIUS = 6_371_009.0
"""Mean radius in meters, as in osmnx."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Streets:
    """Streets as read or generated.

    name: the name of the map. places: N distinct ids. position: float64 [N, 2], longitude and latitude in degrees if
    `globe`, else meters east and north. source, target: int [E], rows of `places`. length: float64 [E], meters.
    street: E names. report: counts from reading, which the map's report begins with; "notes": remarks for people.
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
    """The same angles in [-180, 180) degrees."""
    return (degrees + 180) % 360 - 180


def bearing(start: np.ndarray, end: np.ndarray, *, globe: bool) -> np.ndarray:
    """Bearing [E] from start [E, 2] to end [E, 2], in degrees clockwise from north, in [0, 360).

    With `globe`, the initial bearing of the great circle; else the bearing of the straight line.
    """
    if not globe:
        east, north = (end - start).T
        return np.degrees(np.arctan2(east, north)) % 360
    (lon1, lat1), (lon2, lat2) = np.radians(start).T, np.radians(end).T
    east = np.sin(lon2 - lon1) * np.cos(lat2)
    north = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(lon2 - lon1)
    return np.degrees(np.arctan2(east, north)) % 360


def sector(degrees: np.ndarray) -> np.ndarray:
    """The index in DIRECTIONS of each bearing. On the border of two sectors, the clockwise sector is taken."""
    return np.floor((degrees + 22.5) / 45).astype(np.int64) % len(DIRECTIONS)


def distance(start: np.ndarray, end: np.ndarray, *, globe: bool) -> np.ndarray:
    """Distance [E] in meters between positions [E, 2]: along the great circle if `globe` (haversine), else straight."""
    if not globe:
        return np.hypot(*(end - start).T)
    (lon1, lat1), (lon2, lat2) = np.radians(start).T, np.radians(end).T
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def project(position: np.ndarray, *, globe: bool) -> np.ndarray:
    """Positions [N, 2] in meters east and north of the mean position.

    With `globe`, by the equirectangular projection around the mean.
    """
    if not globe:
        return position - position.mean(0)
    lon, lat = position.T
    east = wrap_degrees(lon - lon[0])
    east, north = east - east.mean(), lat - lat.mean()
    return np.radians(np.stack([east * np.cos(np.radians(lat.mean())), north], axis=1)) * EARTH_RADIUS

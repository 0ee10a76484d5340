"""A street map made by the tests, with the shape of Greenwich Village and its surroundings, as osmnx writes maps.

Two tilted grids meet at a seam. Most streets are one way, some streets are missing, and there are dead ends, loops,
parallel streets and streets that leave a place in one direction. No number of a real map is copied.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from shared_cases import SHARED

from worldbench.core import streams

REAL = SHARED / "maps" / "manhattan.graphml.gz"
"""The real map of Manhattan, beside the checkout where someone put it there."""
MIDDLE = (40.7355, -74.0)
"""Latitude and longitude of the middle of the generated map, where the presets look for Greenwich Village."""
EARTH = 6_371_009.0
RADIUS = 900.0
"""Meters from the middle to the edge of the map."""
DRAW = 59
"""The draw of random numbers whose middle has nearly as many places and moves as Greenwich Village (43 and 75): 43 and
76."""
KEYS = {
    "graph": ("crs", "simplified"),
    "node": ("x", "y", "street_count", "highway"),
    "edge": (
        *("osmid", "highway", "name", "maxspeed", "oneway", "length", "reversed", "geometry", "bearing"),
        *("lanes", "ref", "access", "bridge", "tunnel", "width", "junction"),
    ),
}
"""What osmnx writes, by what it describes."""


@dataclass(frozen=True)
class Grid:
    """tilt: degrees, counter-clockwise from east. along, across: meters between corners. side: of the seam."""

    name: str
    tilt: float
    along: float
    across: float
    side: int


GRIDS = (Grid("Street", 27.0, 104.0, 78.0, -1), Grid("Lane", -8.0, 92.0, 84.0, 1))
SEAM = (38.0, 45.0)
"""The line at which the grids meet: its angle in degrees, and its distance from the middle in meters."""


@dataclass
class Town:
    """place: the positions, meters east and north. street: (from, to, name, one way) for each direction of travel."""

    rng: np.random.Generator
    place: list[tuple[float, float]] = field(default_factory=list)
    street: list[tuple[int, int, str, bool]] = field(default_factory=list)

    def add(self, u: int, v: int, name: str, oneway: bool) -> None:
        """A street from u to v, and back where it is not one way."""
        self.street.append((u, v, name, oneway))
        if not oneway:
            self.street.append((v, u, name, oneway))


def beyond_seam(point: np.ndarray) -> float:
    """Meters from the seam; negative on the side of the first grid."""
    angle = math.radians(SEAM[0])
    return float(point[1] * math.cos(angle) - point[0] * math.sin(angle) - SEAM[1])


def lay_out(town: Town, grid: Grid) -> dict[int, tuple[int, int, str, bool]]:
    """Adds the streets of one grid. Returns those that end at the seam: {place: (place, way, name, one way)}."""
    angle, reach, corner = math.radians(grid.tilt), range(-12, 13), {}
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    for i in reach:
        for j in reach:
            point = np.array([i * grid.along, j * grid.across]) @ turn + town.rng.normal(0, 4, 2)
            if np.hypot(*point) < RADIUS and beyond_seam(point) * grid.side > 15:
                corner[i, j] = len(town.place)
                town.place.append((float(point[0]), float(point[1])))
    ends = {}
    for (i, j), u in corner.items():
        for line, (di, dj), wide in ((j, (1, 0), 9), (i, (0, 1), 5)):
            oneway, name = line % wide != 0, f"{'East' if di else 'North'} {line + 20} {grid.name}"
            forward = line % 2 == 0
            for way in (1, -1):
                v = corner.get((i + way * di, j + way * dj))
                if v is None and abs(beyond_seam(np.array(town.place[u]))) < 1.2 * grid.along:
                    ends[u] = (u, 1 if forward == (way == 1) else -1, name, oneway)
                elif v is not None and way == 1 and town.rng.random() > 0.06:
                    town.add(*((u, v) if forward else (v, u)), name, oneway)
    return ends


def town(draw: int = DRAW) -> Town:
    """The town of one draw of random numbers."""
    made = Town(streams.generator("generated street map", draw))
    ends = [lay_out(made, grid) for grid in GRIDS]
    first = [k for k, point in enumerate(made.place) if beyond_seam(np.array(point)) < 0]
    second = sorted(set(range(len(made.place))) - set(first))
    where = np.array(made.place)
    for mine, others in zip(ends, (second, first)):  # each street that ends at the seam goes on to the nearest corner
        for u, way, name, oneway in mine.values():
            gap = np.hypot(*(where[others] - where[u]).T)
            v = others[int(gap.argmin())]
            if gap.min() < 130:
                made.add(*((u, v) if way == 1 else (v, u)), name, oneway)
    rng = made.rng
    for u in rng.choice(len(where), 24, replace=False):  # dead ends
        made.place.append(tuple(where[u] + rng.normal(0, 30, 2)))
        made.add(int(u), len(made.place) - 1, "Mews", False)
    for k in rng.choice(len(made.street), 10, replace=False):  # parallel streets
        u, v, _, _ = made.street[k]
        made.add(u, v, "Crescent", True)
    for k in rng.choice(len(made.street), 12, replace=False):  # streets that leave where another leaves
        u, v, _, _ = made.street[k]
        further = [b for a, b, _, _ in made.street if a == v and b != u]
        if further:
            made.add(u, further[0], "", True)
    for u in rng.choice(len(where), 3, replace=False):
        made.add(int(u), int(u), "Circle", True)
    return made


def bearing(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Degrees clockwise from north at which the shortest way from a to b (longitude, latitude) begins."""
    (lon1, lat1), (lon2, lat2) = ((math.radians(x) for x in point) for point in (a, b))
    east = math.sin(lon2 - lon1) * math.cos(lat2)
    north = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
    return math.degrees(math.atan2(east, north)) % 360


def graphml() -> str:
    """The town as osmnx writes a map: every value a string under a numbered key, several values as a list."""
    made = town()
    scale = math.degrees(1 / EARTH)
    lonlat = [
        (round(MIDDLE[1] + x * scale / math.cos(math.radians(MIDDLE[0])), 7), round(MIDDLE[0] + y * scale, 7))
        for x, y in made.place
    ]
    names = [(of, name) for of, group in KEYS.items() for name in group]
    number = {key: f"d{k}" for k, key in enumerate(names)}
    head = "\n".join(
        f'<key id="{number[of, name]}" for="{of}" attr.name="{name}" attr.type="string" />'
        for of, name in reversed(names)
    )

    def data(of: str, values: dict[str, object]) -> str:
        return "".join(f'<data key="{number[of, k]}">{escape(str(v))}</data>' for k, v in values.items() if v != "")

    ids = [7_000_001 + 17 * int(k) for k in made.rng.permutation(len(lonlat))]
    nodes = []
    for k, (x, y) in enumerate(lonlat):
        about = {"x": x, "y": y, "street_count": 4, "highway": "" if k % 3 else "crossing"}
        nodes.append(f'<node id="{ids[k]}">{data("node", about)}</node>')
    edges, seen = [], dict[tuple[int, int], int]()
    for k, (u, v, name, oneway) in enumerate(
        sorted(made.street, key=lambda street: street[:2])
    ):  # as networkx writes them
        again = seen[u, v] = seen.get((u, v), -1) + 1
        length = math.dist(made.place[u], made.place[v]) * (1 + 0.2 * again) if u != v else 60.0
        bent = made.rng.random() < 0.2
        line = ", ".join(f"{x} {y}" for x, y in (lonlat[u], lonlat[v], lonlat[v])) if bent else ""
        values: dict[str, object] = {
            "osmid": 500 + k if k % 7 else [500 + k, 501 + k],
            "highway": "residential" if k % 5 else ["residential", "tertiary"],
            "name": name if k % 11 else [name, "Old Road"],
            "oneway": oneway,
            "length": length,
            "reversed": k % 2 == 1,
            "geometry": f"LINESTRING ({line})" if bent else "",
            "bearing": bearing(lonlat[u], lonlat[v]) if u != v else "",
        }
        edges.append(f'<edge source="{ids[u]}" target="{ids[v]}" id="{again}">{data("edge", values)}</edge>')
    body = "\n".join([data("graph", {"crs": "epsg:4326", "simplified": True}), *nodes, *edges])
    return (
        f"<?xml version='1.0' encoding='utf-8'?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n{head}\n"
        f'<graph edgedefault="directed">\n{body}\n</graph>\n</graphml>\n'
    )


def write(path: Path) -> Path:
    """Writes the map as packed GraphML; the same bytes at each call."""
    path.write_bytes(gzip.compress(graphml().encode(), mtime=0))
    return path

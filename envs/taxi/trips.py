"""Trips from a CSV file: the origin and the destination of rides.

The header names the columns; other columns are ignored. Without a header, the four columns are in the order of
`Form.columns`. On a map with positions in degrees they are longitude and latitude; on a map in meters, x is meters east
and y meters north.

Shape letters: T trips, n points, N places.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.files import read_text
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.taxi.reading import number, quoted
from worldbench.envs.taxi.streets import EARTH_RADIUS

_ENDS = {"origin": ("origin", "pickup", "start", "from"), "destination": ("destination", "dropoff", "end", "to")}
_AXES = ({"lon": ("lon", "longitude", "lng"), "lat": ("lat", "latitude")}, {"x": ("x",), "y": ("y",)})


@dataclass(frozen=True)
class Form:
    """How a trip is written. columns: their four names. names: the column that each accepted name means. axes: what the
    two numbers of a point are, and their largest absolute value."""

    columns: tuple[str, ...]
    names: dict[str, str]
    axes: tuple[tuple[str, float], tuple[str, float]]

    @property
    def text(self) -> str:
        return f"the columns are {', '.join(self.columns)}"


def _form(axes: dict[str, tuple[str, ...]], *named: tuple[str, float]) -> Form:
    names = {
        f"{word}_{spelling}": f"{end}_{axis}"
        for end, words in _ENDS.items()
        for word in words
        for axis, spellings in axes.items()
        for spelling in spellings
    }
    first, second = named
    return Form(tuple(dict.fromkeys(names.values())), names, (first, second))


DEGREES = _form(_AXES[0], ("longitude", 180.0), ("latitude", 90.0))
METERS = _form(_AXES[1], ("position in meters", 1e9), ("position in meters", 1e9))
LARGEST_BYTES = 1 << 28
FARTHEST = 500.0
"""Largest distance of a point from the nearest intersection, in meters. A trip with a farther point is left out."""
SHOWN = 3
"""Number of faulty lines that an error names."""


@dataclass(frozen=True)
class Trips:
    """pairs: int64 [T, 2], the intersections where the trips begin and end. far: how many trips were left out because a
    point is far from the map. still: how many because both ends are at one intersection."""

    pairs: np.ndarray
    far: int
    still: int

    @property
    def digest(self) -> str:
        """SHA-256 of the pairs."""
        return hashlib.sha256(np.ascontiguousarray(self.pairs, "<i8").tobytes()).hexdigest()

    def summary(self) -> str:
        """A clause for people on what was read and left out."""
        text = counted(len(self.pairs), "trip")
        left = [f"{self.far:,} with a point more than {FARTHEST:g} m from every intersection"] if self.far else []
        left += [f"{self.still:,} that begin and end at one intersection"] if self.still else []
        return text + (f" (left out: {', '.join(left)})" if left else "")


def read_trips(path: Path, graph: Graph) -> Trips:
    """The trips of a file, each end moved to the nearest intersection.

    Raises InputError if the file is not such a CSV, if a number is bad, and if no trip is left.
    """
    points = _points(path, METERS if graph.lonlat is None else DEGREES)  # [T, 2, 2]: both ends, each two numbers
    place, distance = _nearest(points.reshape(-1, 2), graph)
    pairs, near = place.reshape(-1, 2), (distance.reshape(-1, 2) <= FARTHEST).all(axis=1)
    moving = pairs[:, 0] != pairs[:, 1]
    kept = Trips(pairs[near & moving], int((~near).sum()), int((near & ~moving).sum()))
    if not len(kept.pairs):
        swapped = _nearest(points.reshape(-1, 2)[:, ::-1], graph)[1].reshape(-1, 2)
        hint = (
            "the two numbers of each point are in the other order: exchange their names in the header"
            if kept.far and (swapped <= FARTHEST).all(axis=1).any()
            else "choose the map, or the part of it (--env.region), where the trips are"
        )
        raise InputError(
            f"no trip of {str(path)!r} can be used on the map {graph.name!r}: {kept.far:,} of "
            f"{counted(len(points), 'trip')} have a point more than {FARTHEST:g} m from every intersection, and "
            f"{kept.still:,} begin and end at one intersection; {hint}"
        )
    return kept


def _nearest(points: np.ndarray, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """For points [n, 2], the nearest place of the map, int64 [n], and its distance in meters."""
    from scipy.spatial import KDTree

    def on_sphere(degrees: np.ndarray) -> np.ndarray:
        lon, lat = np.radians(degrees).T
        return EARTH_RADIUS * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)

    if graph.lonlat is None:
        distance, place = KDTree(graph.metres).query(points)
    else:
        distance, place = KDTree(on_sphere(graph.lonlat)).query(on_sphere(points))
    return np.asarray(place, np.int64), np.asarray(distance)


def _points(path: Path, form: Form) -> np.ndarray:
    """float64 [T, 2, 2]: of each trip, origin and destination, each two numbers."""
    reader = csv.reader(io.StringIO(read_text(path, LARGEST_BYTES)), skipinitialspace=True)
    columns: list[int] | None = None
    width, rows, problems = 0, [], []
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            if columns is None:
                columns, is_header = _columns(path, form, [c.strip() for c in cells])
                width = max(columns) + 1
                if is_header:
                    continue
            values = [number(cells[c]) for c in columns] if len(cells) >= width else []
            if problem := _problem(cells, columns, values, form):
                problems.append(f"line {reader.line_num}: {problem}")
            else:
                rows.append(values)
    except csv.Error as error:
        raise InputError(
            f"the trips {str(path)!r} are not CSV (line {reader.line_num}: {error}); {form.text}"
        ) from error
    if problems:
        more = f"; and {counted(len(problems) - SHOWN, 'more line')}" if len(problems) > SHOWN else ""
        raise InputError(
            f"the trips {str(path)!r} cannot be used: {'; '.join(problems[:SHOWN])}{more}; correct or remove such "
            f"lines ({form.text})"
        )
    if not rows:
        raise InputError(f"the trips {str(path)!r} have no trip; {form.text}")
    return np.array(rows).reshape(-1, 2, 2)


def _columns(path: Path, form: Form, row: list[str]) -> tuple[list[int], bool]:
    """The index of each column of the form, from the first row, and whether this row is a header."""
    names = [form.names.get(name.lower(), "") for name in row]
    if not any(names):
        if len(row) == len(form.columns) and not math.isnan(number(row[0])):
            return list(range(len(form.columns))), False
        found = ", ".join(map(quoted, row[:6]))
        raise InputError(f"the trips {str(path)!r} have the columns {found}; {form.text}")
    missing = [name for name in form.columns if name not in names]
    double = [name for name in form.columns if names.count(name) > 1]
    if missing or double:
        what = f"lack the column {missing[0]!r}" if missing else f"have two columns {double[0]!r}"
        raise InputError(f"the trips {str(path)!r} {what}; {form.text}")
    return [names.index(name) for name in form.columns], True


def _problem(cells: list[str], columns: list[int], values: list[float], form: Form) -> str:
    """What is wrong with a row, or ""."""
    if not values:
        return f"it has {counted(len(cells), 'cell')}"
    for column, value, (axis, limit) in zip(columns, values, form.axes * 2):
        if not abs(value) <= limit:
            return f"{quoted(cells[column])} is not a {axis} (-{limit:g} to {limit:g})"
    return ""

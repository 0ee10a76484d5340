"""Positions of places from a separate file: longitude and latitude of each place.

A name that ends in .csv or .txt is CSV with the columns `node,lon,lat` in degrees (also `longitude` and `latitude`):
in any order if there is a header, else in this order. Any other file is read as a GraphML street map, whose node ids
are the names of the places. Places that are not on the map are ignored.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.files import read_text
from worldbench.core.text import counted

Positions = dict[str, tuple[float, float]]
"""(longitude, latitude) in degrees, by place."""

SUFFIXES = (".csv", ".txt")
COLUMNS = ("node", "lon", "lat")
NAMES = {"node": "node", "lon": "lon", "longitude": "lon", "lat": "lat", "latitude": "lat"}
LARGEST_BYTES = 1 << 27
SHOWN = 3
"""Number of faulty lines that an error names."""


def read_positions(path: Path) -> Positions:
    """The positions in a file. Raises InputError with all that is wrong, in one sentence."""
    if path.name.lower().endswith(SUFFIXES):
        return _csv(path)
    from worldbench.envs.taxi.map_files import read

    streets = read(path)
    if not streets.globe:
        raise InputError(f"the positions {str(path)!r} are not in degrees; save the map unprojected (EPSG:4326)")
    return dict(zip(streets.places, map(tuple, streets.position.tolist())))


def _csv(path: Path) -> Positions:
    out: Positions = {}
    columns: tuple[str, ...] | None = None
    problems: list[str] = []
    reader = csv.reader(io.StringIO(read_text(path, LARGEST_BYTES)), skipinitialspace=True)
    try:
        for cells in reader:
            row = [c.strip() for c in cells]
            if not any(row):
                continue
            if columns is None:
                columns = tuple(NAMES.get(c.lower(), c) for c in row)
                if set(columns) & set(COLUMNS):
                    if sorted(columns) != sorted(COLUMNS):
                        found = ", ".join(repr(c[:40]) for c in row[:6])
                        raise InputError(
                            f"the positions {str(path)!r} have the columns {found}; they must be node,lon,lat"
                        )
                    continue
                columns = COLUMNS
            if problem := _place(dict(zip(columns, row)) if len(row) == len(columns) else {}, out):
                problems.append(f"line {reader.line_num}: {problem}")
    except csv.Error as error:
        raise InputError(
            f"the positions {str(path)!r} are not CSV (line {reader.line_num}: {error}); write node,lon,lat"
        ) from error
    if problems:
        more = f"; and {counted(len(problems) - SHOWN, 'more line')}" if len(problems) > SHOWN else ""
        first = "; ".join(problems[:SHOWN])
        raise InputError(
            f"the positions {str(path)!r} cannot be used: {first}{more}. A line reads: node,lon,lat, in degrees"
        )
    if not out:
        raise InputError(f"the positions {str(path)!r} have no place; a line reads: node,lon,lat, in degrees")
    return out


def _place(cell: dict[str, str], out: Positions) -> str:
    """Puts one row into `out`. Returns what is wrong with the row, or ""."""
    if not cell:
        return "the line does not have three cells"
    try:
        at = float(cell["lon"]), float(cell["lat"])
    except ValueError:
        at = math.nan, math.nan
    if not (abs(at[0]) <= 180 and abs(at[1]) <= 90):
        return f"{cell['lon'][:40]!r}, {cell['lat'][:40]!r} are not a longitude (-180..180) and a latitude (-90..90)"
    if out.setdefault(cell["node"], at) != at:
        return f"the place {cell['node'][:40]!r} has a different position in an earlier line"
    return ""

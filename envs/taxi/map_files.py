"""Reads a street map from a file: GraphML, OpenStreetMap XML, a GeoPackage, or the project's compact file.

The content says which of these a file is; the name does not matter. Each may be packed (.gz, .xz, .bz2).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.envs.taxi import compact
from worldbench.envs.taxi.containers import SQLITE, inner_name, packed, refuse_foreign, unpacked
from worldbench.envs.taxi.coordinates import PAIRS, SINGLE, pair
from worldbench.envs.taxi.graphml import streets_of
from worldbench.envs.taxi.graphml_columns import Columns
from worldbench.envs.taxi.graphml_parser import parse
from worldbench.envs.taxi.reading import Refused
from worldbench.envs.taxi.streets import Streets

FORM = (
    "env.map takes GraphML as osmnx.save_graphml writes it, OpenStreetMap XML, a GeoPackage of osmnx, or a file of "
    "worldbench map"
)
OSM = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>)?\s*(<!--.*?-->\s*)*<osm[\s>]", re.DOTALL)
"""The start of OpenStreetMap XML."""

LARGEST_FOR_OSMNX = 1 << 27
"""Most bytes, after unpacking, of a file that osmnx or geopandas read: they take many times as much memory."""

_last: dict[tuple[str, str], Streets] = {}
"""The map that was read last, by its path and the digest of the file. A region is looked for in the map that is then
built from it."""


def read(path: Path) -> Streets:
    """The streets of a file.

    An edge without a length, or with length 0, gets the distance between its ends. The positions of a file without
    `crs` are read as degrees if they can be degrees. An undirected edge is a street in both directions. The file that
    was read last is not parsed again unless it has changed. Raises InputError with all that is wrong, in one sentence.
    """
    try:
        raw = packed(path)
        key = str(path), hashlib.sha256(raw).hexdigest()
        if key not in _last:
            streets = _streets(path, raw)
            _last.clear()
            _last[key] = streets
        return _last[key]
    except Refused as reason:
        raise InputError(f"the map {str(path)!r} {reason}; {reason.remedy or FORM}") from reason


def _streets(path: Path, raw: bytes) -> Streets:
    if compact.MARK in raw and raw.startswith(b"PK"):
        return compact.read(path)
    pieces = unpacked(raw, path)
    start = next(pieces, b"")
    whole = chain([start], pieces)
    if start.startswith(SQLITE):
        return _through_osmnx("geopackage", whole, path)
    if OSM.match(start):
        return _through_osmnx("xml", whole, path)
    refuse_foreign(start, inner_name(path))
    return streets_of(path, parse(whole, Columns(SINGLE, PAIRS, pair)))


def _through_osmnx(kind: str, pieces: Iterator[bytes], path: Path) -> Streets:
    from worldbench.envs.taxi import osm_files

    content = b"".join(pieces)
    if len(content) > LARGEST_FOR_OSMNX:
        raise Refused(
            f"holds more than {LARGEST_FOR_OSMNX >> 20:,} MiB, which is the limit for files that osmnx reads",
            "cut out a part, for example with osmium extract, or save it as GraphML with osmnx.save_graphml",
        )
    document, notes = getattr(osm_files, kind)(content)
    return streets_of(path, document, notes)

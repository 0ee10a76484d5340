"""The positions of the nodes of a GraphML map: which attributes hold them, and the unit of the numbers.

Positions are longitude and latitude in degrees of WGS 84 (EPSG:4326, in any of its spellings), or in another crs that
pyproj knows, and are then turned into degrees. If the map says so, they are meters on a plane instead.
Letters: N nodes, E edges.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from worldbench.envs.taxi.graphml_columns import Document
from worldbench.envs.taxi.reading import FARTHEST, number, quoted, some
from worldbench.envs.taxi.streets import distance

LONGITUDES, LATITUDES = ("lon", "lng", "long", "longitude"), ("lat", "latitude")
PAIRS = ("pos", "position", "coordinates", "coords", "coord", "location", "point", "geometry", "geom")
"""Node attributes that hold two numbers, east before north: `(13.4, 52.5)`, `13.4 52.5`, `POINT (13.4 52.5)`."""
SINGLE = ("x", "y", *LONGITUDES, *LATITUDES)
WGS84 = {"epsg:4326", "wgs84", "ogc:crs84", "urn:ogc:def:crs:epsg::4326", "urn:ogc:def:crs:ogc:1.3:crs84"}
"""The usual spellings of WGS 84, recognized without pyproj."""
METRES = {"metres", "meters", "metre", "meter", "m"}
LONGEST_CRS = 10_000
LONGEST_PAIR = 200
PAIR = re.compile(r"\s*(?:POINT\s*)?[(\[]?\s*([^\s,;()\[\]]+)[\s,;]+([^\s,;()\[\]]+)\s*[)\]]?\s*", re.IGNORECASE)
LONGEST_MEDIAN = 10_000.0
"""If the numbers of a map without a crs, read as degrees, make the median street longer than this many meters, they are
not degrees. The median street of Manhattan has 100 meters."""
TO_DEGREES = (
    "name the crs so that pyproj reads it, such as EPSG:32618, or project the map back and save it again: "
    "osmnx.save_graphml(osmnx.project_graph(G, to_latlong=True), 'map.graphml')"
)
SAY_WHICH = (
    "say in the file what they are and save it again: G.graph['crs'] = 'epsg:4326' for degrees, "
    "G.graph['crs'] = 'metres' for meters east and north on a plane"
)

Frame = Literal["degrees", "metres", "unknown", "other"]


@dataclass(frozen=True)
class Positions:
    """Positions of nodes, and what is wrong with them.

    position: float64 [N, 2], longitude and latitude in degrees if `globe`, else meters east and north. problems: what
    is wrong, in words. note: which attributes were used, for people; "" for the usual x and y.
    """

    position: np.ndarray
    globe: bool
    problems: list[str]
    note: str = ""


def frame(crs: str | None) -> Frame:
    """The unit of the positions of a file with this crs; "unknown" if the file names no crs."""
    text = (crs or "").strip()
    if text.lower() in ("", "none", "null"):
        return "unknown"
    if text.lower() in WGS84:
        return "degrees"
    if text.lower() in METRES:
        return "metres"
    return "degrees" if len(text) <= LONGEST_CRS and _is_wgs84(text) else "other"


def _is_wgs84(text: str) -> bool:
    """Does pyproj read the text as EPSG:4326, in either order of the axes?"""
    from pyproj import CRS

    wgs84 = CRS.from_epsg(4326)
    return any(crs.to_2d().equals(wgs84, ignore_axis_order=True) for crs in _read_by_pyproj(text))


@lru_cache(maxsize=4)
def _read_by_pyproj(text: str) -> list[Any]:
    """What the text can mean: the whole of it, then the code at its end. Empty if pyproj reads neither, which
    takes it seconds."""
    from pyproj import CRS

    value: Any = text
    if text.startswith("{"):  # a dict as Python writes it, or JSON, which pyproj reads itself
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = text
    out = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyproj warns about old spellings, which are accepted here
        for candidate in filter(None, (value, _code_of_text(text))):
            try:
                out.append(CRS.from_user_input(candidate))
            except Exception:  # a malformed dict or text can raise any error in pyproj
                continue
    return out


def _on_a_plane(crs: str) -> bool:
    """Does pyproj read the text as a projected crs, whose positions are lengths and not degrees?"""
    read = _read_by_pyproj(crs) if len(crs) <= LONGEST_CRS else []
    return bool(read) and bool(read[0].is_projected)


def _to_degrees(crs: str, at: np.ndarray) -> np.ndarray | None:
    """Longitude and latitude float64 [N, 2] of positions in another crs, to nine decimals (0.1 mm); None if pyproj does
    not read the crs, or cannot turn every finite position into degrees."""
    from pyproj import Transformer

    finite = np.isfinite(at).all(1)
    for read in _read_by_pyproj(crs) if len(crs) <= LONGEST_CRS else []:
        out = np.full(at.shape, np.nan)
        try:
            turned = Transformer.from_crs(read, 4326, always_xy=True).transform(*at[finite].T, errcheck=True)
        except Exception:  # pyproj has no way from this crs to degrees, or a position lies outside its domain
            continue
        out[finite] = np.round(np.stack(turned, axis=1), 9)
        if np.isfinite(out[finite]).all():
            return out
    return None


def _code_of_text(text: str) -> str | None:
    """The code at the end of a well-known text (WKT), such as EPSG:4326; None if there is none. Some texts that pyproj
    cannot read as a whole still end in the code."""
    match = re.search(r"""(?:ID|AUTHORITY)\[\s*"(\w+)"\s*,\s*"?(\w+)"?\s*\]\s*[\])]\s*$""", text, re.IGNORECASE)
    return f"{match[1]}:{match[2]}" if match else None


def pair(text: str) -> tuple[float, float]:
    """The two numbers in a text; NaN for both if the text is not two numbers."""
    match = PAIR.fullmatch(text) if len(text) <= LONGEST_PAIR else None
    return (number(match[1]), number(match[2])) if match else (np.nan, np.nan)


def positions(document: Document) -> Positions:
    """The positions of the N declared nodes of a document, and everything that is wrong with them."""
    ids = [node for node, there in zip(document.ids, document.declared.tolist()) if there]
    what, plain, in_degrees = frame(document.crs), _plain(document), _in_degrees(document)
    doubt, remedy, turned = "", "", ""
    if what == "other":
        crs = (document.crs or "").strip()
        doubt, remedy = f"its crs is {quoted(crs)}, and its positions could not be turned into degrees", TO_DEGREES
        if plain is not None and _on_a_plane(crs) and (np.nanmax(np.abs(plain[1]), axis=0) <= [180, 90]).all():
            doubt, remedy = f"its crs is {quoted(crs)}, but its positions look like degrees", SAY_WHICH
        elif plain is not None and in_degrees is None and (at := _to_degrees(crs, plain[1])) is not None:
            plain, doubt = (plain[0], at), ""
            turned = f"positions turned into degrees from the crs {quoted(crs)}"
    elif what == "unknown" and plain is not None and (why := _no_degrees(document, plain[1])):
        doubt, remedy = f"it names no crs, and {why}", SAY_WHICH
    found = _fullest([None if doubt else plain, None if what == "metres" else in_degrees])
    if found is None:
        problems = [f"{doubt}; {remedy}"] if doubt else some("no numeric x and y (nor lon and lat, nor pos)", ids)
        return Positions(np.zeros((len(ids), 2)), True, problems)
    names, at = found
    bad = ~np.isfinite(at).all(1)
    problems = some(f"no numeric {names}", (ids[k] for k in np.flatnonzero(bad)))
    limit = [FARTHEST, FARTHEST] if what == "metres" else [180, 90]
    beyond = (np.abs(at) > limit).any(1) & ~bad
    where = "beyond a million kilometers" if what == "metres" else "outside -180..180, -90..90 degrees"
    problems += some(f"positions {where}", (ids[k] for k in np.flatnonzero(beyond)))
    note = "" if names == "x and y" else f"positions are the nodes' {names}" + (f", because {doubt}" if doubt else "")
    note = "; ".join(filter(None, [note, turned]))
    return Positions(at, what != "metres", problems, note)


Found = tuple[str, np.ndarray]
"""The names of the attributes, and float64 [N, 2]."""


def _plain(document: Document) -> Found | None:
    """Positions from attributes whose names do not say whether the numbers are degrees."""
    pairs = [_columns(document, name, (name, 0), (name, 1)) for name in PAIRS]
    return _fullest([_columns(document, "x and y", "x", "y"), *pairs])


def _in_degrees(document: Document) -> Found | None:
    """Positions from attributes that are named longitude and latitude."""
    return _fullest([_columns(document, f"{lon} and {lat}", lon, lat) for lon in LONGITUDES for lat in LATITUDES])


def _columns(document: Document, names: str, east: str | tuple[str, int], north: str | tuple[str, int]) -> Found | None:
    """The two columns, for the declared nodes; None if no node has both numbers."""
    if east not in document.numbers or north not in document.numbers:
        return None
    at = np.stack([document.numbers[east], document.numbers[north]], axis=1)[document.declared]
    return (names, at) if np.isfinite(at).all(1).any() else None


def _fullest(found: list[Found | None]) -> Found | None:
    """The positions that most nodes have; the first of several such."""
    there = [item for item in found if item is not None]
    return max(there, key=lambda item: int(np.isfinite(item[1]).all(1).sum()), default=None)


def _no_degrees(document: Document, at: np.ndarray) -> str:
    """Why the positions of a file without a crs cannot be degrees; "" if they can be."""
    east, north = np.abs(at[np.isfinite(at).all(1)]).max(0)
    if east > 180 or north > 90:
        return f"its positions reach {max(east, north):,.0f}, so they are not degrees"
    row = np.cumsum(document.declared) - 1
    both = document.declared[document.source] & document.declared[document.target]
    source, target = row[document.source[both]], row[document.target[both]]
    away = distance(at[source], at[target], globe=True)
    away = away[np.isfinite(away) & (source != target)]
    median = float(np.median(away)) if len(away) else 0.0
    if median <= LONGEST_MEDIAN:
        return ""
    return f"its median street would be {median / 1000:,.0f} km long if its positions were degrees"

"""Reading a street map: GraphML as osmnx writes it, plain or gzipped, with networkx alone.

A map may come from anywhere, so the file is first streamed once through the standard library's expat: it must be well-formed, flat, of bounded size and
without a document type declaration (so without entities); only then networkx reads it. Whatever is wrong is one InputError.
"""

from __future__ import annotations

import ast
import gzip
import io
import math
import warnings
import xml.parsers.expat
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.envs.taxi.moves import DIRECTIONS, Streets, distance

LARGEST_BYTES = 1 << 29
"""Most bytes of XML after decompression; Manhattan has 6.4 million."""
MOST_ELEMENTS = 10_000_000
"""Most XML elements, since each costs memory however short it is; Manhattan has 122 thousand."""
DEEPEST = 16
"""Most levels of nesting; osmnx writes four."""
GLOBE = {"epsg:4326", "wgs84", "ogc:crs84", "urn:ogc:def:crs:epsg::4326", "urn:ogc:def:crs:ogc:1.3:crs84"}
RESERVED = {*DIRECTIONS, "end", "pad"}
"""Words of a ride that no intersection may bear."""
CHUNK = 1 << 20


class _Refused(Exception):
    """Why the file cannot be a street map."""


@dataclass
class _Outline:
    """What the first pass saw: the number of <graph> elements, the ids of nodes, and of edges' ends."""

    root: str = ""
    depth: int = 0
    elements: int = 0
    graphs: int = 0
    edges: int = 0
    nodes: list[str] = field(default_factory=list)
    ends: set[str] = field(default_factory=set)


def read(path: Path) -> Streets:
    """The streets of a GraphML file: nodes with x (longitude) and y (latitude) in degrees, directed edges with `length` in metres and `name`.

    An edge without a length, or of length 0, gets the great-circle distance of its ends. A file without `crs` is taken for degrees.
    Errors: InputError, one sentence that gathers all that is wrong.
    """
    import networkx as nx

    try:
        text, outline = _scan(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # networkx warns of keys without a type, which are text here anyway
                graph = nx.read_graphml(io.BytesIO(text), force_multigraph=True)
        except Exception as error:  # networkx answers a malformed file with whatever its conversion raised
            raise _Refused(f"is not GraphML that networkx can read ({type(error).__name__}: {_shown(error)})") from error
        del text
        return _streets(path, graph, outline)
    except _Refused as reason:
        raise InputError(f"the map {str(path)!r} {reason}; env.map takes GraphML as osmnx.save_graphml writes it") from reason


# First pass


def _scan(path: Path) -> tuple[bytes, _Outline]:
    """The whole XML, checked for form, and its outline."""
    outline = _Outline()
    parser = _parser(outline)
    text = bytearray()
    try:
        with _opened(path) as file:
            while chunk := file.read(CHUNK):
                text += chunk
                if len(text) > LARGEST_BYTES:
                    raise _Refused(f"holds more than {LARGEST_BYTES >> 20:,} MiB of XML, which is the limit")
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _Refused(f"is not a whole gzip file ({_shown(error)})") from error
    except EOFError as error:
        raise _Refused("is a truncated gzip file") from error
    except OSError as error:
        raise _Refused(f"cannot be read ({error.strerror or _shown(error)})") from error
    except (xml.parsers.expat.ExpatError, ValueError, LookupError) as error:
        raise _Refused(f"is not well-formed XML ({_shown(error)})") from error
    if outline.graphs != 1:
        raise _Refused(f"holds {outline.graphs} <graph> elements, not one")
    return bytes(text), outline


def _opened(path: Path) -> io.BufferedIOBase:
    if not path.exists():
        raise _Refused("does not exist")
    if not path.is_file():
        raise _Refused("is not a file")
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if not zipped and path.suffix == ".gz":
        raise _Refused("is named .gz but is not gzip")
    return gzip.GzipFile(path) if zipped else path.open("rb")


def _parser(outline: _Outline) -> xml.parsers.expat.XMLParserType:
    parser = xml.parsers.expat.ParserCreate(namespace_separator="}")

    def start(name: str, attributes: dict[str, str]) -> None:
        outline.depth += 1
        outline.elements += 1
        if outline.elements > MOST_ELEMENTS:
            raise _Refused(f"holds more than {MOST_ELEMENTS:,} XML elements, which is the limit")
        if outline.depth > DEEPEST:
            raise _Refused(f"is nested more than {DEEPEST} levels deep")
        tag = name.rpartition("}")[2]
        if tag == "node":
            outline.nodes.append(attributes.get("id", ""))
        elif tag == "edge":
            outline.edges += 1
            outline.ends.add(attributes.get("source", ""))
            outline.ends.add(attributes.get("target", ""))
        elif tag == "graph":
            outline.graphs += 1
        elif outline.depth == 1 and tag != "graphml":
            raise _Refused(f"is XML but not GraphML (its first element is <{tag[:40]}>)")

    def end(_name: str) -> None:
        outline.depth -= 1

    def doctype(*_: Any) -> None:
        raise _Refused("has a document type declaration, which a map does not need and which can hide entity attacks; remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    return parser


# Second pass


def _streets(path: Path, graph: Any, outline: _Outline) -> Streets:
    """Streets from networkx's graph, or everything that is wrong with it."""
    problems: list[str] = []
    if not graph.is_directed():
        problems.append("it is undirected")
    crs = str(graph.graph.get("crs", "epsg:4326")).strip()
    if crs.lower() not in GLOBE:
        problems.append(f"its crs is {_quoted(crs)} where EPSG:4326 (degrees) is needed, so save the map unprojected")
    if not outline.edges:
        problems.append("it has no edges")
    known = set(outline.nodes)
    if len(known) < len(outline.nodes):
        problems.append(f"{len(outline.nodes) - len(known)} nodes repeat the id of another")
    problems += _some(sorted(outline.ends - known), "are ends of edges but no nodes")
    places = [node for node in graph if node in known]
    problems += _some((p for p in places if not p or not p.isprintable() or any(c.isspace() for c in p) or p in RESERVED), "cannot serve as ids")
    x, y = (_numbers(graph.nodes[node].get(axis) for node in places) for axis in "xy")
    problems += _some((p for p, bad in zip(places, ~(np.isfinite(x) & np.isfinite(y)), strict=True) if bad), "have no numeric x and y")
    problems += _some((p for p, bad in zip(places, (np.abs(x) > 180) | (np.abs(y) > 90), strict=True) if bad), "lie outside -180..180, -90..90 degrees")

    edges = [(u, v, data) for u, v, data in graph.edges(data=True)]
    if len(edges) < outline.edges:
        problems.append(f"{outline.edges - len(edges)} edges repeat the source, target and id of another")
    written = _numbers(data.get("length", 0.0) for _, _, data in edges)
    bad = ~np.isfinite(written) | (written < 0)
    problems += _some((f"{u}->{v}" for (u, v, _), wrong in zip(edges, bad, strict=True) if wrong), "have no usable length", "edges")
    if problems:
        raise _Refused(f"cannot be used: {'; '.join(problems)}")

    row = {place: i for i, place in enumerate(places)}
    source = np.array([row[u] for u, _, _ in edges], dtype=np.int64)
    target = np.array([row[v] for _, v, _ in edges], dtype=np.int64)
    position = np.stack([x, y], axis=1)
    length = np.where(written > 0, written, distance(position[source], position[target], globe=True))
    return Streets(
        name=path.name.removesuffix(".gz").removesuffix(".graphml"),
        places=places,
        position=position,
        globe=True,
        source=source,
        target=target,
        length=length,
        street=[street_name(data.get("name", "")) for _, _, data in edges],
        report={"nodes_read": len(places), "edges_read": len(edges)},
    )


def street_name(value: object) -> str:
    """One printable name; of a list, which osmnx writes as Python text, the names joined by a slash."""
    text = str(value)
    if text.startswith("[") and len(text) < 10_000:
        try:
            parsed = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            text = " / ".join(str(part) for part in parsed)
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def _numbers(values: Iterable[Any]) -> np.ndarray:
    """float64, nan for what is not a number."""
    return np.fromiter(map(_number, values), dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _some(items: Iterable[str], what: str, kind: str = "nodes") -> list[str]:
    """`["3 nodes have no numeric x and y (the first is '7')"]`, or nothing."""
    found = list(items)
    return [f"{len(found)} {kind} {what} (the first is {_quoted(found[0])})"] if found else []


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "..")


def _shown(error: BaseException) -> str:
    return ascii(str(error)).strip("'\"")[:120]

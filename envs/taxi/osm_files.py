"""Street maps in OpenStreetMap XML and in GeoPackages, read through osmnx and its libraries.

OpenStreetMap XML holds everything that was mapped, so only the streets for cars are taken, as in the network type
"drive" of osmnx. A GeoPackage must have the layers `nodes` and `edges` of `osmnx.save_graph_geopackage`.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldbench.envs.taxi.coordinates import PAIRS, SINGLE, pair
from worldbench.envs.taxi.graphml_columns import Columns, Document
from worldbench.envs.taxi.reading import Refused, counted, shown

NO_CARS = frozenset(
    {
        *("abandoned", "bridleway", "bus_guideway", "construction", "corridor", "cycleway", "elevator", "escalator"),
        *("footway", "no", "path", "pedestrian", "planned", "platform", "proposed", "raceway", "razed", "rest_area"),
        *("service", "services", "steps", "track"),
    }
)
"""Values of `highway` that are no streets for cars: those of the network type "drive" of osmnx."""
PRIVATE, CLOSED = frozenset({"private"}), frozenset({"no"})
TAGS_OF_WAYS = ("highway", "name", "oneway", "area", "access", "motor_vehicle", "motorcar", "length")
SAVE_GEOPACKAGE = "save the map with osmnx.save_graph_geopackage(G, 'map.gpkg') or osmnx.save_graphml(G, 'map.graphml')"
GRAPHML = "osmnx.save_graphml(G, 'map.graphml') writes a map that is read without osmnx"


def xml(content: bytes) -> tuple[Document, list[str]]:
    """The streets for cars of OpenStreetMap XML, and notes for people. Raises Refused."""
    if b"<!DOCTYPE" in content:
        raise Refused(
            "has a document type declaration, which a map does not need and which can hide entity attacks", "remove it"
        )
    with _file(content, "map.osm") as path, _library("osmnx") as osmnx:
        before = osmnx.settings.useful_tags_way
        try:
            osmnx.settings.useful_tags_way = sorted({*before, *TAGS_OF_WAYS})
            everything = osmnx.graph_from_xml(path, simplify=False, retain_all=True)
        finally:
            osmnx.settings.useful_tags_way = before
        streets = everything.copy()
        streets.remove_edges_from([e for *e, tags in everything.edges(keys=True, data=True) if not _for_cars(tags)])
        if not streets.number_of_edges():
            raise Refused("is OpenStreetMap XML without a street for cars", "export a part with streets")
        streets.remove_nodes_from([node for node, degree in dict(streets.degree()).items() if not degree])
        ways = _ways(everything) - _ways(streets)
        notes = [f"{counted(ways, 'way')} of the file not for cars"] if ways else []
        return document(osmnx.simplify_graph(streets)), notes


def geopackage(content: bytes) -> tuple[Document, list[str]]:
    """The streets of a GeoPackage of osmnx, and notes for people. Raises Refused.

    Unless it is asked for both directions, osmnx writes a two-way street once, and the direction of traffic in the
    columns `from` and `to`. So a street that is not one-way and that the file holds in one direction is read in both.
    """
    with _file(content, "map.gpkg") as path:
        missing = [layer for layer in ("nodes", "edges") if layer not in _tables(path)]
        if missing:
            raise Refused(f"is an SQLite database without the layer {' and '.join(missing)}", SAVE_GEOPACKAGE)
        with _library("geopandas") as geopandas:
            nodes, edges = (geopandas.read_file(path, layer=layer) for layer in ("nodes", "edges"))
            return _layers(nodes, edges)


def _tables(path: Path) -> set[str]:
    """The names of the tables of an SQLite database. Raises Refused if it is none."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return {str(name) for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error as error:
        raise Refused(f"cannot be read as a GeoPackage ({shown(error)})", f"copy it again; or {GRAPHML}") from error


def _layers(nodes: Any, edges: Any) -> tuple[Document, list[str]]:
    """The streets of the two layers, and notes for people. Raises Refused."""
    import networkx as nx

    missing = [f"nodes.{name}" for name in ("osmid",) if name not in nodes]
    missing += [f"edges.{name}" for name in ("u", "v") if name not in edges]
    if missing:
        raise Refused(f"lacks the columns {', '.join(missing)}", SAVE_GEOPACKAGE)
    graph = nx.MultiDiGraph(crs=str(nodes.crs or ""))
    for node, at in zip(nodes["osmid"], nodes.geometry):
        graph.add_node(node, x=at.x, y=at.y)
    ends = ("from", "to") if "from" in edges and "to" in edges else ("u", "v")
    source, target = (edges[name].tolist() for name in ends)
    held = set(zip(source, target))
    wanted = ("name", "length", "oneway")
    names, lengths, one_way = ((edges[c] if c in edges else [None] * len(edges)) for c in wanted)
    doubled = 0
    for u, v, name, length, single in zip(source, target, names, lengths, one_way):
        tags = {key: value for key, value in (("name", name), ("length", length)) if value is not None}
        graph.add_edge(u, v, **tags)
        if single is not None and not _true(single) and (v, u) not in held:
            graph.add_edge(v, u, **tags)
            doubled += 1
    notes = [f"{counted(doubled, 'street')} of the file read in both directions"] if doubled else []
    return document(graph), notes


def document(graph: Any) -> Document:
    """The columns of a MultiDiGraph of networkx. Raises Refused if it is too large."""
    columns = Columns(SINGLE, PAIRS, pair)
    columns.crs = str(graph.graph.get("crs") or "") or None
    for node, values in graph.nodes(data=True):
        row = columns.node(str(node))
        for name, value in values.items():
            if (store := columns.node_store(str(name))) is not None and value is not None:
                store(row, str(value))
    for source, target, values in graph.edges(data=True):
        row = columns.edge(str(source), str(target), None, not graph.is_directed())
        for name, value in values.items():
            if (store := columns.edge_store(str(name))) is not None and value is not None and value == value:
                store(row, str(value))
    return columns.document()


def _for_cars(tags: dict[str, Any]) -> bool:
    highway = tags.get("highway")
    kinds = set(highway) if isinstance(highway, list) else {highway} - {None}
    return (
        bool(kinds)
        and not kinds & NO_CARS
        and tags.get("area") != "yes"
        and tags.get("access") not in PRIVATE
        and tags.get("motor_vehicle") not in CLOSED
        and tags.get("motorcar") not in CLOSED
    )


def _ways(graph: Any) -> int:
    return len({str(tags.get("osmid")) for *_, tags in graph.edges(data=True)})


def _true(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes")


@contextlib.contextmanager
def _library(name: str) -> Iterator[Any]:
    """The library; inside, every error of the libraries becomes Refused."""
    try:
        library = importlib.import_module(name)
    except ImportError as error:
        raise Refused(f"needs {name}, which is not installed ({error})", f"install osmnx; or {GRAPHML}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield library
    except (Refused, MemoryError):
        raise
    except Exception as error:  # the libraries for geometry and files raise many types
        raise Refused(
            f"cannot be read by {name} ({type(error).__name__}: {shown(error)})", f"check the file; {GRAPHML}"
        ) from error


@contextlib.contextmanager
def _file(content: bytes, name: str) -> Iterator[Path]:
    """A file with the content, for libraries that read files only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path

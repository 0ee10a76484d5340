"""OpenStreetMap XML, GeoPackages and the compact file: the same map as its GraphML, and damaged files in a sentence."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document, load, moves, saved

from worldbench.core.arrays import npz, read_npz
from worldbench.core.errors import InputError
from worldbench.envs.taxi import compact, map_files
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map

WAYS = {
    "10": ("1 5 2", {"highway": "residential", "name": "Side Street"}),
    "11": ("2 3", {"highway": "primary", "oneway": "yes"}),
    "12": ("3 4", {"highway": "tertiary", "oneway": "yes"}),
    "13": ("4 1", {"highway": "residential", "oneway": "yes"}),
    "17": ("3 6", {"highway": "residential"}),
    "18": ("4 7", {"highway": "residential"}),
    "14": ("1 3", {"highway": "footway"}),
    "15": ("2 4", {"highway": "residential", "access": "private"}),
    "16": ("1 2 3 4 1", {"building": "yes"}),
}


NODES = {**SQUARE_NODES, "6": (-73.998, 40.701), "7": (-73.998, 40.7)}
TOWN = document(NODES, [*SQUARE_EDGES, *((u, v, {"length": "80"}) for u, v in ("36", "63", "47", "74"))])
"""The streets for cars of the same town."""


def osm() -> str:
    """OpenStreetMap XML of the square: a side street of two pieces, three one-way streets, a footway, a private road
    and a building."""
    nodes = {**NODES, "5": (-74.0, 40.7005)}
    points = "".join(f'<node id="{i}" lon="{x}" lat="{y}"/>' for i, (x, y) in nodes.items())
    ways = "".join(
        f'<way id="{i}">{"".join(f"<nd ref={chr(34)}{n}{chr(34)}/>" for n in of.split())}'
        f"{''.join(f'<tag k={chr(34)}{k}{chr(34)} v={chr(34)}{v}{chr(34)}/>' for k, v in tags.items())}</way>"
        for i, (of, tags) in WAYS.items()
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- a part -->\n<osm version="0.6">{points}{ways}</osm>'


def test_openstreetmap_xml_is_the_map_of_its_streets_for_cars(tmp_path: Path) -> None:
    pytest.importorskip("osmnx")
    (tmp_path / "town.osm").write_text(osm())
    graph = load(tmp_path / "town.osm")
    assert graph.name == "town"
    expected = load(saved(tmp_path, TOWN))
    assert moves(graph) == moves(expected)
    assert graph.digest == expected.digest
    assert graph.street[graph.places.index("1"), graph.directions.index("N")] == "Side Street"
    assert "3 ways of the file not for cars" in str(graph.report["notes"])
    (tmp_path / "town.osm.bz2").write_bytes(bz2.compress(osm().encode()))
    assert load(tmp_path / "town.osm.bz2").digest == graph.digest
    (tmp_path / "park.osm").write_text(
        osm().replace("residential", "path").replace("primary", "path").replace("tertiary", "path")
    )
    with pytest.raises(InputError, match="without a street for cars"):
        load(tmp_path / "park.osm")


def test_openstreetmap_xml_that_could_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "town.osm"
    path.write_text(osm())
    monkeypatch.setattr(map_files, "LARGEST_FOR_OSMNX", 1000)
    with pytest.raises(InputError, match="the limit for files that osmnx reads; cut out a part"):
        load(path)
    path.write_text('<osm><!DOCTYPE x [<!ENTITY a "b">]></osm>')
    with pytest.raises(InputError, match=r"document type declaration.*remove it"):
        load(path)


def test_geopackage_of_osmnx(tmp_path: Path) -> None:
    """As osmnx writes it, with each two-way street once, and with both directions."""
    osmnx = pytest.importorskip("osmnx")
    (tmp_path / "town.osm").write_text(osm())
    graph = osmnx.graph_from_xml(tmp_path / "town.osm")
    expected = load(saved(tmp_path, TOWN))
    not_for_cars = [14, 15, 16]
    graph.remove_edges_from([e for *e, tags in graph.edges(keys=True, data=True) if tags["osmid"] in not_for_cars])
    for directed in (False, True):
        path = tmp_path / f"{directed}.gpkg"
        osmnx.save_graph_geopackage(graph, path, directed=directed)
        read = load(path)
        assert read.digest == expected.digest
        assert ("3 streets of the file read in both directions" in str(read.report.get("notes"))) == (not directed)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cannot be read as a GeoPackage .*save_graphml") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table nodes (osmid)")
        database.commit()
    with pytest.raises(InputError, match="without the layer edges; save the map with") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["manhattan-plan", "city:30", "file"])
def test_the_compact_file_is_the_same_map(tmp_path: Path, source: str) -> None:
    path = saved(tmp_path, document(edges=[*SQUARE_EDGES, ("1", "2", {"length": "7", "name": "Short"})]))
    graph = load_map(TaxiConfig(map=str(path) if source == "file" else source))
    written = tmp_path / "town.map.npz"
    compact.write(graph, written)
    again = load(written)
    assert (again.digest, again.name, again.places) == (graph.digest, graph.name, graph.places)
    assert np.array_equal(again.length, graph.length, equal_nan=True)
    assert np.array_equal(again.street, graph.street)
    first = written.read_bytes()
    compact.write(again, written)
    assert np.array_equal(load(written).successor, graph.successor)
    compact.write(graph, written)
    assert written.read_bytes() == first  # equal maps, equal bytes
    if source == "manhattan-plan":
        part = TaxiConfig(map=str(written), region="village")
        assert load_map(part).digest == load_map(TaxiConfig(map=source, region="village")).digest
        assert "not from OpenStreetMap" in str(again.report["notes"])
        assert len(first) < 200_000


DAMAGE = {
    "of another version": {"worldbench_map": np.array(2, np.int32)},
    "target": {"target": np.array([9], np.int32)},
    "names an intersection twice": {"places": np.array(["1"] * 4)},
    "positions outside": {"position": np.full((4, 2), 100.0)},
    "cannot be words of a ride": {"places": np.array(["1", "2", "3", "a b"])},
    "unreadable report": {"about": np.array("{")},
    "lacks street": {"street": None},
    "no usable length": {"length": np.full(5, np.nan)},
}


@pytest.mark.parametrize("expected", DAMAGE)
def test_a_damaged_compact_file_is_refused_in_a_sentence(tmp_path: Path, expected: str) -> None:
    path = tmp_path / "town.map.npz"
    compact.write(load(saved(tmp_path, document())), path)
    arrays = read_npz(path, compact.NEEDED, again="")
    changed = {name: array for name, array in {**arrays, **DAMAGE[expected]}.items() if array is not None}
    path.write_bytes(npz(changed))
    words = {"of another version": "worldbench_map", "no usable length": "length"}.get(expected, expected)
    with pytest.raises(InputError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="zip archive"):
        load(path)


def test_a_table_has_no_compact_file(tmp_path: Path) -> None:
    (tmp_path / "ring.csv").write_text("a,left,b\nb,left,c\nc,left,a\n")
    with pytest.raises(InputError, match="a table of moves with directions of its own"):
        compact.write(load(tmp_path / "ring.csv"), tmp_path / "ring.map.npz")

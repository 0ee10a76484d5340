"""Where nodes lie: every spelling of EPSG:4326, other names of the attributes, no crs, metres, undirected edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import networkx as nx
import numpy as np
import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document, load, moves, saved

from worldbench.core.errors import InputError
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.coordinates import frame, pair
from worldbench.envs.taxi.world import TaxiWorld

WKT1 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],'
    'PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AUTHORITY["EPSG","4326"]]'
)
ESRI = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)
SPELLED = [
    "epsg:4326",
    "EPSG:4326",
    "4326",
    "WGS84",
    "WGS 84",
    "OGC:CRS84",
    "urn:ogc:def:crs:EPSG::4326",
    "urn:ogc:def:crs:OGC:1.3:CRS84",
    "http://www.opengis.net/def/crs/EPSG/0/4326",
    "+init=epsg:4326",
    "+proj=longlat +datum=WGS84 +no_defs",
    "{'init': 'epsg:4326'}",
    "+proj=longlat +ellps=WGS84 +datum=WGS84 +no_defs",
    "{'proj': 'longlat', 'ellps': 'WGS84', 'datum': 'WGS84', 'no_defs': True}",
    WKT1,
    ESRI,
    'GEOGCRS["WGS 84",ID["EPSG",4326]]',
    "EPSG:4979",
    " epsg:4326\n",
]
PROJECTED = [
    "epsg:32618",
    "epsg:3857",
    "+proj=utm +zone=18 +datum=WGS84",
    "{'init': 'epsg:32618'}",
    "32618",
    'PROJCS["x",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32618"]]',
]
UNREADABLE = [
    "nonsense",
    "{1: 2}",
    "{",
    "[4326]",
    "x" * 20_000,
    'PROJCS["x",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]]]',
]


@pytest.mark.parametrize("crs", SPELLED)
def test_every_spelling_of_degrees_is_the_same_map(tmp_path: Path, crs: str) -> None:
    assert frame(crs) == "degrees"
    graph = load(saved(tmp_path, document(crs=escape(crs))))
    assert graph.digest == load(saved(tmp_path, document(), "usual.graphml")).digest
    assert graph.lonlat is not None


@pytest.mark.parametrize("crs", UNREADABLE)
def test_a_crs_that_nobody_knows_is_refused_with_the_way_back(tmp_path: Path, crs: str) -> None:
    with pytest.raises(InputError, match=r"its crs is .* could not be turned into degrees.*to_latlong=True"):
        load(saved(tmp_path, document(crs=escape(crs))))


@pytest.mark.parametrize("crs", PROJECTED)
def test_a_projected_map_is_turned_into_degrees(tmp_path: Path, crs: str) -> None:
    """The square in meters of the crs, as pyproj projects it, is the square in degrees. Degrees under such a crs are
    refused."""
    from pyproj import Transformer

    plane = Transformer.from_crs(4326, 3857 if "3857" in crs else 32618, always_xy=True)
    nodes = {name: plane.transform(*at) for name, at in SQUARE_NODES.items()}
    graph = load(saved(tmp_path, document(nodes, crs=escape(crs))))
    assert graph.digest == load(saved(tmp_path, document(), "usual.graphml")).digest
    assert "positions turned into degrees from the crs" in str(graph.report["notes"])
    with pytest.raises(InputError, match=r"its crs is .*, but its positions look like degrees; say in the file"):
        load(saved(tmp_path, document(crs=escape(crs)), "degrees.graphml"))


def test_degrees_of_another_crs_are_turned_into_usual_degrees(tmp_path: Path) -> None:
    """Longitudes from Paris: 2.337 degrees to the east."""
    usual = load(saved(tmp_path, document(), "usual.graphml"))
    paris = load(saved(tmp_path, document(crs="+proj=longlat +datum=WGS84 +pm=paris")))
    assert usual.lonlat is not None
    assert paris.lonlat is not None
    assert np.abs(paris.lonlat - usual.lonlat - [2.33722917, 0]).max() < 1e-6


def renamed(east: str, north: str, **options: Any) -> str:
    text = document(**options)
    for before, after in (("x", east), ("y", north)):
        text = text.replace(f'attr.name="{before}"', f'attr.name="{after}"')
    return text


@pytest.mark.parametrize(
    ("east", "north"),
    [("lon", "lat"), ("longitude", "latitude"), ("Longitude", "Latitude"), ("lng", "lat"), ("X", "Y")],
)
def test_positions_under_other_names_are_found(tmp_path: Path, east: str, north: str) -> None:
    graph = load(saved(tmp_path, renamed(east, north)))
    assert graph.digest == load(saved(tmp_path, document(), "usual.graphml")).digest
    if east != "X":
        assert graph.report["notes"] == f"positions are the nodes' {east.lower()} and {north.lower()}"


@pytest.mark.parametrize("form", ["({}, {})", "[{} {}]", "{},{}", "POINT ({} {})"])
@pytest.mark.parametrize("name", ["pos", "coordinates", "geometry"])
def test_positions_of_one_attribute_are_found(tmp_path: Path, form: str, name: str) -> None:
    written = nx.MultiDiGraph(crs="epsg:4326")
    for node, at in SQUARE_NODES.items():
        written.add_node(node, **{name: form.format(*at)})
    written.add_edges_from((u, v, d) for u, v, d in SQUARE_EDGES)
    nx.write_graphml(written, tmp_path / "map.graphml")
    graph = load(tmp_path / "map.graphml")
    assert graph.digest == load(saved(tmp_path, document(), "usual.graphml")).digest
    assert graph.report["notes"] == f"positions are the nodes' {name}"


def test_pairs() -> None:
    assert pair(" ( 1.5 ; -2e1 ) ") == (1.5, -20.0)
    for text in ("", "1", "1,2,3", "a,b", "POINT Z (1 2 3)", " " * 20_000, "(" * 20_000):
        assert np.isnan(pair(text)).any()


def test_a_projected_map_that_kept_its_degrees_is_read_by_them(tmp_path: Path) -> None:
    text = document(crs="epsg:32618")
    text = text.replace(
        '<key id="x"', '<key id="lon" for="node" attr.name="lon"/><key id="lat" for="node" attr.name="lat"/><key id="x"'
    )
    for lon, lat in SQUARE_NODES.values():
        before = f'<data key="x">{lon}</data><data key="y">{lat}</data>'
        metres = '<data key="x">583000</data><data key="y">4507000</data>'
        text = text.replace(before, f'{metres}<data key="lon">{lon}</data><data key="lat">{lat}</data>')
    graph = load(saved(tmp_path, text))
    assert graph.digest == load(saved(tmp_path, document(), "usual.graphml")).digest
    assert "positions are the nodes' lon and lat, because its crs is 'epsg:32618'" in str(graph.report["notes"])


METRES = {i: (583_000 + 100 * (k in (2, 3)), 4_507_000 + 100 * (k in (1, 2))) for k, i in enumerate(SQUARE_NODES)}
LAYOUT = {i: (0.9 * (-1) ** (k in (2, 3)), 0.9 * (-1) ** (k in (1, 2))) for k, i in enumerate(SQUARE_NODES)}


@pytest.mark.parametrize(
    ("nodes", "why"),
    [(METRES, "reach 4,507,100, so they are not degrees"), (LAYOUT, "median street would be 200 km long")],
)
@pytest.mark.parametrize("crs", ["", "None"])
def test_a_layout_without_a_crs_is_asked_what_it_is(tmp_path: Path, nodes: dict[str, Any], why: str, crs: str) -> None:
    with pytest.raises(InputError, match=rf"names no crs, and its .*{why}.*G.graph\['crs'\] = 'metres'"):
        load(saved(tmp_path, document(nodes, crs=crs)))
    wide = load(saved(tmp_path, document(LAYOUT)))  # it says degrees, so it is taken at its word
    assert wide.n_places == 4


def test_a_map_in_metres_says_so_and_is_read_on_the_plane(tmp_path: Path) -> None:
    graph = load(saved(tmp_path, document(METRES, crs="metres")))
    assert graph.lonlat is None
    assert set(moves(graph)) == {("1", "N", "2"), ("2", "E", "3"), ("3", "S", "4"), ("4", "W", "1"), ("2", "S", "1")}
    assert np.allclose(graph.metres - graph.metres[0], [[0, 0], [0, 100], [100, 100], [100, 0]])
    assert load(tmp_path / "map.graphml", "4@583000,4507000").report["places_in_region"] == 4
    with pytest.raises(
        InputError, match=r"lies 14 km from the map 'map'; choose a point on it .meters east, then north"
    ):
        load(tmp_path / "map.graphml", "4@593000,4517000")
    with pytest.raises(InputError, match="beyond a million kilometers: 4 nodes"):
        load(saved(tmp_path, document({i: (1e10, k) for k, i in enumerate(SQUARE_NODES)}, crs="metres")))


def test_a_map_without_a_crs_that_may_be_degrees_is_degrees(tmp_path: Path) -> None:
    text = document().replace('<data key="crs">epsg:4326</data>', "")
    assert load(saved(tmp_path, text)).digest == load(saved(tmp_path, document(), "usual.graphml")).digest


def test_an_undirected_map_has_two_way_streets_and_says_so(tmp_path: Path) -> None:
    both = [(u, v, {"length": "100"}) for u, v in ("12", "23", "34", "41")]
    graph = load(saved(tmp_path, document(edges=[*both, ("1", "1", {})], kind="undirected")))
    wanted = load(saved(tmp_path, document(edges=[*both, *((v, u, d) for u, v, d in both)]), "both.graphml"))
    assert graph.digest == wanted.digest
    assert graph.report["undirected_edges"] == 5
    assert graph.report["loops_dropped"] == 1
    world = TaxiWorld(TaxiConfig(map=str(tmp_path / "map.graphml"), max_moves=8, held_out_share=0.3))
    assert world.summary(0).endswith("; 5 undirected edges of the file read as two-way streets")


def test_single_edges_may_say_how_they_are_directed(tmp_path: Path) -> None:
    usual = moves(load(saved(tmp_path, document())))
    one = document().replace('<edge source="2" target="3"', '<edge directed="false" source="2" target="3"')
    assert set(moves(load(saved(tmp_path, one)))) == {*usual, ("3", "W", "2")}
    undirected = document(kind="undirected").replace("<edge ", '<edge directed="true" ')
    assert moves(load(saved(tmp_path, undirected))) == usual


def test_an_undirected_edge_may_not_be_there_twice(tmp_path: Path) -> None:
    text = document(edges=[("1", "2", {}), ("2", "3", {}), ("3", "1", {}), ("2", "1", {})], kind="undirected")
    text = text.replace('source="2" target="1" id="3"', 'source="2" target="1" id="0"')
    with pytest.raises(InputError, match="1 edge with the source, target and id of another"):
        load(saved(tmp_path, text))


def test_a_place_named_like_a_direction_is_refused_with_the_rule(tmp_path: Path) -> None:
    for name in ("N", "NW", "end", "pad", "&lt;pad&gt;", "a b", "", "a\u200bb"):
        text = document({**SQUARE_NODES, "5": (-74, 40.7)}).replace('id="5"', f'id="{name}"')
        with pytest.raises(InputError, match=r"cannot be words of a ride: 1 node .*be one of N, NE, .*relabel_nodes"):
            load(saved(tmp_path, text))

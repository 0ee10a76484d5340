"""Street maps: rules against literal code, the real map's goldens, regions, hostile files, the download with a stand-in for osmnx."""

from __future__ import annotations

import contextlib
import gzip
import math
import random
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, Edge, document, load, moves, saved
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.core.errors import InputError
from worldbench.envs.taxi import graphml
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.envs.taxi.moves import DIRECTIONS, Streets, bearing, build, parse_region, project, sector

REAL = Path(__file__).parent.parent / ".." / "shared" / "maps" / "manhattan.graphml.gz"
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="the Manhattan file is not beside this checkout")


# Rules, against literal code


def literal_bearing(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """From vectors: the angle between north and the direction of travel in the tangent plane at the start."""

    def point(lon: float, lat: float) -> np.ndarray:
        return np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])

    a, b = point(math.radians(lon1), math.radians(lat1)), point(math.radians(lon2), math.radians(lat2))
    east = np.array([-math.sin(math.radians(lon1)), math.cos(math.radians(lon1)), 0])
    return math.degrees(math.atan2(b @ east, b @ np.cross(a, east))) % 360


@given(st.lists(st.floats(-179, 179), min_size=2, max_size=2), st.lists(st.floats(-85, 85), min_size=2, max_size=2))
def test_bearing_is_the_tangent_of_the_great_circle(lon: list[float], lat: list[float]) -> None:
    if abs(lon[0] - lon[1]) + abs(lat[0] - lat[1]) < 1e-4 or abs(abs(lon[0] - lon[1]) - 180) < 1e-3:
        return
    got = bearing(np.array([[lon[0], lat[0]]]), np.array([[lon[1], lat[1]]]), globe=True)[0]
    assert abs((got - literal_bearing(lon[0], lat[0], lon[1], lat[1]) + 180) % 360 - 180) < 1e-6


def test_sectors_are_centred_on_north_and_clockwise() -> None:
    assert [DIRECTIONS[i] for i in sector(np.arange(0, 360, 45.0))] == ["N", "NE", "E", "SE", "S", "SW", "W", "NW"]
    assert [DIRECTIONS[i] for i in sector(np.array([22.4, 22.5, 337.4, 337.5, 359.9]))] == ["N", "NE", "NW", "N", "N"]


def literal_moves(places: dict[str, tuple[float, float]], edges: list[tuple[str, str, float]]) -> set[tuple[str, str, str]]:
    """The rules one move at a time, on the plane, with networkx for the strongly connected part."""
    best: dict[tuple[str, int], tuple[float, int, str]] = {}
    for u, v, length in edges:
        (x1, y1), (x2, y2) = places[u], places[v]
        if (x1, y1) == (x2, y2):
            continue
        degrees = math.degrees(math.atan2(x2 - x1, y2 - y1)) % 360
        slot = u, int((degrees + 22.5) // 45) % 8
        best[slot] = min(best.get(slot, (math.inf, 0, "")), (length, int(v), v))
    graph = nx.DiGraph((u, v) for (u, _), (_, _, v) in best.items())
    parts = sorted(nx.strongly_connected_components(graph), key=lambda part: (-len(part), min(map(int, part))))
    part = parts[0] if parts else set()
    return {(u, DIRECTIONS[a], v) for (u, a), (_, _, v) in best.items() if u in part and v in part} if len(part) >= 3 else set()


@settings(max_examples=150, deadline=None)
@given(st.integers(3, 14), st.integers(0, 60), st.randoms(use_true_random=False))
def test_moves_follow_the_rules_whatever_the_order(n: int, extra: int, rng: random.Random) -> None:
    ids = [str(i) for i in rng.sample(range(5, 200), n)]
    places = {i: (float(rng.randrange(7)), float(rng.randrange(7))) for i in ids}
    edges = [(rng.choice(ids), rng.choice(ids), float(rng.randrange(1, 4))) for _ in range(n + extra)]
    expected = literal_moves(places, edges)
    graphs = []
    for _ in range(2):
        rng.shuffle(ids)
        rng.shuffle(edges)
        row = {place: i for i, place in enumerate(ids)}
        streets = Streets(
            name="random",
            places=list(ids),
            position=np.array([places[i] for i in ids]),
            globe=False,
            source=np.array([row[u] for u, _, _ in edges]),
            target=np.array([row[v] for _, v, _ in edges]),
            length=np.array([length for _, _, length in edges]),
            street=[f"{u}-{v}" for u, v, _ in edges],
            report={},
        )
        if not expected:
            with pytest.raises(InputError, match="can all reach each other"):
                build(streets)
            return
        graphs.append(build(streets))
    first, second = graphs
    assert set(moves(first)) == expected
    assert len({(u, a) for u, a, _ in moves(first)}) == len(moves(first))
    assert list(first.places) == sorted(first.places, key=int)
    assert first.digest == second.digest
    assert np.array_equal(first.street, second.street)
    assert nx.is_strongly_connected(nx.DiGraph((u, v) for u, _, v in moves(first)))
    counts = {key: int(first.report[key]) for key in ("loops_dropped", "parallel_dropped", "collisions_dropped", "moves_outside_largest_part")}
    assert len(edges) - sum(counts.values()) == len(first.edges)


def test_ids_that_are_not_numbers_are_ordered_as_text(tmp_path: Path) -> None:
    names = dict(zip("1234", ["10", "9", "b", "a"], strict=True))
    text = document({names[i]: p for i, p in SQUARE_NODES.items()}, [(names[u], names[v], d) for u, v, d in SQUARE_EDGES])
    assert load(saved(tmp_path, text)).places == ("10", "9", "a", "b")
    assert load(saved(tmp_path, document())).places == ("1", "2", "3", "4")


def test_metres_are_right_also_across_the_date_line() -> None:
    position = np.array([[179.999, 10.0], [-179.999, 10.0], [180.0, 10.001]])
    metres = project(position, globe=True)
    degree = 6_371_009 * math.pi / 180
    assert metres[1, 0] - metres[0, 0] == pytest.approx(0.002 * degree * math.cos(math.radians(10.0003)), rel=1e-6)
    assert metres[2, 1] - metres[0, 1] == pytest.approx(0.001 * degree, rel=1e-6)
    assert np.allclose(metres.mean(0), 0, atol=1e-6)


# Reading


def test_square(tmp_path: Path) -> None:
    edges: list[Edge] = [*SQUARE_EDGES, ("1", "1", {"length": "5"}), ("1", "2", {"length": "90", "name": "['First', 'Second']"}), ("3", "2", {"length": "7"})]
    for name in ("map.graphml", "map.graphml.gz"):
        graph = load(saved(tmp_path, document(edges=edges), name))
        assert graph.name == "map"
        assert moves(graph) == [("1", "N", "2"), ("2", "E", "3"), ("2", "S", "1"), ("3", "S", "4"), ("3", "W", "2"), ("4", "W", "1")]
        assert graph.length[0, 0] == 90
        assert graph.street[0, 0] == "First / Second"
        assert np.isnan(graph.length[0, 1])
        assert graph.lonlat is not None
        assert tuple(graph.lonlat[1]) == SQUARE_NODES["2"]
        assert {key: graph.report[key] for key in ("nodes_read", "edges_read", "loops_dropped", "parallel_dropped", "collisions_dropped", "moves")} == {
            "nodes_read": 4, "edges_read": 8, "loops_dropped": 1, "parallel_dropped": 1, "collisions_dropped": 0, "moves": 6,
        }  # fmt: skip


def test_edge_without_length_gets_the_distance_of_its_ends(tmp_path: Path) -> None:
    graph = load(saved(tmp_path, document(edges=[(u, v, {}) for u, v, _ in SQUARE_EDGES])))
    assert graph.length[0, 0] == pytest.approx(0.001 * 6_371_009 * math.pi / 180, rel=1e-9)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    assert load(saved(tmp_path, gzip.compress(document().encode()), "map.xml")).n_places == 4


def test_duplicate_keys_and_types_do_not_matter(tmp_path: Path) -> None:
    text = document().replace('<key id="x" for="node"', '<key id="x" for="node" attr.name="x" attr.type="double"/><key id="x" for="node"')
    assert load(saved(tmp_path, text)).digest == load(saved(tmp_path, document(), "other.graphml")).digest
    untyped = document().replace(' attr.type="string"', "")
    assert load(saved(tmp_path, untyped)).n_places == 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Broadway", "Broadway"), ("['A', 'B']", "A / B"), ("[" * 300, "[" * 300), ("['A'", "['A'"), ("[1, 2", "[1, 2"), ("a\x1b[31mb\n", "a[31mb"), ("", "")],
)
def test_street_names(name: str, expected: str) -> None:
    assert graphml.street_name(name) == expected


# Hostile and broken files

BOMB = '<!DOCTYPE g [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE g [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "not well-formed XML"),
    "text": ("hello", "not well-formed XML"),
    "cut": (document()[:-30], "not well-formed XML"),
    "zeros": (b"\0" * 5000, "not well-formed XML"),
    "encoding": ('<?xml version="1.0" encoding="no-such"?><graphml/>', "not well-formed XML"),
    "twice the same attribute": (document().replace('<node id="1"', '<node id="1" id="1"'), "not well-formed XML"),
    "html": ("<html><body/></html>", "not GraphML"),
    "no graph": ('<graphml xmlns="http://graphml.graphdrawing.org/xmlns"/>', "0 <graph> elements"),
    "two graphs": (document().replace("</graphml>", '<graph edgedefault="directed"/></graphml>'), "2 <graph> elements"),
    "deep": ("<graphml>" + "<a>" * 200_000, "levels deep"),
    "entity bomb": (document(head=BOMB), "document type declaration"),
    "external entity": (document(head=EXTERNAL), "document type declaration"),
    "external doctype": (document(head='<!DOCTYPE graphml SYSTEM "http://127.0.0.1:9/x.dtd">'), "document type declaration"),
    "bomb in utf-16": (document(head=BOMB).replace("utf-8", "utf-16").encode("utf-16"), "document type declaration"),
    "undirected": (document(kind="undirected"), "undirected"),
    "mixed": (document().replace('<edge source="1"', '<edge directed="false" source="1"'), "networkx"),
    "hyperedge": (document().replace("</graph>", "<hyperedge/></graph>"), "networkx"),
    "unknown key": (document().replace('<data key="x">', '<data key="z">'), "networkx"),
    "typed nonsense": (document().replace('"length" attr.type="string"', '"length" attr.type="int"').replace(">100<", ">much<"), "networkx"),
    "no edges": (document(edges=[]), "no edges"),
    "projected": (document(crs="epsg:32618"), "'epsg:32618'"),
    "no coordinates": (document({**SQUARE_NODES, "5": None}), "1 nodes have no numeric x and y .the first is '5'"),
    "text for coordinates": (document({**SQUARE_NODES, "5": ("west", 3)}), "no numeric x and y"),
    "nan": (document({**SQUARE_NODES, "5": ("nan", 3)}), "no numeric x and y"),
    "infinite": (document({**SQUARE_NODES, "5": (1, "inf")}), "no numeric x and y"),
    "metres": (document({i: (583_000 + k, 4_507_000 + k) for k, i in enumerate(SQUARE_NODES)}), "lie outside -180..180"),
    "unknown end": (document(edges=[*SQUARE_EDGES, ("1", "77", {})]), "1 nodes are ends of edges but no nodes .the first is '77'"),
    "repeated node": (document().replace('<node id="2"', '<node id="1"', 1), "repeat the id"),
    "repeated edge": (document().replace('source="2" target="3" id="1"', 'source="1" target="2" id="0"'), "1 edges repeat"),
    "negative length": (document(edges=[*SQUARE_EDGES, ("1", "3", {"length": "-4"})]), "1 edges have no usable length .the first is '1->3'"),
    "lengthy length": (document(edges=[*SQUARE_EDGES, ("1", "3", {"length": "long"})]), "no usable length"),
    "an id with a space": (document({**SQUARE_NODES, "a b": (-74, 40.7)}), "cannot serve as ids"),
    "an id that is a direction": (document({**SQUARE_NODES, "NW": (-74, 40.7)}), "cannot serve as ids"),
    "one-way street": (document(edges=[("1", "2", {}), ("2", "3", {}), ("3", "4", {})]), "can all reach each other"),
    "all at one point": (document(dict.fromkeys("1234", (-74, 40))), "can all reach each other"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("name", ["map.graphml", "map.graphml.gz"])
def test_broken_file_is_one_sentence(what: str, name: str, tmp_path: Path) -> None:
    content, expected = BROKEN[what]
    with pytest.raises(InputError, match=expected) as caught:
        load(saved(tmp_path, content, name))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 900
    assert "passwd" not in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    nodes = {**SQUARE_NODES, "5": None, "6": (500, 3)}
    text = document(nodes, [*SQUARE_EDGES, ("1", "9", {"length": "?"})], crs="epsg:3857", kind="undirected")
    with pytest.raises(InputError) as caught:
        load(saved(tmp_path, text))
    for part in ("undirected", "epsg:3857", "'9'", "'5'", "'6'", "no usable length"):
        assert part in str(caught.value)


def test_missing_folder_truncated_and_misnamed(tmp_path: Path) -> None:
    whole = gzip.compress(document().encode())
    cases: list[tuple[Path, str]] = [
        (tmp_path / "none.graphml", "does not exist"),
        (tmp_path, "is not a file"),
        (Path("/dev/zero"), "is not a file"),
        (saved(tmp_path, document(), "plain.graphml").rename(tmp_path / "plain.gz"), "named .gz but is not gzip"),
        (tmp_path / "cut.gz", "truncated gzip"),
        (tmp_path / "head.gz", "gzip"),
        (tmp_path / "bad.gz", "not a whole gzip"),
    ]
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "bad.gz").write_bytes(whole[:40] + b"\xff" * 40 + whole[80:])
    for path, expected in cases:
        with pytest.raises(InputError, match=expected):
            load(path)


@pytest.mark.parametrize("name", ["manhatan", "", " ", "a\0b"])
def test_misspelt_map(name: str) -> None:
    with pytest.raises(InputError, match=r"env\.map"):
        load_map(TaxiConfig(map=name))


def test_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphml, "LARGEST_BYTES", 3 << 20)
    with pytest.raises(InputError, match="more than 3 MiB"):
        load(saved(tmp_path, document().replace("</graphml>", " " * (4 << 20) + "</graphml>"), "wide.graphml.gz"))
    monkeypatch.setattr(graphml, "MOST_ELEMENTS", 1000)
    with pytest.raises(InputError, match="more than 1,000 XML elements"):
        load(saved(tmp_path, document().replace("</graph>", "<data/>" * 2000 + "</graph>"), "many.graphml"))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.binary(max_size=8))
def test_damaged_bytes_never_end_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, at: int, gap: int, noise: bytes) -> None:
    raw = document().encode()
    at %= len(raw)
    path = saved(tmp_path_factory.mktemp("damaged"), raw[:at] + noise + raw[at + gap :])
    with contextlib.suppress(InputError):
        assert load(path).n_places >= 3


# The real map


@pytest.fixture(scope="module")
def real() -> Streets:
    if not REAL.is_file():
        pytest.skip("the Manhattan file is not beside this checkout")
    return graphml.read(REAL)


def test_real_map_goldens(real: Streets) -> None:
    graph = build(real)
    assert (graph.n_places, len(graph.edges)) == (4490, 9576)
    expected = {"nodes_read": 4519, "edges_read": 9738, "loops_dropped": 8, "colliding_pairs": 115, "parallel_dropped": 6, "collisions_dropped": 109}
    assert {key: graph.report[key] for key in expected} == expected
    assert graph.report["moves_resolved"] == 9738 - 8 - 115
    assert graph.digest == "e568132a2fcb00a0fc454312c85dbacef102162ad0611d6dfdb126288608e366"
    assert nx.is_strongly_connected(nx.DiGraph((int(u), int(v)) for u, v, _ in graph.edges))
    assert "West 106th Street" in graph.street[graph.places.index("42421728")]


@needs_real
def test_bearings_agree_with_the_file(real: Streets) -> None:
    with gzip.open(REAL) as file:
        drawn = nx.read_graphml(file, force_multigraph=True)
    written = np.array([float(d.get("bearing", "nan")) for _, _, d in drawn.edges(data=True)])
    ours = bearing(real.position[real.source], real.position[real.target], globe=True)
    known = np.isfinite(written)
    assert known.sum() == 9738 - 8
    assert np.abs((ours - written + 180) % 360 - 180)[known].max() < 1e-6


def test_greenwich_village(real: Streets) -> None:
    graph = build(real, "50@40.7355,-74.0000")
    assert (graph.n_places, len(graph.edges)) == (43, 75)
    assert graph.report["places_in_region"] == 50
    assert graph.report["places_lost_in_region"] == 7
    assert nx.is_strongly_connected(nx.DiGraph((int(u), int(v)) for u, v, _ in graph.edges))
    whole = build(real)
    row = {place: i for i, place in enumerate(whole.places)}
    assert whole.lonlat is not None
    away = [literal_metres(point, (-74.0, 40.7355)) for point in whole.lonlat]
    near = sorted(range(whole.n_places), key=away.__getitem__)[:50]
    inside = nx.DiGraph((u, v) for u, v, _ in whole.edges.tolist() if u in near and v in near)
    assert {row[place] for place in graph.places} == max(nx.strongly_connected_components(inside), key=len)


def literal_metres(a: Any, b: tuple[float, float]) -> float:
    """Great circle by the spherical law of cosines."""
    lon1, lat1, lon2, lat2 = map(math.radians, (*a, *b))
    cosine = math.sin(lat1) * math.sin(lat2) + math.cos(lat1) * math.cos(lat2) * math.cos(lon1 - lon2)
    return 6_371_009 * math.acos(min(1.0, cosine))


def test_box(real: Streets) -> None:
    graph = build(real, "40.73,-74.005,40.737,-73.995")
    assert graph.lonlat is not None
    assert (graph.lonlat >= [-74.005, 40.73]).all()
    assert (graph.lonlat <= [-73.995, 40.737]).all()
    assert 60 < graph.n_places <= int(graph.report["places_in_region"])


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("3@40.7335,-74.0027", "holds 3 intersections .* at most 1 of them"),
        ("50@-74.0027,40.7335", "km from the map.*latitude comes first"),
        ("50@95,40.7335", "latitude .-90..90. comes first"),
        ("50@40,-999", "latitude .-90..90. comes first"),
        ("9000@40.7335,-74.0027", "asks for 9000 intersections, but 'manhattan' has 4490"),
        ("51,0,52,1", "holds 0 intersections of 'manhattan'; try a larger box .the map spans 40.7"),
    ],
)
def test_region_that_holds_too_little(real: Streets, region: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        build(real, region)


MALFORMED = ["", "some", "50", "50@", "50@1", "50@1,2,3", "x@1,2", "-5@1,2", "1,2,3", "1,2,3,4,5", "1,2,three,4", "nan,1,2,3", "50@nan,1", "5e9@1,2", "٥@1,2"]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_region(text: str) -> None:
    with pytest.raises(InputError, match=r"'N@lat,lon'.*'south,west,north,east'"):
        parse_region(text)


@pytest.mark.parametrize(("text", "expected"), [("41,-74,40,-73", "no box"), ("40,-73,41,-74", "no box"), ("0,0,91,1", "no box"), ("2@1,2", "at least 3")])
def test_impossible_region(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_region(text)

"""Street maps: rules against literal code, the real map's goldens, regions."""

from __future__ import annotations

import gzip
import math
import random
import tracemalloc
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document, load, moves, saved
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.core.errors import InputError
from worldbench.envs.taxi import map_files
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.envs.taxi.moves import build
from worldbench.envs.taxi.regions import parse_region
from worldbench.envs.taxi.streets import DIRECTIONS, Streets, bearing, project, sector

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


def literal_moves(
    places: dict[str, tuple[float, float]], edges: list[tuple[str, str, float]]
) -> set[tuple[str, str, str]]:
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
    return (
        {(u, DIRECTIONS[a], v) for (u, a), (_, _, v) in best.items() if u in part and v in part}
        if len(part) >= 3
        else set()
    )


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
    rules = ("loops_dropped", "same_position_dropped", "parallel_dropped", "collisions_dropped")
    counts = {key: int(first.report[key]) for key in (*rules, "moves_outside_largest_part")}
    assert len(edges) - sum(counts.values()) == len(first.edges)


def test_what_the_rule_of_one_street_a_sector_cuts_off_is_counted_as_that(tmp_path: Path) -> None:
    nodes = {**SQUARE_NODES, "5": (-74.0, 40.7015), "6": (-73.998, 40.702), "7": (-73.997, 40.702), "8": (-74, 41)}
    edges = [
        *SQUARE_EDGES,
        ("1", "5", {"length": "150"}),
        ("5", "1", {"length": "150"}),
        ("2", "6", {}),
        ("6", "7", {}),
    ]
    graph = load(saved(tmp_path, document(nodes, edges)))
    assert graph.places == ("1", "2", "3", "4")
    assert graph.report["collisions_dropped"] == 1  # 1 -> 2 and 1 -> 5 both lead north
    assert graph.report["places_cut_off_by_collisions"] == 1
    assert graph.report["places_outside_largest_part"] == 2  # 6 and 7 cannot be left in any case
    assert graph.report["places_without_street"] == 1  # 8
    whole = load_map(TaxiConfig(map=str(tmp_path / "map.graphml")), whole=True)
    assert whole.report["places_cut_off_by_collisions"] == whole.report["places_outside_largest_part"] == 0


def test_a_very_long_street_name_takes_little_memory() -> None:
    names = ["x" * 5_000_000, *("y" for _ in range(5))]
    ring = Streets(
        name="ring",
        places=list("abc"),
        position=np.array([[0.0, 0.0], [100.0, 0.0], [50.0, 80.0]]),
        globe=False,
        source=np.array([0, 1, 2, 1, 2, 0]),
        target=np.array([1, 2, 0, 0, 1, 2]),
        length=np.full(6, 100.0),
        street=names,
        report={},
    )
    tracemalloc.start()
    try:
        assert len(build(ring).edges) == 6
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_ids_that_are_not_numbers_are_ordered_as_text(tmp_path: Path) -> None:
    names = dict(zip("1234", ["10", "9", "b", "a"], strict=True))
    text = document(
        {names[i]: p for i, p in SQUARE_NODES.items()}, [(names[u], names[v], d) for u, v, d in SQUARE_EDGES]
    )
    assert load(saved(tmp_path, text)).places == ("10", "9", "a", "b")
    assert load(saved(tmp_path, document())).places == ("1", "2", "3", "4")


def test_metres_are_right_also_across_the_date_line() -> None:
    position = np.array([[179.999, 10.0], [-179.999, 10.0], [180.0, 10.001]])
    metres = project(position, globe=True)
    degree = 6_371_009 * math.pi / 180
    assert metres[1, 0] - metres[0, 0] == pytest.approx(0.002 * degree * math.cos(math.radians(10.0003)), rel=1e-6)
    assert metres[2, 1] - metres[0, 1] == pytest.approx(0.001 * degree, rel=1e-6)
    assert np.allclose(metres.mean(0), 0, atol=1e-6)


# Whole maps: the generated one, and the real one where it lies beside the checkout


@pytest.fixture(scope="module")
def city(village_map: Path) -> Streets:
    return map_files.read(village_map)


def test_counts_of_the_rules_add_up(city: Streets) -> None:
    graph = build(city)
    counts = {key: int(value) for key, value in graph.report.items() if isinstance(value, int)}
    assert min(counts[f"{rule}_dropped"] for rule in ("loops", "parallel", "collisions")) > 0
    dropped = sum(count for key, count in counts.items() if key.endswith("_dropped"))
    assert counts["moves_resolved"] == counts["edges_read"] - dropped == len(city.source) - dropped
    assert len(graph.edges) == counts["moves_resolved"] - counts["moves_outside_largest_part"] == counts["moves"]
    lost = sum(counts[f"places_{why}"] for why in ("without_street", "outside_largest_part", "cut_off_by_collisions"))
    assert graph.n_places == counts["nodes_read"] - lost == counts["places"]
    assert nx.is_strongly_connected(nx.DiGraph((int(u), int(v)) for u, v, _ in graph.edges))


def test_numbers_of_the_real_map(manhattan_map: Path) -> None:
    graph = build(map_files.read(manhattan_map))
    assert (graph.n_places, len(graph.edges)) == (4490, 9576)
    expected = {
        "nodes_read": 4519,
        "edges_read": 9738,
        "loops_dropped": 8,
        "colliding_pairs": 115,
        "parallel_dropped": 6,
        "collisions_dropped": 109,
    }
    assert {key: graph.report[key] for key in expected} == expected
    assert graph.report["moves_resolved"] == 9738 - 8 - 115
    assert graph.report["places_outside_largest_part"] == 0  # the file is strongly connected
    assert graph.report["places_cut_off_by_collisions"] == 4519 - 4490
    assert graph.digest == "e568132a2fcb00a0fc454312c85dbacef102162ad0611d6dfdb126288608e366"
    assert nx.is_strongly_connected(nx.DiGraph((int(u), int(v)) for u, v, _ in graph.edges))
    assert "West 106th Street" in graph.street[graph.places.index("42421728")]


@pytest.mark.slow
def test_bearings_agree_with_the_file(city: Streets, village_map: Path) -> None:
    with gzip.open(village_map) as file:
        drawn = nx.read_graphml(file, force_multigraph=True)
    written = np.array([float(d.get("bearing", "nan")) for _, _, d in drawn.edges(data=True)])
    ours = bearing(city.position[city.source], city.position[city.target], globe=True)
    known = np.isfinite(written)
    loops = (city.source == city.target).sum()
    assert known.sum() == len(city.source) - loops
    assert loops > 0
    assert np.abs((ours - written + 180) % 360 - 180)[known].max() < 1e-6


def test_greenwich_village(city: Streets) -> None:
    graph = build(city, "50@40.7355,-74.0000")
    assert (graph.n_places, len(graph.edges)) == ((43, 75) if city.name == "manhattan" else (43, 76))
    assert graph.report["places_in_region"] == 50
    assert graph.report["places_lost_in_region"] == 7
    assert nx.is_strongly_connected(nx.DiGraph((int(u), int(v)) for u, v, _ in graph.edges))
    whole = build(city)
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


def test_box(city: Streets) -> None:
    graph = build(city, "40.73,-74.005,40.737,-73.995")
    assert graph.lonlat is not None
    assert (graph.lonlat >= [-74.005, 40.73]).all()
    assert (graph.lonlat <= [-73.995, 40.737]).all()
    assert 60 < graph.n_places <= int(graph.report["places_in_region"])


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("3@40.7335,-74.0027", "holds 3 intersections .* at most 1 can"),
        ("50@-74.0027,40.7335", "km from the map.*latitude comes first"),
        ("50@95,40.7335", "give latitude .-90..90. first"),
        ("50@40,-999", "give latitude .-90..90. first"),
        ("9000@40.7335,-74.0027", "asks for 9,000 intersections, but NAME has COUNT"),
        ("51,0,52,1", "holds 0 intersections of NAME; try a larger box .the map spans 40.7"),
    ],
)
def test_region_that_holds_too_little(city: Streets, region: str, expected: str) -> None:
    expected = expected.replace("NAME", repr(city.name)).replace("COUNT", str(build(city).n_places))
    with pytest.raises(InputError, match=expected):
        build(city, region)


MALFORMED = [
    "",
    "some",
    "50",
    "50@",
    "50@1",
    "50@1,2,3",
    "x@1,2",
    "-5@1,2",
    "1,2,3",
    "1,2,3,4,5",
    "1,2,three,4",
    "nan,1,2,3",
    "50@nan,1",
    "5e9@1,2",
    "٥@1,2",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_region(text: str) -> None:
    with pytest.raises(InputError, match=r"'N@lat,lon'.*'south,west,north,east'"):
        parse_region(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("41,-74,40,-73", "not a box"),
        ("40,-73,41,-74", "not a box"),
        ("0,0,91,1", "not a box"),
        ("2@1,2", "at least 3"),
    ],
)
def test_impossible_region(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_region(text)

"""GraphML street maps: what is read, and what is refused in one sentence."""

from __future__ import annotations

import contextlib
import gzip
import math
import time
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, Edge, document, load, moves, saved
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.core.errors import InputError
from worldbench.envs.taxi import containers, graphml, graphml_columns, graphml_parser, map_files
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.envs.taxi.world import TaxiWorld


def test_square(tmp_path: Path) -> None:
    edges: list[Edge] = [
        *SQUARE_EDGES,
        ("1", "1", {"length": "5"}),
        ("1", "2", {"length": "90", "name": "['First', 'Second']"}),
        ("3", "2", {"length": "7"}),
    ]
    for name in ("map.graphml", "map.graphml.gz"):
        graph = load(saved(tmp_path, document(edges=edges), name))
        assert graph.name == "map"
        assert moves(graph) == [
            ("1", "N", "2"),
            ("2", "E", "3"),
            ("2", "S", "1"),
            ("3", "S", "4"),
            ("3", "W", "2"),
            ("4", "W", "1"),
        ]
        assert graph.length[0, 0] == 90
        assert graph.street[0, 0] == "First / Second"
        assert np.isnan(graph.length[0, 1])
        assert graph.lonlat is not None
        assert tuple(graph.lonlat[1]) == SQUARE_NODES["2"]
        assert {
            key: graph.report[key]
            for key in ("nodes_read", "edges_read", "loops_dropped", "parallel_dropped", "collisions_dropped", "moves")
        } == {
            "nodes_read": 4,
            "edges_read": 8,
            "loops_dropped": 1,
            "parallel_dropped": 1,
            "collisions_dropped": 0,
            "moves": 6,
        }


def test_a_map_is_parsed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    parse = map_files.parse

    def counted(*of: Any) -> Any:
        parsed.append(1)
        return parse(*of)

    monkeypatch.setattr(map_files, "parse", counted)
    path = saved(tmp_path, document(edges=SQUARE_EDGES))
    config = TaxiConfig(map=str(path), region="village", min_moves=1, max_moves=5)
    world = TaxiWorld(config)  # looks for the region in the map, and then builds it
    assert len(parsed) == 1
    assert TaxiWorld(config).identity() == world.identity()
    assert len(parsed) == 1
    saved(tmp_path, document(edges=[*SQUARE_EDGES, ("3", "2", {"length": "7"})]), path.name)
    assert TaxiWorld(config).identity() != world.identity()
    assert len(parsed) == 2


def test_edge_without_length_gets_the_distance_of_its_ends(tmp_path: Path) -> None:
    graph = load(saved(tmp_path, document(edges=[(u, v, {}) for u, v, _ in SQUARE_EDGES])))
    assert graph.length[0, 0] == pytest.approx(0.001 * 6_371_009 * math.pi / 180, rel=1e-9)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    assert load(saved(tmp_path, gzip.compress(document().encode()), "map.xml")).n_places == 4


def test_duplicate_keys_and_types_do_not_matter(tmp_path: Path) -> None:
    text = document().replace(
        '<key id="x" for="node"', '<key id="x" for="node" attr.name="x" attr.type="double"/><key id="x" for="node"'
    )
    assert load(saved(tmp_path, text)).digest == load(saved(tmp_path, document(), "other.graphml")).digest
    untyped = document().replace(' attr.type="string"', "")
    assert load(saved(tmp_path, untyped)).n_places == 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Broadway", "Broadway"),
        ("['A', 'B']", "A / B"),
        ("[" * 300, "[" * 200 + ".."),
        ("['A'", "['A'"),
        ("[1, 2", "[1, 2"),
        ("a\x1b[31mb\n", "a[31mb"),
        ("", ""),
        ("[]", ""),
        ("['A',]", "A"),
        ("[1, 2.5, None]", "1 / 2.5 / None"),
        ("[nan, 'A']", "[nan, 'A']"),
        ("['It\\'s', \"O'Brien\"]", "It's / O'Brien"),
        ("[['A'], 'B']", "[['A'], 'B']"),
        ("[{1: 2}]", "[{1: 2}]"),
        ("x" * 300, "x" * 200 + ".."),
    ],
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
    "html": ("<html><body/></html>", "is a web page"),
    "other xml": ("<roads/>", "not GraphML .its first element is <roads>"),
    "no graph": ('<graphml xmlns="http://graphml.graphdrawing.org/xmlns"/>', "0 <graph> elements"),
    "two graphs": (document().replace("</graphml>", '<graph edgedefault="directed"/></graphml>'), "2 <graph> elements"),
    "deep": ("<graphml>" + "<a>" * 200_000, "levels deep"),
    "entity bomb": (document(head=BOMB), "document type declaration"),
    "external entity": (document(head=EXTERNAL), "document type declaration"),
    "external doctype": (
        document(head='<!DOCTYPE graphml SYSTEM "http://127.0.0.1:9/x.dtd">'),
        "document type declaration",
    ),
    "bomb in utf-16": (document(head=BOMB).replace("utf-8", "utf-16").encode("utf-16"), "document type declaration"),
    "hyperedge": (document().replace("</graph>", "<hyperedge/></graph>"), "hyperedge, which joins more than two"),
    "unknown key": (
        document().replace('<data key="x">', '<data key="z">'),
        "the key 'z', which no <key> before it declares",
    ),
    "typed nonsense": (
        document().replace('"length" attr.type="string"', '"length" attr.type="int"').replace(">100<", ">much<"),
        "no usable length: 5 edges",
    ),
    "no edges": (document(edges=[]), "no edges"),
    "projected": (document(crs="epsg:32618"), "'epsg:32618'"),
    "no coordinates": (document({**SQUARE_NODES, "5": None}), "no numeric x and y: 1 node .the first is '5'"),
    "text for coordinates": (document({**SQUARE_NODES, "5": ("west", 3)}), "no numeric x and y"),
    "nan": (document({**SQUARE_NODES, "5": ("nan", 3)}), "no numeric x and y"),
    "infinite": (document({**SQUARE_NODES, "5": (1, "inf")}), "no numeric x and y"),
    "metres": (
        document({i: (583_000 + k, 4_507_000 + k) for k, i in enumerate(SQUARE_NODES)}),
        "positions outside -180..180, -90..90 degrees: 4 nodes",
    ),
    "unknown end": (
        document(edges=[*SQUARE_EDGES, ("1", "77", {})]),
        "ends of edges that are not nodes: 1 node .the first is '77'",
    ),
    "repeated node": (document().replace('<node id="2"', '<node id="1"', 1), "1 node with the id of another"),
    "repeated edge": (
        document().replace('source="2" target="3" id="1"', 'source="1" target="2" id="0"'),
        "1 edge with the source, target and id of another",
    ),
    "negative length": (
        document(edges=[*SQUARE_EDGES, ("1", "3", {"length": "-4"})]),
        "no usable length: 1 edge .the first is '1->3'",
    ),
    "lengthy length": (document(edges=[*SQUARE_EDGES, ("1", "3", {"length": "long"})]), "no usable length"),
    "an id with a space": (document({**SQUARE_NODES, "a b": (-74, 40.7)}), "cannot be words of a ride: 1 node"),
    "an id that is a direction": (document({**SQUARE_NODES, "NW": (-74, 40.7)}), "cannot be words of a ride: 1 node"),
    "one-way street": (document(edges=[("1", "2", {}), ("2", "3", {}), ("3", "4", {})]), "can all reach each other"),
    "all at one point": (document(dict.fromkeys("1234", (-74, 40))), "can all reach each other"),
}


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


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    nodes = {**SQUARE_NODES, "5": None, "6": (500, 3)}
    text = document(nodes, [*SQUARE_EDGES, ("1", "9", {"length": "?"})])
    with pytest.raises(InputError) as caught:
        load(saved(tmp_path, text))
    for part in ("'9'", "'5'", "'6'", "no usable length"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["manhatan", "", " ", "a\0b"])
def test_misspelt_map(name: str) -> None:
    with pytest.raises(InputError, match=r"env\.map"):
        load_map(TaxiConfig(map=name))


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LARGEST_BYTES", 3 << 20)
    with pytest.raises(InputError, match=r"more than 3 MiB after unpacking, which is the limit; save a smaller part"):
        load(saved(tmp_path, document().replace("</graphml>", " " * (4 << 20) + "</graphml>"), "wide.graphml.gz"))
    with pytest.raises(InputError, match="more than 3,145,728 bytes"):
        load(saved(tmp_path, document().replace("</graphml>", " " * (4 << 20) + "</graphml>"), "wide.graphml"))
    for module, limit, at_most, text, expected in (
        (graphml_parser, "MOST_ELEMENTS", 1000, "<a/>" * 2000, "more than 1,000 XML elements"),
        (graphml_parser, "MOST_ATTRIBUTES", 1000, '<a b="" c="" d=""/>' * 400, "more than 1,000 XML attributes"),
        (graphml_columns, "MOST_NODES", 10, "".join(f'<node id="n{i}"/>' for i in range(7)), "more than 10 nodes"),
        (graphml_columns, "MOST_EDGES", 10, '<edge source="1" target="2"/>' * 7, "more than 10 edges"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, at_most)
            with pytest.raises(InputError, match=f"{expected}, which is the limit; save a smaller part of the map"):
                load(saved(tmp_path, document().replace("</graph>", text + "</graph>"), "many.graphml"))
    monkeypatch.setattr(graphml_parser, "MOST_KEYS", 7)
    with pytest.raises(InputError, match="declares more than 7 keys"):
        load(
            saved(
                tmp_path,
                document().replace("<graph ", '<key id="a"/><key id="b"/><key id="c"/><graph '),
                "keys.graphml",
            )
        )


@pytest.mark.parametrize("what", ["<!--{}-->", '<a b="{}"/>', "<?a {}?>"])
def test_one_endless_tag_or_comment_is_refused_at_once(tmp_path: Path, what: str) -> None:
    text = document().replace("</graph>", what.format("x" * (20 << 20)) + "</graph>")
    path = saved(tmp_path, text)
    started = time.process_time()
    with pytest.raises(InputError, match="a tag or a comment of more than 1 MiB, which is the limit; save it without"):
        load(path)
    assert time.process_time() - started < 5


def test_a_long_value_and_much_white_space_are_read(tmp_path: Path) -> None:
    long = document(edges=[(u, v, {"length": "100", "name": "y" * (3 << 20)}) for u, v, _ in SQUARE_EDGES])
    graph = load(saved(tmp_path, long.replace("</graph>", "\n" * (5 << 20) + "</graph>")))
    assert graph.digest == load(saved(tmp_path, document(), "other.graphml")).digest
    assert len(graph.street[0, 0]) < 300


def test_time_grows_with_the_file_and_not_with_its_square(tmp_path: Path) -> None:
    """100,000 nodes of nothing but ids, in 200 KB packed, took a minute."""
    text = document().replace("<edge ", "".join(f'<node id="n{i}"/>' for i in range(100_000)) + "<edge ", 1)
    path = saved(tmp_path, text, "many.graphml.gz")
    started = time.process_time()
    with pytest.raises(InputError, match=r"no numeric x and y: 100,000 nodes .the first is 'n0'"):
        load(path)
    assert time.process_time() - started < 5


def test_what_other_programs_write_is_read(tmp_path: Path) -> None:
    """Edges before nodes, another prefix, ports, foreign elements, values with elements inside, keys without a name."""
    text = document()
    nodes, edges = text.index("<node"), text.index("<edge")
    plain = load(saved(tmp_path, text)).digest
    for k, other in enumerate(
        (
            text[:nodes] + text[edges : text.index("</graph>")] + text[nodes:edges] + text[text.index("</graph>") :],
            text.replace("<", "<g:").replace("<g:/", "</g:").replace("<g:?", "<?").replace("xmlns=", "xmlns:g="),
            text.replace("</node>", '<port name="p"><data key="x">7</data></port></node>'),
            text.replace("</node>", '<o:node xmlns:o="other" id="9"/></node>').replace(
                "</graph>", '<o:edge xmlns:o="other"/></graph>'
            ),
            text.replace('<key id="x"', '<key id="shape" for="node" yfiles.type="nodegraphics"/><key id="x"').replace(
                "</node>", '<data key="shape"><y:Geometry xmlns:y="yworks" x="1" y="2">text</y:Geometry></data></node>'
            ),
            text.replace(' attr.name="x"', "").replace(' attr.name="length"', ""),
            text.replace('<graphml xmlns="http://graphml.graphdrawing.org/xmlns">', "<graphml>"),
            text.replace(">-74.0<", "> -74.0\n<"),
        )
    ):
        assert load(saved(tmp_path, other, f"{k}.graphml")).digest == plain


def test_the_default_of_a_key_holds_where_nothing_is_given(tmp_path: Path) -> None:
    text = document(edges=[(u, v, {}) for u, v, _ in SQUARE_EDGES])
    text = text.replace(
        'attr.name="length" attr.type="string"/>', 'attr.name="length" attr.type="double"><default>55</default></key>'
    )
    text = text.replace(
        'attr.name="name" attr.type="string"/>', 'attr.name="name" attr.type="string"><default>Road</default></key>'
    )
    graph = load(saved(tmp_path, text))
    assert graph.length[0, 0] == 55
    assert graph.street[0, 0] == "Road"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_reader_agrees_with_networkx(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Whatever networkx writes: the same nodes, positions, lengths and names as networkx reads from it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 20))
    written = nx.MultiDiGraph(crs="epsg:4326")
    kind = (str, float)[rng.integers(2)]
    for i in rng.permutation(n):
        written.add_node(
            f"n{i}", x=kind(rng.integers(-90, 90) / 1000), y=kind(rng.integers(-90, 90) / 1000), note="<&>"
        )
    for _ in range(int(rng.integers(n, 4 * n))):
        values = {
            "length": kind(rng.integers(1, 300)),
            "name": ("A & B", "Straße", "")[rng.integers(3)],
            "geometry": "LINE",
        }
        kept = {k: v for k, v in values.items() if rng.random() < 0.8}
        written.add_edge(f"n{rng.integers(n)}", f"n{rng.integers(n)}", **kept)
    path = tmp_path_factory.mktemp("agrees") / "map.graphml"
    nx.write_graphml(written, path)
    known, streets = nx.read_graphml(path, force_multigraph=True), map_files.read(path)
    assert {p: tuple(at) for p, at in zip(streets.places, streets.position)} == {
        p: (float(d["x"]), float(d["y"])) for p, d in known.nodes(data=True)
    }
    ours = zip(streets.source, streets.target, streets.street, streets.length)
    got = sorted((streets.places[u], streets.places[v], name, float(length)) for u, v, name, length in ours)
    straight = graphml.distance(streets.position[streets.source], streets.position[streets.target], globe=True)
    names, ends = streets.places, zip(streets.source, streets.target, straight)
    between = {(names[u], names[v]): float(d) for u, v, d in ends}
    assert got == sorted(
        (u, v, d.get("name", ""), float(d.get("length", 0)) or between[u, v]) for u, v, d in known.edges(data=True)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.binary(max_size=8))
def test_damaged_bytes_never_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, at: int, gap: int, noise: bytes
) -> None:
    raw = document().encode()
    at %= len(raw)
    path = saved(tmp_path_factory.mktemp("damaged"), raw[:at] + noise + raw[at + gap :])
    with contextlib.suppress(InputError):
        assert load(path).n_places >= 3

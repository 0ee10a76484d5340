"""Maps as they are, with places that cannot be left, for routes that were made elsewhere; and their positions from a
file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from graphml_files import document

from worldbench.core.errors import InputError
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map

TOWN = "node,direction,to\na,N,b\nb,N,c\nc,N,a\nb,S,a\nc,S,b\na,S,c\nc,E,d\ne,W,a\n"
"""A ring of three places; from c a way leads to d, which cannot be left, and one leads from e, which cannot be
reached."""


@pytest.fixture
def town(tmp_path: Path) -> Path:
    path = tmp_path / "town.csv"
    path.write_text(TOWN, encoding="utf-8")
    return path


def test_a_whole_table_keeps_the_places_that_cannot_be_left_or_reached(town: Path) -> None:
    with pytest.raises(InputError, match=r"a place has no way out \('d'\)"):
        load_map(TaxiConfig(map=str(town)))
    graph = load_map(TaxiConfig(map=str(town)), whole=True)
    assert graph.places == ("a", "b", "c", "d", "e")
    assert len(graph.edges) == 8
    assert graph.report["places_without_way_out"] == 1
    assert graph.report["places_outside_largest_part"] == 0
    assert np.isfinite(graph.metres).all()
    assert np.isfinite(graph.length[graph.successor >= 0]).all()
    assert np.isnan(graph.length[graph.successor < 0]).all()


def test_a_whole_json_table_keeps_places_without_moves(tmp_path: Path) -> None:
    path = tmp_path / "town.json"
    path.write_text(
        json.dumps({"moves": {"a": {"N": "b"}, "b": {}}, "nodes": {"a": [0, 0], "b": [0, 100], "c": [50, 50]}})
    )
    graph = load_map(TaxiConfig(map=str(path)), whole=True)
    assert graph.places == ("a", "b", "c")
    assert graph.length[0].tolist() == [100.0]
    with pytest.raises(InputError, match=r"a place has no way out \('b', and 1 more\)"):
        load_map(TaxiConfig(map=str(path)))


def streets(path: Path, nodes: dict[str, tuple[float, float]], edges: list[str]) -> Path:
    path.write_text(document(nodes, [(u, v, {"length": "100"}) for u, v in edges]), encoding="utf-8")
    return path


def test_a_whole_street_map_keeps_every_intersection_and_a_region_of_it(tmp_path: Path) -> None:
    nodes = {str(i): (0.001 * i, 0.0) for i in range(5)}
    path = streets(tmp_path / "map.graphml", nodes, ["01", "12", "21", "23", "34"])
    with pytest.raises(InputError, match="no 3 of them can all reach each other"):
        load_map(TaxiConfig(map=str(path)))
    graph = load_map(TaxiConfig(map=str(path)), whole=True)
    assert graph.places == tuple("01234")
    assert len(graph.edges) == 5
    part = load_map(TaxiConfig(map=str(path), region="3@0,0.004"), whole=True)
    assert part.places == ("2", "3", "4")
    assert len(part.edges) == 2


def test_a_map_that_is_connected_is_the_same_whole(tmp_path: Path) -> None:
    path = tmp_path / "ring.csv"
    path.write_text("a,N,b,0,0\nb,N,c,0,100\nc,S,a,0,200\n", encoding="utf-8")
    part, whole = (load_map(TaxiConfig(map=str(path)), whole=w) for w in (False, True))
    assert part.digest == whole.digest
    assert (part.metres == whole.metres).all()


def test_places_that_only_lead_to_themselves_are_laid_out(tmp_path: Path) -> None:
    path = tmp_path / "loops.csv"
    path.write_text("a,N,a\nb,N,b\n", encoding="utf-8")
    assert np.abs(load_map(TaxiConfig(map=str(path)), whole=True).metres).max() < 1000


def test_a_map_of_one_place_is_too_small(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("a,N,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="1 place, and at least 2 are needed"):
        load_map(TaxiConfig(map=str(path)), whole=True)


def test_positions_come_from_a_table_of_degrees(town: Path, tmp_path: Path) -> None:
    file = tmp_path / "at.csv"
    file.write_text(
        "Node,Latitude,lon\n" + "".join(f"{p},{0.001 * i},10\n" for i, p in enumerate("abcdexy")), encoding="utf-8-sig"
    )
    graph = load_map(TaxiConfig(map=str(town)), whole=True, positions=file)
    assert graph.lonlat is not None
    assert graph.lonlat[1].tolist() == [10, 0.001]
    assert graph.length[0, graph.directions.index("N")] == pytest.approx(111.2, abs=0.1)
    assert np.diff(graph.metres[:, 1]) == pytest.approx(np.full(4, 111.2), abs=0.1)
    assert graph.report["positions"] == "given"
    bare = tmp_path / "bare.csv"
    bare.write_text("".join(f"{p},10,{0.001 * i}\n" for i, p in enumerate("abcde")), encoding="utf-8")
    assert (load_map(TaxiConfig(map=str(town)), whole=True, positions=bare).metres == graph.metres).all()


def test_positions_come_from_a_street_map_that_shares_the_ids(town: Path, tmp_path: Path) -> None:
    file = streets(tmp_path / "streets.graphml", {p: (0.001 * i, 40.0) for i, p in enumerate("abcdez")}, ["ab"])
    graph = load_map(TaxiConfig(map=str(town)), whole=True, positions=file)
    assert graph.lonlat is not None
    assert graph.lonlat.tolist() == [[0.001 * i, 40.0] for i in range(5)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node,lon,lat\na,0,0\nb,0,1\n", r"no position in the file of positions \('c', and 2 more\)"),
        ("node,lon\na,0\n", "have the columns 'node', 'lon'; they must be node,lon,lat"),
        ("a,0\n", "line 1: the line does not have three cells"),
        (
            "a,0,0\nb,200,0\nc,x,0\nd,0,91\ne,0,nan\n",
            "line 2: '200', '0' are not a longitude .*line 3: .*and 1 more line\\.",
        ),
        ("a,0,0\na,0,1\n", "line 2: the place 'a' has a different position in an earlier line"),
        ("node,lon,lat\n", "have no place"),
    ],
)
def test_positions_that_cannot_be_used_are_refused(town: Path, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "at.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load_map(TaxiConfig(map=str(town)), whole=True, positions=file)


def test_positions_are_for_tables_and_in_regular_files(town: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has its own positions"):
        load_map(TaxiConfig(map="city:20"), positions=tmp_path / "at.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="a folder, not a regular file"):
        load_map(TaxiConfig(map=str(town)), whole=True, positions=tmp_path / "folder.csv")


def test_a_table_gives_a_position_to_a_place_without_moves(tmp_path: Path) -> None:
    path = tmp_path / "town.csv"
    path.write_text("node,direction,to,x,y\na,E,b,0,0\nb,,,100,0\n", encoding="utf-8")
    graph = load_map(TaxiConfig(map=str(path)), whole=True)
    assert graph.metres.tolist() == [[-50, 0], [50, 0]]
    path.write_text("node,direction,to,x,y\na,E,b,0,0\nb,W,a,1e12,0\n", encoding="utf-8")
    with pytest.raises(InputError, match="a position lies beyond a million kilometers"):
        load_map(TaxiConfig(map=str(path)), whole=True)
    path.write_text("node,direction,to,x,y\na,E,b,0,0\n", encoding="utf-8")
    with pytest.raises(InputError, match="a row node,,,x,y gives one"):
        load_map(TaxiConfig(map=str(path)), whole=True)

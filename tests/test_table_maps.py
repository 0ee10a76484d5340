"""Maps from plain tables: what is read, what stays of it, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi import table_files
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.envs.taxi.world import TaxiWorld

ROWS = ["a,E,b,0,0", "b,NW,c,100,0", "c,SW,a,50,80", "b,up,a,100,0"]
HEADER = "node,direction,to,x,y"


def load(folder: Path, text: str, name: str = "map.csv") -> Graph:
    (folder / name).write_text(text, encoding="utf-8")
    return load_map(TaxiConfig(map=str(folder / name)))


def moves(graph: Graph) -> set[tuple[str, str, str]]:
    return {(graph.places[u], graph.directions[a], graph.places[v]) for u, v, a in graph.edges.tolist()}


WANTED = {("a", "E", "b"), ("b", "NW", "c"), ("c", "SW", "a"), ("b", "up", "a")}


def test_a_table_is_read_with_and_without_header_and_as_json(tmp_path: Path) -> None:
    graph = load(tmp_path, "\n".join([HEADER, *ROWS]))
    assert moves(graph) == WANTED
    assert graph.directions == ("E", "SW", "NW", "up")  # the compass in its order, then other words
    assert graph.name == "map"
    assert graph.lonlat is None
    assert np.allclose(graph.metres - graph.metres[0], [[0, 0], [100, 0], [50, 80]])
    assert np.allclose(graph.metres.mean(0), 0)
    assert graph.length[0, 0] == pytest.approx(100)
    assert np.isnan(graph.length[graph.successor < 0]).all()
    turned = ["y,x,to,node,direction", *(",".join((y, x, to, n, d)) for n, d, to, x, y in (r.split(",") for r in ROWS))]
    nodes = {"a": [0, 0], "b": [100, 0], "c": [50, 80]}
    ways = {"b": {"up": "a", "NW": "c"}, "a": {"E": "b"}, "c": {"SW": "a"}}
    for text, name in (
        ("\n".join(ROWS), "map.csv"),
        ("\ufeff" + "\r\n".join(turned) + "\r\n\r\n", "map.csv"),
        (HEADER.upper() + "\n" + "\n".join(ROWS), "MAP.CSV"),
        (json.dumps({"nodes": nodes, "moves": ways}), "map.json"),
    ):
        again = load(tmp_path, text, name)
        assert again.digest == graph.digest
        assert again.places == graph.places


def test_the_order_of_rows_has_no_effect_and_rows_may_be_repeated(tmp_path: Path) -> None:
    rows = [f"{i},N,{(i + 1) % 12}" for i in range(12)] + [f"{i},S,{(i * 5 + 3) % 12}" for i in range(12)]
    digest = load(tmp_path, "\n".join(rows)).digest
    for seed in range(3):
        shuffled = random.Random(seed).sample(rows, len(rows))
        graph = load(tmp_path, "\n".join([*shuffled, rows[0]]))
        assert graph.digest == digest
        assert graph.places == tuple(map(str, range(12)))
        assert graph.report["rows_repeated"] == 1


def test_a_table_without_positions_is_laid_out_and_says_so(tmp_path: Path) -> None:
    graph = load(tmp_path, "\n".join(f"{i},N,{(i + 1) % 20}\n{i},S,{(i - 1) % 20}" for i in range(20)))
    assert "spring model" in str(graph.report["positions"])
    assert np.isfinite(graph.metres).all()
    assert len(np.unique(graph.metres, axis=0)) == 20
    assert np.median(graph.length[graph.successor >= 0]) == pytest.approx(100, abs=2)


def test_the_largest_strongly_connected_part_stays_and_a_move_may_stay_in_place(tmp_path: Path) -> None:
    graph = load(tmp_path, "\n".join([*ROWS, "d,E,a,0,50", "a,N,a,0,0"]))
    assert moves(graph) == WANTED | {("a", "N", "a")}
    assert graph.report["places_outside_largest_part"] == 1


def test_rides_on_a_table_with_any_words(tmp_path: Path) -> None:
    rows = [f"p{i},left,p{(i + 1) % 9},{i},0\np{i},right,p{(i * 2 + 1) % 9},{i},0" for i in range(9)]
    (tmp_path / "ring.csv").write_text("\n".join(rows))
    config, _ = TaxiWorld.settle(TaxiConfig(map=str(tmp_path / "ring.csv"), region="village", min_moves=2, max_moves=8))
    assert config.region == "all"
    world = TaxiWorld(config)
    assert world.vocabulary.words[2:4] == ("left", "right")
    documents = world.sample(0, "train", 0, 200)
    states = world.after(documents)
    assert (world.outcome(states) == 1).all()
    assert world.law(world.start(*world.prompts(0, 5))).sum(1) == pytest.approx(np.ones(5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node,direction,target\na,N,b", "unknown column 'target'"),
        ("node,direction,x,y\na,N,0,0", "lacks the column 'to'"),
        ("node,direction,to,x\na,N,b,0", "one of the columns x and y"),
        ("node,direction,to,to\na,N,b,b", "two columns with the same name"),
        ("a,N", "has 2 columns"),
        ("", "has no moves"),
        ("node,direction,to", "has no moves"),
        ("a,N,b\nb,N,c\nc,N", "a row does not have 3 cells (line 3: 2)"),
        ("a,N,b\nb,,c\nc,N,a", "a cell is empty (line 2)"),
        (
            "a,N,b\nb,N,c\nc,N,a\na,N,c\nb,N,a",
            ("a direction of a place leads to two others (line 4: 'a' 'N' to 'b' and 'c', and 1 more)"),
        ),
        ("a,N,b\nb,N,c\nc,N,a\nc,E,d", "a place has no way out ('d')"),
        (
            "a,N,b,0,0\nb,N,c,1,x\nc,N,a,1,1",
            ("a position is not two numbers (line 2: '1', 'x'); a place has no position although others have ('b')"),
        ),
        ("a,N,b,0,0\nb,N,c,1,inf\nc,N,a,1,1", "a position is not two numbers"),
        ("a,N,b,0,0\nb,N,c,1,0\nc,N,a,1,1\na,S,c,0,1", "a place has two positions (line 4: 'a')"),
        ("a,N,b\nb,N,end\nend,N,a", "a place cannot be a word (no spaces; not end, pad, <pad>) ('end')"),
        ("a,N,b\nb,N,c d\nc d,N,a", "'c d'"),
        ("a,N,b\nb,end,c\nc,N,a", "a direction cannot be a word"),
        ("a,N,b\nb,a,c\nc,N,a", "a word is a place and a direction ('a')"),
        ("a,N,b\nb,N,a", "no 3 of them can all reach each other"),
        ("\n".join(f"a,d{i},b\nb,d{i},c\nc,d{i},a" for i in range(17)), "more than 16 directions (17)"),
        ('a,N,b\nb,"N,c', "a row does not have 3 cells"),
    ],
)
def test_whatever_is_wrong_with_a_csv_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert words in message
    assert "map.csv" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", 'is not {"moves"'),
        ('{"moves": {}, "edges": {}}', "unknown key 'edges'"),
        ('{"moves": {"a": {"N": "b", "N": "c"}}}', "a key occurs twice in one object ('N')"),
        ('{"moves": {"a": {"N": 3}}}', "a move leads to something that is not text ('a' 'N')"),
        ('{"moves": {"a": "b"}}', "the moves of a place are not {direction: place} ('a')"),
        ('{"moves": {"a": {"N": "b"}, "b": {"N": "c"}, "c": {"N": "a"}, "d": {}}}', "a place has no way out ('d')"),
        (
            '{"moves": {"a": {"N": "b"}, "b": {"N": "c"}, "c": {"N": "a"}}, "nodes": {"a": [0]}}',
            "a position is not two numbers (node 'a'",
        ),
        (
            '{"moves": {"a": {"N": "b"}, "b": {"N": "c"}, "c": {"N": "a"}}, "nodes": {"a": [0, true]}}',
            "a position is not two numbers (node 'a'",
        ),
        (
            '{"moves": {"a": {"N": "b"}, "b": {"N": "c"}, "c": {"N": "a"}}, "nodes": {"e": [0, 0]}}',
            "a place has no way out ('e')",
        ),
    ],
)
def test_whatever_is_wrong_with_a_json_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, "map.json")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_and_regions_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_map(TaxiConfig(map=str(tmp_path / "none.csv")))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder, not a regular file"):
        load_map(TaxiConfig(map=str(tmp_path / "folder.csv")))
    (tmp_path / "bytes.csv").write_bytes(b"a,N,\xff\n")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_map(TaxiConfig(map=str(tmp_path / "bytes.csv")))
    (tmp_path / "map.csv").write_text("\n".join(ROWS))
    with pytest.raises(InputError, match="does not apply to the table"):
        load_map(TaxiConfig(map=str(tmp_path / "map.csv"), region="5@0,0"))


def test_sizes_of_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = "\n".join(f"{i},N,{(i + 1) % 20}" for i in range(20))
    monkeypatch.setattr(table_files, "MOST_LINES", 10)
    with pytest.raises(InputError, match=r"has more than 10 lines, which is the limit; give a smaller part of the map"):
        load(tmp_path, ring)
    with pytest.raises(InputError, match="has more than 10 lines"):
        load(tmp_path, "\n" * 11)
    text = json.dumps({"moves": {str(i): {"N": str((i + 1) % 20)} for i in range(20)}})
    with pytest.raises(InputError, match="has more than 10 moves, which is the limit"):
        load(tmp_path, text, "map.json")
    with pytest.raises(InputError, match=r"has a line of more than 10,000 characters .line 2."):
        load(tmp_path, f"a,N,b\n{',' * 20_000}\n")
    monkeypatch.setattr(table_files, "LARGEST_BYTES", 100)
    with pytest.raises(InputError, match="holds more than 100 bytes"):
        load(tmp_path, ring)


def test_many_faulty_rows_are_counted_and_not_kept(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},N,{i + 1},0,far" for i in range(50_000))
    with pytest.raises(
        InputError, match=r"a position is not two numbers \(line 1: '0', 'far', and 49,999 more\)"
    ) as caught:
        load(tmp_path, rows)
    assert len(str(caught.value)) < 900


def test_positions_that_are_no_distances_are_refused(tmp_path: Path) -> None:
    for text in ("1e300", "-2e9"):
        with pytest.raises(InputError, match=r"a position lies beyond a million kilometers \(line 1"):
            load(tmp_path, f"a,N,b,0,{text}\nb,N,c,1,0\nc,N,a,1,1")
    with pytest.raises(InputError, match="a position is not two numbers"):
        load(tmp_path, f"a,N,b,0,{'1' * 200}\nb,N,c,1,0\nc,N,a,1,1")

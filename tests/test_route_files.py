"""Files of routes: what they may look like, what is left out and said, and what a long line costs."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import small_map

from worldbench.cli.main import main
from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.metrics import route_controls
from worldbench.metrics.routes import NOT_A_DIRECTION, from_table
from worldbench.studies import routes as reader
from worldbench.studies.reconstruction import Settings, measure, reconstruct_file
from worldbench.studies.routes import read_routes, with_directions

CASES = Path(__file__).parent.parent / ".." / "shared" / "cases"
SQUARE = """node,direction,to,x,y
a,E,b,0,0
b,W,a,100,0
b,N,c,100,0
c,S,b,100,100
c,W,d,100,100
d,E,c,0,100
d,S,a,0,100
a,N,d,0,0
"""
GOOD = "a c E N end\nb d W N end\nc a W S end\nd b S E end\n"


@pytest.fixture
def square(tmp_path: Path) -> Path:
    path = tmp_path / "square.csv"
    path.write_text(SQUARE, encoding="utf-8")
    return path


@pytest.fixture
def graph(square: Path) -> Graph:
    return with_directions(load_map(TaxiConfig(map=str(square))))


def saved(folder: Path, data: str | bytes, name: str = "routes.txt") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# What is read


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        b"\xfe\xff" + GOOD.encode("utf-16-be"),
        GOOD.encode("utf-32"),
        GOOD.replace(" ", "\t \t"),
        "# by me\n\n" + GOOD + "  # end\n",
        GOOD.replace("end", "end <|endoftext|>"),
        GOOD.replace("end", "end # ok"),
        GOOD.replace("end", "end end"),
        GOOD.replace("end", "end pad <pad>"),
        GOOD.replace("end\n", "end\x0c"),
        GOOD.replace("end", "end a c"),
        GOOD + "pad pad pad\n<pad>\n",
    ],
)
def test_what_a_file_may_look_like(tmp_path: Path, graph: Graph, data: str | bytes) -> None:
    read = read_routes(saved(tmp_path, data), graph)
    assert (read.origin.tolist(), read.destination.tolist()) == ([0, 1, 2, 3], [2, 3, 0, 1])
    words = [[graph.directions[a] for a in row] for row in read.moves.table().tolist()]
    assert words == [["E", "N"], ["W", "N"], ["W", "S"], ["S", "E"]]
    assert (read.skipped, read.without_end, read.naming_places) == (0, 0, 0)


def test_what_follows_the_first_end_is_not_read_and_is_said(tmp_path: Path, graph: Graph) -> None:
    read = read_routes(saved(tmp_path, "a c E N end N N\na c E N end pad\na c E pad N end x\na c E N pad pad\n"), graph)
    table = read.moves.table().tolist()
    assert read.past_end == 2
    assert table[0] == table[1] == [1, 0, -1]
    assert table[2] == [1, NOT_A_DIRECTION, 0]
    assert table[3] == [1, 0, NOT_A_DIRECTION]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOOD.replace(" ", ","), "where there is 'a,c,E,N,end'; put spaces between the words"),
        ('["a", "c", "E", "end"]\n', r"is it JSON\? write its words with spaces between"),
        ("".join(f'"{row}"\n' for row in GOOD.splitlines()), "'\"a' .*; take the quotation marks away"),
        (
            "".join(f"{i}\t{row}\n" for i, row in enumerate(GOOD.splitlines())),
            "the origin '0' .*are the lines numbered",
        ),
        (GOOD.lower(), "'e' is neither a direction .*did you mean 'E'"),
        (GOOD.replace("end", "END"), "did you mean 'end'"),
        ("a c 90 0 end\n", r"'90' is neither a direction \(N, E, S, W, NE, SE, SW, NW\)"),
        (GOOD.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("ä c E end\n".encode("latin-1"), "not text in UTF-8"),
        ("a\n", "line 1: an origin and a destination are needed, where there is 'a'"),
        ("\n\nx" + "y" * 100_000 + " b end", "line 3: the origin 'xy"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"\x00\x00\n", "UTF-16 without"),
        ("a x E end\nb x E end\n" * 3, "line 3: .*; and 3 more lines"),
    ],
)
def test_a_file_without_a_line_that_can_be_placed_is_refused_with_a_way_out(
    tmp_path: Path, graph: Graph, data: str | bytes, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_routes(saved(tmp_path, data), graph)
    told = str(caught.value)
    assert "hold no route that can be placed on the map 'square'" in told
    assert "A line reads: origin destination direction .. direction end" in told
    assert "\n" not in told
    assert len(told) < 1000


def test_files_that_are_no_files_are_refused(tmp_path: Path, graph: Graph) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "a named pipe"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(InputError, match=words):
            read_routes(path, graph)


TOKENS = [
    "a",
    "c",
    "b",
    "E",
    "N",
    "S",
    "end",
    "pad",
    "x",
    "#",
    "\x00",
    "ü",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\x0c",
    "\u2028",
    "\xa0",
]


@settings(max_examples=200)
@given(parts=st.lists(st.sampled_from(TOKENS), max_size=60), piece=st.integers(1, 9))
def test_a_file_read_in_pieces_is_the_same_as_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], piece: int
) -> None:
    """Against the plain definition: the whole text at once, its lines, their words."""
    folder = tmp_path_factory.mktemp("pieces")
    graph = with_directions(load_map(TaxiConfig(map=str(saved(folder, SQUARE, "square.csv")))))
    text = "".join([*parts, "\n", "a b E end"])  # one route at least
    expected, skipped = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and words[0].startswith("#"):
            continue
        body = words[2:]
        end = body.index("end") if "end" in body else None
        if end is None:
            while words and words[-1] == "pad":
                words.pop()
        if not words:
            continue
        moves = words[2 : 2 + end] if end is not None else words[2:]
        if (
            len(words) < 2
            or any(w not in graph.places for w in words[:2])
            or any(w not in (*graph.places, *graph.directions, "pad") for w in moves)
        ):
            skipped += 1
            continue
        codes = [graph.directions.index(w) if w in graph.directions else NOT_A_DIRECTION for w in moves]
        expected.append((number, words[0], words[1], codes + ([NOT_A_DIRECTION] if end is None else [])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "PIECE", piece)
        read = read_routes(saved(folder, text), graph)
    found = [read.moves.words[i:j].tolist() for i, j in zip(read.moves.start, read.moves.start[1:])]
    places = [(graph.places[o], graph.places[d]) for o, d in zip(read.origin, read.destination)]
    assert list(zip(read.line.tolist(), *zip(*places), found)) == expected
    assert read.skipped == skipped


# What a long line costs


def test_memory_is_that_of_the_words_and_not_of_the_longest_line(tmp_path: Path, graph: Graph) -> None:
    """One route of 40,000 moves among 5,000 short ones: as a table of int16, 400 MB."""
    rounds = "E N W S " * 10_000
    file = saved(tmp_path, "a c E N end\n" * 2_500 + f"a a {rounds}end\n" + "b d W N end\n" * 2_500)
    tracemalloc.start()
    try:
        read = read_routes(file, graph)
        report = measure(graph, read, Settings(orders=2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert len(read.moves.words) == 50_000
    assert report.scores["valid_routes"].value == 1
    assert report.scores["failed_routes"].value == 0
    assert report.arrays["uses"].sum() == 50_000


def test_a_long_route_full_of_mistakes_takes_no_time(tmp_path: Path, graph: Graph) -> None:
    """Each wrong move looks only as far ahead as a street can be followed, not at all the rest of the route."""
    rng = np.random.default_rng(0)
    words = " ".join(rng.choice(["N", "E", "S", "W", "SE"], 80_000))
    read = read_routes(saved(tmp_path, f"a c {words} end\n" + GOOD), graph)
    report = measure(graph, read, Settings(orders=1))
    assert report.arrays["status"].tolist()[1:] == [0, 0, 0, 0]


def test_true_routes_of_the_controls_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a ring of 400 one-way streets, an empty route is completed by 200 moves in the mean."""
    ring = saved(tmp_path, "\n".join(f"p{i:03},N,p{(i + 1) % 400:03}" for i in range(400)), "ring.csv")
    graph = load_map(TaxiConfig(map=str(ring)))
    read = read_routes(saved(tmp_path, "".join(f"p000 p{i:03} end\n" for i in range(400))), graph)
    monkeypatch.setattr("worldbench.studies.reconstruction.MOVES_COMPLETED", 0.01)
    report = measure(graph, read, Settings(orders=1))
    assert report.arrays["control_rides"].tolist() == list(range(141))  # 0 + 1 + .. + 140 moves are at most 10,000
    notes = "; ".join(report.notes)
    assert "259 rides have no true route between their ends, and are left out of the controls" in notes
    assert "of the rides left out of the controls 259 have a true route" in notes


@pytest.mark.parametrize("few", [0, 2, 10**9])
def test_routes_followed_one_by_one_or_together_stand_at_the_same_places(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = streams.generator("places", few)
    graph, table = small_map(9, 1, 30), rng.integers(-2, 8, (50, 12))
    moves, origin = from_table(table), rng.integers(9, size=50)
    expected = []
    for at, row in zip(origin.tolist(), table.tolist()):
        for turn in itertools.takewhile(lambda a: a != -1, row):
            at = at if turn >= 0 else -1
            expected.append(at)
            at = int(graph.successor[at, turn]) if at >= 0 else -1
    monkeypatch.setattr(route_controls, "FEW", few)
    assert route_controls.places_along(graph, origin, moves).tolist() == expected


@settings(max_examples=60)
@given(
    cells=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 69)), max_size=50),
    width=st.integers(70, 75),
    seek=st.sampled_from([0, 3, 1 << 12]),
    longest=st.sampled_from([4, 64, 1 << 20]),
)
def test_single_cells_are_those_of_whole_rows(
    cells: list[tuple[int, int]], width: int, seek: int, longest: int
) -> None:
    row, column = np.array(cells, np.int64).reshape(-1, 2).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "SEEK", seek)
        patch.setattr(streams, "LONGEST_DRAW", longest)
        found = streams.uniform_cells(row, column, width, "cells", 3)
    whole = streams.uniform(0, 3001, width, "cells", 3)
    assert (found == whole[row, column]).all()


def test_a_far_cell_of_a_wide_row_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        streams.uniform_cells(np.array([10**6, 0]), np.array([10**5, 5]), 10**6, "wide")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_routes_of_all_lengths_fill_a_table() -> None:
    table = np.array([[1, -1, -1], [-1, -1, -1], [0, NOT_A_DIRECTION, 2]])
    moves = from_table(table)
    assert moves.table().tolist() == table.tolist()
    assert (len(moves), moves.lengths.tolist(), moves.row.tolist()) == (3, [1, 0, 3], [0, 2, 2, 2])
    assert moves.take(np.array([2, 0, 2])).table().tolist() == table[[2, 0, 2]].tolist()
    assert moves.take(np.array([False, True, True])).table().tolist() == table[1:].tolist()
    longer = moves.followed_by(from_table(np.array([[3, 3, 3, 3]])))
    assert longer.table().tolist() == [[*row, -1] for row in table.tolist()] + [[3, 3, 3, 3]]


# The map as it is, and the verb


TOWN = "node,direction,to\na,N,b\nb,N,c\nc,N,a\nb,S,a\nc,S,b\na,S,c\nc,E,d\ne,W,a\n"


def test_routes_may_end_and_begin_outside_the_connected_part(tmp_path: Path) -> None:
    """From c a way leads to d, which cannot be left; e cannot be reached."""
    town = saved(tmp_path, TOWN, "town.csv")
    file = saved(tmp_path, "a d N N E end\ne a W end\na c N N end\nd a E end\na d N N end\n")
    record, _ = reconstruct_file(file, str(town), tmp_path / "out", orders=1)
    assert record.map.places == 5
    assert record.map.report["places_without_way_out"] == 1
    scores = {k: v.value for k, v in record.scores.items()}
    valid = record.scores["valid_routes"]
    assert (valid.value, valid.n) == (0.6, 5)
    assert valid.interval == pytest.approx([0.2307, 0.8824], abs=1e-4)  # Wilson
    assert scores["edge_recall"] == 4 / 8
    assert scores["red_edges"] == 1  # d, E: back to a
    assert any("1 ride has no true route between its ends" in note for note in record.notes)
    with pytest.raises(InputError, match=r"a place has no way out \('d'\)"):
        reconstruct_file(file, str(town), tmp_path / "out", connected=True)


def test_the_connected_part_alone_can_be_asked_for(tmp_path: Path) -> None:
    """Then lines that name places outside are left out."""
    town = saved(tmp_path, TOWN.replace("c,E,d\n", ""), "town.csv")
    file = saved(tmp_path, "a c N N end\n" * 9 + "e a W end\n")
    both = [reconstruct_file(file, str(town), tmp_path / "out", connected=c) for c in (False, True)]
    assert both[0][1] != both[1][1]
    whole, part = (record for record, _ in both)
    assert (whole.map.places, part.map.places) == (4, 3)
    assert (whole.routes.count, part.routes.count, part.routes.skipped) == (10, 9, 1)
    left_out = "left out: 1 line that cannot be placed on the map (line 10: the origin 'e'"
    assert any(left_out in note for note in part.notes)
    with pytest.raises(InputError, match="cannot be used: line 10: the origin 'e' is no place"):
        reconstruct_file(file, str(town), tmp_path / "out", connected=True, strict=True)


def test_positions_from_a_file_say_how_far_a_street_may_lead(tmp_path: Path) -> None:
    town = saved(tmp_path, TOWN, "town.csv")
    near, far = (
        saved(tmp_path, "node,lon,lat\n" + "".join(f"{p},{gap * i},0\n" for i, p in enumerate("abcde")), f"{name}.csv")
        for name, gap in (("near", 0.001), ("far", 0.1))
    )
    file = saved(tmp_path, "a d N N E end\nd a E end\n")
    records = [reconstruct_file(file, str(town), tmp_path / "out", positions=p, orders=1) for p in (near, far)]
    assert [record.scores["red_edges"].value for record, _ in records] == [1, 0]
    assert records[0][1] != records[1][1]
    assert not any("laid out" in note for note in records[0][0].notes)
    bare, _ = reconstruct_file(file, str(town), tmp_path / "out", orders=1)
    assert any("--positions FILE gives them" in note for note in bare.notes)


def test_the_record_is_printed_as_json(tmp_path: Path, square: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(tmp_path, GOOD + "x b end\n")
    assert main(["reconstruct", str(file), "--map", str(square), "--out", str(tmp_path / "o"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = Path(printed.pop("folder"))
    assert printed == json.loads((folder / "reconstruction.json").read_text())
    assert printed["scores"]["valid_routes"]["value"] == 1
    assert printed["routes"]["skipped"] == 1
    assert main(["reconstruct", str(file), "--map", str(square), "--out", str(tmp_path / "o"), "--strict"]) == 2
    assert "line 5: the origin 'x'" in capsys.readouterr().err


def test_the_same_command_in_two_processes_ends_in_the_same_bytes(tmp_path: Path, square: Path) -> None:
    file = saved(tmp_path, GOOD)
    command = [
        *(sys.executable, "-m", "worldbench", "reconstruct", str(file), "--map", str(square), "--orders", "1"),
        "--out",
    ]
    _, alone = reconstruct_file(file, str(square), tmp_path / "alone", orders=1)
    running = [
        subprocess.Popen([*command, str(tmp_path / "both")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    folder = tmp_path / "both" / alone.name
    names = sorted(p.relative_to(alone) for p in alone.rglob("*.*"))
    assert sorted(p.relative_to(folder) for p in folder.rglob("*.*")) == names
    assert all((folder / name).read_bytes() == (alone / name).read_bytes() for name in names)


# What once failed


ROUTES = sorted(p.name for p in (CASES / "routes").glob("*.txt"))
READ = {
    "bom.txt": 20,
    "crlf.txt": 20,
    "comments.txt": 20,
    "good.txt": 20,
    "spaces.txt": 20,
    "utf16.txt": 20,
    "eot.txt": 20,
    "inlinecomment.txt": 20,
    "ff.txt": 2,
    "inf.txt": 3,
    "many_ends.txt": 1,
    "oneline.txt": 1,
    "nul.txt": 1,
    "short.txt": 3,
    "zero.txt": 4,
}
"""Routes of the cases that can be read; the others are refused."""
without_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases are not beside this checkout (../shared/cases)"
)


@without_cases
@pytest.mark.parametrize("case", ROUTES)
def test_routes_that_once_failed(tmp_path: Path, case: str) -> None:
    file, square = CASES / "routes" / case, str(CASES / "routes" / "square.csv")
    if case in READ:
        record, _ = reconstruct_file(file, square, tmp_path, orders=1)
        assert record.routes.count == READ[case]
        return
    with pytest.raises(InputError) as caught:
        reconstruct_file(file, square, tmp_path)
    told = str(caught.value)
    assert repr(str(file)) in told
    assert "line" in told
    assert "\n" not in told


@without_cases
def test_maps_and_routes_that_once_failed(tmp_path: Path) -> None:
    outside, dead_end = CASES / "routes-outside-part", CASES / "table-dead-end"
    record, _ = reconstruct_file(outside / "routes.txt", str(outside / "town.csv"), tmp_path, orders=1)
    assert record.routes.count == 10
    assert record.map.places == 4
    file = saved(tmp_path, "a d N N E end\na c S end\n")
    record, _ = reconstruct_file(file, str(dead_end / "town.csv"), tmp_path, orders=1)
    assert record.scores["valid_routes"].value == 1

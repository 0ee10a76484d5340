"""Files of routes, read in pieces of any size, and every way in which a line can be wrong."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_texts import GOOD, SQUARE, saved
from shared_cases import CASES

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.rides import route_text
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.metrics.routes import NO_END, NOT_A_DIRECTION
from worldbench.studies.reconstruction import ReconstructionOptions, measure, reconstruct_file
from worldbench.studies.routes import read_routes, with_directions

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
    assert table[3] == [1, 0, NO_END]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOOD.replace(" ", ","), "not only 'a,c,E,N,end'; put spaces between the words"),
        ('["a", "c", "E", "end"]\n', r"is the file JSON\? write its words with spaces between"),
        ("".join(f'"{row}"\n' for row in GOOD.splitlines()), "'\"a' .*; remove the quotation marks"),
        (
            "".join(f"{i}\t{row}\n" for i, row in enumerate(GOOD.splitlines())),
            "the origin '0' .*are the lines numbered",
        ),
        (GOOD.lower(), "'e' is neither a direction .*did you mean 'E'"),
        (GOOD.replace("end", "END"), "did you mean 'end'"),
        ("a c 90 0 end\n", r"'90' is neither a direction \(N, E, S, W, NE, SE, SW, NW\)"),
        (GOOD.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("ä c E end\n".encode("latin-1"), "save it as UTF-8"),
        ("a\n", "line 1: an origin and a destination are needed, not only 'a'"),
        ("\n\nx" + "y" * 100_000 + " b end", "line 3: the origin 'xy"),
        (b"\xff\xfe\x00", "save it as UTF-8"),
        (b"\x00\x00\n", "UTF-16 without"),
        ("a x E end\nb x E end\n" * 3, "line 3: .*; and 3 more lines"),
    ],
)
def test_a_file_without_a_line_that_can_be_placed_is_refused_with_a_way_out(
    tmp_path: Path, graph: Graph, data: str | bytes, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_routes(saved(tmp_path, data), graph)
    message = str(caught.value)
    assert "contain no route that can be placed on the map 'square'" in message
    assert "A line reads: origin destination direction .. direction end" in message
    assert "\n" not in message
    assert len(message) < 1000


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
        patch.setattr(route_text, "PIECE", piece)
        read = read_routes(saved(folder, text), graph)
    found = [read.moves.words[i:j].tolist() for i, j in zip(read.moves.start, read.moves.start[1:])]
    places = [(graph.places[o], graph.places[d]) for o, d in zip(read.origin, read.destination)]
    assert list(zip(read.line.tolist(), *zip(*places), found)) == expected
    assert read.skipped == skipped


# What a long line costs


@pytest.mark.slow
def test_memory_is_that_of_the_words_and_not_of_the_longest_line(tmp_path: Path, graph: Graph) -> None:
    """One route of 40,000 moves among 5,000 short ones: as a table of int16, 400 MB."""
    rounds = "E N W S " * 10_000
    file = saved(tmp_path, "a c E N end\n" * 2_500 + f"a a {rounds}end\n" + "b d W N end\n" * 2_500)
    tracemalloc.start()
    try:
        read = read_routes(file, graph)
        report = measure(graph, read, ReconstructionOptions(orders=2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert len(read.moves.words) == 50_000
    assert report.scores["valid_routes"].value == 1
    assert report.scores["failed_routes"].value == 0
    assert report.arrays["uses"].sum() == 50_000


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
    message = str(caught.value)
    assert repr(str(file)) in message
    assert "line" in message
    assert "\n" not in message


@without_cases
def test_maps_and_routes_that_once_failed(tmp_path: Path) -> None:
    outside, dead_end = CASES / "routes-outside-part", CASES / "table-dead-end"
    record, _ = reconstruct_file(outside / "routes.txt", str(outside / "town.csv"), tmp_path, orders=1)
    assert record.routes.count == 10
    assert record.map.places == 4
    file = saved(tmp_path, "a d N N E end\na c S end\n")
    record, _ = reconstruct_file(file, str(dead_end / "town.csv"), tmp_path, orders=1)
    assert record.scores["valid_routes"].value == 1

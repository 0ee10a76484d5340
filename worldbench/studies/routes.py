"""Files of routes: text with one route per line, as a model would write it: `origin destination direction ..
direction end`.

Spaces or tabs separate words. Ignored are blank lines, lines that begin with #, and `pad` or `<pad>` at the end of a
line. The text is UTF-8, with or without a byte order mark, or UTF-16 with one.

A route is judged like the output of a model: by the words before its first `end`. A line without `end` is a route
that never ends: its moves count, and it did not arrive. A line with a node after the first two words is a route that
fails. Directions are the directions of the map, the eight compass words, and the words that the caller adds. A line
cannot be placed if its origin or destination is not a node of the map, or if any other word comes before `end`. Such
lines are left out and counted.

A file is read in pieces of bounded size. Each word takes two bytes, however long a line is.
"""

from __future__ import annotations

import codecs
import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.taxi.streets import DIRECTIONS
from worldbench.metrics.routes import NO_END, NOT_A_DIRECTION, Moves

END, PADDING = "end", ("pad", "<pad>")
FORM = "A line reads: origin destination direction .. direction end"
SHOWN = 3
"""How many lines a message names."""
PIECE = 1 << 20
"""Bytes that are decoded at a time."""
LONGEST_WORD = 1 << 12
"""Most characters of a word that are kept. The rest of a longer word is dropped."""
LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
PLACE, PAD, UNKNOWN = NO_END - 1, NO_END - 2, NO_END - 3
"""Codes of words that are not directions. The first two become NOT_A_DIRECTION when the file was read."""


@dataclass(frozen=True)
class Routes:
    """The routes of a file on a map.

    origin, destination: nodes of the map, int64 [n].
    moves: the directions of each route.
    line: the line of each route in the file, from 1, int64 [n].
    sha256: digest of the file.
    without_end: how many routes lack `end`.
    past_end: how many lines have words after `end`.
    naming_places: how many routes have a node among their directions.
    skipped: how many lines cannot be placed.
    problems: for the first of these lines, the line number and what is wrong.
    """

    origin: np.ndarray
    destination: np.ndarray
    moves: Moves
    line: np.ndarray
    sha256: str
    without_end: int
    past_end: int
    naming_places: int
    skipped: int
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.origin)

    def reasons(self) -> str:
        """What is wrong with the lines that were left out."""
        return _joined(self.problems, self.skipped)


def with_directions(graph: Graph, more: tuple[str, ...] = ()) -> Graph:
    """The map with more directions, in which no street leads: the compass words that are not nodes, and `more`.

    Raises InputError for a word that is a node, `end`, or not a single word.
    """
    for word in more:
        if word in graph.places or word == END or not word or any(c.isspace() for c in word):
            raise InputError(
                f"--directions {word!r} cannot be a direction: it is a node of the map, 'end', or not a single word"
            )
    known = {*graph.directions, *graph.places}
    new = [w for w in dict.fromkeys((*DIRECTIONS, *more)) if w not in known]
    shape = (graph.n_places, len(new))
    return replace(
        graph, directions=(*graph.directions, *new),
        successor=np.concatenate([graph.successor, np.full(shape, -1, np.int32)], axis=1),
        length=np.concatenate([graph.length, np.full(shape, np.nan)], axis=1),
        street=np.concatenate([graph.street, np.full(shape, "", object)], axis=1),
    )  # fmt: skip


def read_routes(file: Path, graph: Graph, *, strict: bool = False) -> Routes:
    """The routes of a file. strict: refuse a file with a line that cannot be placed.

    Raises InputError with the first lines that cannot be placed and the reasons, or if no line is a route, or if no
    line has `end`.
    """
    raw = read_regular(file)
    reader = _Reader(graph)
    for line in _lines(raw):
        reader.feed(line.split())
        if line[-1] in LINE_BREAKS:
            reader.finish()
    reader.finish()
    routes = reader.routes(hashlib.sha256(raw).hexdigest())
    name = repr(str(file))
    if strict and routes.skipped:
        raise InputError(
            f"the routes {name} cannot be used: {routes.reasons()}. {FORM}; without --strict such lines are left out"
        )
    if not len(routes):
        why = f" that can be placed on the map {graph.name!r}: {routes.reasons()}" if routes.skipped else ""
        raise InputError(f"the routes {name} contain no route{why}. {FORM}")
    if routes.without_end == len(routes):
        raise InputError(
            f"no line of the routes {name} has the word 'end', so no route claims to arrive; "
            "add 'end' to the routes that arrive"
        )
    return routes


def _lines(raw: bytes) -> Iterator[str]:
    """The lines of a text, with their line breaks. A long line comes in several parts, cut between words."""
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8-sig")
    errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    rest = ""
    for low in range(0, len(raw), PIECE):
        text = rest + decoder.decode(raw[low : low + PIECE], final=low + PIECE >= len(raw))
        word = 0 if text[-1:].isspace() else len((text.rsplit(maxsplit=1) or [""])[-1])
        cut = max(0, len(text) - word - 1)  # the next piece may continue the last word
        cut -= text[max(0, cut - 1) : cut + 1] == "\r\n"
        yield from text[:cut].splitlines(keepends=True)
        rest = text[cut : cut + 1 + LONGEST_WORD]
    yield from rest.splitlines(keepends=True)


class _Reader:
    """Collects the words of one line after another."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.place = {word: i for i, word in enumerate(graph.places)}
        self.code = dict.fromkeys(graph.places, PLACE) | dict.fromkeys(PADDING, PAD)
        self.code |= {word: a for a, word in enumerate(graph.directions)}
        self.words, self.start = array("h"), array("q", [0])
        self.origin, self.destination, self.line = array("q"), array("q"), array("q")
        self.number = self.without_end = self.past_end = self.skipped = 0
        self.problems: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self.head: list[str] = []  # the first two words of the line, at most
        self.comment = self.ended = self.goes_on = False
        self.unknown = ""

    def feed(self, words: list[str]) -> None:
        """Adds words to the current line."""
        if not words or self.comment:
            return
        if not self.head and words[0].startswith("#"):
            self.comment = True
            return
        if len(self.head) < 2:
            missing = 2 - len(self.head)
            self.head += words[:missing]
            words = words[missing:]
        if self.ended:
            self.goes_on = self.goes_on or any(w not in PADDING for w in words)
            return
        if END in words:
            at = words.index(END)
            self.ended, self.goes_on = True, any(w not in PADDING for w in words[at + 1 :])
            words = words[:at]
        codes = list(map(self.code.get, words, repeat(UNKNOWN)))
        if UNKNOWN in codes and not self.unknown:
            self.unknown = words[codes.index(UNKNOWN)]
        self.words.extend(codes)

    def finish(self) -> None:
        """Ends the current line."""
        self.number += 1
        begin = self.start[-1]
        if not self.ended:
            while len(self.words) > begin and self.words[-1] == PAD:
                self.words.pop()
            while len(self.words) == begin and self.head and self.head[-1] in PADDING:
                self.head.pop()
        if self.head:
            problem = self._problem(self.words[begin] if len(self.words) > begin else UNKNOWN)
            if problem:
                del self.words[begin:]
                self.skipped += 1
                if len(self.problems) < SHOWN:
                    self.problems.append(f"line {self.number:,}: {problem}")
            else:
                self._keep()
        self._begin()

    def _keep(self) -> None:
        self.origin.append(self.place[self.head[0]])
        self.destination.append(self.place[self.head[1]])
        self.line.append(self.number)
        if not self.ended:
            self.words.append(NO_END)
        self.without_end += not self.ended
        self.past_end += self.goes_on
        self.start.append(len(self.words))

    def _problem(self, third: int) -> str:
        """The reason why the line cannot be placed, or "". third: the code of the third word."""
        if len(self.head) < 2:
            first = self.head[0]
            return f"an origin and a destination are needed, not only {_quoted(first)}{_way_out(first)}"
        for word, what in zip(self.head, ("origin", "destination")):
            if word not in self.place:
                numbered = what == "origin" and third == PLACE and self.head[1] in self.place
                way_out = "; are the lines numbered? remove the numbers" if numbered else _way_out(word)
                a, b = map(_quoted, self.graph.places[:2])
                return (
                    f"the {what} {_quoted(word)} is not a node of the map {self.graph.name!r}, "
                    f"whose nodes are {a}, {b} and so on{way_out}"
                )
        if self.unknown:
            known = [w for w in (*self.graph.directions, END) if w.lower() == self.unknown.lower()]
            way_out = f"; did you mean {known[0]!r}?" if known else _way_out(self.unknown)
            directions = ", ".join(self.graph.directions)
            return f"{_quoted(self.unknown)} is neither a direction ({directions}) nor 'end' nor a node{way_out}"
        return ""

    def routes(self, sha256: str) -> Routes:
        """All routes that were read."""
        words = np.array(self.words, np.int16)
        start = np.array(self.start, np.int64)
        moves = Moves(words, start, max(1, int(np.diff(start).max(initial=0))))
        naming = len(np.unique(moves.row[words == PLACE]))
        words[words < NO_END] = NOT_A_DIRECTION
        origin, destination, line = (np.array(x, np.int64) for x in (self.origin, self.destination, self.line))
        return Routes(
            origin, destination, moves, line, sha256,
            self.without_end, self.past_end, naming, self.skipped, tuple(self.problems),
        )  # fmt: skip


def _way_out(word: str) -> str:
    """A hint at what may be wrong with the whole file, from one unknown word."""
    if "\0" in word:
        return "; is the text in UTF-16 without a byte order mark? save it as UTF-8"
    if any(c == "\ufffd" or "\ud800" <= c <= "\udfff" for c in word):
        return "; is the file not UTF-8? save it as UTF-8"
    if word[0] in "[{":
        return "; is the file JSON? write its words with spaces between them"
    if word[0] in "\"'":
        return "; remove the quotation marks"
    if any(c in word for c in ",;|"):
        return "; put spaces between the words"
    return ""


def _joined(problems: tuple[str, ...], count: int) -> str:
    more = count - len(problems)
    return "; ".join(problems) + (f"; and {counted(more, 'more line')}" if more else "")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "..")

"""Files of routes: text, one route a line, as a model would write it: `origin destination direction .. direction end`.

Words stand apart by spaces or tabs. Blank lines and lines that begin with # are passed over; so is `pad` or `<pad>`
at the end of a line. The text is UTF-8, with or without a byte order mark, or UTF-16 with one.

A route is judged as a model's ride is: by what comes before its first `end`. A line without `end` makes no claim to
have arrived, and one that names a place after the first two is no route of directions: both are routes that fail.
Directions are those of the map, the eight compass words, and what the caller names. A line with any other word before
`end`, or whose origin or destination is no place of the map, cannot be placed: it is left out, and counted.

A file is read in pieces of bounded size into two bytes a word, however long its lines are.
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
from worldbench.metrics.routes import NOT_A_DIRECTION, Moves

END, PADDING = "end", ("pad", "<pad>")
FORM = "A line reads: origin destination direction .. direction end"
SHOWN = 3
"""Lines that a message names."""
PIECE = 1 << 20
"""Bytes that are read at a time."""
LONGEST_WORD = 1 << 12
"""Characters of a word that are kept; the rest of a longer one is dropped."""
LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
PLACE, PAD, UNKNOWN = NOT_A_DIRECTION - 1, NOT_A_DIRECTION - 2, NOT_A_DIRECTION - 3
"""What a word is that is no direction; the first two become NOT_A_DIRECTION in the end."""


@dataclass(frozen=True)
class Routes:
    """The routes of a file on a map.

    origin, destination: int64 [n], places of the map. moves: their directions. line: int64 [n], where each stands in
    the file, from 1. sha256: of the file. without_end: routes that lack `end`. past_end: routes whose line goes on
    after `end`. naming_places: routes that name a place among their directions. skipped: lines that cannot be placed;
    problems: the first of them, each with its number and what is wrong.
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

    def told(self) -> str:
        """What is wrong with the lines that were left out."""
        return _told(self.problems, self.skipped)


def with_directions(graph: Graph, more: tuple[str, ...] = ()) -> Graph:
    """The map with further directions, in which no street leads anywhere: compass words that are no places, and `more`.

    Errors: InputError for a word that is a place, `end`, or not one word.
    """
    for word in more:
        if word in graph.places or word == END or not word or any(c.isspace() for c in word):
            raise InputError(
                f"--directions {word!r} cannot be a direction: it is a place of the map, 'end', or not one word"
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

    Errors: InputError, one sentence with the first lines that cannot be placed and what is wrong with them.
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
            f"the routes {name} cannot be used: {routes.told()}. {FORM}; without --strict such lines are left out"
        )
    if not len(routes):
        why = f" that can be placed on the map {graph.name!r}: {routes.told()}" if routes.skipped else ""
        raise InputError(f"the routes {name} hold no route{why}. {FORM}")
    if routes.without_end == len(routes):
        raise InputError(
            f"no line of the routes {name} finishes with 'end', so no route says that it has arrived; "
            "add the word to those that do"
        )
    return routes


def _lines(raw: bytes) -> Iterator[str]:
    """The lines of a text, with their breaks; a long one comes in several parts, which are cut between words."""
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8-sig")
    errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    rest = ""
    for low in range(0, len(raw), PIECE):
        text = rest + decoder.decode(raw[low : low + PIECE], final=low + PIECE >= len(raw))
        word = 0 if text[-1:].isspace() else len((text.rsplit(maxsplit=1) or [""])[-1])
        cut = max(0, len(text) - word - 1)  # the last word is left for the next piece, with a space
        cut -= text[max(0, cut - 1) : cut + 1] == "\r\n"
        yield from text[:cut].splitlines(keepends=True)
        rest = text[cut : cut + 1 + LONGEST_WORD]
    yield from rest.splitlines(keepends=True)


class _Reader:
    """Takes the words of lines, one line after the other."""

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
        """More words of the line."""
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
        """The line is at its end."""
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
            self.words.append(NOT_A_DIRECTION)
        self.without_end += not self.ended
        self.past_end += self.goes_on
        self.start.append(len(self.words))

    def _problem(self, third: int) -> str:
        """Why the line cannot be placed, or nothing. third: the code of its third word."""
        if len(self.head) < 2:
            first = self.head[0]
            return f"an origin and a destination are needed, where there is {_quoted(first)}{_way_out(first)}"
        for word, what in zip(self.head, ("origin", "destination")):
            if word not in self.place:
                numbered = what == "origin" and third == PLACE and self.head[1] in self.place
                way_out = "; are the lines numbered? take the numbers away" if numbered else _way_out(word)
                a, b = map(_quoted, self.graph.places[:2])
                return (
                    f"the {what} {_quoted(word)} is no place of the map {self.graph.name!r}, "
                    f"whose places are {a}, {b} and so on{way_out}"
                )
        if self.unknown:
            known = [w for w in (*self.graph.directions, END) if w.lower() == self.unknown.lower()]
            way_out = f"; did you mean {known[0]!r}?" if known else _way_out(self.unknown)
            directions = ", ".join(self.graph.directions)
            return f"{_quoted(self.unknown)} is neither a direction ({directions}) nor 'end' nor a place{way_out}"
        return ""

    def routes(self, sha256: str) -> Routes:
        """What was taken."""
        words = np.array(self.words, np.int16)
        start = np.array(self.start, np.int64)
        moves = Moves(words, start, max(1, int(np.diff(start).max(initial=0))))
        naming = len(np.unique(moves.row[words == PLACE]))
        words[words < 0] = NOT_A_DIRECTION
        origin, destination, line = (np.array(x, np.int64) for x in (self.origin, self.destination, self.line))
        return Routes(
            origin, destination, moves, line, sha256,
            self.without_end, self.past_end, naming, self.skipped, tuple(self.problems),
        )  # fmt: skip


def _way_out(word: str) -> str:
    """What may be amiss with a whole file, by a word of it that is unknown."""
    if "\0" in word:
        return "; is the text in UTF-16 without a byte order mark? save it as UTF-8"
    if any(c == "\ufffd" or "\ud800" <= c <= "\udfff" for c in word):
        return "; it is not text in UTF-8, save it so"
    if word[0] in "[{":
        return "; is it JSON? write its words with spaces between"
    if word[0] in "\"'":
        return "; take the quotation marks away"
    if any(c in word for c in ",;|"):
        return "; put spaces between the words"
    return ""


def _told(problems: tuple[str, ...], count: int) -> str:
    more = count - len(problems)
    return "; ".join(problems) + (f"; and {counted(more, 'more line')}" if more else "")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "..")

"""Rides of a text file, word by word, on a map: which lines are rides, and what is wrong with the others.

A line reads: origin destination direction .. direction end. `docs/routes.md` describes the format.
"""

from __future__ import annotations

from array import array
from itertools import repeat

from worldbench.core.graph import Graph
from worldbench.envs.rides.route_text import LINE_BREAKS, lines_of, quoted, way_out

END, PADDING = "end", ("pad", "<pad>")
FORM = "A line reads: origin destination direction .. direction end"
SHOWN = 3
"""How many lines a message names."""
NO_END, PLACE, PAD, UNKNOWN = -2, -3, -4, -5
"""Codes of words that are not directions: a ride without `end`, a place, padding, any other word."""


class RouteReader:
    """Collects the words of one line after another.

    words: the codes of the directions of all rides that are kept, one ride after another. start: where each ride begins
    in `words`; one more than there are rides. origin, destination: places of the map. line: the line of each ride, from
    1. Counts: without_end, past_end (words after `end`), skipped (lines that cannot be placed). problems: the first of
    these lines, with the reasons.
    """

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

    def read(self, raw: bytes) -> None:
        """All lines of a file."""
        for line in lines_of(raw):
            self.feed(line.split())
            if line[-1] in LINE_BREAKS:
                self.finish()
        self.finish()

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
            return f"an origin and a destination are needed, not only {quoted(first)}{way_out(first)}"
        for word, what in zip(self.head, ("origin", "destination")):
            if word not in self.place:
                numbered = what == "origin" and third == PLACE and self.head[1] in self.place
                hint = "; are the lines numbered? remove the numbers" if numbered else way_out(word)
                a, b = map(quoted, self.graph.places[:2])
                return (
                    f"the {what} {quoted(word)} is not a node of the map {self.graph.name!r}, "
                    f"whose nodes are {a}, {b} and so on{hint}"
                )
        if self.unknown:
            known = [w for w in (*self.graph.directions, END) if w.lower() == self.unknown.lower()]
            hint = f"; did you mean {known[0]!r}?" if known else way_out(self.unknown)
            directions = ", ".join(self.graph.directions)
            return f"{quoted(self.unknown)} is neither a direction ({directions}) nor 'end' nor a node{hint}"
        return ""

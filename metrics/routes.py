"""Routes of different lengths, end to end in one array: as much memory as they have moves, however long the longest is.

Shape letters: n routes, W moves of all of them, L moves of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

PAST_END, NOT_A_DIRECTION = -1, -2
"""In a table of moves: after the route's last token. In a route: a token that is no direction."""


@dataclass(frozen=True, eq=False)
class Moves:
    """The directions that routes take, one after the other.

    words: int16 [W], columns of the map's directions; NOT_A_DIRECTION for a token that is none.
    start: int64 [n + 1], where each route begins in `words`, and where the last one ends.
    width: columns of the table that they fill, at least L. Random numbers are counted by it (see `route_controls.py`).
    """

    words: np.ndarray
    start: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.start) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [n]."""
        return np.diff(self.start)

    @cached_property
    def row(self) -> np.ndarray:
        """int64 [W], the route of each move."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def table(self) -> np.ndarray:
        """int16 [n, width], PAST_END after a route's last move."""
        out = np.full((len(self), self.width), PAST_END, np.int16)
        out[np.arange(self.width)[None, :] < self.lengths[:, None]] = self.words
        return out

    def take(self, routes: np.ndarray) -> Moves:
        """Those of the routes (int [k], or bool [n]), in that order."""
        routes = np.arange(len(self))[routes]
        lengths = self.lengths[routes]
        start = starts(lengths)
        return Moves(self.words[stretches(self.start[routes], lengths)], start, self.width)

    def followed_by(self, more: Moves) -> Moves:
        """These routes, and others after them."""
        start = np.concatenate([self.start, self.start[-1] + more.start[1:]])
        return Moves(np.concatenate([self.words, more.words]), start, max(self.width, more.width))


def starts(lengths: np.ndarray) -> np.ndarray:
    """int64 [n + 1]: where routes of these lengths [n] begin, one after the other, and where the last one ends."""
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def stretches(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 [sum of lengths]: for each of k stretches the numbers from `first` [k] on, as many as `lengths` [k] say."""
    start = starts(lengths)
    return np.repeat(first - start[:-1], lengths) + np.arange(start[-1])


def from_table(table: np.ndarray) -> Moves:
    """The routes of a table, int [n, L], in which PAST_END follows each route's last move."""
    past = table == PAST_END
    lengths = np.where(past.any(1), past.argmax(1), table.shape[1])
    inside = np.arange(table.shape[1])[None, :] < lengths[:, None]
    return Moves(table[inside].astype(np.int16, copy=False), starts(lengths), table.shape[1])

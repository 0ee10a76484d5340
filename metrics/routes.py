"""Routes of different lengths in one array, one after the other. The memory grows with the number of moves, not with
the longest route.

Shape letters: n routes, W moves of all routes together, L moves of the longest route.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

PAST_END, NOT_A_DIRECTION, NO_END = -1, -2, -3
"""PAST_END: in a table of moves, the places after the last token of a route. NOT_A_DIRECTION: a token of a route that
is not a direction. NO_END: the last token of a route that never ends; the moves before it count as they are."""


@dataclass(frozen=True, eq=False)
class Moves:
    """The directions of n routes, one route after the other.

    words: int16 [W], the index of each direction among the directions of the map; NOT_A_DIRECTION for other tokens;
        NO_END last in a route that never ends.
    start: int64 [n + 1], the index in `words` at which each route begins, and W at the end.
    width: number of columns of `table()`, at least L. It decides which random numbers a route gets (see
    `route_controls.py`).
    """

    words: np.ndarray
    start: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.start) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [n], the number of moves of each route."""
        return np.diff(self.start)

    @cached_property
    def row(self) -> np.ndarray:
        """int64 [W], the index of the route to which each move belongs."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def table(self) -> np.ndarray:
        """int16 [n, width]: one route per row, PAST_END after the last move of the route."""
        out = np.full((len(self), self.width), PAST_END, np.int16)
        out[np.arange(self.width)[None, :] < self.lengths[:, None]] = self.words
        return out

    def take(self, routes: np.ndarray) -> Moves:
        """The chosen routes (indices int [k], or a mask bool [n]), in this order."""
        routes = np.arange(len(self))[routes]
        lengths = self.lengths[routes]
        start = starts(lengths)
        return Moves(self.words[stretches(self.start[routes], lengths)], start, self.width)

    @cached_property
    def never_ends(self) -> np.ndarray:
        """bool [n]: the routes whose last token is NO_END."""
        out = np.zeros(len(self), bool)
        out[self.row[self.words == NO_END]] = True
        return out

    def alone(self) -> Moves:
        """The moves of each route, without NO_END."""
        kept = self.words != NO_END
        return Moves(self.words[kept], starts(self.lengths - self.never_ends), self.width)

    def followed_by(self, more: Moves) -> Moves:
        """These routes, followed by the routes of `more`."""
        start = np.concatenate([self.start, self.start[-1] + more.start[1:]])
        return Moves(np.concatenate([self.words, more.words]), start, max(self.width, more.width))


def starts(lengths: np.ndarray) -> np.ndarray:
    """int64 [n + 1]: the index at which each of n routes of these lengths begins, and the sum of the lengths at the
    end."""
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def stretches(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 [sum of lengths]: for each i < k, the numbers first[i], first[i] + 1, ..; lengths[i] numbers. Both inputs:
    [k]."""
    start = starts(lengths)
    return np.repeat(first - start[:-1], lengths) + np.arange(start[-1])


def from_table(table: np.ndarray) -> Moves:
    """The routes of a table, int [n, L]: one route per row, PAST_END after the last move of the route."""
    past = table == PAST_END
    lengths = np.where(past.any(1), past.argmax(1), table.shape[1])
    inside = np.arange(table.shape[1])[None, :] < lengths[:, None]
    return Moves(table[inside].astype(np.int16, copy=False), starts(lengths), table.shape[1])

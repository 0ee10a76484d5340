"""S between two kept times, for the few places that rides can reach until the later of the two (see `recursion.py`).

S at a time and place depends on S at the next kept time at the places within the remaining moves. So the recursion from
the next kept time, over these places alone, gives S to the last bit.

Shape letters: R states, K destinations, N places of the map, M places of all K destinations together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.envs.rides.recursion import NEVER, Cone, Dense, Recursion, Walk, entries


@dataclass(frozen=True)
class Window:
    """S from time `first` to the time before a kept time, for K destinations.

    codes: int64 [M], k * (N + 1) + place, ascending. position: int32 [M], the number of each code in the order of the
    time from which S is known there. upto: int64 [T], at how many of these S is known at each time. offset: int64 [T],
    where the values of a time begin. values: float64.
    """

    width: int
    first: int
    codes: np.ndarray
    position: np.ndarray
    upto: np.ndarray
    offset: np.ndarray
    values: np.ndarray

    @property
    def bytes(self) -> int:
        return self.codes.nbytes + self.position.nbytes + self.values.nbytes

    def ahead(self, k: np.ndarray, place: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S at (time, place) for destination k, and whether it is known: arrays of one shape. place -1 is no place,
        where S is 0. time: below the kept time. Where S is not known, the number has no meaning."""
        code = k * self.width + place
        at = np.minimum(np.searchsorted(self.codes, code), len(self.codes) - 1)
        t = np.maximum(time - self.first, 0)
        known = (self.codes[at] == code) & (self.position[at] < self.upto[t]) & (time >= self.first)
        found = self.values[np.where(known, self.offset[t] + self.position[at], 0)]
        return np.where(place < 0, 0.0, found), known | (place < 0)


def window(
    recursion: Recursion, block: Dense | Cone, kept: int, row: np.ndarray, place: np.ndarray, moves: np.ndarray
) -> tuple[np.ndarray, Window]:
    """The window before kept time number `kept`, for states (place, moves) [R] on the way to destination `row` of the
    block: int [K], the rows of the block of which the window knows states, and the window.

    All states have at least one move to make before the kept time, and S is known to the block at the kept time.
    """
    chosen, k = np.unique(row, return_inverse=True)
    width, end, first = recursion.graph.n_places + 1, int(recursion.times[kept]), int(moves.min()) + 1
    destinations, low = block.destinations[chosen], recursion.min_moves
    level = np.full(len(chosen) * width, NEVER, np.int16)
    number = np.empty(len(level), np.int32)
    starts = recursion.starts(k, place, moves, first)
    codes = recursion.spread(recursion.transition, level, number, starts, first, end, None)
    m, at = len(codes), codes % width
    number[codes] = np.arange(m, dtype=np.int32)
    source, edge = entries(recursion.transition.indptr, at)
    target = (codes - at)[source] + recursion.transition.indices[edge]
    walk = Walk(source, number[target], level[target] < NEVER, recursion.transition.data[edge], m)
    goal = np.flatnonzero(at == destinations[codes // width])
    held_out, held = recursion.held_out, np.empty(0, np.int64)
    if held_out.kind == "states":
        held = np.flatnonzero(held_out.holds(at, destinations[codes // width]))
    upto = np.searchsorted(level[codes], np.arange(first, end), side="right")
    offset = np.cumsum(upto) - upto
    values, ahead = np.empty(int(upto.sum())), block.ahead(kept, chosen[codes // width], at)
    for t in range(end - 1, first - 1, -1):
        rows, begin = int(upto[t - first]), int(offset[t - first])
        walk.back(ahead, rows)
        if t >= low:
            ahead[goal[goal < rows]] += recursion.stops[t]
        ahead[held] = 0
        values[begin : begin + rows] = ahead[:rows]
    order = np.argsort(codes)
    return chosen, Window(width, first, codes[order], order.astype(np.int32), upto, offset, values)

"""Which destinations a ride can have, given its place and the number of its moves so far. In bounded memory.

Shape letters: N places, R states, L largest number of moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides.held_out import HeldOut, goals_possible

TABLE_BYTES = 1 << 25
"""The destinations of all states are kept if they need at most so many bytes."""
BLOCK_BYTES = 1 << 26
"""Otherwise, about the most bytes of the destinations of some states, or of all states for some destinations."""


class Goals:
    """The destinations of rides, of either split, that are at a place after a number of moves. Any origin counts."""

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        self.small = graph.n_places**2 // 8 * max_moves <= TABLE_BYTES

    @cached_property
    def _table(self) -> list[np.ndarray]:
        """For each number of moves and each place, the destinations, as packed bits."""
        return goals_possible(self.graph, self.min_moves, self.max_moves, self.held_out)

    def sets(self, place: np.ndarray, moves: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows of states (place, moves) int [R] in groups, each with their destinations, bool [rows, N]. moves: at
        most L."""
        n = self.graph.n_places
        if not self.small and self.held_out.kind == "states":
            yield from self._by_destination(place, moves)
            return
        order = np.argsort(moves, kind="stable")
        for low in range(0, len(order), step := max(8, BLOCK_BYTES // n // 8 * 8)):
            rows = order[low : low + step]
            if self.small:
                yield rows, _bits(_taken(self._table, place[rows], moves[rows]), n)
            else:
                yield rows, self._by_state(place[rows], moves[rows])

    def _by_state(self, place: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Walks from all states together, one bit for each: bool [R, N]. Without held-out states, a ride can be at a
        place after t moves if a walk of t moves leads there, whatever its destination."""
        n, r = self.graph.n_places, len(place)
        into = Into(self.graph)
        come = np.full((n, 1), 255, np.uint8)
        comes = np.zeros(r, bool)
        for t in range(int(moves.max()) + 1):
            comes |= (moves == t) & (come[place, 0] > 0)
            come = into.union(come)
        here = np.zeros((n, -(-r // 8)), np.uint8)
        bit = np.arange(r)
        np.bitwise_or.at(here, (place, bit // 8), (128 >> bit % 8).astype(np.uint8))
        out = np.zeros_like(here)
        for k in range(self.max_moves - int(moves.min()) + 1):
            ends = (moves + k >= self.min_moves) & (moves + k <= self.max_moves) & comes
            out |= here & np.packbits(ends)
            here = into.union(here)
        return np.ascontiguousarray(_bits(out, r).T)

    def _by_destination(self, place: np.ndarray, moves: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some destinations at a time, all states. The destinations of all R states are kept as packed bits."""
        n, last = self.graph.n_places, self.max_moves
        step = max(8, BLOCK_BYTES // (n * (last + 1)) * 8)
        found = []
        for low in range(0, n, step):
            table = goals_possible(self.graph, self.min_moves, last, self.held_out, low, min(low + step, n))
            found.append(_taken(table, place, moves))
        packed = np.concatenate(found, axis=1)
        for low in range(0, len(packed), rows := max(1, BLOCK_BYTES // n)):
            part = np.arange(low, min(low + rows, len(packed)))
            yield part, _bits(packed[part], n)


def one_of(possible: np.ndarray, own: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """A uniform choice among the goals possible, bool [R, N], other than `own` int [R]: int [R], -1 where none is. A
    goal `own` is removed from `possible`. uniform: random numbers [R] in [0, 1)."""
    possible[np.arange(len(own)), own] = False
    count = np.cumsum(possible, axis=1, dtype=np.int64)
    chosen = np.argmax(count > (uniform * count[:, -1]).astype(np.int64)[:, None], axis=1)
    return np.where(count[:, -1] > 0, chosen, -1)


def _taken(table: list[np.ndarray], place: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Row `place` of the table of `moves`, for each state."""
    out = np.empty((len(place), table[0].shape[1]), np.uint8)
    for t in np.unique(moves):
        at = moves == t
        out[at] = table[t][place[at]]
    return out


def _bits(packed: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(packed, axis=1, count=count).astype(bool)


class Into:
    """The moves into each place."""

    def __init__(self, graph: Graph) -> None:
        edges = graph.edges[np.argsort(graph.edges[:, 1], kind="stable")]
        self.source = edges[:, 0]
        self.entered, self.first = np.unique(edges[:, 1], return_index=True)

    def union(self, sets: np.ndarray) -> np.ndarray:
        """For each place, the union of the sets of the places before it: packed bits, uint8 [N, B]."""
        out = np.zeros_like(sets)
        out[self.entered] = np.bitwise_or.reduceat(sets[self.source], self.first, axis=0)
        return out

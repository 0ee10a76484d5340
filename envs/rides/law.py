"""The exact law (distribution of the next token) of a random-walk ride on any map.

Notation: t is the number of moves made, v the place of the ride, d its destination, L = max_moves. P is the transition
matrix of the walk: uniform over the moves that leave a place. S[t, v, d] is the expected number of times
t' in max(t, min_moves) .. L at which a walk that is at v at time t is at d. The backward recursion is

    S[L + 1] = 0
    S[t] = P S[t + 1], plus 1 at v = d if t >= min_moves      (t = L .. 0)

As the number of moves of a ride is uniform, Bayes' rule gives these weights of the next token: 1 for `end` if v = d
and t >= min_moves, else 0; and S[t + 1, v', d] / degree(v) for a move to v'. The law is the weights divided by their
sum. With held-out states, S is 0 at these states, so that no ride passes through one; a test ride may start at one.
The law is exact for every number of moves and every destination; tests compare it with enumeration.

Shape letters: K destinations, N places (of a map) or rows (of `weights`), L largest number of moves, A actions (the
directions, then `end`).
"""

from __future__ import annotations

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides.walker import HeldOut

CACHE_BYTES = 1_500_000_000
"""Most bytes of the tables S that are kept."""
BLOCK = 64
"""Destinations of one recursion."""


class LawTable:
    """S for the destinations that were used last; the least recently used ones are dropped."""

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        from scipy.sparse import csr_matrix

        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        n = graph.n_places
        self.degree = (graph.successor >= 0).sum(1)
        source, target = graph.edges[:, 0], graph.edges[:, 1]
        self._transition = csr_matrix((1.0 / self.degree[source], (source, target)), shape=(n, n))
        self.slots = int(min(n, max(BLOCK, CACHE_BYTES // ((max_moves + 2) * n * 8))))
        self._table = np.empty((self.slots, max_moves + 2, n))
        self._slot = np.full(n, -1, np.int64)
        self._owner = np.full(self.slots, -1, np.int64)
        self._used = np.zeros(self.slots, np.int64)
        self._clock = 0

    def recursion(self, destinations: np.ndarray) -> np.ndarray:
        """S for each destination: float64 [K, L + 2, N]."""
        k, n = len(destinations), self.graph.n_places
        out = np.empty((k, self.max_moves + 2, n))
        out[:, self.max_moves + 1] = 0
        held = None
        if self.held_out.kind == "states":
            held = self.held_out.holds(np.arange(n)[:, None], destinations[None, :])
        ahead = np.zeros((n, k))
        for t in range(self.max_moves, -1, -1):
            ahead = self._transition @ ahead
            if t >= self.min_moves:
                ahead[destinations, np.arange(k)] += 1
            if held is not None:
                ahead[held] = 0
            out[:, t] = ahead.T
        return out

    def _fetch(self, destinations: np.ndarray) -> None:
        """Puts distinct destinations, at most `slots`, into the table."""
        self._clock += 1
        present = self._slot[destinations]
        self._used[present[present >= 0]] = self._clock
        missing = destinations[present < 0]
        for low in range(0, len(missing), BLOCK):
            block = missing[low : low + BLOCK]
            place = np.argsort(self._used, kind="stable")[: len(block)]
            old = self._owner[place]
            self._slot[old[old >= 0]] = -1
            self._table[place] = self.recursion(block)
            self._owner[place], self._slot[block], self._used[place] = block, place, self._clock

    def weights(self, place: np.ndarray, destination: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """The law before normalization, float64 [N, A]: a row is all zero if no ride reaches this state.

        place, destination, moves: int [N]; a row whose moves exceed L is all zero.
        """
        successor = self.graph.successor
        out = np.zeros((len(place), successor.shape[1] + 1))
        distinct = np.unique(destination)
        for low in range(0, len(distinct), self.slots):
            part = distinct[low : low + self.slots]
            self._fetch(part)
            rows = (
                np.arange(len(place))
                if len(part) == len(distinct)
                else np.flatnonzero((destination >= part[0]) & (destination <= part[-1]))
            )
            v, d, t = place[rows], destination[rows], moves[rows]
            following = np.minimum(t + 1, self.max_moves + 1)
            nxt = successor[v]
            ahead = self._table[self._slot[d][:, None], following[:, None], np.maximum(nxt, 0)]
            out[rows, :-1] = np.where(nxt >= 0, ahead / self.degree[v][:, None], 0.0)
            out[rows, -1] = (v == d) & (t >= self.min_moves) & (t <= self.max_moves)
        return out


def blind_weights(graph: Graph, min_moves: int, max_moves: int, place: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """The law of a reader who does not know the destination, before normalization: float64 [N, A].

    The sum of the weights above over all destinations, without what is held out. At t moves, max_moves + 1 -
    max(t, min_moves) numbers of moves of the whole ride are still possible, and all are equally likely.
    place, moves: int [N]. A row whose moves exceed L is all zero.
    """

    def possible(t: np.ndarray) -> np.ndarray:
        return np.maximum(max_moves + 1 - np.maximum(t, min_moves), 0)

    leaves = graph.successor[place] >= 0
    going = possible(moves + 1) / leaves.sum(axis=1)
    ending = (moves >= min_moves) & (moves <= max_moves)
    return np.concatenate([leaves * going[:, None], ending[:, None]], axis=1)

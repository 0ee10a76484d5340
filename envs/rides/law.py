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

`recursion.py` computes S.

Shape letters: K destinations, N places (of a map) or rows (of `weights`), L largest number of moves, A actions (the
directions, then `end`).
"""

from __future__ import annotations

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.recursion import Block, Recursion

CACHE_BYTES = 1_500_000_000
"""Most bytes of the tables S that are kept, unless the last block alone is larger."""


class LawTable:
    """S for the destinations that were used last; the least recently used blocks of destinations are dropped.

    A destination is computed for the states that ask for it and for what can follow them. If other states ask for it
    later, it is computed for all states.
    """

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        self.graph, self.min_moves, self.max_moves = graph, min_moves, max_moves
        self.degree = (graph.successor >= 0).sum(1)
        self.recursion = Recursion(graph, min_moves, max_moves, held_out)
        self._blocks: dict[int, Block] = {}  # by number; the block used last is last
        self._block = np.full(graph.n_places, -1, np.int64)  # of a destination: its block, and its row there
        self._row = np.zeros(graph.n_places, np.int64)
        self._made = self._bytes = 0

    def weights(self, place: np.ndarray, destination: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """The law before normalization, float64 [N, A]: a row is all zero if no ride reaches this state.

        place, destination, moves: int [N]; a row whose moves exceed L is all zero. Each missing destination is computed
        once, even if not all destinations fit into the table.
        """
        out = np.zeros((len(place), self.graph.successor.shape[1] + 1))
        out[:, -1] = (place == destination) & (moves >= self.min_moves) & (moves <= self.max_moves)
        rows = np.flatnonzero(moves < self.max_moves)
        missing, partly = [], []
        for number, part in _groups(self._block[destination[rows]], rows):
            if number < 0:
                missing.append(part)
                continue
            block = self._blocks[number] = self._blocks.pop(number)
            known = self._read(block, out, part, place, destination, moves)
            if known is not None and not known.all():
                partly.append(part[~known])
        for parts, whole in ((missing, False), (partly, True)):
            if parts:
                self._compute(out, np.concatenate(parts), place, destination, moves, whole)
        return out

    def _read(
        self,
        block: Block,
        out: np.ndarray,
        rows: np.ndarray,
        place: np.ndarray,
        destination: np.ndarray,
        moves: np.ndarray,
    ) -> np.ndarray | None:
        """Writes the weights of the moves of `rows` into `out`, and returns for which rows the block knows them: bool,
        or None for all."""
        v = place[rows]
        ahead, known = block.ahead(
            self._row[destination[rows]][:, None], self.graph.successor[v], moves[rows][:, None] + 1
        )
        out[rows, :-1] = ahead / self.degree[v][:, None]
        return None if known is None else np.asarray(known.all(axis=1))

    def _compute(
        self,
        out: np.ndarray,
        rows: np.ndarray,
        place: np.ndarray,
        destination: np.ndarray,
        moves: np.ndarray,
        whole: bool,
    ) -> None:
        """Computes the destinations of `rows`, for these rows or for all states (`whole`), and writes the weights."""
        distinct, inverse = np.unique(destination[rows], return_inverse=True)
        for low in range(0, len(distinct), self.recursion.at_once):
            some = distinct[low : low + self.recursion.at_once]
            asking = rows[(inverse >= low) & (inverse < low + len(some))]
            row = np.full(len(asking), -1) if whole else np.searchsorted(some, destination[asking])
            for block in self.recursion.blocks(some, row, place[asking], moves[asking]):
                self._keep(block)
                inside = asking[self._block[destination[asking]] == self._made]
                self._read(block, out, inside, place, destination, moves)

    def _keep(self, block: Block) -> None:
        self._made += 1
        self._blocks[self._made] = block
        self._block[block.destinations] = self._made
        self._row[block.destinations] = np.arange(len(block.destinations))
        self._bytes += block.bytes
        while self._bytes > CACHE_BYTES and len(self._blocks) > 1:
            number = next(iter(self._blocks))
            old = self._blocks.pop(number)
            self._block[old.destinations[self._block[old.destinations] == number]] = -1
            self._bytes -= old.bytes


def _groups(key: np.ndarray, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The rows by their key, with each key."""
    if not len(rows):
        return []
    if (key == key[0]).all():
        return [(int(key[0]), rows)]
    order = np.argsort(key, kind="stable")
    keys, first = np.unique(key[order], return_index=True)
    return list(zip(keys.tolist(), np.split(rows[order], first[1:])))


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

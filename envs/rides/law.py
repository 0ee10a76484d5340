"""The exact law (distribution of the next token) of a random-walk ride on any map.

Notation: t is the number of moves made, v the place of the ride, d its destination, L = max_moves. P is the transition
matrix of the walk: uniform over the moves that leave a place. S[t, v, d] is the expected number of times
t' in max(t, min_moves) .. L at which a walk that is at v at time t is at d. The backward recursion is

    S[L + 1] = 0
    S[t] = P S[t + 1], plus 1 at v = d if t >= min_moves      (t = L .. 0)

As the number of moves of a ride is uniform, Bayes' rule gives these weights of the next token: 1 for `end` if v = d
and t >= min_moves, else 0; and S[t + 1, v', d] / degree(v) for a move to v'. The law is the weights divided by their
sum. With held-out states, S is 0 at these states, so that no ride passes through one; a test ride may start at one.
If the numbers of moves are not equally likely (`stopping.py`), the weight of each takes the place of 1.
The law is exact for every number of moves and every destination; tests compare it with enumeration.

`recursion.py` computes S at some times, and `windows.py` the times between them.

Shape letters: K destinations, N places (of a map) or rows (of `weights`), L largest number of moves, A actions (the
directions, then `end`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides import stopping
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.recursion import Cone, Dense, Recursion
from worldbench.envs.rides.windows import Window, window

CACHE_BYTES = 1_000_000_000
"""Most bytes of the blocks of S that are kept, unless the last block alone is larger."""
WINDOW_BYTES = 250_000_000
"""The same for windows."""


class Sized(Protocol):
    @property
    def bytes(self) -> int: ...


B = TypeVar("B", bound=Sized)


class Kept(Generic[B]):
    """Blocks of keys; those used least recently are dropped when all together have more than `most` bytes.

    number: int [keys], the block of a key, -1 if none. row: int32 [keys], the row of the key in its block.
    """

    def __init__(self, keys: int, most: int) -> None:
        self.most, self.bytes, self.made = most, 0, 0
        self.number, self.row = np.full(keys, -1, np.int64), np.zeros(keys, np.int32)
        self.blocks: dict[int, tuple[np.ndarray, B]] = {}  # keys and block by number; the one used last is last

    def get(self, number: int) -> B:
        self.blocks[number] = self.blocks.pop(number)
        return self.blocks[number][1]

    def put(self, keys: np.ndarray, block: B) -> None:
        self.made += 1
        self.blocks[self.made] = keys, block
        self.number[keys], self.row[keys] = self.made, np.arange(len(keys))
        self.bytes += block.bytes
        while self.bytes > self.most and len(self.blocks) > 1:
            number = next(iter(self.blocks))
            old, dropped = self.blocks.pop(number)
            self.number[old[self.number[old] == number]] = -1
            self.bytes -= dropped.bytes


class LawTable:
    """S for the destinations that were used last.

    On large maps, a destination is computed for the states that ask for it and for what can follow them. If other
    states ask for it later, it is computed for all states.
    """

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, stop: float = 0.0) -> None:
        self.graph, self.min_moves, self.max_moves = graph, min_moves, max_moves
        self.degree = (graph.successor >= 0).sum(1)
        self.recursion = Recursion(graph, min_moves, max_moves, held_out, stop)
        self.far: Kept[Dense | Cone] = Kept(graph.n_places, CACHE_BYTES)
        self.near: Kept[Window] = Kept(
            0 if self.recursion.whole else graph.n_places * len(self.recursion.times), WINDOW_BYTES
        )

    def weights(self, place: np.ndarray, destination: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """The law before normalization, float64 [N, A]: a row is all zero if no ride reaches this state.

        place, destination, moves: int [N]; a row whose moves exceed L is all zero. Each missing destination is computed
        once, even if not all destinations fit into the table.
        """
        out = np.zeros((len(place), self.graph.successor.shape[1] + 1))
        stops = self.recursion.stops
        ends = (place == destination) & (moves <= self.max_moves)
        out[ends, -1] = stops[moves[ends]]
        rows = np.flatnonzero(moves < self.max_moves)
        v, d, t = place[rows], destination[rows], moves[rows]
        later = self.graph.successor[v]
        out[rows, :-1] = self._ahead(v, d, t, later) / self.degree[v][:, None]
        return out

    def _ahead(self, place: np.ndarray, destination: np.ndarray, moves: np.ndarray, later: np.ndarray) -> np.ndarray:
        """S at the next time, at the places `later` [N, A] that follow each state; all moves below L."""
        out, time = np.zeros(later.shape), (moves + 1)[:, None]
        if self.recursion.whole:
            for block, rows in self._blocks(place, destination, moves, later, np.arange(len(place))):
                k = self.far.row[destination[rows]][:, None]
                out[rows] = block.ahead(self._kept(time[rows] - 1), k, later[rows])
            return out
        # The window of a state ends at the first kept time after the next move.
        kept = self._kept(moves + 1)
        key = destination * len(self.recursion.times) + kept
        missing = []
        for number, rows in _groups(self.near.number[key], np.arange(len(key))):
            if number >= 0:
                k = self.near.row[key[rows]][:, None]
                out[rows], known = self.near.get(number).ahead(k, later[rows], time[rows])
                rows = rows[~known.all(axis=1)]
            missing.append(rows)
        unknown = np.concatenate(missing) if missing else np.empty(0, np.int64)
        for block, some in self._blocks(place, destination, moves, later, unknown):
            for end, rows in _groups(kept[some], some):
                row = self.far.row[destination[rows]]
                chosen, new = window(self.recursion, block, end, row, place[rows], moves[rows])
                out[rows] = new.ahead(np.searchsorted(chosen, row)[:, None], later[rows], time[rows])[0]
                self.near.put(block.destinations[chosen] * len(self.recursion.times) + end, new)
        return out

    def _kept(self, time: np.ndarray) -> np.ndarray:
        """The number of the first kept time after `time`."""
        return np.searchsorted(self.recursion.times, time, side="right")

    def _blocks(
        self, place: np.ndarray, destination: np.ndarray, moves: np.ndarray, later: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[Dense | Cone, np.ndarray]]:
        """The blocks that know what follows the states `rows`, each with its rows. Missing blocks are computed."""
        missing, partly = [], []
        for number, part in _groups(self.far.number[destination[rows]], rows):
            if number < 0:
                missing.append(part)
                continue
            block = self.far.get(number)
            known = block.known(self.far.row[destination[part]][:, None], later[part], (moves[part] + 1)[:, None])
            if known is not None:
                good = known.all(axis=1)
                partly.append(part[~good])
                part = part[good]
            if len(part):
                yield block, part
        for parts, whole in ((missing, False), (partly, True)):
            asking = np.concatenate(parts) if parts else np.empty(0, np.int64)
            distinct, inverse = np.unique(destination[asking], return_inverse=True)
            for low in range(0, len(distinct), self.recursion.at_once):
                some = distinct[low : low + self.recursion.at_once]
                inside = asking[(inverse >= low) & (inverse < low + len(some))]
                row = np.full(len(inside), -1) if whole else np.searchsorted(some, destination[inside])
                for block in self.recursion.blocks(some, row, place[inside], moves[inside]):
                    self.far.put(block.destinations, block)
                    yield block, inside[self.far.number[destination[inside]] == self.far.made]


def _groups(key: np.ndarray, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The rows by their key, with each key."""
    if not len(rows):
        return []
    if (key == key[0]).all():
        return [(int(key[0]), rows)]
    order = np.argsort(key, kind="stable")
    keys, first = np.unique(key[order], return_index=True)
    return list(zip(keys.tolist(), np.split(rows[order], first[1:])))


def blind_weights(
    graph: Graph, min_moves: int, max_moves: int, place: np.ndarray, moves: np.ndarray, stop: float = 0.0
) -> np.ndarray:
    """The law of a reader who does not know the destination, before normalization: float64 [N, A].

    The sum of the weights above over all destinations, without what is held out. A move is as likely as all numbers of
    moves above t together.
    place, moves: int [N]. A row whose moves exceed L is all zero.
    """
    stops = stopping.weights(min_moves, max_moves, stop)
    after = np.append(np.cumsum(stops[::-1])[::-1], 0.0)  # [L + 2], the weight of all numbers of moves from t on
    late = moves > max_moves
    leaves = graph.successor[place] >= 0
    going = after[np.minimum(moves, max_moves) + 1] / leaves.sum(axis=1)
    ending = np.where(late, 0.0, stops[np.minimum(moves, max_moves)])
    return np.concatenate([leaves * going[:, None], ending[:, None]], axis=1)

"""The backward recursion of the law (see `law.py`), limited to the places where S is not 0 and a ride can come.

S[t, v, d] is 0 unless d is at most L - t moves away from v, on a way without held-out states. A ride that is at v0 after
t0 moves reads S at (t, v) only if v is at most t - t0 moves away from v0. So the recursion needs only the places v whose
earliest time plus hops to d is at most L. All other products are exactly 0, so the values are those of the recursion
over all places, to the last bit. Work and memory for a destination depend on L, and not on the size of the map.

Shape letters: K destinations of one block, N places of the map, L largest number of moves, M places of all K
destinations together, C codes. A code k * N + v stands for place v of destination k.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides.held_out import HeldOut

MOST_DESTINATIONS = 64
"""Most destinations of one block."""
MOST_CODES = 1 << 21
"""Most codes of one block, unless one destination alone has more."""
BLOCK_BYTES = 1 << 26
"""Most bytes of the values S of one block, unless one destination alone needs more."""
NEVER = np.iinfo(np.int16).max
"""A number of moves, larger than L: this place is not reached."""


@dataclass(frozen=True)
class Block:
    """S for K destinations.

    destinations: int [K]. hops: int16 [K, N], moves to the destination, NEVER above L. earliest: int16 [K, N], the
    smallest t for which S[t] is known, NEVER if no t. position: int32 [K, N], the row of a place in `values`; not
    defined where `earliest` is NEVER. offset: int64 [L + 2], where the values of each t begin; values: float64, at
    `offset[t] + position`.
    """

    destinations: np.ndarray
    hops: np.ndarray
    earliest: np.ndarray
    position: np.ndarray
    offset: np.ndarray
    values: np.ndarray

    @property
    def bytes(self) -> int:
        return self.hops.nbytes + self.earliest.nbytes + self.position.nbytes + self.values.nbytes

    def ahead(self, k: np.ndarray, place: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S at (time, place) for the destination of row k, float64, and whether S is known there, bool.

        k, time: int [N, 1]. place: int [N, A]; -1 stands for no place and has S 0. Where S is not known, 0 is given.
        """
        there = np.maximum(place, 0)
        some = (place >= 0) & (self.hops[k, there] + time < len(self.offset) - 1)
        known = ~some | (self.earliest[k, there] <= time)
        read = some & known
        at = np.where(read, self.offset[np.minimum(time, len(self.offset) - 1)] + self.position[k, there], 0)
        return np.where(read, self.values[at] if len(self.values) else 0.0, 0.0), known


class Recursion:
    """Makes the blocks of one map."""

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        from scipy.sparse import csr_matrix

        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        n, source, target = graph.n_places, graph.edges[:, 0], graph.edges[:, 1]
        degree = (graph.successor >= 0).sum(1)
        self.transition = csr_matrix((1.0 / degree[source], (source, target)), shape=(n, n))
        self.reverse = self.transition.T.tocsr()
        self.at_once = max(1, min(MOST_DESTINATIONS, MOST_CODES // n))

    def blocks(
        self, destinations: np.ndarray, row: np.ndarray, place: np.ndarray, moves: np.ndarray
    ) -> Iterator[Block]:
        """Blocks that together hold the destinations, int [K], K at most `at_once`, in their order.

        row, place, moves: int [R], the states (place, moves) on the way to `destinations[row]` whose next tokens must be
        known. With row = -1, all states of all destinations.
        """
        k, n, limit = len(destinations), self.graph.n_places, self.max_moves
        scratch = np.empty(k * n, np.int32)
        hops = np.full(k * n, NEVER, np.int16)
        codes = self._spread(self.reverse, hops, scratch, [np.arange(k) * n + destinations], destinations, None)
        earliest = np.full(k * n, NEVER, np.int16)
        if (row < 0).any():
            earliest[codes] = 1
        else:
            later = self.graph.successor[place].astype(np.int64)
            time, first = np.broadcast_to(moves[:, None] + 1, later.shape), row[:, None] * n + later
            chosen = (later >= 0) & (time <= limit)
            time, first = time[chosen], first[chosen]
            starts = [first[time == t] for t in range(int(time.max(initial=0)) + 1)]
            self._spread(self.transition, earliest, scratch, starts, destinations, hops)
        codes = codes[earliest[codes] < NEVER]
        held = np.bincount(codes // n, limit - hops[codes] + 1, minlength=k) * 8
        low = 0
        while low < k:
            high = low + max(1, int(np.searchsorted(np.cumsum(held[low:]), BLOCK_BYTES, side="right")))
            whole = high - low == k
            inside = codes if whole else codes[(codes >= low * n) & (codes < high * n)] - low * n
            part = slice(low * n, high * n)
            yield self._block(destinations[low:high], inside, *(a if whole else a[part].copy() for a in (hops, earliest)))
            low = high

    def _spread(
        self,
        matrix: np.ndarray,
        level: np.ndarray,
        scratch: np.ndarray,
        starts: list[np.ndarray],
        destinations: np.ndarray,
        hops: np.ndarray | None,
    ) -> np.ndarray:
        """Breadth-first search for all destinations together. Writes into `level` [K * N] the level of each code that
        is reached, at most L, and returns these codes by level.

        matrix: the edges to follow, sparse [N, N]. starts: the codes that begin at level 0, 1, .. scratch: any int32
        [K * N]. hops: if given, a code is followed only if its level plus its hops is at most L; if not given, held-out
        states are not followed.
        """
        n, found, front = self.graph.n_places, [], np.empty(0, np.int64)
        held_out = self.held_out if hops is None and self.held_out.kind == "states" else None
        for now in range(self.max_moves + 1):
            row, edge = _entries(matrix.indptr, front % n)
            front = front[row] - front[row] % n + matrix.indices[edge]
            if now < len(starts):
                front = np.concatenate([front, starts[now]])
            front = front[level[front] == NEVER]
            if hops is not None:
                front = front[hops[front] <= self.max_moves - now]
            if held_out is not None:
                front = front[~held_out.holds(front % n, destinations[front // n])]
            number = np.arange(len(front), dtype=np.int32)
            scratch[front] = number  # of equal codes, one stays
            front = front[scratch[front] == number]
            level[front] = now
            found.append(front)
            if not len(front) and now + 1 >= len(starts):
                break
        return np.concatenate(found)

    def _block(self, destinations: np.ndarray, codes: np.ndarray, hops: np.ndarray, earliest: np.ndarray) -> Block:
        """The recursion over the places of `codes` [M], which are ordered by hops."""
        from scipy.sparse import csr_matrix

        k, n, limit, m = len(destinations), self.graph.n_places, self.max_moves, len(codes)
        position = np.full(k * n, -1, np.int32)
        position[codes] = np.arange(m, dtype=np.int32)
        row, edge = _entries(self.transition.indptr, codes % n)
        column = position[(codes - codes % n)[row] + self.transition.indices[edge]]
        kept = column >= 0
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=m))]).astype(np.int32)
        column, weight = column[kept], self.transition.data[edge[kept]]
        goal = position[np.arange(k) * n + destinations]
        goal = goal[goal >= 0]
        first = int(earliest[codes].min(initial=limit + 1))
        # upto[t]: the number of places from which the destination can still be reached after t moves.
        upto = np.searchsorted(hops[codes], limit - np.arange(limit + 2), side="right")
        upto[:first] = upto[limit + 1] = 0
        offset = np.cumsum(upto) - upto
        values, ahead = np.empty(int(upto.sum())), np.zeros(m)
        for t in range(limit, first - 1, -1):
            rows = int(upto[t])
            if t == limit or rows != upto[t + 1]:
                edges = indptr[rows]
                matrix = csr_matrix((weight[:edges], column[:edges], indptr[: rows + 1]), shape=(rows, m))
            now = matrix @ ahead
            if t >= self.min_moves:
                now[goal] += 1
            ahead[:rows] = values[offset[t] : offset[t] + rows] = now
        shape = (k, n)
        return Block(
            destinations, hops.reshape(shape), earliest.reshape(shape), position.reshape(shape), offset, values
        )


def _entries(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All entries of these rows of a sparse matrix, in order: for each, the index into `rows`, and its index in the
    matrix."""
    first = indptr[rows].astype(np.int64)
    count = indptr[rows + 1] - first
    row = np.repeat(np.arange(len(rows)), count)
    return row, np.arange(len(row)) + (first - np.cumsum(count) + count)[row]

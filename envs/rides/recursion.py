"""The backward recursion of the law (see `law.py`), limited to the places where S is not 0 and a ride can come.

S[t, v, d] is 0 unless d is at most L - t moves away from v, on a way without held-out states. A ride that is at v0
after t0 moves uses S at (t, v) only if v is at most t - t0 moves away from v0. So the recursion needs only the places
whose smallest time plus moves to d is at most L. All other terms are exactly 0, so the values equal those of a
recursion over all places to the last bit. On a large street map, the work for one destination and its values S depend
on L, and not on the size of the map; only tables of 8 bytes per place and destination grow with the map.

Shape letters: K destinations of one block, N places of the map, L largest number of moves, M places of all K
destinations together, C codes. A code k * (N + 1) + v stands for place v of destination k.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides.held_out import HeldOut

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_DESTINATIONS = 64
"""Most destinations of one block."""
MOST_CODES = 1 << 21
"""Most codes of one block, unless one destination alone has more."""
BLOCK_BYTES = 1 << 26
"""Most bytes of the values S of one block, unless one destination alone needs more."""
NEVER = np.iinfo(np.int16).max
"""A number of moves, larger than L: this place is not reached."""
NOWHERE = np.iinfo(np.int32).max
"""The position of a place that has no position."""


@dataclass(frozen=True)
class Block:
    """S for K destinations. The last column of an array [K, N + 1] stands for no place, so that index -1 reads it.

    destinations: int [K]. position: int32 [K, N + 1], the number of a place among the places of the recursion, which
    are ordered by hops; NOWHERE for all other places. upto: int64 [L + 2], how many of these places can still reach
    their destination after t moves. offset: int64 [L + 2], where the values of t begin. values: float64. S is the value
    at `offset[t] + position` if position is below `upto[t]`, and 0 otherwise; the first value is a 0.
    hops, earliest: int16 [K, N + 1], moves to the destination (NEVER above L), and the smallest t for which S[t] is
    known (NEVER if no t). Both are None if all of S is known.
    """

    destinations: np.ndarray
    position: np.ndarray
    upto: np.ndarray
    offset: np.ndarray
    values: np.ndarray
    hops: np.ndarray | None
    earliest: np.ndarray | None

    @property
    def bytes(self) -> int:
        arrays = (self.position, self.values, self.hops, self.earliest)
        return sum(array.nbytes for array in arrays if array is not None)

    def ahead(self, k: np.ndarray, place: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """S at (time, place) for the destination of row k: float64 [N, A]; and whether S is known there: bool [N, A],
        or None if all of S is known.

        k, time: int [N, 1], time from 0 to L. place: int [N, A]; -1 stands for no place and has S 0. Where S is not
        known, the number has no meaning.
        """
        position = self.position[k, place]
        found = self.values[np.where(position < self.upto[time], self.offset[time] + position, 0)]
        if self.hops is None or self.earliest is None:
            return found, None
        return found, (self.earliest[k, place] <= time) | (self.hops[k, place] > len(self.upto) - 2 - time)


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

        row, place, moves: int [R], the states (place, moves) on the way to `destinations[row]` from which S must be
        known. If a row is -1, S is known for all states of all destinations.
        """
        k, width, limit, whole = len(destinations), self.graph.n_places + 1, self.max_moves, bool((row < 0).any())
        scratch = np.empty(k * width, np.int32)
        hops = np.full(k * width, NEVER, np.int16)
        codes = self._spread(self.reverse, hops, scratch, [np.arange(k) * width + destinations], destinations, None)
        earliest = None
        if not whole:
            earliest = np.full(k * width, NEVER, np.int16)
            later = self.graph.successor[place].astype(np.int64)
            time, first = np.broadcast_to(moves[:, None] + 1, later.shape), row[:, None] * width + later
            chosen = (later >= 0) & (time <= limit)
            time, first = time[chosen], first[chosen]
            starts = [first[time == t] for t in range(int(time.max(initial=0)) + 1)]
            self._spread(self.transition, earliest, scratch, starts, destinations, hops)
            codes = codes[earliest[codes] < NEVER]
        size = np.bincount(codes // width, limit - hops[codes] + 1, minlength=k) * 8
        low = 0
        while low < k:
            high = low + max(1, int(np.searchsorted(np.cumsum(size[low:]), BLOCK_BYTES, side="right")))
            if high - low == k:
                yield self._block(destinations, codes, hops, earliest)
            else:
                inside, part = (codes >= low * width) & (codes < high * width), slice(low * width, high * width)
                cut = None if earliest is None else earliest[part].copy()
                yield self._block(destinations[low:high], codes[inside] - low * width, hops[part].copy(), cut)
            low = high

    def _spread(
        self,
        matrix: csr_matrix,
        level: np.ndarray,
        scratch: np.ndarray,
        starts: list[np.ndarray],
        destinations: np.ndarray,
        hops: np.ndarray | None,
    ) -> np.ndarray:
        """Breadth-first search for all destinations together. Writes the level of each code that is reached, at most L,
        into `level` [K * (N + 1)], and returns these codes by level.

        matrix: the edges to follow, sparse [N, N]. starts: the codes that begin at level 0, 1, .. scratch: int32
        [K * (N + 1)], overwritten. hops: if given, only codes whose level plus hops is at most L are reached. If not
        given, no held-out state is reached.
        """
        width, found, front = self.graph.n_places + 1, [], np.empty(0, np.int64)
        held_out = self.held_out if hops is None and self.held_out.kind == "states" else None
        for now in range(self.max_moves + 1):
            row, edge = _entries(matrix.indptr, front % width)
            front = front[row] - front[row] % width + matrix.indices[edge]
            if now < len(starts):
                front = np.concatenate([front, starts[now]])
            front = front[level[front] == NEVER]
            if hops is not None:
                front = front[hops[front] <= self.max_moves - now]
            if held_out is not None:
                front = front[~held_out.holds(front % width, destinations[front // width])]
            number = np.arange(len(front), dtype=np.int32)
            scratch[front] = number  # of equal codes, one stays
            front = front[scratch[front] == number]
            level[front] = now
            found.append(front)
            if not len(front) and now + 1 >= len(starts):
                break
        return np.concatenate(found)

    def _block(
        self, destinations: np.ndarray, codes: np.ndarray, hops: np.ndarray, earliest: np.ndarray | None
    ) -> Block:
        """The recursion over the places of `codes` [M], which are ordered by hops."""
        from scipy.sparse import csr_matrix

        k, width, limit, m = len(destinations), self.graph.n_places + 1, self.max_moves, len(codes)
        position = np.full(k * width, NOWHERE, np.int32)
        position[codes] = np.arange(m, dtype=np.int32)
        row, edge = _entries(self.transition.indptr, codes % width)
        column = position[(codes - codes % width)[row] + self.transition.indices[edge]]
        kept = column != NOWHERE
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=m))]).astype(np.int32)
        column, weight = column[kept], self.transition.data[edge[kept]]
        goal = position[np.arange(k) * width + destinations]
        goal = goal[goal != NOWHERE]
        first = 1 if earliest is None else int(earliest[codes].min(initial=limit + 1))
        upto = np.searchsorted(hops[codes], limit - np.arange(limit + 2), side="right")
        upto[:first] = upto[limit + 1] = 0
        offset = np.cumsum(upto) - upto + 1
        values, ahead, matrix = np.zeros(int(upto.sum()) + 1), np.zeros(m), csr_matrix((0, m))
        held = 0  # rows of the matrix
        for t in range(limit, first - 1, -1):
            rows = int(upto[t])
            if rows != held:
                held, edges = rows, indptr[rows]
                matrix = csr_matrix((weight[:edges], column[:edges], indptr[: rows + 1]), shape=(rows, m))
            now = matrix @ ahead
            if t >= self.min_moves:
                now[goal] += 1
            ahead[:rows] = values[offset[t] : offset[t] + rows] = now
        if earliest is None:
            return Block(destinations, position.reshape(k, width), upto, offset, values, None, None)
        tables = (table.reshape(k, width) for table in (hops, earliest))
        return Block(destinations, position.reshape(k, width), upto, offset, values, *tables)


def _entries(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All entries of these rows of a sparse matrix, in order: for each, the index into `rows`, and its index in the
    matrix."""
    first = indptr[rows].astype(np.int64)
    count = indptr[rows + 1] - first
    row = np.repeat(np.arange(len(rows)), count)
    return row, np.arange(len(row)) + (first - np.cumsum(count) + count)[row]

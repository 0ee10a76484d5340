"""The backward recursion of the law (see `law.py`), at chosen times, in bounded memory.

S is kept at some times only. All times are kept if the tables of all destinations are small. Otherwise every `every`th
time is kept, and a `Window` (see `windows.py`) computes the times between two kept times again, for the few places
around a ride.

There are two ways to compute S, which give the same values to the last bit. `Dense` computes all places. `Cone` omits
places at which S is exactly 0, or to which no ride that asks can come: S[t, v, d] is 0 unless d is at most L - t moves
away from v, on a way without held-out states. A ride that is at v0 after t0 moves uses S at (t, v) only if v is at most
t - t0 moves away from v0. So the recursion of `Cone` needs only the places whose smallest time plus moves to d is at
most L. On a large map the work for one destination depends on L, and not on the size of the map; only tables of 6
bytes per place and destination grow with the map.

Shape letters: K destinations of one block, N places of the map, L largest number of moves, M places of all K
destinations together, C kept times. A code k * (N + 1) + v stands for place v of destination k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.graph import Graph
from worldbench.envs.rides import stopping
from worldbench.envs.rides.held_out import HeldOut

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WHOLE_BYTES = 250_000_000
"""All times are kept if the values S of all destinations of the map need at most so many bytes."""
LEAST_EVERY, MOST_KEPT = 16, 8
"""Otherwise every `every`th time is kept: at least LEAST_EVERY, and at most about MOST_KEPT times in all."""
DENSE_SHARE = 1.4
"""Maps of at most DENSE_SHARE * L * L places are computed by `Dense`, which is faster there."""
DENSE_AT_ONCE, CONE_AT_ONCE = 128, 64
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
class Dense:
    """S at all places, for K destinations int [K]. values: float64 [C, N + 1, K]; the last place stands for none."""

    destinations: np.ndarray
    values: np.ndarray

    @property
    def bytes(self) -> int:
        return self.values.nbytes

    def ahead(self, kept: np.ndarray | int, k: np.ndarray, place: np.ndarray) -> np.ndarray:
        """S at kept time number `kept`, at `place` (-1: no place, S is 0), for destination k: arrays of one shape."""
        return self.values[kept, place, k]

    def known(self, k: np.ndarray, place: np.ndarray, time: np.ndarray) -> np.ndarray | None:
        """Is S known at this time and place, for destination k? None: everywhere."""
        return None


@dataclass(frozen=True)
class Cone:
    """S at the places that matter, for K destinations. `ahead` and `known` as of `Dense`.

    destinations: int [K]. The last column of an array [K, N + 1] stands for no place. position: int32 [K, N + 1], the
    number of a place among the M places of the recursion, which are ordered by hops; NOWHERE for all other places.
    hops: int16 [K, N + 1], moves to the destination (NEVER above L). earliest: int16 [M + 1], by position, the smallest
    t for which S[t] is known; the last stands for other places; None if all of S is known. upto: int64 [C], how many
    of the places can still reach their destination after the kept times. offset: int64 [C], where the values of a kept
    time begin. values: float64; the first is 0. S is the value at `offset + position` if position is below `upto`, and
    0 otherwise.
    """

    destinations: np.ndarray
    limit: int
    position: np.ndarray
    hops: np.ndarray
    earliest: np.ndarray | None
    upto: np.ndarray
    offset: np.ndarray
    values: np.ndarray

    @property
    def bytes(self) -> int:
        arrays = (self.position, self.hops, self.values, self.earliest)
        return sum(array.nbytes for array in arrays if array is not None)

    def ahead(self, kept: np.ndarray | int, k: np.ndarray, place: np.ndarray) -> np.ndarray:
        position = self.position[k, place]
        return self.values[np.where(position < self.upto[kept], self.offset[kept] + position, 0)]

    def known(self, k: np.ndarray, place: np.ndarray, time: np.ndarray) -> np.ndarray | None:
        if self.earliest is None:
            return None
        position = np.minimum(self.position[k, place], len(self.earliest) - 1)
        return (self.earliest[position] <= time) | (self.hops[k, place] > self.limit - time)


class Recursion:
    """Makes the blocks of one map.

    stops: float64 [L + 1], the weight of each number of moves. times: int [C], the kept times, ascending; the last is
    L + 1, where S is 0.
    """

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, stop: float = 0.0) -> None:
        from scipy.sparse import csr_matrix

        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        self.stops = stopping.weights(min_moves, max_moves, stop)
        n, source, target = graph.n_places, graph.edges[:, 0], graph.edges[:, 1]
        degree = (graph.successor >= 0).sum(1)
        self.transition = csr_matrix((1.0 / degree[source], (source, target)), shape=(n, n))
        self.reverse = self.transition.T.tocsr()
        every = 1 if n * n * max_moves * 8 <= WHOLE_BYTES else max(LEAST_EVERY, -(-max_moves // MOST_KEPT))
        self.whole = every == 1
        self.times = np.array([*range(every, max_moves + 1, every), max_moves + 1])
        self.dense = self.whole or n <= DENSE_SHARE * max_moves**2
        if self.dense:
            most = min(DENSE_AT_ONCE, BLOCK_BYTES // (8 * len(self.times) * n))
        else:
            most = min(CONE_AT_ONCE, MOST_CODES // n)
        self.at_once = max(1, most)

    def blocks(
        self, destinations: np.ndarray, row: np.ndarray, place: np.ndarray, moves: np.ndarray
    ) -> Iterator[Dense | Cone]:
        """Blocks that together hold the destinations, int [K], K at most `at_once`, in their order.

        row, place, moves: int [R], the states (place, moves) on the way to `destinations[row]` from which S must be
        known. If a row is -1, S is known for all states of all destinations.
        """
        if self.dense:
            yield self._dense(destinations)
            return
        k, width, limit = len(destinations), self.graph.n_places + 1, self.max_moves
        scratch = np.empty(k * width, np.int32)
        hops = np.full(k * width, NEVER, np.int16)

        def free(codes: np.ndarray, now: int) -> np.ndarray:
            return ~self.held_out.holds(codes % width, destinations[codes // width])

        def useful(codes: np.ndarray, now: int) -> np.ndarray:
            return hops[codes] <= limit - now

        ways = free if self.held_out.kind == "states" else None
        codes = self.spread(self.reverse, hops, scratch, [np.arange(k) * width + destinations], 0, limit, ways)
        earliest = None
        if not (row < 0).any():
            earliest = np.full(k * width, NEVER, np.int16)
            starts = self.starts(row, place, moves, 0)
            self.spread(self.transition, earliest, scratch, starts, 0, limit, useful)
            codes = codes[earliest[codes] < NEVER]
        kept = np.searchsorted(self.times, limit - hops[codes], side="right")
        size = np.bincount(codes // width, kept, minlength=k) * 8
        low = 0
        while low < k:
            high = low + max(1, int(np.searchsorted(np.cumsum(size[low:]), BLOCK_BYTES, side="right")))
            part = slice(low * width, high * width)
            inside = codes if high - low == k else codes[(codes >= part.start) & (codes < part.stop)]
            yield self._cone(
                destinations[low:high],
                inside - part.start,
                hops[part].copy(),
                None if earliest is None else earliest[inside],
            )
            low = high

    def starts(self, row: np.ndarray, place: np.ndarray, moves: np.ndarray, first: int) -> list[np.ndarray]:
        """For each time from `first` on: the codes at which S is read for the states (row, place, moves) [R]."""
        later = self.graph.successor[place].astype(np.int64)
        time = np.broadcast_to(moves[:, None] + 1, later.shape)
        codes, chosen = row[:, None] * (self.graph.n_places + 1) + later, (later >= 0) & (time <= self.max_moves)
        time, codes = time[chosen], codes[chosen]
        return [codes[time == t] for t in range(first, int(time.max(initial=first - 1)) + 1)]

    def spread(
        self,
        matrix: csr_matrix,
        level: np.ndarray,
        scratch: np.ndarray,
        starts: Sequence[np.ndarray],
        first: int,
        last: int,
        keep: Callable[[np.ndarray, int], np.ndarray] | None,
    ) -> np.ndarray:
        """Breadth-first search for all destinations together. Writes the level of each code that is reached, from
        `first` to `last`, into `level` [K * (N + 1)], and returns these codes by level.

        matrix: the edges to follow, sparse [N, N]. starts: the codes that begin at levels `first`, `first` + 1, ..
        scratch: int32 [K * (N + 1)], overwritten. keep: which of some codes may be reached at a level; None: all.
        """
        width, found, front = self.graph.n_places + 1, [np.empty(0, np.int64)], np.empty(0, np.int64)
        for now in range(first, last + 1):
            row, edge = entries(matrix.indptr, front % width)
            front = front[row] - front[row] % width + matrix.indices[edge]
            if now - first < len(starts):
                front = np.concatenate([front, starts[now - first]])
            front = front[level[front] == NEVER]
            if keep is not None:
                front = front[keep(front, now)]
            number = np.arange(len(front), dtype=np.int32)
            scratch[front] = number  # of equal codes, one stays
            front = front[scratch[front] == number]
            level[front] = now
            found.append(front)
            if not len(front) and now - first + 1 >= len(starts):
                break
        return np.concatenate(found)

    def _dense(self, destinations: np.ndarray) -> Dense:
        k, n = len(destinations), self.graph.n_places
        values, ahead, goal = np.zeros((len(self.times), n + 1, k)), np.zeros((n, k)), (destinations, np.arange(k))
        held = None
        if self.held_out.kind == "states":
            held = self.held_out.holds(np.arange(n)[:, None], destinations[None, :])
        kept = len(self.times) - 2
        for t in range(self.max_moves, int(self.times[0]) - 1, -1):
            ahead = self.transition @ ahead
            if t >= self.min_moves:
                ahead[goal] += self.stops[t]
            if held is not None:
                ahead[held] = 0
            if t == self.times[kept]:
                values[kept, :n] = ahead
                kept -= 1
        return Dense(destinations, values)

    def _cone(self, destinations: np.ndarray, codes: np.ndarray, hops: np.ndarray, earliest: np.ndarray | None) -> Cone:
        """The recursion over the places of `codes` [M], which are ordered by hops. earliest: [M]."""
        k, width, limit, m = len(destinations), self.graph.n_places + 1, self.max_moves, len(codes)
        position = np.full(k * width, NOWHERE, np.int32)
        position[codes] = np.arange(m, dtype=np.int32)
        row, edge = entries(self.transition.indptr, codes % width)
        column = position[(codes - codes % width)[row] + self.transition.indices[edge]]
        walk = Walk(row, column, column != NOWHERE, self.transition.data[edge], m)
        goal = position[np.arange(k) * width + destinations]
        goal = goal[goal != NOWHERE]
        first = int(self.times[0]) if earliest is None else max(int(self.times[0]), int(earliest.min(initial=limit)))
        upto = np.searchsorted(hops[codes], limit - self.times, side="right") * (self.times >= first)
        offset = np.cumsum(upto) - upto + 1
        values, ahead, kept = np.zeros(int(upto.sum()) + 1), np.zeros(m), len(self.times) - 2
        for t in range(limit, first - 1, -1):
            rows = int(np.searchsorted(hops[codes], limit - t, side="right"))
            walk.back(ahead, rows)
            if t >= self.min_moves:
                ahead[goal] += self.stops[t]
            if t == self.times[kept]:
                values[offset[kept] : offset[kept] + rows] = ahead[:rows]
                kept -= 1
        if earliest is not None:
            earliest = np.append(earliest, np.int16(NEVER))
        tables = position.reshape(k, width), hops.reshape(k, width)
        return Cone(destinations, limit, *tables, earliest, upto, offset, values)


class Walk:
    """One step of the walk between M places, for the first rows of them."""

    def __init__(self, row: np.ndarray, column: np.ndarray, kept: np.ndarray, weight: np.ndarray, m: int) -> None:
        """Entries of a sparse matrix [M, M], by row; only those that are `kept` count."""
        self.indptr = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=m))]).astype(np.int32)
        self.column, self.weight, self.rows = column[kept].astype(np.int32), weight[kept], -1

    def back(self, ahead: np.ndarray, rows: int) -> None:
        """Replaces the first `rows` of `ahead` [M] by their means after one step."""
        from scipy.sparse import csr_matrix

        if rows != self.rows:
            edges, self.rows = self.indptr[rows], rows
            cut = self.weight[:edges], self.column[:edges], self.indptr[: rows + 1]
            self._matrix = csr_matrix(cut, shape=(rows, len(ahead)))
        ahead[:rows] = self._matrix @ ahead


def entries(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All entries of these rows of a sparse matrix, in order: for each, the index into `rows`, and its index in the
    matrix."""
    first = indptr[rows].astype(np.int64)
    count = indptr[rows + 1] - first
    row = np.repeat(np.arange(len(rows)), count)
    return row, np.arange(len(row)) + (first - np.cumsum(count) + count)[row]

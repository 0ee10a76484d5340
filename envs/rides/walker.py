"""Rides over a map, drawn as random walks (the random-walk data of Vafa et al. 2024).

The origin of a ride is a uniform random place. The number of moves m is uniform in min_moves .. max_moves, or
geometric within these bounds (`stopping.py`). Each move is uniform over the moves that the map allows. The place after
the last move is the destination.

Ride i depends only on (seed, split, i): its random numbers are a fixed block of a counter-based stream. Each walk is
one attempt. If the split may not contain the walk, all of it is drawn again, as the next attempt. This rejection
does not change the distribution of walks of one (origin, destination) pair.

Shape letters: n rides, L largest number of moves, N places.
"""

from __future__ import annotations

from math import lcm

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.rides import stopping
from worldbench.envs.rides.held_out import MOST_PLACES, HeldOut, drawable, no_rides

CHUNK = 2048
"""Rides walked in one block. A block of this size fits into the cache of a core."""
AHEAD = 512
"""When fewer rides than this are still missing, several attempts are drawn together, about this many walks."""
PLACES = 1024
"""Places for which the table of steps is made together, to limit memory."""
DIRECTION_BITS = 4
"""Bits of the direction in a packed step. A packed step is (place * choices) << DIRECTION_BITS | direction."""
MAX_ATTEMPTS = 20_000
"""Attempts after which no ride is expected. If one walk in 1,000 is a ride of the split, a ride needs more attempts
than this with probability 2e-9."""
ENOUGH_WALKS = 1 << 17
FEWEST_RIDES = 20
"""If fewer than FEWEST_RIDES of ENOUGH_WALKS walks are rides of a split, drawing stops with an error. With so small
a share, some rides would not be found in MAX_ATTEMPTS attempts."""
SUSPICIOUS = 200
"""After this many attempts without a ride, `drawable` decides whether the split can have a ride at all."""


class Walker:
    """Draws the rides of a map.

    Raises InputError if some place of the map has no move out of it.
    """

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, stop: float = 0.0) -> None:
        degree = (graph.successor >= 0).sum(1)
        if (degree == 0).any():
            stuck = counted(int((degree == 0).sum()), f"place of {graph.name} has", f"places of {graph.name} have")
            raise InputError(f"{stuck} no move that leaves; use the largest strongly connected part of the map")
        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        self.stop = stop
        # One table lookup per move. `choices` is a common multiple of all out-degrees, so a uniform integer below
        # `choices` selects each move of a place with the same probability, whatever the out-degree of the place.
        self.choices = lcm(*np.unique(degree).tolist())
        self._table = np.empty(graph.n_places * self.choices, np.int64)  # packed steps, at place * choices + choice
        choice = np.arange(self.choices)[None, :]
        for low in range(0, graph.n_places, PLACES):
            successor, moves = graph.successor[low : low + PLACES], degree[low : low + PLACES, None]
            order = np.argsort(successor < 0, axis=1, kind="stable")
            direction = np.take_along_axis(order, (choice * moves) // self.choices, axis=1)
            following = np.take_along_axis(successor, direction, axis=1).astype(np.int64)
            packed = following * self.choices << DIRECTION_BITS | direction
            self._table[low * self.choices : (low + len(packed)) * self.choices] = packed.ravel()

    def _walk(self, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Walks from uniform numbers [n, 2 + L]: origin [n], number of moves [n], packed steps [L, n].

        Every walk goes on for L steps, because this is faster than stopping each at its own length. Callers ignore the
        steps after the last move.
        """
        n, longest = len(uniform), self.max_moves
        origin = (uniform[:, 0] * self.graph.n_places).astype(np.int64)
        moves = stopping.numbers(uniform[:, 1], self.min_moves, longest, self.stop)
        choice = np.ascontiguousarray(
            (uniform[:, 2:] * self.choices).astype(np.int16 if self.choices < 32000 else np.int32).T
        )
        steps = np.empty((longest, n), np.int64)
        at = origin * self.choices
        for t in range(longest):
            np.add(at, choice[t], out=at)
            self._table.take(at, out=steps[t], mode="clip")
            np.right_shift(steps[t], DIRECTION_BITS, out=at)
        return origin, moves, steps

    def _accept(
        self, split: str, origin: np.ndarray, moves: np.ndarray, steps: np.ndarray, destination: np.ndarray
    ) -> np.ndarray:
        """bool [n]: may the split contain each walk? moves, origin, destination [n]; packed steps [L, n]."""
        first = self.held_out.holds(origin, destination)
        if self.held_out.kind == "pairs":
            return first if split == "test" else ~first
        later = self.held_out.holds((steps >> DIRECTION_BITS) // self.choices, destination[None, :])
        clear = ~(later & (np.arange(self.max_moves)[:, None] < moves[None, :])).any(0)
        return clear & (first if split == "test" else ~first)

    def rides(
        self, seed: int, split: str, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1 of the split, as `of` returns them."""
        return self.of(seed, split, np.arange(start, start + count))

    def of(self, seed: int, split: str, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rides `items`, int [n], ascending, of the split ("train" or "test").

        Returns origin, destination and number of moves, int64 [n] each, and directions, uint8 [n, L]. Directions after
        the last move have no meaning. Raises InputError, with the reason, if the split has no rides, or too few for
        random walks to find.
        """
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        count = len(items)
        origin, destination, moves = (np.empty(count, np.int64) for _ in range(3))
        directions = np.empty((count, self.max_moves), np.uint8)
        for low in range(0, count, CHUNK):
            rows = np.arange(low, min(low + CHUNK, count))
            attempt = walks = rides = 0
            while len(rows):
                ahead = min(attempt, max(AHEAD // len(rows), 1)) or 1
                o, m, d, steps, good = self._attempts(items[rows], seed, split, attempt, ahead)
                if good.all():
                    kept, columns = rows, steps
                else:
                    kept, columns = rows[good], steps[:, good]
                    o, m, d = o[good], m[good], d[good]
                origin[kept], destination[kept], moves[kept] = o, d, m
                directions[kept] = (columns.astype(np.uint8) & ((1 << DIRECTION_BITS) - 1)).T
                walks, rides = walks + len(rows) * ahead, rides + len(kept)
                rows = rows[~good]
                before, attempt = attempt, attempt + ahead
                if len(rows) and self._hopeless(split, before, attempt, walks, rides):
                    raise no_rides(self.graph, self.min_moves, self.max_moves, self.held_out, split, walks, rides)
        return origin, destination, moves, directions

    def _hopeless(self, split: str, before: int, attempt: int, walks: int, rides: int) -> bool:
        """Should drawing stop with an error? before, attempt: attempts before and after the last draw; walks, rides:
        how many walks the current block has drawn, and how many of them were rides of the split."""
        if before < SUSPICIOUS <= attempt and not rides and self.graph.n_places <= MOST_PLACES:
            return not self.drawable(split).any()
        return attempt > MAX_ATTEMPTS or (walks >= ENOUGH_WALKS and rides < FEWEST_RIDES)

    def _attempts(self, items: np.ndarray, seed: int, split: str, attempt: int, ahead: int) -> tuple[np.ndarray, ...]:
        """For each item, the first walk that is a ride of the split, among attempts attempt .. attempt + ahead - 1.

        Returns origin, moves, destination [n], packed steps [L, n], and good, bool [n]: did an attempt give a ride of
        the split? For an item without such a ride, the first walk is returned.
        """
        n, width = len(items), 2 + self.max_moves
        if ahead == 1:
            uniform = streams.uniform_rows(items, width, "rides", seed, split, attempt)
        else:
            names = [("rides", seed, split, attempt + k) for k in range(ahead)]
            which = np.tile(np.arange(ahead), n)
            uniform = streams.uniform_streams(np.repeat(items, ahead), width, which, names)
        origin, moves, steps = self._walk(uniform)
        destination = (steps[moves - 1, np.arange(n * ahead)] >> DIRECTION_BITS) // self.choices
        good = self._accept(split, origin, moves, steps, destination)
        if ahead == 1:
            return origin, moves, destination, steps, good
        first = np.arange(n) * ahead + good.reshape(n, ahead).argmax(1)
        return origin[first], moves[first], destination[first], steps[:, first], good[first]

    def drawable(self, split: str) -> np.ndarray:
        """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?"""
        return drawable(self.graph, self.min_moves, self.max_moves, self.held_out, split)

    def check(self) -> None:
        """Raises InputError, with the reason, if random walks find too few rides of the train or the test split."""
        for split in ("train", "test"):
            walks = rides = 0
            while rides < FEWEST_RIDES:
                if walks >= ENOUGH_WALKS:
                    raise no_rides(self.graph, self.min_moves, self.max_moves, self.held_out, split, walks, rides)
                items, seed = np.arange(walks, walks + CHUNK), streams.integer("check of rides")
                *_, good = self._attempts(items, seed, split, 0, 1)
                walks, rides = walks + CHUNK, rides + int(good.sum())

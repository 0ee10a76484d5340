"""Rides on shortest paths, and on shortest paths of randomly weighted maps (Vafa et al. 2024).

A ride draws a weighting, an origin and a destination, each uniformly and independently (or one trip of a list of
trips), and takes the shortest path of its weighting. If the path has too few or too many moves, or if the split may not
contain it, all three are drawn again, as the next attempt. So given its pair (origin, destination), the weighting of a
ride is uniform over the weightings whose path is a ride.

Ride i depends only on (seed, split, i), as in `walker.py`.

Shape letters: n rides, L largest number of moves, K weightings, N places, A directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.rides import weightings
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.next_moves import next_moves

CHUNK = 8192
"""Rides drawn in one block."""
AT_ONCE = 1 << 18
"""Paths that are followed together."""
COMPACT = 8
"""After so many moves, the rides that have arrived leave the arrays of a walk."""
FEWEST_RIDES = 20
ENOUGH_ATTEMPTS = 1 << 18
"""If fewer than FEWEST_RIDES of ENOUGH_ATTEMPTS attempts are rides of a split, drawing stops with an error."""
MOST_ATTEMPTS = 1 << 16
"""The same after this many attempts for one ride."""


@dataclass(frozen=True)
class Paths:
    """The paths of n rows. moves: int64 [n], -1 if the path is longer than L or none exists. directions: uint8 [n, L],
    A after the last move. clear: bool [n], no place after the origin is a held-out state with the destination."""

    moves: np.ndarray
    directions: np.ndarray
    clear: np.ndarray


class PathRides:
    """Draws the rides of a map, given the next move [K, N, N] of each weighting (see `next_moves.py`)."""

    def __init__(
        self,
        graph: Graph,
        table: np.ndarray,
        min_moves: int,
        max_moves: int,
        held_out: HeldOut,
        trips: np.ndarray | None = None,
    ) -> None:
        """trips: the pairs (origin, destination) of which an attempt draws one, int64 [T, 2]. None: all pairs."""
        self.graph, self.table, self.held_out = graph, table, held_out
        self.min_moves, self.max_moves, self.trips = min_moves, max_moves, trips
        n, self.none = graph.successor.shape
        self._flat = table.reshape(-1)
        # Column A leads from a place to itself, so that a ride that has arrived stays.
        self._successor = np.concatenate([graph.successor, np.arange(n, dtype=np.int32)[:, None]], axis=1).reshape(-1)

    def paths(self, weighting: np.ndarray, origin: np.ndarray, destination: np.ndarray) -> Paths:
        """The paths from origins to destinations, int64 [n], by the weightings int64 [n]."""
        n, width = self.graph.n_places, self.none + 1
        count = len(origin)
        directions = np.full((self.max_moves, count), self.none, np.uint8)
        by_states = self.held_out.kind == "states"
        clear = np.ones(count, bool)
        rows, at = np.arange(count), origin.astype(np.int64)
        base = (weighting.astype(np.int64) * n + destination) * n
        end = np.full(count, -1, np.int64)
        for t in range(self.max_moves):
            if t % COMPACT == 0:
                going = self._flat.take(base + at) != self.none
                if not going.all():
                    end[rows[~going]] = at[~going]
                    rows, at, base = rows[going], at[going], base[going]
                if not len(rows):
                    break
            taken = self._flat.take(base + at)
            directions[t, rows] = taken
            at = self._successor.take(at * width + taken).astype(np.int64)
            if by_states:
                clear[rows] &= ~self.held_out.holds(at, destination[rows])
        end[rows] = at
        moves = np.where(end == destination, (directions != self.none).sum(axis=0), -1)
        return Paths(moves, directions.T, clear)

    def rides(
        self, seed: int, split: str, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1 of the split, as `Walker.rides` returns them."""
        return self.of(seed, split, np.arange(start, start + count))

    def of(self, seed: int, split: str, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rides `items`, int [n], ascending, of the split ("train" or "test").

        Returns origin, destination and number of moves, int64 [n] each, and directions, uint8 [n, L]. Directions after
        the last move have no meaning. Raises InputError if the split has no rides, or too few to be found.
        """
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        origin, destination, moves = (np.empty(len(items), np.int64) for _ in range(3))
        directions = np.empty((len(items), self.max_moves), np.uint8)
        for low in range(0, len(items), CHUNK):
            rows = np.arange(low, min(low + CHUNK, len(items)))
            attempt = tried = found = 0
            while len(rows):
                ahead = 1 if not attempt else max(1, min(attempt * 4, CHUNK * 4 // len(rows)))
                which, o, d, paths = self._attempts(items[rows], seed, split, attempt, ahead)
                kept = rows[which]
                origin[kept], destination[kept], moves[kept] = o, d, paths.moves
                directions[kept] = paths.directions
                tried, found = tried + len(rows) * ahead, found + len(which)
                rows, attempt = np.delete(rows, which), attempt + ahead
                few = tried >= ENOUGH_ATTEMPTS and found < FEWEST_RIDES
                if len(rows) and (few or attempt > MOST_ATTEMPTS):
                    raise self._no_rides(split, tried, found)
        return origin, destination, moves, directions

    def _attempts(
        self, items: np.ndarray, seed: int, split: str, attempt: int, ahead: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Paths]:
        """The items, int [m], for which one of the attempts attempt .. attempt + ahead - 1 is a ride of the split, and
        the origin, destination [m] and path of the first such attempt of each."""
        names = [("paths", seed, split, attempt + k) for k in range(ahead)]
        if ahead == 1:
            uniform = streams.uniform_rows(items, 3, *names[0])
        else:
            uniform = streams.uniform_streams(np.repeat(items, ahead), 3, np.tile(np.arange(ahead), len(items)), names)
        weighting = (uniform[:, 0] * len(self.table)).astype(np.int64)
        origin, destination = self.draw_ends(uniform[:, 1:])
        held = self.held_out.holds(origin, destination)
        chosen = np.flatnonzero((held == (split == "test")) & (origin != destination))
        paths = self.paths(weighting[chosen], origin[chosen], destination[chosen])
        good = self.good(paths)
        item, first = np.unique(chosen[good] // ahead, return_index=True)
        of = np.flatnonzero(good)[first]
        at = chosen[of]
        return item, origin[at], destination[at], Paths(paths.moves[of], paths.directions[of], paths.clear[of])

    def draw_ends(self, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The origin and the destination of each attempt, int64 [n], from random numbers [n, 2]."""
        if self.trips is not None:
            ends = self.trips[(uniform[:, 0] * len(self.trips)).astype(np.int64)]
        else:
            ends = (uniform * self.graph.n_places).astype(np.int64)
        return ends[:, 0], ends[:, 1]

    def good(self, paths: Paths) -> np.ndarray:
        """bool [n]: are the paths rides, apart from what is held out of their pairs?"""
        return (paths.moves >= self.min_moves) & paths.clear

    def drawable(self, split: str) -> np.ndarray:
        """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?"""
        n = self.graph.n_places
        place = np.arange(n)
        out = np.zeros((n, n), bool)
        for k in range(len(self.table)):
            for low in range(0, n, rows := max(1, AT_ONCE // n)):
                some = place[low : low + rows]
                origin, destination = np.repeat(some, n), np.tile(place, len(some))
                paths = self.paths(np.full(len(origin), k), origin, destination)
                out[some] |= self.good(paths).reshape(len(some), n)
        if self.trips is not None:
            drawn = np.zeros((n, n), bool)
            drawn[self.trips[:, 0], self.trips[:, 1]] = True
            out &= drawn
        held = self.held_out.holds(place[:, None], place[None, :])
        return out & (held if split == "test" else ~held)

    def check(self) -> None:
        """Raises InputError, with the reason, if there are too few rides of the train or the test split."""
        for split in ("train", "test"):
            self.of(streams.integer("check of rides"), split, np.arange(FEWEST_RIDES))

    def _no_rides(self, split: str, tried: int, found: int) -> InputError:
        low, high = self.min_moves, self.max_moves
        ends = "random places" if self.trips is None else "the ends of the trips"
        return InputError(
            f"{self.graph.name}: of {tried:,} shortest paths between {ends}, {found or 'none'} "
            f"{'is a ride' if found == 1 else 'are rides'} of the {split} split, with "
            f"{counted(low, 'move') if low == high else f'{low} to {high} moves'} and env.held_out_share "
            f"{self.held_out.share:g}; change env.min_moves and env.max_moves, or env.held_out_share"
        )


def path_rides(
    graph: Graph, noisy: int, min_moves: int, max_moves: int, held_out: HeldOut, trips: np.ndarray | None = None
) -> PathRides:
    """Rides on the shortest paths of `noisy` random weightings of a map; 0: of its lengths.

    trips: the pairs of ends, int64 [T, 2]; None: all pairs of places.
    """
    plain = weightings.lengths(graph)
    some = [weightings.noisy(plain, k, held_out.salt) for k in range(noisy)] or [plain]
    return PathRides(graph, next_moves(graph, some), min_moves, max_moves, held_out, trips)

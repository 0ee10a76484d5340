"""Random-walk rides over a map, by counter-based streams.

A ride starts at a uniform place, makes m moves with m uniform in min_moves .. max_moves, each a uniform legal turn;
its destination is where it stops (Vafa et al. 2024, the random-walk data). Ride i is a pure function of (seed, split,
i). A ride that the split may not show is redrawn whole with the next attempt, which leaves the law given the pair
unchanged.

Shape letters: n rides, L longest ride in moves, N places.
"""

from __future__ import annotations

from math import lcm

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.rides.held_out import MOST_PLACES, HeldOut, drawable, no_rides

CHUNK = 2048
"""Rides walked together: their working set stays in a core's cache."""
AHEAD = 512
"""Walks of several attempts that are made together, once few rides are missing."""
DIRECTION_BITS = 4
MAX_ATTEMPTS = 20_000
"""A share of .001 that is held out is missed so often once in 10^9 rides."""
ENOUGH_WALKS = 1 << 17
FEWEST_RIDES = 20
"""Where fewer of so many walks are rides of a split, it is given up: a ride would be missed in 20,000 attempts as a
matter of course."""
SUSPICIOUS = 200
"""After so many attempts without a ride it is found out whether there can be one."""


class Walker:
    """Draws rides."""

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        degree = (graph.successor >= 0).sum(1)
        if (degree == 0).any():
            stuck = counted(int((degree == 0).sum()), f"place of {graph.name} has", f"places of {graph.name} have")
            raise InputError(f"{stuck} no way out; take its strongly connected part")
        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        # One gather a step: `choices` is a common multiple of all degrees, so that a uniform integer below it, looked
        # up, is a uniform turn.
        self.choices = lcm(*np.unique(degree).tolist())
        order = np.argsort(graph.successor < 0, axis=1, kind="stable")
        slot = (np.arange(self.choices)[None, :] * degree[:, None]) // self.choices
        direction = np.take_along_axis(order, slot, axis=1)
        packed = (
            np.take_along_axis(graph.successor, direction, axis=1).astype(np.int64) * self.choices << DIRECTION_BITS
            | direction
        )
        self._table = packed.ravel()  # place * choices, shifted left, with the direction below

    def _walk(self, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From draws [n, 2 + L]: origin [n], moves [n], packed steps [L, n]. Steps after the stop are walked too, and
        ignored."""
        n, longest = len(uniform), self.max_moves
        origin = (uniform[:, 0] * self.graph.n_places).astype(np.int64)
        moves = self.min_moves + (uniform[:, 1] * (longest - self.min_moves + 1)).astype(np.int64)
        turn = np.ascontiguousarray(
            (uniform[:, 2:] * self.choices).astype(np.int16 if self.choices < 32000 else np.int32).T
        )
        steps = np.empty((longest, n), np.int64)
        at = origin * self.choices
        for t in range(longest):
            np.add(at, turn[t], out=at)
            self._table.take(at, out=steps[t], mode="clip")
            np.right_shift(steps[t], DIRECTION_BITS, out=at)
        return origin, moves, steps

    def _accept(
        self, split: str, origin: np.ndarray, moves: np.ndarray, steps: np.ndarray, destination: np.ndarray
    ) -> np.ndarray:
        first = self.held_out.holds(origin, destination)
        if self.held_out.kind == "pairs":
            return first if split == "test" else ~first
        later = self.held_out.holds((steps >> DIRECTION_BITS) // self.choices, destination[None, :])
        clear = ~(later & (np.arange(self.max_moves)[:, None] < moves[None, :])).any(0)
        return clear & (first if split == "test" else ~first)

    def rides(
        self, seed: int, split: str, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1: origin int64 [n], destination [n], moves [n], directions uint8 [n, L]
        (meaningless after the last move).

        Raises InputError, which says why, where the split has no rides, or so few that they are not found in a bounded
        number of walks.
        """
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; there are train and test")
        origin, destination, moves = (np.empty(count, np.int64) for _ in range(3))
        directions = np.empty((count, self.max_moves), np.uint8)
        for low in range(0, count, CHUNK):
            rows = np.arange(low, min(low + CHUNK, count))
            attempt = walks = rides = 0
            while len(rows):
                ahead = min(attempt, max(AHEAD // len(rows), 1)) or 1
                o, m, d, steps, good = self._attempts(rows + start, seed, split, attempt, ahead)
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
        if before < SUSPICIOUS <= attempt and not rides and self.graph.n_places <= MOST_PLACES:
            return not drawable(self.graph, self.min_moves, self.max_moves, self.held_out, split).any()
        return attempt > MAX_ATTEMPTS or (walks >= ENOUGH_WALKS and rides < FEWEST_RIDES)

    def _attempts(self, items: np.ndarray, seed: int, split: str, attempt: int, ahead: int) -> tuple[np.ndarray, ...]:
        """For each item the first walk that is a ride of the split, of the attempts attempt .. attempt + ahead - 1.

        origin, moves, destination [n], packed steps [L, n], and good bool [n]: is there one among these attempts?
        Where there is none, the first of the walks.
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

    def check(self) -> None:
        """Raises InputError, which says why, where rides of a split are not found in a bounded number of walks."""
        for split in ("train", "test"):
            walks = rides = 0
            while rides < FEWEST_RIDES:
                if walks >= ENOUGH_WALKS:
                    raise no_rides(self.graph, self.min_moves, self.max_moves, self.held_out, split, walks, rides)
                items, seed = np.arange(walks, walks + CHUNK), streams.integer("check of rides")
                *_, good = self._attempts(items, seed, split, 0, 1)
                walks, rides = walks + CHUNK, rides + int(good.sum())

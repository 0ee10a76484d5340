"""Random-walk rides over a map, by counter-based streams.

A ride starts at a uniform place, makes m moves with m uniform in min_moves .. max_moves, each a uniform legal turn; its destination is where it stops
(Vafa et al. 2024, the random-walk data). Ride i is a pure function of (seed, split, i). A ride that the split may not show is redrawn whole with the next
attempt, which leaves the law given the pair unchanged.

Shape letters: n rides, L longest ride in moves, N places.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.text import counted

CHUNK = 2048
"""Rides walked together: their working set stays in a core's cache."""
DIRECTION_BITS = 4
MAX_ATTEMPTS = 20_000
"""A share of .001 that is held out is missed so often once in 10^9 rides."""


@dataclass(frozen=True)
class HeldOut:
    """What training never shows: a fixed salted hash of (map, from, to), never of a run's seed.

    kind "pairs": rides from `origin` to `destination`. kind "states": rides that anywhere stand on `place` while heading for `destination`.
    A place paired with itself is never held out.
    """

    kind: str
    share: float
    salt: int

    @classmethod
    def of(cls, graph: Graph, kind: str, share: float | None) -> HeldOut:
        if share is None:
            small = graph.n_places < 200
            share = (0.2 if small else 0.01) if kind == "pairs" else (0.05 if small else 0.005)
        return cls(kind, share, streams.integer("held-out", graph.digest))

    def holds(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """bool, of the broadcast shape: is (place, destination) held out?"""
        x = (place.astype(np.uint64) << np.uint64(32)) ^ destination.astype(np.uint64) ^ np.uint64(self.salt)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64's finaliser (Steele et al. 2014)
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
        return ((x >> np.uint64(11)) * 2.0**-53 < self.share) & (place != destination)


class Walker:
    """Draws rides."""

    def __init__(self, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        degree = (graph.successor >= 0).sum(1)
        if (degree == 0).any():
            stuck = counted(int((degree == 0).sum()), f"place of {graph.name} has", f"places of {graph.name} have")
            raise InputError(f"{stuck} no way out; take its strongly connected part")
        self.graph, self.min_moves, self.max_moves, self.held_out = graph, min_moves, max_moves, held_out
        # One gather a step: `choices` is a common multiple of all degrees, so that a uniform integer below it, looked up, is a uniform turn.
        self.choices = lcm(*np.unique(degree).tolist())
        order = np.argsort(graph.successor < 0, axis=1, kind="stable")
        slot = (np.arange(self.choices)[None, :] * degree[:, None]) // self.choices
        direction = np.take_along_axis(order, slot, axis=1)
        packed = np.take_along_axis(graph.successor, direction, axis=1).astype(np.int64) * self.choices << DIRECTION_BITS | direction
        self._table = packed.ravel()  # place * choices, shifted left, with the direction below

    def _walk(self, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From draws [n, 2 + L]: origin [n], moves [n], packed steps [L, n]. Steps after the stop are walked too, and ignored."""
        n, longest = len(uniform), self.max_moves
        origin = (uniform[:, 0] * self.graph.n_places).astype(np.int64)
        moves = self.min_moves + (uniform[:, 1] * (longest - self.min_moves + 1)).astype(np.int64)
        turn = np.ascontiguousarray((uniform[:, 2:] * self.choices).astype(np.int16 if self.choices < 32000 else np.int32).T)
        steps = np.empty((longest, n), np.int64)
        at = origin * self.choices
        for t in range(longest):
            np.add(at, turn[t], out=at)
            self._table.take(at, out=steps[t], mode="clip")
            np.right_shift(steps[t], DIRECTION_BITS, out=at)
        return origin, moves, steps

    def _accept(self, split: str, origin: np.ndarray, moves: np.ndarray, steps: np.ndarray, destination: np.ndarray) -> np.ndarray:
        first = self.held_out.holds(origin, destination)
        if self.held_out.kind == "pairs":
            return first if split == "test" else ~first
        later = self.held_out.holds((steps >> DIRECTION_BITS) // self.choices, destination[None, :])
        clear = ~(later & (np.arange(self.max_moves)[:, None] < moves[None, :])).any(0)
        return clear & (first if split == "test" else ~first)

    def rides(self, seed: int, split: str, start: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1: origin int64 [n], destination [n], moves [n], directions uint8 [n, L] (meaningless after the last move)."""
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; there are train and test")
        origin, destination, moves = (np.empty(count, np.int64) for _ in range(3))
        directions = np.empty((count, self.max_moves), np.uint8)
        width = 2 + self.max_moves
        for low in range(0, count, CHUNK):
            rows = np.arange(low, min(low + CHUNK, count))
            attempt = 0
            while len(rows):
                uniform = streams.uniform_rows(rows + start, width, "rides", seed, split, attempt)
                o, m, steps = self._walk(uniform)
                d = (steps[m - 1, np.arange(len(rows))] >> DIRECTION_BITS) // self.choices
                good = self._accept(split, o, m, steps, d)
                if good.all():
                    kept, columns = rows, steps
                else:
                    kept, columns = rows[good], steps[:, good]
                    o, m, d = o[good], m[good], d[good]
                origin[kept], destination[kept], moves[kept] = o, d, m
                directions[kept] = (columns.astype(np.uint8) & ((1 << DIRECTION_BITS) - 1)).T
                rows = rows[~good]
                attempt += 1
                if attempt > MAX_ATTEMPTS:
                    raise InputError(
                        f"no ride of the {split} split in {attempt} attempts on {self.graph.name}: env.held_out_share {self.held_out.share} leaves none"
                    )
        return origin, destination, moves, directions

"""Rides of several kinds. The kind of a ride is drawn by the shares of the kinds, before the ride itself.

Shape letter: n rides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldbench.core import streams
from worldbench.envs.rides.source import RideSource


class MixedRides:
    """Ride i is ride i of one of the parts, which depends only on (seed, split, i). shares: of the parts; their sum
    is 1."""

    def __init__(self, parts: Sequence[RideSource], shares: Sequence[float]) -> None:
        self.parts, self._upto = tuple(parts), np.cumsum(shares)[:-1]
        first = self.parts[0]
        self.graph, self.min_moves, self.max_moves = first.graph, first.min_moves, first.max_moves

    def part_of(self, seed: int, split: str, items: np.ndarray) -> np.ndarray:
        """The part of each of the rides `items`, int [n], ascending: int [n]."""
        uniform = streams.uniform_rows(items, 1, "kind of ride", seed, split)[:, 0]
        return np.searchsorted(self._upto, uniform, side="right")

    def rides(
        self, seed: int, split: str, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1 of the split, as `of` returns them."""
        return self.of(seed, split, np.arange(start, start + count))

    def of(self, seed: int, split: str, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rides `items`, int [n], ascending, as `RideSource.of` returns them."""
        origin, destination, moves = (np.empty(len(items), np.int64) for _ in range(3))
        directions = np.empty((len(items), self.max_moves), np.uint8)
        which = self.part_of(seed, split, items)
        for number, part in enumerate(self.parts):
            if len(rows := np.flatnonzero(which == number)):
                origin[rows], destination[rows], moves[rows], directions[rows] = part.of(seed, split, items[rows])
        return origin, destination, moves, directions

    def drawable(self, split: str) -> np.ndarray:
        """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?"""
        return np.logical_or.reduce([part.drawable(split) for part in self.parts])

    def check(self) -> None:
        """Raises InputError, with the reason, if a part has too few rides of a split."""
        for part in self.parts:
            part.check()

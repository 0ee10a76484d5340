"""What every kind of rides offers to a world of rides.

Shape letters: n rides, L largest number of moves, N places.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from worldbench.core.graph import Graph


class RideSource(Protocol):
    """Draws the rides of a map. Ride i depends only on (seed, split, i)."""

    graph: Graph
    min_moves: int
    max_moves: int

    def rides(
        self, seed: int, split: str, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1 of the split, as `of` returns them."""
        ...

    def of(self, seed: int, split: str, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rides `items`, int [n], ascending: origin, destination and number of moves, int64 [n] each, and
        directions, uint8 [n, L]. Directions after the last move have no meaning."""
        ...

    def drawable(self, split: str) -> np.ndarray:
        """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?"""
        ...

    def check(self) -> None:
        """Raises InputError, with the reason, if there are too few rides of a split."""
        ...

"""Small random maps for tests: strongly connected, at most one move per direction."""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import Graph

DIRECTIONS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


def small_map(n: int, seed: int, extra: int = 4) -> Graph:
    """A ring through all `n` places (so that it is strongly connected) and `extra` more moves."""
    rng = streams.generator("small map", n, seed)
    successor = np.full((n, 8), -1, np.int32)
    ring = rng.permutation(n)
    for a, b in zip(ring, np.roll(ring, -1)):
        successor[a, rng.integers(8)] = b
    for _ in range(extra):
        a, b = rng.choice(n, 2, replace=False)
        free = np.flatnonzero(successor[a] < 0)
        successor[a, rng.choice(free)] = b
    metres = rng.random((n, 2)) * 1000
    length = np.where(successor >= 0, 100.0, np.nan)
    return Graph(
        name=f"small:{n}:{seed}",
        places=tuple(f"p{i}" for i in range(n)),
        directions=DIRECTIONS,
        metres=metres,
        lonlat=None,
        successor=successor,
        length=length,
        street=np.full((n, 8), "", object),
    )

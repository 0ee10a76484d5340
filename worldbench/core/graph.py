"""A map: places, and at most one move per direction from each.

Shapes: N places, A directions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

UNREACHABLE = np.iinfo(np.int16).max


def largest_component(n: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """bool [n]: the largest strongly connected part; on a tie the one that holds the smallest row."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    matrix = csr_matrix((np.ones(len(source), dtype=np.int8), (source, target)), shape=(n, n))
    _, label = connected_components(matrix, directed=True, connection="strong")
    _, first, inverse, count = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    best = np.lexsort((first, -count))[0]
    return inverse == best


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A directed map with labelled moves.

    name: what people call it. places: N names (OpenStreetMap ids), the words of a sequence. directions: A words.
    metres: float64 [N, 2], east and north of the map's centre. lonlat: float64 [N, 2], or None off the globe.
    successor: int32 [N, A], the place that a move leads to, -1 where there is no such move.
    length: float64 [N, A], metres along the street, nan where there is no move.
    street: object [N, A], street names ("" unnamed).
    report: what reading it kept, dropped and resolved (counts and sentences).
    """

    name: str
    places: tuple[str, ...]
    directions: tuple[str, ...]
    metres: np.ndarray
    lonlat: np.ndarray | None
    successor: np.ndarray
    length: np.ndarray
    street: np.ndarray
    report: dict[str, int | str] = field(default_factory=dict)

    @property
    def n_places(self) -> int:
        return len(self.places)

    @cached_property
    def edges(self) -> np.ndarray:
        """int32 [E, 3]: from, to, direction; ordered by (from, direction)."""
        source, direction = np.nonzero(self.successor >= 0)
        return np.stack([source, self.successor[source, direction], direction], axis=1).astype(np.int32)

    @cached_property
    def digest(self) -> str:
        """sha256 over everything a ride depends on: places, directions, moves, positions to a centimetre."""
        h = hashlib.sha256()
        h.update("\x1f".join((*self.places, "|", *self.directions)).encode())
        h.update(np.ascontiguousarray(self.successor, dtype="<i4").tobytes())
        h.update(np.ascontiguousarray(np.round(self.metres * 100), dtype="<i8").tobytes())
        return h.hexdigest()

    def hops_to(self, destinations: np.ndarray) -> np.ndarray:
        """Fewest moves from every place to each destination: int16 [D, N], UNREACHABLE where there is no way."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import shortest_path

        source, target = self.edges[:, 0], self.edges[:, 1]
        reverse = csr_matrix((np.ones(len(source)), (target, source)), shape=(self.n_places, self.n_places))
        hops = shortest_path(reverse, unweighted=True, indices=np.asarray(destinations))
        return np.where(np.isfinite(hops), hops, UNREACHABLE).astype(np.int16)

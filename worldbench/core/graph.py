"""A map: places (the nodes), and at most one move (edge) per direction from each place.

Shape letters: N places, A directions, E edges, D destinations.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

UNREACHABLE = np.iinfo(np.int16).max


def largest_component(n: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The largest strongly connected component, bool [n]. On a tie, the component with the smallest row."""
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

    name: the name of the map.
    places: N names (OpenStreetMap ids), the words of a sequence. directions: A words.
    metres: float64 [N, 2], meters east and north of the center of the map.
    lonlat: float64 [N, 2], degrees. None for a map without geographic positions.
    successor: int32 [N, A], the place that a move leads to, -1 where there is no such move.
    length: float64 [N, A], meters along the street, NaN where there is no move.
    street: object [N, A], street names, "" where a street has no name.
    report: what was kept, dropped and resolved when the map was read (counts and sentences).
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
        """int32 [E, 3]: from, to, direction. Ordered by (from, direction)."""
        source, direction = np.nonzero(self.successor >= 0)
        return np.stack([source, self.successor[source, direction], direction], axis=1).astype(np.int32)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that documents depend on: places, directions, moves, and positions to a centimeter."""
        h = hashlib.sha256()
        h.update("\x1f".join((*self.places, "|", *self.directions)).encode())
        h.update(np.ascontiguousarray(self.successor, dtype="<i4").tobytes())
        h.update(np.ascontiguousarray(np.round(self.metres * 100), dtype="<i8").tobytes())
        return h.hexdigest()

    def hops_to(self, destinations: np.ndarray) -> np.ndarray:
        """The fewest moves from every place to each destination: int16 [D, N], UNREACHABLE where no path exists."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import shortest_path

        source, target = self.edges[:, 0], self.edges[:, 1]
        reverse = csr_matrix((np.ones(len(source)), (target, source)), shape=(self.n_places, self.n_places))
        hops = shortest_path(reverse, unweighted=True, indices=np.asarray(destinations))
        return np.where(np.isfinite(hops), hops, UNREACHABLE).astype(np.int16)

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
        from scipy.sparse.csgraph import breadth_first_order

        n, source, target = self.n_places, self.edges[:, 0], self.edges[:, 1]
        reverse = csr_matrix((np.ones(len(source)), (target, source)), shape=(n, n))
        out = np.full((len(destinations), n), UNREACHABLE, np.int16)
        rank = np.empty(n, np.int64)
        for hops, destination in zip(out, np.asarray(destinations)):
            found, before = breadth_first_order(reverse, int(destination))
            rank[found] = np.arange(len(found))
            # The places are in the order of their hops. The places that place r was the first to reach end at ends[r].
            ends = np.cumsum(np.bincount(rank[before[found[1:]]], minlength=len(found))) + 1
            levels = [0, 1]
            while levels[-1] < len(found):
                levels.append(int(ends[levels[-1] - 1]))
            hops[found] = np.repeat(np.arange(len(levels) - 1), np.diff(levels))
        return out

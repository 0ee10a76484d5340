"""The fewest moves between places of a map, computed for a destination at its first use, in bounded memory.

Shape letters: N places, S destinations that are kept.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.graph import Graph

KEPT_BYTES = 1 << 28
"""Most bytes of the distances that are kept, unless one destination alone has more."""
AT_ONCE = 256
"""Destinations computed together, to limit memory."""


class Distances:
    """table: int16 [S, N], the moves from every place to a destination. slot: int [N], the row of a destination in the
    table, or -1. If the table is full, all destinations are dropped."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.most = graph, max(1, min(graph.n_places, KEPT_BYTES // (2 * graph.n_places)))
        self.table, self.slot = np.empty((0, graph.n_places), np.int16), np.full(graph.n_places, -1)
        self.used = 0

    def hops(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """Smallest number of moves from place to destination, int arrays: int16, of the broadcast shape."""
        if (self.slot[destination] >= 0).all():
            return self.table[self.slot[destination], place]
        distinct = np.unique(destination)
        if len(distinct) <= self.most:
            self._compute(distinct)
            return self.table[self.slot[destination], place]
        place, destination = np.broadcast_arrays(place, destination)
        out = np.empty(place.shape, np.int16)
        for low in range(0, len(distinct), self.most):
            some = distinct[low : low + self.most]
            self._compute(some)
            rows = (destination >= some[0]) & (destination <= some[-1])
            out[rows] = self.table[self.slot[destination[rows]], place[rows]]
        return out

    def _compute(self, destinations: np.ndarray) -> None:
        """Puts distinct destinations, at most `most`, into the table."""
        missing = destinations[self.slot[destinations] < 0]
        if self.used + len(missing) > self.most:
            self.slot[:], self.used, missing = -1, 0, destinations
        need = self.used + len(missing)
        if need > len(self.table):
            larger = np.empty((min(self.most, max(need, 2 * len(self.table))), self.graph.n_places), np.int16)
            larger[: self.used] = self.table[: self.used]
            self.table = larger
        for low in range(0, len(missing), AT_ONCE):
            some = missing[low : low + AT_ONCE]
            self.table[self.used : self.used + len(some)] = self.graph.hops_to(some)
            self.slot[some] = np.arange(self.used, self.used + len(some))
            self.used += len(some)

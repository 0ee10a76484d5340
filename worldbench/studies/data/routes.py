"""Which streets and which pairs of places the routes of documents cover, on a world with a map.

Shape letters: N documents, T tokens, P places, A directions, E streets (moves of the map).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able
from worldbench.core.documents import Documents
from worldbench.core.graph import UNREACHABLE, Graph
from worldbench.records.data import Coverage

NEVER = np.iinfo(np.int64).max
"""The first document of a street that no document uses."""
DESTINATIONS = 512
"""Destinations whose distances are computed. On a larger map, they are drawn at random."""
POINTS = 80
"""Points of a curve of coverage."""


@dataclass
class Routes:
    """Sums over documents. moves, users: how often each street is used, and by how many documents, int [E]. first: the
    first document that uses the street, int [E], NEVER without one. pairs: origin * P + destination of each document.
    lengths: the moves of each document. off: documents that leave the map; their pair counts, and their moves before
    that.
    """

    world: Able
    graph: Graph
    moves: np.ndarray
    users: np.ndarray
    first: np.ndarray
    pairs: list[np.ndarray] = field(default_factory=list)
    lengths: list[np.ndarray] = field(default_factory=list)
    off: int = 0

    @classmethod
    def of(cls, world: Able) -> Routes:
        """The routes of no documents."""
        graph = world.graph()
        e = len(graph.edges)
        return cls(world, graph, np.zeros(e, np.int64), np.zeros(e, np.int64), np.full(e, NEVER))

    def add(self, start: int, documents: Documents) -> None:
        """Follow more documents. start: the index of the first one."""
        graph, width = self.graph, documents.tokens.shape[1]
        origin, destination = self.world.route_ends(documents.tokens[:, : self.world.prompt_length])
        street = np.full(graph.successor.shape, -1, np.int64)
        source, direction = graph.edges[:, 0], graph.edges[:, 2]
        street[source, direction] = np.arange(len(graph.edges))
        column = self.world.vocabulary.action_of_token
        at, on_map = origin.copy(), np.ones(len(documents), bool)
        used = np.full((len(documents), width), len(graph.edges), np.int64)
        for t in range(int(documents.prompt_length.min(initial=0)), width):
            way = column[documents.tokens[:, t]]
            going = (t >= documents.prompt_length) & (t < documents.length) & on_map
            going &= (way >= 0) & (way < len(graph.directions))
            rows = np.flatnonzero(going)
            taken = street[at[rows], way[rows]]
            on_map[rows[taken < 0]] = False
            rows, taken = rows[taken >= 0], taken[taken >= 0]
            used[rows, t] = taken
            at[rows] = graph.edges[taken, 1]
        self.off += int((~on_map).sum())
        self.pairs.append(origin * graph.n_places + destination)
        self.lengths.append((used < len(graph.edges)).sum(axis=1))
        self._count(start, used)

    def _count(self, start: int, used: np.ndarray) -> None:
        """used: the streets of each document, int [N, T]; E where there is no move."""
        e = len(self.graph.edges)
        self.moves += np.bincount(used.ravel(), minlength=e + 1)[:e]
        used.sort(axis=1)
        once = used < e
        once[:, 1:] &= used[:, 1:] != used[:, :-1]
        row, place = np.nonzero(once)
        streets = used[row, place]
        self.users += np.bincount(streets, minlength=e)
        new = self.first[streets] == NEVER
        self.first[streets[new][::-1]] = start + row[new][::-1]  # of equal indices the last one stays: the first row

    def coverage(self, distances: Distances) -> Coverage:
        """The numbers of a record."""
        n = self.graph.n_places
        _, shortest = distances.of_routes
        return Coverage(
            places=n,
            streets=len(self.graph.edges),
            pairs=n * n,
            streets_seen=int((self.users > 0).sum()),
            pairs_seen=len(np.unique(np.concatenate(self.pairs))),
            moves=int(self.moves.sum()),
            per_street=(int(self.users.min()), float(np.median(self.users)), int(self.users.max())),
            shortest=float(shortest.mean()) if len(shortest) else None,
            off=self.off,
        )

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of documents, from 1 to all, and how many streets and how many pairs so many documents cover."""
        pairs = np.concatenate(self.pairs)
        number = np.unique(np.round(np.geomspace(1, len(pairs), POINTS)).astype(np.int64))
        _, first = np.unique(pairs, return_index=True)
        streets, covered = (np.searchsorted(np.sort(x), number) for x in (self.first, first))
        return number, streets, covered


@dataclass(frozen=True)
class Distances:
    """Moves of shortest routes. hops: int [K], of all pairs of a place and one of the destinations, without pairs of a
    place and itself. of_routes: of the documents to these destinations: their moves, the moves of a shortest route
    between their ends.
    """

    hops: np.ndarray
    of_routes: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, routes: Routes, seed: int) -> Distances:
        """The distances on the map, and of the documents. seed: of the destinations on a large map."""
        graph, n = routes.graph, routes.graph.n_places
        chosen = np.arange(n)
        if n > DESTINATIONS:
            chosen = np.sort(streams.generator("data", seed, "destinations").choice(n, DESTINATIONS, replace=False))
        hops = graph.hops_to(chosen)
        row = np.full(n, -1)
        row[chosen] = np.arange(len(chosen))
        origin, destination = np.divmod(np.concatenate(routes.pairs), n)
        moves = np.concatenate(routes.lengths)
        keep = (row[destination] >= 0) & (origin != destination)
        shortest = hops[row[destination[keep]], origin[keep]]
        reached = shortest < UNREACHABLE
        apart = (np.arange(n) != chosen[:, None]) & (hops < UNREACHABLE)
        return cls(hops[apart], (moves[keep][reached], shortest[reached]))

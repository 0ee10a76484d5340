"""The map that explains a set of routes: the true streets that the routes use, and the streets that must be added.

Source: Vafa et al., "Evaluating the World Model Implicit in a Generative Model", NeurIPS 2024 (arXiv 2406.03689), map
reconstruction.

At the start no edge of the true map is used. A route is an origin, a destination and a list of directions. A route is
explained by a path that spells its directions and ends at the destination. The path goes along used edges, and along
unused true edges from nodes that have room: nodes with fewer used edges than their cap, and none in that direction. So
at most one used edge leaves a node in each direction. The breadth-first search of the source then has one branch: to
follow a route is to walk along it.

A *valid sub-path* spells the first k directions. It is complete, or it stops at a node that has room for a new edge in
direction k + 1; where the walk ends at a node without room, it goes back to the last node with room. A new edge leads
from there to the node, within `distance`, from which the longest valid sub-path spells the remaining directions. Of
several such nodes the nearest is taken, then the one with the smallest index. A new edge must be followed by at least
one move. A new edge for the very last move leads straight to the destination, if the destination is within `distance`.
Where no new edge helps, the route fails.

*Moves alone* (`forced_end=False`, not in the source): the path need not end at the destination. With the forced end, a
route of legal moves that ends at a wrong place needs a new edge for its last move, or fails. That edge is an error
about the destination, and no street that a turn implies. Without the forced end:
- Routes whose moves are all legal are explained first, by true edges alone. So no order of the routes, and no new edge,
  makes a legal route fail or need a new edge. The other routes follow in their order.
- The destination only decides between new edges that explain equally many moves: a path that ends there is preferred. A
  new edge for the very last move leads to the destination, if that is within `distance`, else to the nearest node.
- A route that never ends is explained by its moves.

Choices that the source leaves open, or where we differ:
- A failed route leaves no edges (`roll_back`). The released code keeps its edges; `roll_back=False` does so too.
- The cap of a node is `degree`, or its true out-degree where that is larger. So the true map never blocks a valid
  route.
- A new edge never leads back to its own node. The route that it is made for may use it again.
- Only directions are labels. A route with any other token fails at once, with or without `roll_back`; with the forced
  end, so does a route that never ends. The released code takes any token as a label; then every word that a model might
  say would be a possible street at every node.

The result is a drawing, not an estimate: the algorithm is given the true map and the ends of the routes, and the result
depends on the order of the routes.

Shape letters: N places, A directions, E true edges, R red (new) edges, n routes.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from worldbench.core.graph import Graph
from worldbench.metrics.drawing import Drawing
from worldbench.metrics.route_controls import ends_of, places_along
from worldbench.metrics.routes import Moves

HALF_MILE = 804.672
"""Metres."""
DRAWN, DRAWN_WITH_RED, FAILED = 0, 1, 2
"""What became of a route: explained by true edges alone; with the help of added ones; not at all."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A map drawn from routes.

    edges: int32 [E, 3], the edges of the true map: from, to, direction. uses: int64 [E], how often routes pass along
    each edge. black: bool [E], the used edges. red: int32 [R, 3], the added edges, ordered by (from, direction).
    red_uses: int64 [R], how often routes pass along each. status: int8 [n], what became of each route, in the order
    given. sole_black, sole_red: int64 [n], how many black and red edges only this one route uses.
    """

    edges: np.ndarray
    uses: np.ndarray
    black: np.ndarray
    red: np.ndarray
    red_uses: np.ndarray
    status: np.ndarray
    sole_black: np.ndarray
    sole_red: np.ndarray

    @property
    def n_black(self) -> int:
        return int(self.black.sum())

    @property
    def n_red(self) -> int:
        return len(self.red)

    @property
    def n_failed(self) -> int:
        return int((self.status == FAILED).sum())

    @property
    def precision(self) -> float:
        """Share of true edges among the drawn ones; nan where nothing is drawn."""
        drawn = self.n_black + self.n_red
        return self.n_black / drawn if drawn else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true edges that are drawn."""
        return self.n_black / len(self.edges) if len(self.edges) else float("nan")


def reconstruct(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, *, degree: int = 4,
    distance: float = HALF_MILE, roll_back: bool = True, forced_end: bool = True, order: np.ndarray | None = None,
) -> Reconstruction:  # fmt: skip
    """Explain routes one after another (see the module).

    origin, destination: int [n], places. degree: most used edges that may leave a node. distance: longest new edge, in
    meters. forced_end: must a path end at the destination? order: int [n], a permutation; None: as given.
    """
    drawing = Drawing(graph, degree, distance, forced_end)
    n = len(moves)
    slots, lengths = array("q"), np.zeros(n, np.int64)
    sequence = np.arange(n) if order is None else np.asarray(order)
    ok = np.zeros(n, bool)
    if not forced_end:
        moves = moves.alone()
        place = places_along(graph, origin, moves)
        ok = ends_of(graph, origin, moves, place) >= 0
        cells = np.flatnonzero(ok[moves.row])
        along = place[cells].astype(np.int64) * drawing.a + moves.words[cells]
        for slot in np.unique(along).tolist():
            drawing.use(slot, drawing.true[slot])
        slots.frombytes(along.tobytes())
        lengths[ok] = moves.lengths[ok]
        sequence = np.concatenate([np.flatnonzero(ok), sequence[~ok[sequence]]])
    rest = ~ok
    rest[moves.row[moves.words < 0]] = False
    start = moves.start.tolist()
    for i in sequence[rest[sequence]].tolist():
        words = moves.words[start[i] : start[i + 1]].tolist()
        path, ok[i] = drawing.explain(int(origin[i]), int(destination[i]), words, roll_back)
        slots.extend(path)
        lengths[i] = len(path)
    return _result(drawing, np.frombuffer(slots, np.int64), np.repeat(sequence, lengths[sequence]), ok)


def _result(drawing: Drawing, slots: np.ndarray, route: np.ndarray, ok: np.ndarray) -> Reconstruction:
    """slots: the paths of the routes, one after the other; route: of each slot; ok: bool [n], the routes that are
    explained."""
    size, n = drawing.n * drawing.a, len(ok)
    uses = np.bincount(slots, minlength=size)
    used = np.array(drawing.used[:size])
    target, true = np.array(drawing.target[:size]), np.array(drawing.true[:size])
    is_red = used & (target != true)
    red = np.flatnonzero(is_red)
    edges = drawing.graph.edges
    edge_slot = edges[:, 0].astype(np.int64) * drawing.a + edges[:, 2]
    black = (used & ~is_red)[edge_slot]
    status = np.where(ok, DRAWN, FAILED).astype(np.int8)
    helped = np.unique(route[is_red[slots]])
    status[helped[ok[helped]]] = DRAWN_WITH_RED
    once = np.unique(route * size + slots)  # each route and edge once
    by, edge = once // max(size, 1), once % max(size, 1)
    sole = np.bincount(edge, minlength=size)[edge] == 1
    return Reconstruction(
        edges=edges,
        uses=np.where(black, uses[edge_slot], 0),
        black=black,
        red=np.stack([red // drawing.a, target[red], red % drawing.a], axis=1).astype(np.int32),
        red_uses=uses[red],
        status=status,
        sole_black=np.bincount(by[sole & ~is_red[edge]], minlength=n),
        sole_red=np.bincount(by[sole & is_red[edge]], minlength=n),
    )

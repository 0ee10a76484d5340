"""The map that explains a set of routes: which true streets they use, and which streets must be invented for them.

Source: Vafa et al., "Evaluating the World Model Implicit in a Generative Model", NeurIPS 2024 (arXiv 2406.03689), map
reconstruction.

Start from the true map with every edge unused. A route (origin, destination, directions) is explained by a path that
spells its directions and ends at the destination, along used edges, or unused true ones where the node has room: fewer
used edges than its cap, and none in that direction. So at most one used edge leaves a node in each direction, and the
breadth-first search has one branch: following a route is a walk. A *valid sub-path* spells the first k directions and
either is complete or stops where there is room for a new edge in direction k + 1 (it backs up to the last such node).
From there a new edge leads to the node, within `distance`, with the longest valid sub-path for the remaining
directions; ties go to the nearest node, then to the smallest index; a new edge that no valid sub-path of at least one
move follows helps nothing. A new edge for the very last move leads straight to the destination, if that is within
`distance`. If nothing helps, the route fails.

Choices that the source leaves open, or makes otherwise:
- A failed route leaves no trace (`roll_back`). The released code keeps its edges; `roll_back=False` does so too.
- A node's cap is `degree`, or its true out-degree where that is more: the true map never blocks a valid route.
- A new edge never leads to its own node. It may be used again by the very route that it is made for.
- Only directions are labels: a route with any other token fails at once, with or without `roll_back`. The released code
takes any token as a label; that is
  not offered, since every word that a model might say would then be a possible street at every node.

The result is a drawing, not an estimate: it is given the true map and the ends of the routes, and depends on their
order.

Shape letters: N places, A directions, E true edges, R red (new) edges, n routes.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from worldbench.core.graph import Graph
from worldbench.metrics.drawing import Drawing
from worldbench.metrics.routes import Moves

HALF_MILE = 804.672
"""Metres."""
DRAWN, DRAWN_WITH_RED, FAILED = 0, 1, 2
"""What became of a route: explained by true edges alone; with the help of invented ones; not at all."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """edges: int32 [E, 3], the true map's (from, to, direction). uses: int64 [E], how often routes pass along each.
    black: bool [E], the used ones.
    red: int32 [R, 3], the invented edges, ordered by (from, direction). red_uses: int64 [R]. status: int8 [n], in the
    order in which the routes were given.
    """

    edges: np.ndarray
    uses: np.ndarray
    black: np.ndarray
    red: np.ndarray
    red_uses: np.ndarray
    status: np.ndarray

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
    graph: Graph,
    origin: np.ndarray,
    destination: np.ndarray,
    moves: Moves,
    *,
    degree: int = 4,
    distance: float = HALF_MILE,
    roll_back: bool = True,
    order: np.ndarray | None = None,
) -> Reconstruction:
    """Explain routes one after another (see the module).

    origin, destination: int [n], places. degree: most used edges that may leave a node. distance: longest new edge, in
    metres. order: int [n], a permutation; None: as given.
    """
    proper = np.ones(len(moves), bool)
    proper[moves.row[moves.words < 0]] = False
    drawing = Drawing(graph, degree, distance)
    ok = np.zeros(len(moves), bool)
    slots = array("q")
    ends = np.zeros(len(moves), np.int64)
    start = moves.start.tolist()
    sequence = np.arange(len(moves)) if order is None else np.asarray(order)
    for i in sequence.tolist():
        if proper[i]:
            words = moves.words[start[i] : start[i + 1]].tolist()
            path, ok[i] = drawing.explain(int(origin[i]), int(destination[i]), words, roll_back)
            slots.extend(path)
            ends[i] = len(path)
    return _result(drawing, np.frombuffer(slots, np.int64), ends[sequence], sequence, ok)


def _result(
    drawing: Drawing, slots: np.ndarray, lengths: np.ndarray, sequence: np.ndarray, ok: np.ndarray
) -> Reconstruction:
    """slots: the explained routes' paths, end to end, in the order `sequence`; lengths: of each path; ok: bool [n],
    by route."""
    size = drawing.n * drawing.a
    uses = np.bincount(slots, minlength=size)
    used = np.array(drawing.used[:size])
    target, true = np.array(drawing.target[:size]), np.array(drawing.true[:size])
    red = np.flatnonzero(used & (target != true))
    is_red = np.zeros(size, bool)
    is_red[red] = True
    edges = drawing.graph.edges
    edge_slot = edges[:, 0].astype(np.int64) * drawing.a + edges[:, 2]
    black = (used & ~is_red)[edge_slot]
    status = np.where(ok, DRAWN, FAILED).astype(np.int8)
    route = np.repeat(sequence, lengths)
    helped = np.unique(route[is_red[slots]])
    status[helped[ok[helped]]] = DRAWN_WITH_RED
    return Reconstruction(
        edges=edges,
        uses=np.where(black, uses[edge_slot], 0),
        black=black,
        red=np.stack([red // drawing.a, target[red], red % drawing.a], axis=1).astype(np.int32),
        red_uses=uses[red],
        status=status,
    )

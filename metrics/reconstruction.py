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
from worldbench.metrics.routes import Moves

HALF_MILE = 804.672
"""Metres."""
MOST_CACHED = 1 << 25
"""Neighbours of nodes that are kept at once, where many nodes are near to many."""
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
    drawing = _Drawing(graph, degree, distance)
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
    return drawing.result(np.frombuffer(slots, np.int64), ends[sequence], sequence, ok)


class _Drawing:
    """The map as used so far. A *slot* is a node and a direction: node * A + direction, as an index into flat tables;
    node N, the last row, is nowhere.

    `target[slot]`: the node where a move leads now, along the used edge or, where there is room, the unused true one; N
    if nowhere. `room[slot]`: may a new edge be made there? Both kept twice: as lists for walking one route, as arrays
    for trying many candidates at once.
    """

    def __init__(self, graph: Graph, degree: int, distance: float) -> None:
        self.graph, self.distance = graph, distance
        self.n, self.a = graph.successor.shape
        true = np.full((self.n + 1, self.a), self.n, np.int64)
        true[:-1] = np.where(graph.successor >= 0, graph.successor, self.n)
        self.true: list[int] = true.ravel().tolist()
        self.target = list(self.true)
        self.targets = true.ravel().copy()
        self.rooms = np.ones(len(self.targets), bool)
        self.rooms[self.n * self.a :] = False
        self.used = [False] * len(self.targets)
        self.left: list[int] = np.maximum(
            (graph.successor >= 0).sum(1), degree
        ).tolist()  # used edges that each node still has room for
        self.near: dict[int, np.ndarray] = {}
        self.cached = 0
        from scipy.spatial import KDTree

        self.tree = KDTree(graph.metres)

    def use(self, slot: int, target: int) -> None:
        """Put a used edge into a slot that has room."""
        node = slot // self.a
        self.used[slot] = True
        self.target[slot] = target
        self.targets[slot] = target
        self.rooms[slot] = False
        self.left[node] -= 1
        if self.left[node] == 0:
            for other in range(node * self.a, (node + 1) * self.a):
                if not self.used[other]:
                    self.target[other] = self.n
                    self.targets[other] = self.n
                    self.rooms[other] = False

    def undo(self, slot: int) -> None:
        """Take the edge out again."""
        node = slot // self.a
        self.used[slot] = False
        self.left[node] += 1
        for other in range(node * self.a, (node + 1) * self.a) if self.left[node] == 1 else (slot,):
            if not self.used[other]:
                self.target[other] = self.true[other]
                self.targets[other] = self.true[other]
                self.rooms[other] = True

    def follow(
        self, at: int, destination: int, moves: list[int], done: int, path: list[int], new: list[tuple[int, int]]
    ) -> int:
        """Extend `path`, which spells the first `done` moves and stands at `at`, by its longest valid sub-path. Returns
        how many moves it spells then.

        Edges used for the first time join `new` as (slot, moves before it). -1: no node of the extension has room, not
        even the one at which it begins; `path` is as it was.
        """
        a, target, used, start, mark = self.a, self.target, self.used, done, len(new)
        last = len(moves) - 1
        slot = -1
        while done <= last:
            slot = at * a + moves[done]
            to = target[slot]
            if to == self.n or (done == last and to != destination):
                break
            if not used[slot]:
                self.use(slot, to)
                new.append((slot, done))
            path.append(slot)
            at = to
            done += 1
        else:
            return done
        if (
            used[slot] or self.left[at] == 0
        ):  # no room here: back up to the last place that had some, where an unused true edge was taken
            if len(new) == mark:
                del path[len(path) - (done - start) :]
                return -1
            slot, before = new.pop()
            self.undo(slot)
            del path[len(path) - (done - before) :]
            done = before
        return done

    def explain(self, origin: int, destination: int, moves: list[int], roll_back: bool) -> tuple[list[int], bool]:
        """Mark what one route uses. Returns the slots along its path, and whether it was explained; a failed one is
        rolled back or left as far as it came."""
        path: list[int] = []
        new: list[tuple[int, int]] = []
        done = self.follow(origin, destination, moves, 0, path, new) if moves else (0 if origin == destination else -1)
        while 0 <= done < len(moves):
            at = self.target[path[-1]] if path else origin
            done = self.invent(at, destination, moves, done, path, new)
        if done < 0 and roll_back:
            for slot, _ in reversed(new):
                self.undo(slot)
            path = []
        return path, done >= 0

    def invent(
        self, at: int, destination: int, moves: list[int], done: int, path: list[int], new: list[tuple[int, int]]
    ) -> int:
        """Add a new edge from `at` for move `done`, and the valid sub-path after it. Returns how many moves `path`
        spells then; -1: nothing helps."""
        slot = at * self.a + moves[done]
        near = self.neighbours(at)
        if done == len(moves) - 1:
            if not (near == destination).any():
                return -1
            self.use(slot, destination)
            new.append((slot, done))
            path.append(slot)
            return done + 1
        if not len(near):
            return -1
        self.use(slot, self.n)
        new.append((slot, done))
        path.append(slot)
        # A candidate's own first uses can only take room away, so the bound is never too low: the first candidate that
        # keeps its bound is the best.
        bound = self.bounds(near, slot, destination, moves, done + 1)
        while True:
            best = int(bound.argmax())
            if bound[best] < 1:
                break
            self.target[slot] = int(near[best])
            self.targets[slot] = near[best]
            mark, length = len(new), len(path)
            reached = self.follow(int(near[best]), destination, moves, done + 1, path, new)
            if reached - (done + 1) == bound[best]:
                return reached
            bound[best] = max(reached - (done + 1), 0)
            while len(new) > mark:
                self.undo(new.pop()[0])
            del path[length:]
        new.pop()
        path.pop()
        self.undo(slot)
        return -1

    def bounds(self, near: np.ndarray, new_slot: int, destination: int, moves: list[int], done: int) -> np.ndarray:
        """How many of the directions from move `done` on a valid sub-path from each candidate could spell, int
        [candidates]: exact but for room that it takes from itself.

        The new edge leads from its slot to the candidate in question.
        """
        a, nowhere = self.a, self.n
        best = np.zeros(len(near), np.int64)
        at = near
        last = len(moves) - done - 1
        for k in range(last + 1):
            turn = moves[done + k]
            slots = at * a + turn
            at = self.targets[slots]
            if turn == new_slot % a:
                again = slots == new_slot
                if again.any():
                    at[again] = near[again]
            best[self.rooms[slots]] = k
            if k == last:
                best[at == destination] = k + 1
            elif (at == nowhere).all():
                break
        return best

    def neighbours(self, node: int) -> np.ndarray:
        """The other nodes within `distance` metres, nearest first, then by index."""
        if node not in self.near:
            metres = self.graph.metres
            if self.cached > MOST_CACHED:
                self.near.clear()
                self.cached = 0
            close = np.array(
                sorted(self.tree.query_ball_point(metres[node], self.distance * (1 + 1e-9) + 1e-9)), np.int64
            )
            close = close[close != node]
            gap = np.hypot(*(metres[close] - metres[node]).T)
            close, gap = close[gap <= self.distance], gap[gap <= self.distance]
            self.near[node] = close[np.argsort(gap, kind="stable")].astype(np.int32)
            self.cached += len(close)
        return self.near[node]

    def result(self, slots: np.ndarray, lengths: np.ndarray, sequence: np.ndarray, ok: np.ndarray) -> Reconstruction:
        """slots: the explained routes' paths, end to end, in the order `sequence`; lengths: of each path; ok: bool [n],
        by route."""
        size = self.n * self.a
        uses = np.bincount(slots, minlength=size)
        used = np.array(self.used[:size])
        target, true = np.array(self.target[:size]), np.array(self.true[:size])
        red = np.flatnonzero(used & (target != true))
        is_red = np.zeros(size, bool)
        is_red[red] = True
        edges = self.graph.edges
        edge_slot = edges[:, 0].astype(np.int64) * self.a + edges[:, 2]
        black = (used & ~is_red)[edge_slot]
        status = np.where(ok, DRAWN, FAILED).astype(np.int8)
        route = np.repeat(sequence, lengths)
        helped = np.unique(route[is_red[slots]])
        status[helped[ok[helped]]] = DRAWN_WITH_RED
        return Reconstruction(
            edges=edges,
            uses=np.where(black, uses[edge_slot], 0),
            black=black,
            red=np.stack([red // self.a, target[red], red % self.a], axis=1).astype(np.int32),
            red_uses=uses[red],
            status=status,
        )

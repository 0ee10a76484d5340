"""The map as far as it is drawn, while routes are explained one after the other (`reconstruction.py` says how).

Shape letters: N places, A directions.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.graph import Graph

MOST_CACHED = 1 << 25
"""Neighbors of nodes that are kept at once, where many nodes are near to many."""


class Drawing:
    """The map as used so far.

    A *slot* is a node and a direction, node * A + direction, the index into flat tables. Node N, the last row, stands
    for "nowhere".
    target, targets [slot]: the node that a move leads to now: along the used edge, else along the unused true edge
    where the node has room, else N. The list serves the walk along one route, the array many candidates at once.
    rooms [slot]: may a new edge be made there?
    forced_end: must a path end at the destination of its route?
    """

    def __init__(self, graph: Graph, degree: int, distance: float, forced_end: bool = True) -> None:
        self.graph, self.distance, self.forced_end = graph, distance, forced_end
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
        """Extend `path` by its longest valid sub-path. Returns how many moves the path spells then.

        `path` spells the first `done` moves and ends at `at`. Edges used for the first time join `new` as (slot, moves
        before the edge). Returns -1, and leaves `path` as it was, where no node of the extension has room, not even the
        node `at`.
        """
        a, target, used, start, mark = self.a, self.target, self.used, done, len(new)
        last = len(moves) - 1
        bound_for = last if self.forced_end else -1  # the move that must lead to the destination
        slot = -1
        while done <= last:
            slot = at * a + moves[done]
            to = target[slot]
            if to == self.n or (done == bound_for and to != destination):
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
        """Mark the edges that one route uses. Returns the slots along its path, and whether the route is explained. A
        failed route is rolled back, or its path is kept as far as it goes."""
        path: list[int] = []
        new: list[tuple[int, int]] = []
        if moves:
            done = self.follow(origin, destination, moves, 0, path, new)
        else:
            done = 0 if origin == destination or not self.forced_end else -1
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
        near = self.neighbors(at)
        if done == len(moves) - 1:
            if (near == destination).any():
                to = destination
            elif self.forced_end or not len(near):
                return -1
            else:
                to = int(near[0])
            self.use(slot, to)
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
            worth = max(reached - (done + 1), 0)
            if not self.forced_end and reached == len(moves):
                worth += self.target[path[-1]] == destination
            if worth == bound[best]:
                return reached
            bound[best] = worth
            while len(new) > mark:
                self.undo(new.pop()[0])
            del path[length:]
        new.pop()
        path.pop()
        self.undo(slot)
        return -1

    def bounds(self, near: np.ndarray, new_slot: int, destination: int, moves: list[int], done: int) -> np.ndarray:
        """Upper bounds, int [candidates]: how many directions from move `done` on a valid sub-path from each candidate
        spells, where the new edge leads from its slot to that candidate. One more if the end is not forced and the
        whole path ends at the destination all the same.

        Exact unless the sub-path takes room from itself.
        """
        a, nowhere = self.a, self.n
        best = np.zeros(len(near), np.int64)
        at = near
        last = len(moves) - done - 1
        for k in range(last + 1):
            move = moves[done + k]
            slots = at * a + move
            at = self.targets[slots]
            if move == new_slot % a:
                again = slots == new_slot
                if again.any():
                    at[again] = near[again]
            best[self.rooms[slots]] = k
            if k == last:
                if not self.forced_end:
                    best[at != nowhere] = k + 1
                best[at == destination] = k + (1 if self.forced_end else 2)
            elif (at == nowhere).all():
                break
        return best

    def neighbors(self, node: int) -> np.ndarray:
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

"""All shortest paths to one destination form a tree. This file computes facts about each place of such a tree.

Shape letters: B trees, N places, A directions, K weightings, R states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldbench.envs.rides.path_rides import PathRides

AT_ONCE = 1 << 21
"""Most entries of the arrays that are computed together, unless one tree alone has more."""
MOST_ENTRIES = 1 << 25
"""Only the first weightings whose trees have at most so many places together are asked, and at least one."""
FAR = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Trees:
    """What is known of each place of B trees, [B, N].

    ahead: int16, the number of moves to the destination, FAR if no path leads there. behind: int16, the largest number
    of moves with which a ride can have come to the place. through: int64, how many paths lead through the place, the
    path that begins there included. clear: bool, no place after this one is a held-out state.
    """

    ahead: np.ndarray
    behind: np.ndarray
    through: np.ndarray
    clear: np.ndarray


def trees(rides: PathRides, weighting: np.ndarray, destination: np.ndarray) -> Trees:
    """The trees of destinations int [B], by weightings int [B]."""
    b, n = len(destination), rides.graph.n_places
    direction = rides.table[weighting, destination]  # [B, N]
    successor = np.concatenate([rides.graph.successor, np.arange(n, dtype=np.int32)[:, None]], axis=1)
    root = np.arange(b)[:, None] * n
    after = (root + successor[np.arange(n)[None, :], direction]).reshape(-1)
    held = np.zeros((b, n), bool)
    if rides.held_out.kind == "states":
        held = rides.held_out.holds(np.arange(n)[None, :], destination[:, None])
    held = held.reshape(-1)

    # Each round doubles the moves that are counted.
    ahead, jump = (direction != rides.none).astype(np.int64).reshape(-1), after
    blocked = held[after] & (ahead > 0)
    while True:
        further = jump[jump]
        if np.array_equal(further, jump):
            break
        blocked = blocked | blocked[jump]
        ahead, jump = ahead + ahead[jump], further
    reaches = jump == (root + destination[:, None]).repeat(n, axis=1).reshape(-1)

    through, behind = np.ones(b * n, np.int64), np.zeros(b * n, np.int64)
    order = np.argsort(-ahead, kind="stable")
    order = order[(ahead[order] > 0) & reaches[order]]
    for level in np.split(order, np.flatnonzero(np.diff(ahead[order])) + 1):
        if len(level):
            np.add.at(through, after[level], through[level])
            # A ride may begin at a held-out state, but it never passes through one.
            np.maximum.at(behind, after[level], np.where(held[level], 1, behind[level] + 1))
    return Trees(
        np.where(reaches, np.minimum(ahead, FAR), FAR).astype(np.int16).reshape(b, n),
        np.where(held, 0, np.minimum(behind, FAR)).astype(np.int16).reshape(b, n),
        through.reshape(b, n),
        ~blocked.reshape(b, n),
    )


class PathTrees:
    """The trees of all destinations, for the first weightings."""

    def __init__(self, rides: PathRides) -> None:
        self.rides = rides
        n = rides.graph.n_places
        self.weightings = max(1, min(len(rides.table), MOST_ENTRIES // (n * n)))

    def _blocks(self) -> Iterator[tuple[int, int, Trees]]:
        """Weighting and first destination of each block of trees."""
        n = self.rides.graph.n_places
        step = max(1, AT_ONCE // n)
        for k in range(self.weightings):
            for low in range(0, n, step):
                goal = np.arange(low, min(low + step, n))
                yield k, low, trees(self.rides, np.full(len(goal), k), goal)

    @cached_property
    def _rides_at(self) -> tuple[np.ndarray, np.ndarray]:
        """Moves ahead and most moves behind, int16 [K, N, N] each, by weighting, place and destination. FAR moves are
        ahead where no ride goes on."""
        n = self.rides.graph.n_places
        ahead, behind = (np.empty((self.weightings, n, n), np.int16) for _ in range(2))
        for k, low, some in self._blocks():
            columns = slice(low, low + len(some.ahead))
            ahead[k, :, columns] = np.where(some.clear, some.ahead, FAR).T
            behind[k, :, columns] = some.behind.T
        return ahead, behind

    def goals(self, place: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """The destinations of rides, of either split, that are at the place after so many moves: bool [R, N]."""
        ahead, behind = self._rides_at
        low, high = self.rides.min_moves, self.rides.max_moves
        out = np.zeros((len(place), ahead.shape[2]), bool)
        for k in range(self.weightings):
            whole = ahead[k, place].astype(np.int64) + moves[:, None]
            out |= (whole >= low) & (whole <= high) & (behind[k, place] >= moves[:, None])
        return out

    @cached_property
    def blind(self) -> np.ndarray:
        """For each place, how many paths between two places take each direction there, or end there: float64
        [N, A + 1]."""
        n, actions = self.rides.graph.n_places, self.rides.none + 1
        out = np.zeros(n * actions)
        place = np.arange(n)[None, :]
        for k, low, some in self._blocks():
            goal = np.arange(low, low + len(some.ahead))
            direction = self.rides.table[k, goal]
            count = np.where(some.ahead == FAR, 0, some.through)
            count[np.arange(len(goal)), goal] -= 1
            out += np.bincount((place * actions + direction).reshape(-1), count.reshape(-1), n * actions)
        return out.reshape(n, actions)

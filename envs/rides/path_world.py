"""Worlds of rides on shortest paths, whose law is exact: the state holds the weightings that explain the ride so far.

Shape letters: N rows, K weightings, A actions (the directions of the map, then `end`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

import numpy as np

from worldbench.core.world import OPEN
from worldbench.envs.rides.config import RideConfig
from worldbench.envs.rides.goals import one_of
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.path_rides import PathRides
from worldbench.envs.rides.path_trees import PathTrees
from worldbench.envs.rides.states import RideStates
from worldbench.envs.rides.weightings import MOST
from worldbench.envs.rides.world import RideWorld

ROWS = 1 << 18
"""Paths that are followed together, to limit memory."""


@dataclass
class PathStates(RideStates):
    """The fields of RideStates, and weightings: bool [N, K], which weightings explain the ride so far (see
    `PathLaw`)."""

    weightings: np.ndarray


class PathLaw:
    """The exact law of the rides of `PathRides`.

    Given its pair, the weighting of a ride is uniform over those whose path is a ride. After some moves, it is uniform
    over those of them whose path begins with these moves. So the law is the share of these weightings whose path goes
    on in each direction.

    Where no ride goes (after a detour; or between a pair whose paths are too short or too long), the law is the law of
    a ride that begins at the place, on a path of any length. With this rule, the law finds a way to the destination
    from every place. After further moves, the weightings are those whose path from that place begins with these further
    moves.
    """

    def __init__(self, rides: PathRides) -> None:
        self.rides = rides
        self.count = len(rides.table)

    def start(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """The weightings whose path is a ride, for pairs int64 [N]: bool [N, K]. All, if none is."""
        out = np.empty((len(place), self.count), bool)
        for low in range(0, len(place), step := max(1, ROWS // self.count)):
            part = slice(low, low + step)
            pairs = len(out[part])
            which = np.tile(np.arange(self.count), pairs)
            paths = self.rides.paths(
                which, np.repeat(place[part], self.count), np.repeat(destination[part], self.count)
            )
            out[part] = self.rides.good(paths).reshape(pairs, self.count)
        return _all_if_none(out)

    def _next(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """The next move of each weighting, uint8 [N, K]."""
        return self.rides.table[np.arange(self.count)[None, :], destination[:, None], place[:, None]]

    def number(self, which: np.ndarray) -> np.ndarray:
        """bool [N, K] as int64 [N, 1]."""
        bits = np.zeros((len(which), MOST), bool)
        bits[:, : self.count] = which
        return np.packbits(bits, axis=1).view(np.int64)

    def narrowed(
        self, which: np.ndarray, place: np.ndarray, destination: np.ndarray, direction: np.ndarray
    ) -> np.ndarray:
        """The weightings of `which` bool [N, K] that take `direction` int [N] at `place`; all, if none does."""
        return _all_if_none(which & (self._next(place, destination) == direction[:, None]))

    def weights(self, which: np.ndarray, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """How many of the weightings bool [N, K] take each action: float64 [N, A]."""
        n, actions = len(place), self.rides.none + 1
        following = self._next(place, destination)
        # The code for the end is also that of a place from which no path leads to the destination.
        inside = which & ((following != self.rides.none) | (place == destination)[:, None])
        cell = np.arange(n)[:, None] * actions + following
        return np.bincount(cell[inside], minlength=n * actions).astype(float).reshape(n, actions)


def _all_if_none(which: np.ndarray) -> np.ndarray:
    """bool [N, K], with all true in a row without any."""
    return which | ~which.any(axis=1, keepdims=True)


_BUDGET = "the budget of detours counts moves, and the shortest path in meters may take more moves than are left"
_CERTAIN = "almost everywhere one move is certain, so this damage changes little, or adds moves that the map allows"
EXCEPTIONS: dict[str, str] = {
    **{
        f"detours.arrives_{kind}p{p} oracle": _BUDGET
        for kind in ("", "adversarial_", "second_")
        for p in ("0.1", "0.5", "0.75", "0.01")
    },
    "detours.arrives_adversarial_p0.1 blind": _BUDGET,
    "detours.arrives_second_p0.5 noise": _BUDGET,
    "sequence_distinction.recall_same_place_map blind": _CERTAIN,
    "sequence_compression.compression noise": _CERTAIN,
    "sequence_compression.jensen_shannon added": _CERTAIN,
    "sequence_compression.compression added": _CERTAIN,
    "sequence_distinction.recall_law noise": _CERTAIN,
    "split_merge.split_strict noise": _CERTAIN,
}
"""Statements of metrics that do not hold for rides on shortest paths."""


C = TypeVar("C", bound=RideConfig)


class PathWorld(RideWorld[C], Generic[C]):
    """Rides on shortest paths. A subclass makes their source (`path_rides`)."""

    kind_exceptions: ClassVar[dict[str, str]] = EXCEPTIONS

    def _source(self, held_out: HeldOut) -> PathRides:
        raise NotImplementedError

    @cached_property
    def _paths(self) -> PathLaw:
        assert isinstance(self.walker, PathRides)
        return PathLaw(self.walker)

    @cached_property
    def _trees(self) -> PathTrees:
        assert isinstance(self.walker, PathRides)
        return PathTrees(self.walker)

    def _begun(self, states: RideStates) -> PathStates:
        """The states before the first move, with the weightings whose path is a ride."""
        which = np.ones((len(states), self._paths.count), bool)
        going = np.flatnonzero(states.status == OPEN)
        which[going] = self._paths.start(states.place[going], states.destination[going])
        return PathStates(states.place, states.destination, states.moves, states.status, which)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> PathStates:
        return self._begun(super().start(tokens, lengths))

    def draw_states(self, uniform: np.ndarray) -> PathStates:
        return self._begun(super().draw_states(uniform))

    def step(self, states: RideStates, tokens: np.ndarray) -> PathStates:
        assert isinstance(states, PathStates)
        after, which = super().step(states, tokens), states.weightings.copy()
        moved = np.flatnonzero(after.moves > states.moves)
        which[moved] = self._paths.narrowed(
            which[moved], states.place[moved], states.destination[moved], self._column[tokens[moved]]
        )
        return PathStates(after.place, after.destination, after.moves, after.status, which)

    def key(self, states: RideStates) -> tuple[np.ndarray, np.ndarray]:
        """(place, destination, outcome) for the rule. The law depends on the weightings too."""
        assert isinstance(states, PathStates)
        structural, _ = super().key(states)
        return structural, np.concatenate([structural, self._paths.number(states.weightings)], axis=1)

    def law(self, states: RideStates) -> np.ndarray:
        assert isinstance(states, PathStates)
        return self._shares(states, self._paths.weights(states.weightings, states.place, states.destination))

    def other_goals(self, states: RideStates, uniform: np.ndarray) -> np.ndarray:
        """Uniform over the other destinations of rides, of either split, that are at the place after as many moves. The
        ride can have any origin, also where `env.trips` names the pairs. On large maps, only the rides of some
        weightings count (`path_trees.py`)."""
        out = np.full(len(states), -1, np.int64)
        going = np.flatnonzero((states.status == OPEN) & (states.moves <= self.config.max_moves))
        n = self._graph.n_places
        for low in range(0, len(going), step := max(1, ROWS * 16 // n)):
            rows = going[low : low + step]
            possible = self._trees.goals(states.place[rows], states.moves[rows])
            out[rows] = one_of(possible, states.destination[rows], uniform[rows])
        return out

    def with_goals(self, states: RideStates, goals: np.ndarray) -> PathStates:
        """As for every ride. After the first move, all weightings may explain the ride to the new destination."""
        after = self._begun(super().with_goals(states, goals))
        after.weightings[after.moves > 0] = True
        return after

    def blind_law(self, states: RideStates) -> np.ndarray:
        """The average over all paths between two places that pass the place, after any number of moves, as if nothing
        were held out. On large maps, over the paths of some weightings (`path_trees.py`)."""
        return self._shares(states, self._trees.blind[states.place].copy())

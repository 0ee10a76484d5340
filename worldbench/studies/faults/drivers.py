"""Wrong models that no option of the model `corrupted` describes. Each is the exact model with one fault.

Shape letters: N rows, A answers, L moves.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from worldbench.baselines import prefixes
from worldbench.baselines.corrupted import Corrupted, CorruptedStates
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.damaged_laws import mixed, uniform_over
from worldbench.core import streams
from worldbench.core.hashing import extended
from worldbench.core.states import replay
from worldbench.core.world import States, World
from worldbench.metrics.component_pairs import inside

CONFUSED = 0.2
"""Share of the places that the model `confused-places` takes for another place."""
REMEMBERED = 200
"""Number of training documents that the model `memorizer` has seen."""
SUDDEN = 0.1
"""Probability of `end` at each position, in the model `ends-anywhere`."""


class Driver(Corrupted):
    """The exact model, with the fault of a subclass: `own_law` is the law that it takes for that of its own state."""

    damage: ClassVar[CorruptedConfig] = CorruptedConfig(rewired=0)

    def __init__(self, world: World) -> None:
        super().__init__(world, self.damage)
        self.end = (
            list(world.vocabulary.answers).index(world.vocabulary.end) if world.vocabulary.end is not None else -1
        )


class WrongGoal(Driver):
    """Aims at another goal, which a hash of the true goal chooses. So prompts with the same goal are mistaken in the
    same way."""

    damage = CorruptedConfig(rewired=0, wrong_goal=1.0)

    def misled(self, own: States, prefix: np.ndarray) -> States:
        goals = np.asarray(self.own.goals(own))
        others = self.own.other_goals(own, _chance(goals, "goals"))
        return self.own.with_goals(own, np.where(others >= 0, others, goals))


class WrongOrigin(Driver):
    """Takes another place for the origin of a ride, which a hash of the prompt chooses."""

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> CorruptedStates:
        first, n = self.own.first_place, self.own.graph().n_places
        origin = tokens[:, 0].astype(np.int64) - first
        chance = _chance(origin * n + tokens[:, 1], "origins")
        other = (origin + 1 + (chance * (n - 1)).astype(np.int64)) % n
        tokens = tokens.copy()
        tokens[:, 0] = np.where((origin >= 0) & (origin < n), other + first, tokens[:, 0])
        return super().start(tokens, lengths)


class ConfusedPlaces(Driver):
    """Takes a share of the places for another place, always the same one. Streets lead where they should."""

    def own_law(self, own: States) -> np.ndarray:
        n = self.own.graph().n_places
        place = np.asarray(own.place)  # type: ignore[attr-defined]
        other = (place + 1 + (_chance(place, "other places") * (n - 1)).astype(np.int64)) % n
        taken_for = np.where(_chance(place, "confused") < CONFUSED, other, place)
        return self.own.law(dataclasses.replace(own, place=taken_for))


class ComponentBlind(Driver):
    """Never learns the component of a mixture: follows the state inside each component exactly, and takes the
    components to be as probable as before the first token."""

    def own_law(self, own: States) -> np.ndarray:
        belief, first = self.own.beliefs(own), self.own.beliefs(self.own.start(*self.own.prompts(0, 1)))
        prior = self.own.components(first)[:, self.own.component_of_entry()]
        unlearned = inside(self.own, belief) * prior
        return self.own.law(dataclasses.replace(own, belief=unlearned))


class Timeless(Driver):
    """Does not know how many moves were made: the mean of the laws over all numbers of moves after which the goal can
    still be reached."""

    def own_law(self, own: States) -> np.ndarray:
        most, distance = self.own.config.max_moves, self.own.distance(own)
        total = np.zeros((len(own), len(self.own.vocabulary.answers)))
        for t in range(most + 1):
            possible = np.maximum(distance, 0) <= most - t
            total += possible[:, None] * self.own.law(dataclasses.replace(own, moves=np.full(len(own), t)))
        return total / total.sum(axis=1, keepdims=True)


class Mirrored(Driver):
    """Takes the first move of the vocabulary for the opposite one, and the other way around."""

    def own_law(self, own: States) -> np.ndarray:
        law = self.own.law(own)
        opposite = (law.shape[1] - (self.end >= 0)) // 2
        law[:, [0, opposite]] = law[:, [opposite, 0]]
        return law


class NeverEnds(Driver):
    """Gives `end` no probability."""

    def own_law(self, own: States) -> np.ndarray:
        law = self.own.law(own)
        law[:, self.end] = 0
        stuck = ~law.any(axis=1)
        if stuck.any():
            moves = self.own.legal(own.take(stuck))
            moves[:, self.end] = False
            law[stuck] = uniform_over(moves)
        return law / law.sum(axis=1, keepdims=True)


class EndsAtOnce(Driver):
    """Ends as soon as the law allows it."""

    def own_law(self, own: States) -> np.ndarray:
        law = self.own.law(own)
        law[law[:, self.end] > 0] = np.eye(law.shape[1])[self.end]
        return law


class EndsAnywhere(Driver):
    """Ends with probability `SUDDEN` at every position, wherever it is."""

    def own_law(self, own: States) -> np.ndarray:
        law = self.own.law(own)
        return mixed(law, np.eye(law.shape[1])[[self.end]], SUDDEN)


class Planner(Driver):
    """Takes shortest routes alone: uniform over the moves that lead nearer to the goal, and `end` at the goal."""

    def own_law(self, own: States) -> np.ndarray:
        legal, distance = self.own.legal(own), self.own.distance(own)
        nearer = np.zeros_like(legal)
        for column, token in enumerate(self.own.vocabulary.actions):
            rows = np.flatnonzero(legal[:, column])
            after = self.own.step(own.take(rows), np.full(len(rows), token))
            nearer[rows, column] = self.own.distance(after) < distance[rows]
        nearer[:, self.end] = legal[:, self.end]
        nearer[legal[:, self.end], : self.end] = False
        return uniform_over(np.where(nearer.any(axis=1, keepdims=True), nearer, legal))


class Memorizer(Driver):
    """Exact in the states (a place and a goal) of `REMEMBERED` training documents; elsewhere uniform over the legal
    tokens."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        seen = [self.own.key(here)[0] for _, _, here in replay(self.own, world.sample(0, "train", 0, REMEMBERED))]
        self._seen = np.unique(np.concatenate(seen), axis=0)

    def own_law(self, own: States) -> np.ndarray:
        return np.where(self.remembers(own)[:, None], self.own.law(own), uniform_over(self.own.legal(own)))

    def remembers(self, own: States) -> np.ndarray:
        """Which of the states occurred in the training documents, bool [N]."""
        keys = self.own.key(own)[0]
        both, index = np.unique(np.concatenate([self._seen, keys]), axis=0, return_inverse=True)
        known = np.zeros(len(both), bool)
        known[index.ravel()[: len(self._seen)]] = True
        return known[index.ravel()[len(self._seen) :]]


def _chance(numbers: np.ndarray, name: str) -> np.ndarray:
    """A random number in (0, 1) for each of the numbers int [N], a function of the number and the name."""
    key = np.full(len(numbers), np.uint64(streams.integer("faults", name)))
    return prefixes.uniforms(extended(key, np.asarray(numbers)), 1)[:, 0]

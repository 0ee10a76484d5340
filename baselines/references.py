"""Reference models, made from the world itself: what a perfect model scores, and what knowing the rules alone, or
nothing, scores."""

from __future__ import annotations

import numpy as np

from worldbench.baselines.from_states import Exact, FromStates
from worldbench.core.abilities import HasLaw
from worldbench.core.model import Decoder, SequenceModel, refuse_condition
from worldbench.core.world import Automaton, States, World


class Oracle(Exact):
    """The exact next-token law of the data: the ceiling of every metric of behaviour, and 0 of excess loss."""

    name = "oracle"
    needs = (Automaton, HasLaw)

    def answer_law(self, states: States) -> np.ndarray:
        return self.world.law(states)


class RandomLegal(FromStates):
    """Uniform over what the world's rule allows: knows the map, and nothing of where it is asked to go."""

    name = "random-legal"
    serves_labels = False

    def answer_law(self, states: States) -> np.ndarray:
        legal = self.world.legal(states)
        legal = np.where(legal.any(axis=1, keepdims=True), legal, True)
        return legal / legal.sum(axis=1, keepdims=True)


class Uniform(SequenceModel):
    """Uniform over the whole vocabulary: knows nothing."""

    name = "uniform"

    def __init__(self, world: World) -> None:
        self.size = len(world.vocabulary)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.zeros((*tokens.shape, self.size), np.float32)

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        refuse_condition(self.name, condition)
        return FlatDecoder(len(prompts), self.size)


class FlatDecoder(Decoder):
    """The same law always."""

    def __init__(self, rows: int, size: int) -> None:
        self.logits = np.zeros((rows, size), np.float32)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        return np.zeros((*tokens.shape, self.logits.shape[1]), np.float32)

    def select(self, rows: np.ndarray) -> None:
        self.logits = self.logits[rows]

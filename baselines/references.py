"""Reference models, which are computed from the world: a perfect model, a model that knows the rules alone, and a model
that knows nothing."""

from __future__ import annotations

import numpy as np

from worldbench.baselines.from_states import Exact, FromStates
from worldbench.core.abilities import HasLaw
from worldbench.core.model import Decoder, SequenceModel, refuse_condition
from worldbench.core.world import Automaton, States, World


class Oracle(Exact):
    """The exact next-token law of the data: the ceiling of every metric of behavior, with an excess loss of 0."""

    name = "oracle"
    needs = (Automaton, HasLaw)

    def answer_law(self, states: States) -> np.ndarray:
        return self.world.law(states)


class RandomLegal(FromStates):
    """Uniform over the legal tokens: it knows the map, but not the destination."""

    name = "random-legal"
    serves_labels = False

    def answer_law(self, states: States) -> np.ndarray:
        legal = self.world.legal(states)
        legal = np.where(legal.any(axis=1, keepdims=True), legal, True)
        return legal / legal.sum(axis=1, keepdims=True)


class Uniform(SequenceModel):
    """Uniform over the whole vocabulary."""

    name = "uniform"

    def __init__(self, world: World) -> None:
        self.size = len(world.vocabulary)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.zeros((*tokens.shape, self.size), np.float32)

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        refuse_condition(self.name, condition)
        return FlatDecoder(len(prompts), self.size)


class FlatDecoder(Decoder):
    """Decodes with the same distribution at every step."""

    def __init__(self, rows: int, size: int) -> None:
        self.logits = np.zeros((rows, size), np.float32)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        return np.zeros((*tokens.shape, self.logits.shape[1]), np.float32)

    def select(self, rows: np.ndarray) -> None:
        self.logits = self.logits[rows]

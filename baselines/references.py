"""Reference models, made from the world itself: what a perfect model scores, and what knowing the rules alone scores."""

from __future__ import annotations

import abc

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.model import Decoder, SequenceModel
from worldbench.core.world import States, World


class FromStates(SequenceModel):
    """A model that knows the world's exact state and gives a law over its actions."""

    def __init__(self, world: World) -> None:
        if (reason := self.impossible(world)) is not None:
            raise InputError(reason)
        self.world = world

    @abc.abstractmethod
    def action_law(self, states: States) -> np.ndarray:
        """float64 [N, A]; rows sum to 1."""

    def state_logits(self, states: States) -> np.ndarray:
        """float32 [N, V]: log of the law, -inf for tokens that are no actions or have probability 0."""
        out = np.full((len(states), len(self.world.vocabulary)), -np.inf, np.float32)
        with np.errstate(divide="ignore"):
            out[:, list(self.world.vocabulary.actions)] = np.log(self.action_law(states))
        return out

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Within the prompt, uniform over the vocabulary; prompts are taken to have the world's prompt length."""
        n, width = tokens.shape
        first = self.world.prompt_length
        out = np.zeros((n, width, len(self.world.vocabulary)), np.float32)
        if width < first:
            return out
        states = self.world.start(tokens[:, :first], np.full(n, first))
        out[:, first - 1] = self.state_logits(states)
        for t in range(first, width):
            states = self.world.step(states, tokens[:, t])
            out[:, t] = self.state_logits(states)
        return out

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray) -> StateDecoder:
        return StateDecoder(self, self.world.start(prompts, lengths))


class StateDecoder(Decoder):
    """Decodes by stepping exact states."""

    def __init__(self, model: FromStates, states: States) -> None:
        self.model, self.states = model, states
        self.logits = model.state_logits(states)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        out = []
        for column in np.asarray(tokens).T:
            self.states = self.model.world.step(self.states, column)
            out.append(self.model.state_logits(self.states))
        self.logits = out[-1]
        return np.stack(out, axis=1)

    def select(self, rows: np.ndarray) -> None:
        self.states, self.logits = self.states.take(rows), self.logits[rows]


class Oracle(FromStates):
    """The exact next-token law of the data: the ceiling of every metric of behaviour, and 0 of excess loss."""

    name = "oracle"

    @classmethod
    def impossible(cls, world: World) -> str | None:
        return None if type(world).law is not World.law else f"the exact law of the world {world.name!r} is not known"

    def action_law(self, states: States) -> np.ndarray:
        law = self.world.law(states)
        assert law is not None
        return law


class RandomLegal(FromStates):
    """Uniform over what the world's rule allows: knows the map, and nothing of where it is asked to go."""

    name = "random-legal"

    def action_law(self, states: States) -> np.ndarray:
        legal = self.world.legal(states)
        legal = np.where(legal.any(axis=1, keepdims=True), legal, True)
        return legal / legal.sum(axis=1, keepdims=True)

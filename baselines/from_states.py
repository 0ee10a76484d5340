"""Models made from the world's exact state: a law of what is asked for in every state, and hidden states, dynamics and
swaps that are the state itself.

Shape letters: N, B rows, T tokens, P prompt tokens, A answers, V vocabulary, D width.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasBeliefs, HasHistories
from worldbench.core.model import Decoder, Dynamics, SequenceModel, refuse_condition, refuse_impossible
from worldbench.core.states import Replay
from worldbench.core.world import Automaton, Documents, States, World

MOST_CLASSES = 128
"""A target with more classes than this is encoded by random signs, not one-hot."""
CODE_WIDTH = 256
RANGE_DOCUMENTS = 2000


class FromStates(SequenceModel):
    """A model that knows the world's exact state and gives a law of what is asked for."""

    needs = (Automaton,)

    def __init__(self, world: World) -> None:
        refuse_impossible(self, world)
        self.world: Able = world

    @abc.abstractmethod
    def answer_law(self, states: States) -> np.ndarray:
        """The law of what is asked for, over the answers: float64 [N, A]; rows sum to 1."""

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> States:
        """The model's state after each prompt."""
        return self.world.start(tokens, lengths)

    def step(self, states: States, tokens: np.ndarray) -> States:
        """The model's states after one more token each."""
        return self.world.step(states, tokens)

    def state_logits(self, states: States) -> np.ndarray:
        """float32 [N, V]: log of the law, -inf for tokens that are no answers or have probability 0."""
        out = np.full((len(states), len(self.world.vocabulary)), -np.inf, np.float32)
        with np.errstate(divide="ignore"):
            out[:, list(self.world.vocabulary.answers)] = np.log(self.answer_law(states))
        return out

    def walked(self, tokens: np.ndarray) -> Iterator[tuple[np.ndarray, int, States]]:
        """Every position of rows [N, T] from the last token of their prompts on: the rows [M] that have it, the
        position, the states after its token.

        A row without its whole prompt has none.
        """
        first = self.world.prompt_lengths(tokens)
        rows = np.flatnonzero(first <= tokens.shape[1])
        if not len(rows):
            return
        first, tokens = first[rows], tokens[rows]
        for seen, on, here in Replay(
            self, self.start(tokens[:, : max(int(first.max()), 1)], first), tokens, first, ends=True
        ):
            if seen:
                yield rows[on], seen - 1, here

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Within the prompt, uniform over the vocabulary."""
        out = np.zeros((*tokens.shape, len(self.world.vocabulary)), np.float32)
        for rows, t, states in self.walked(np.asarray(tokens)):
            out[rows, t] = self.state_logits(states)
        return out

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> StateDecoder:
        """Prompts may go on beyond the world's own prompts: what follows is walked."""
        refuse_condition(self.name, condition)
        return StateDecoder(self, self._after(prompts, lengths))

    def _after(self, tokens: np.ndarray, lengths: np.ndarray) -> States:
        lengths = np.asarray(lengths)
        first = np.minimum(lengths, self.world.prompt_lengths(np.asarray(tokens)))
        return Replay(self, self.start(tokens[:, : int(first.max(initial=1))], first), tokens, first, lengths).finish()


class StateDecoder(Decoder):
    """Decodes by stepping exact states."""

    def __init__(self, model: FromStates, states: States) -> None:
        self.model, self.states = model, states
        self.logits = model.state_logits(states)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        out = []
        for column in np.asarray(tokens).T:
            self.states = self.model.step(self.states, column)
            out.append(self.model.state_logits(self.states))
        self.logits = out[-1]
        return np.stack(out, axis=1)

    def select(self, rows: np.ndarray) -> None:
        self.states, self.logits = self.states.take(rows), self.logits[rows]


class Exact(FromStates):
    """A model whose hidden state is its exact state: what the metrics of geometry and transition must find in it.

    hidden = [every field of the state, as numbers; each class of `Automaton.targets` one-hot (or, beyond 128 classes,
    in a fixed random code of 256 signs); each coordinate; the belief, if the world has one]. Its dynamics takes a step
    of the state; its head reads the law off it.
    """

    hidden_name = "the exact state, encoded"

    @cached_property
    def _fields(self) -> list[tuple[str, np.dtype, tuple[int, ...]]]:
        states = self.start(*_prompts(self.world))
        return [
            (f.name, getattr(states, f.name).dtype, getattr(states, f.name).shape[1:])
            for f in dataclasses.fields(states)
        ]

    @cached_property
    def _range(self) -> dict[str, tuple[float, float]]:
        """By field of whole numbers, the least and the greatest that occur: in documents, after any one token, among
        the states that can be drawn."""
        world = self.world
        documents = world.sample(0, "train", 0, RANGE_DOCUMENTS)
        found = [states for _, _, states in self.walked(documents.tokens)]
        first = self.start(*_prompts(world))
        found += [self.step(first, np.array([token])) for token in range(len(world.vocabulary))]
        if isinstance(world, HasHistories):
            corners = np.array(list(itertools.product((0.0, 1 - 1e-9), repeat=4)))
            found.append(world.draw_states(corners))
        out = {}
        for name, dtype, _ in self._fields:
            if dtype.kind in "iub":
                values = [np.asarray(getattr(s, name)) for s in found if len(s)]
                out[name] = float(min(v.min() for v in values)), float(max(v.max() for v in values))
        return out

    @cached_property
    def _kind(self) -> type[States]:
        return type(self.start(*_prompts(self.world)))

    @cached_property
    def _codes(self) -> dict[str, np.ndarray]:
        """Class -> code [classes, width], by target."""
        sample = self.world.targets(self.world.start(*_prompts(self.world)))
        sizes = {name: self.world.classes(name) for name, value in sample.items() if value.dtype.kind in "iu"}
        return {
            name: np.eye(size, dtype=np.float32)
            if size <= MOST_CLASSES
            else np.where(streams.generator("state codes", name, size).random((size, CODE_WIDTH)) < 0.5, -1, 1).astype(
                np.float32
            )
            for name, size in sizes.items()
        }

    @cached_property
    def _beliefs(self) -> Callable[[Any], np.ndarray] | None:
        return self.world.beliefs if isinstance(self.world, HasBeliefs) else None

    def encode(self, states: States) -> np.ndarray:
        """float32 [N, D]."""
        parts = [np.asarray(getattr(states, name), np.float32).reshape(len(states), -1) for name, _, _ in self._fields]
        for name, value in self.world.targets(states).items():
            parts.append(self._codes[name][value] if name in self._codes else np.asarray(value, np.float32))
        if self._beliefs is not None:
            parts.append(np.asarray(self._beliefs(states), np.float32))
        return np.concatenate(parts, axis=1)

    def decode(self, hidden: np.ndarray) -> States:
        """The states that were encoded; whole numbers that no state has (a probe's guess) become the nearest that one
        has."""
        values, at = {}, 0
        for name, dtype, shape in self._fields:
            size = int(np.prod(shape, dtype=int))
            part = hidden[:, at : at + size].reshape(len(hidden), *shape)
            values[name] = (np.rint(np.clip(part, *self._range[name])) if name in self._range else part).astype(dtype)
            at += size
        return self._kind(**values)

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        """Before the prompt's last token: zeros."""
        out = np.zeros((*tokens.shape, self.encode(self.start(*_prompts(self.world))).shape[1]), np.float32)
        for rows, t, states in self.walked(np.asarray(tokens)):
            out[rows, t] = self.encode(states)
        return out

    def layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        return {self.hidden_name: self.hidden(tokens)}

    def head(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.state_logits(self.decode(hidden))

    def dynamics(self) -> Dynamics:
        return StateDynamics(self)

    def fit_dynamics(self, documents: Documents, steps: int, seed: int) -> Dynamics:
        """Nothing is left to fit: the transition is known."""
        return StateDynamics(self)

    def swapped(self, documents: Documents, donors: Documents, layer: str) -> Decoder:
        return StateDecoder(self, self._after(donors.tokens, donors.length))


class StateDynamics:
    """The exact transition, on encoded states."""

    def __init__(self, model: Exact) -> None:
        self.model = model

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.model.encode(self.model.step(self.model.decode(hidden), tokens))


def _prompts(world: Automaton) -> tuple[np.ndarray, np.ndarray]:
    one = world.sample(0, "train", 0, 1)
    return one.tokens[:, : int(one.prompt_length[0])], one.prompt_length

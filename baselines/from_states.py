"""Models that are computed from the exact state of the world: they give a law for every state, and their hidden states,
dynamics and swaps are the exact state itself.

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
from worldbench.core.sampling import leading_width
from worldbench.core.states import Replay
from worldbench.core.world import Automaton, Documents, States, World

MOST_CLASSES = 128
"""A target with more classes than this is encoded by random signs, and not one-hot."""
CODE_WIDTH = 256
"""Number of random signs in the code of a class."""
RANGE_DOCUMENTS = 2000
"""Number of documents from which the range of each field of the state is taken."""


class FromStates(SequenceModel):
    """A model that knows the exact state of the world, and gives for each state a distribution of the answers."""

    needs = (Automaton,)

    def __init__(self, world: World) -> None:
        refuse_impossible(self, world)
        self.world: Able = world

    @abc.abstractmethod
    def answer_law(self, states: States) -> np.ndarray:
        """The distribution of what is asked for, over the answers: float64 [N, A]; rows sum to 1."""

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> States:
        """The state of the model after each prompt: tokens int [N, P], of which row i has `lengths[i]`."""
        return self.world.start(tokens, lengths)

    def step(self, states: States, tokens: np.ndarray) -> States:
        """The states after one more token each, int [N]."""
        return self.world.step(states, tokens)

    @cached_property
    def _answers(self) -> np.ndarray:
        return np.array(self.world.vocabulary.answers)

    @cached_property
    def _width(self) -> int:
        """The number W of leading tokens that hold every answer and action. Without an `end`, all tokens: if no action
        is legal, a metric may allow every token."""
        words = self.world.vocabulary
        size = len(words)
        return size if words.end is None else leading_width((*words.answers, *words.actions, words.end), size)

    def leading_logits(self, states: States) -> np.ndarray:
        """The log of the distribution over the first W tokens, float32 [N, W]; -inf for tokens that are no answers or
        have probability 0. All later tokens have probability 0."""
        out = np.full((len(states), self._width), -np.inf, np.float32)
        with np.errstate(divide="ignore"):
            out[:, self._answers] = np.log(self.answer_law(states))
        return out

    def state_logits(self, states: States) -> np.ndarray:
        """As `leading_logits`, for all tokens: float32 [N, V]."""
        return self.all_tokens(self.leading_logits(states))

    def all_tokens(self, leading: np.ndarray) -> np.ndarray:
        """Leading logits [.., W] with -inf for all other tokens: [.., V]."""
        size = len(self.world.vocabulary)
        if leading.shape[-1] == size:
            return leading
        out = np.full((*leading.shape[:-1], size), -np.inf, np.float32)
        out[..., : leading.shape[-1]] = leading
        return out

    def walked(self, tokens: np.ndarray) -> Iterator[tuple[np.ndarray, int, States]]:
        """Follow rows of tokens [N, T], from the last token of each prompt on. Yields for each position the rows int
        [M] that have it, the position, and their states after its token.

        A row that does not hold its whole prompt is left out.
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
        """As `SequenceModel.logits`. Within the prompt the distribution is uniform over the vocabulary."""
        out = np.zeros((*tokens.shape, len(self.world.vocabulary)), np.float32)
        for rows, t, states in self.walked(np.asarray(tokens)):
            out[rows, t, : self._width] = self.leading_logits(states)
            out[rows, t, self._width :] = -np.inf
        return out

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> StateDecoder:
        """As `SequenceModel.decoder`. Prompts may be longer than those of the world; the states follow the extra
        tokens."""
        refuse_condition(self.name, condition)
        return StateDecoder(self, self._after(prompts, lengths))

    def _after(self, tokens: np.ndarray, lengths: np.ndarray) -> States:
        lengths = np.asarray(lengths)
        first = np.minimum(lengths, self.world.prompt_lengths(np.asarray(tokens)))
        return Replay(self, self.start(tokens[:, : int(first.max(initial=1))], first), tokens, first, lengths).finish()


class StateDecoder(Decoder):
    """Decodes by stepping exact states. `logits` of all tokens are made when they are read."""

    def __init__(self, model: FromStates, states: States) -> None:
        self.model, self.states = model, states
        self._leading = model.leading_logits(states)

    @property
    def logits(self) -> np.ndarray:  # type: ignore[override]
        return self.model.all_tokens(self._leading)

    def leading(self) -> np.ndarray:
        return self._leading

    def advance(self, tokens: np.ndarray) -> None:
        self.states = self.model.step(self.states, tokens)
        self._leading = self.model.leading_logits(self.states)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        out = []
        for column in np.asarray(tokens).T:
            self.advance(column)
            out.append(self._leading)
        return self.model.all_tokens(np.stack(out, axis=1))

    def select(self, rows: np.ndarray) -> None:
        self.states, self._leading = self.states.take(rows), self._leading[rows]


class Exact(FromStates):
    """A model whose hidden state encodes its exact state, which the metrics of geometry and transition must find there.

    The hidden state is the concatenation of: every field of the state, as numbers; each class of `Automaton.targets`,
    one-hot (or, with more than 128 classes, a fixed random code of 256 signs); each coordinate among these targets; the
    belief, if the world has one. The dynamics makes an exact step of the state, and the head computes the law of the
    state.
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
        """For each field of whole numbers, the smallest and the largest value that occurs in documents, after any
        single token, or among the states that can be drawn."""
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
        """Target -> the code of each class, float32 [classes, width]."""
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
        """The hidden states of N states, float32 [N, D]."""
        parts = [np.asarray(getattr(states, name), np.float32).reshape(len(states), -1) for name, _, _ in self._fields]
        for name, value in self.world.targets(states).items():
            parts.append(self._codes[name][value] if name in self._codes else np.asarray(value, np.float32))
        if self._beliefs is not None:
            parts.append(np.asarray(self._beliefs(states), np.float32))
        return np.concatenate(parts, axis=1)

    def decode(self, hidden: np.ndarray) -> States:
        """The states behind hidden states [N, D]. Whole numbers outside the range that occurs, as a probe may predict,
        are set to the nearest end of the range."""
        values, at = {}, 0
        for name, dtype, shape in self._fields:
            size = int(np.prod(shape, dtype=int))
            part = hidden[:, at : at + size].reshape(len(hidden), *shape)
            values[name] = (np.rint(np.clip(part, *self._range[name])) if name in self._range else part).astype(dtype)
            at += size
        return self._kind(**values)

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        """Hidden states [N, T, D] of tokens [N, T]; zeros before the last token of the prompt."""
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
        """The exact transition, which needs no fit."""
        return StateDynamics(self)

    def swapped(self, documents: Documents, donors: Documents, layer: str) -> Decoder:
        return StateDecoder(self, self._after(donors.tokens, donors.length))


class StateDynamics:
    """The exact transition, applied to encoded states."""

    def __init__(self, model: Exact) -> None:
        self.model = model

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.model.encode(self.model.step(self.model.decode(hidden), tokens))


def _prompts(world: Automaton) -> tuple[np.ndarray, np.ndarray]:
    one = world.sample(0, "train", 0, 1)
    return one.tokens[:, : int(one.prompt_length[0])], one.prompt_length

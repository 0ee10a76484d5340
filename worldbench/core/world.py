"""What a world is: a source of documents; and what an automaton is: a world with an exact state after every prefix.

What a world can do beyond that (a law, distances, a map ..) are abilities, see `abilities.py`. Everything that follows
from them (validity, detours, the oracle, excess loss) is written once, for all worlds. This file gives all that a world
of one's own imports. Shape letters: N rows, T tokens, P prompt tokens, A actions.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Generic, TypeVar

import numpy as np

from worldbench.core.documents import Documents, Vocabulary
from worldbench.core.errors import InputError
from worldbench.core.states import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, States, after

__all__ = ["ARRIVED", "ILLEGAL", "MISPLACED_END", "OPEN", "Automaton", "Documents", "States", "Vocabulary", "World"]

S = TypeVar("S", bound=States)


class World(abc.ABC):
    """A source of documents. It knows no model and holds no random state: every draw names its seed, split and index.

    Attributes:
        name, version: of the world; a change that alters any sequence raises the version.
        vocabulary: the words.
        context: the longest document in tokens.
        prompt_length: tokens of the longest prompt.
        longest: the longest continuation of a prompt in tokens, `end` included: the decode limit.
        labelled: documents ask for labels of their own (`Documents.labels`), not for the next token.
    """

    name: str
    version: int
    vocabulary: Vocabulary
    context: int
    prompt_length: int
    longest: int
    labelled: bool = False

    @property
    def input_length(self) -> int:
        """Most tokens of a document that a model reads: without labels of their own, nothing is asked for after the
        last token."""
        return self.context - (not self.labelled)

    @classmethod
    def settle(cls, config: Any) -> tuple[Any, str]:
        """The options with everything automatic decided, and a sentence to announce it ("" where nothing was). Called
        before a run gets its identity."""
        return config, ""

    @abc.abstractmethod
    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        """Documents start .. start + count - 1 of the split ("train" or "test"): a pure function of (seed, split,
        index)."""

    @abc.abstractmethod
    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """At most `count` distinct held-out prompts, in an order drawn from `seed`: tokens [N, P], lengths [N]. A
        longer request extends a shorter one."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the data depends on, as JSON: digests of maps, bounds. It enters the identity of every run; paths and
        clocks do not."""

    def summary(self, documents: int) -> str:
        """One line for people, said when a run starts."""
        return self.name

    @abc.abstractmethod
    def card(self, documents: int) -> dict[str, Any]:
        """For people: what it is, counts, digests, the held-out rule, how hard a test it is when training draws that
        many documents."""


class Automaton(World, Generic[S]):
    """A world whose exact state after every prefix is known, and which tokens its rule allows there."""

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        """How many first tokens of each row int [N, T] are its prompt, int [N]; more than T where the row does not hold
        all of it. Default: all alike."""
        return np.full(len(tokens), self.prompt_length)

    @abc.abstractmethod
    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> S:
        """The state after each prompt (tokens [N, P], lengths [N])."""

    @abc.abstractmethod
    def step(self, states: S, tokens: np.ndarray) -> S:
        """The states after one more token each [N]. An illegal token leads to the absorbing state `lost`."""

    @abc.abstractmethod
    def legal(self, states: S) -> np.ndarray:
        """bool [N, A]: the actions that the world's rule allows next. Nothing once ended or lost."""

    @abc.abstractmethod
    def outcome(self, states: S) -> np.ndarray:
        """int8 [N]: OPEN, ARRIVED, ILLEGAL or MISPLACED_END."""

    def key(self, states: S) -> tuple[np.ndarray, np.ndarray]:
        """Which states count as equal, int64 [N, k] each, equal rows for equal states: for the rule (structural), and
        for the law (predictive, finer).

        Default: every field of the states, for both.
        """
        every = np.stack([np.asarray(getattr(states, f.name), np.int64) for f in dataclasses.fields(states)], axis=1)
        return every, every

    def targets(self, states: S) -> dict[str, np.ndarray]:
        """What linear probes of hidden states are trained on: classes int [N], or coordinates float [N, k]."""
        return {}

    def classes(self, target: str) -> int:
        """How many classes the target of that name has."""
        raise InputError(f"the world {self.name!r} has no classes {target!r}")

    def after(self, documents: Documents) -> S:
        """The state after the last token of each document."""
        return after(self, documents)

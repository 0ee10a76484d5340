"""The contract of worlds. A world is a source of documents. An automaton is a world with an exact state after every
prefix.

A world can do more: it can have a law, distances, a map. `abilities.py` lists these abilities. Everything that is
computed from them (validity, detours, the oracle, excess loss) is written once, for all worlds. This file exports the
names that the author of a new world imports. Shape letters: N rows, T tokens, P prompt tokens, A actions.
"""

from __future__ import annotations

import abc
import dataclasses
import re
import types
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from worldbench.core.documents import Documents, Vocabulary
from worldbench.core.errors import InputError
from worldbench.core.states import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, States, after

__all__ = ["ARRIVED", "ILLEGAL", "MISPLACED_END", "OPEN", "Automaton", "Documents", "States", "Vocabulary", "World"]

S = TypeVar("S", bound=States)
_DIGEST = re.compile("[0-9a-f]{16,}")


def _plain_words(identity: Mapping[str, Any]) -> str:
    """The numbers and words of the identity of a world, without its name, version and digests: "size 4, greed 0"."""
    parts = []
    for name, value in identity.items():
        number = isinstance(value, (int, float))
        if name in ("world", "version") or not (number or isinstance(value, str)) or _DIGEST.fullmatch(str(value)):
            continue
        parts.append(f"{name.replace('_', ' ')} {f'{value:g}' if type(value) is float else value}")
    return ", ".join(parts)


class World(abc.ABC):
    """A source of documents. A world knows no model and holds no random state: every draw names its seed, its split and
    its index.

    Attributes:
        name: the registered name.
        version: a change that alters any sequence raises the version.
        vocabulary: the words.
        context: tokens of the longest document.
        prompt_length: tokens of the longest prompt.
        longest: tokens of the longest continuation of a prompt, `end` included. Decoding stops there.
        labelled: a model is asked for the labels of a document (`Documents.labels`), not for the next token.
        exceptions: statements of metrics that do not hold in this world, with the reason. The key is
            "<metric>.<score> <subject>"; the subject is a reference model, a kind of damage, or "references" for the
            statement that the score tells references apart. `worldbench check` does not judge these statements,
            and prints the reason.
    """

    name: str
    version: int
    vocabulary: Vocabulary
    context: int
    prompt_length: int
    longest: int
    labelled: bool = False
    exceptions: Mapping[str, str] = types.MappingProxyType({})

    @property
    def input_length(self) -> int:
        """The most tokens of a document that a model reads. Without labels, a model does not read the last token:
        nothing follows that token."""
        return self.context - (not self.labelled)

    @classmethod
    def settle(cls, config: Any) -> tuple[Any, str]:
        """The options with every automatic value decided, and a sentence that announces them ("" if there is none).
        Called before the identity of a run is computed."""
        return config, ""

    @abc.abstractmethod
    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        """The documents `start` to `start + count - 1` of a split ("train" or "test"). Each document depends only on
        the seed, the split and its index."""

    @abc.abstractmethod
    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """At most `count` distinct held-out prompts, in an order drawn from `seed`: tokens int [N, P] and lengths int
        [N]. A larger `count` gives the same prompts first, then more."""

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the data depends on, as JSON: digests of maps, bounds. Part of the identity of every run. Paths and
        times do not belong here."""

    def most_documents(self) -> int | None:
        """How many different training documents there are, where the world reads them from a file. None: no end."""
        return None

    def summary(self, documents: int) -> str:
        """One line that a person reads when a run starts."""
        return self.name

    @classmethod
    def in_words(cls, identity: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """What tables call a world of this class, without its name: "Greenwich Village, 43 intersections". The identity
        and the card are those of a record, which anyone may have written: any field may be absent, or of any type.
        Default: the numbers and words of the identity."""
        return _plain_words(identity)

    @abc.abstractmethod
    def card(self, documents: int) -> dict[str, Any]:
        """A description for people: what the world is, counts, digests, the rule for what is held out, and how hard the
        test is after training on `documents` documents."""


class Automaton(World, Generic[S]):
    """A world that knows the exact state after every prefix, and the tokens that its rule allows there."""

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        """How many tokens at the start of each row int [N, T] are its prompt: int [N]. The number is larger than T
        where the row ends inside the prompt. Default: `prompt_length` for all rows."""
        return np.full(len(tokens), self.prompt_length)

    @abc.abstractmethod
    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> S:
        """The states after prompts: tokens int [N, P], lengths int [N]."""

    @abc.abstractmethod
    def step(self, states: S, tokens: np.ndarray) -> S:
        """The states after one more token int [N] in each row. An illegal token leads to the absorbing state `lost`."""

    @abc.abstractmethod
    def legal(self, states: S) -> np.ndarray:
        """The actions that the rule of the world allows next, bool [N, A]. No action is legal after the end, or when
        lost."""

    @abc.abstractmethod
    def outcome(self, states: S) -> np.ndarray:
        """The outcome of each row, int8 [N]: OPEN, ARRIVED, ILLEGAL or MISPLACED_END."""

    def key(self, states: S) -> tuple[np.ndarray, np.ndarray]:
        """Two keys of each state, int64 [N, k] each. Equal rows mean equal states. The first key is structural: equal
        states allow the same futures. The second key is predictive and finer: equal states also have the same law.

        Default: every field of the states, for both keys.
        """
        every = np.stack([np.asarray(getattr(states, f.name), np.int64) for f in dataclasses.fields(states)], axis=1)
        return every, every

    def targets(self, states: S) -> dict[str, np.ndarray]:
        """What linear probes of hidden states predict, by name: classes int [N], or coordinates float [N, k]."""
        return {}

    def classes(self, target: str) -> int:
        """How many classes a target of `targets` has."""
        raise InputError(f"the world {self.name!r} has no classes {target!r}")

    def after(self, documents: Documents) -> S:
        """The state after the last token of each document."""
        return after(self, documents)

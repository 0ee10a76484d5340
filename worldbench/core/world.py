"""What a world is: a vectorised automaton with a law, and a way to sample from it.

Everything that follows from that (validity, detours, the oracle, excess loss) is written once, for all worlds.
Shape letters: N rows, T tokens, P prompt tokens, A actions, V vocabulary.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Generic, TypeVar

import numpy as np

from worldbench.core.documents import Documents, Vocabulary
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.states import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, States, after

__all__ = ["ARRIVED", "ILLEGAL", "MISPLACED_END", "OPEN", "Documents", "States", "Vocabulary", "World"]

S = TypeVar("S", bound=States)


class World(abc.ABC, Generic[S]):
    """One world. It knows no model and holds no random state: every draw names its seed, split and index.

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
        """Most tokens of a document that a model reads: without labels of their own, nothing is asked for after the last token."""
        return self.context - (not self.labelled)

    @classmethod
    def settle(cls, config: Any) -> tuple[Any, str]:
        """The options with everything automatic decided, and a sentence to announce it ("" where nothing was). Called before a run gets its identity."""
        return config, ""

    @abc.abstractmethod
    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        """Documents start .. start + count - 1 of the split ("train" or "test"): a pure function of (seed, split, index)."""

    @abc.abstractmethod
    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """At most `count` distinct held-out prompts, in an order drawn from `seed`: tokens [N, P], lengths [N]. A longer request extends a shorter one."""

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        """How many first tokens of each row int [N, T] are its prompt, int [N]; more than T where the row does not hold all of it. Default: all alike."""
        return np.full(len(tokens), self.prompt_length)

    @abc.abstractmethod
    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> S:
        """The state after each prompt (tokens [N, P], lengths [N])."""

    @abc.abstractmethod
    def step(self, states: S, tokens: np.ndarray) -> S:
        """The states after one more token each [N]. An illegal token leads to the absorbing state `lost`."""

    @abc.abstractmethod
    def legal(self, states: S) -> np.ndarray:
        """bool [N, A]: what the world's rule allows. Nothing once ended or lost."""

    @abc.abstractmethod
    def outcome(self, states: S) -> np.ndarray:
        """int8 [N]: OPEN, ARRIVED, ILLEGAL or MISPLACED_END."""

    def law(self, states: S) -> np.ndarray | None:
        """The data's exact next-token law over actions, float64 [N, A]; uniform over the legal ones (else over all) where no document leads. None: unknown."""
        return None

    def expected_entropies(self) -> np.ndarray | None:
        """By position after the prompt, the expected entropy of the exact law there, in nats, over all documents: what no model's loss can fall below.

        None: not known but as a mean over sampled documents.
        """
        return None

    def key(self, states: S) -> tuple[np.ndarray, np.ndarray]:
        """Which states count as equal, int64 [N, k] each, equal rows for equal states: for the rule (structural), and for the law (predictive, finer).

        Default: every field of the states, for both.
        """
        every = np.stack([np.asarray(getattr(states, f.name), np.int64) for f in dataclasses.fields(states)], axis=1)
        return every, every

    def targets(self, states: S) -> dict[str, np.ndarray]:
        """What linear probes of hidden states are trained on: classes int [N], or coordinates float [N, k]; a belief float [N, k] under the name `belief`."""
        return {}

    def classes(self, target: str) -> int:
        """How many classes the target of that name has."""
        raise InputError(f"the world {self.name!r} has no classes {target!r}")

    def draw_states(self, uniform: np.ndarray) -> S:
        """A state a row, uniform over the world's structural states that are still open, from draws [N, 4] in [0, 1). See `histories`."""
        raise InputError(f"the world {self.name!r} has no uniform law over states")

    def histories(self, states: S, moves: np.ndarray, uniform: np.ndarray) -> Documents:
        """A random prefix for each state: a prompt, then `moves` [N] legal tokens that lead to the structural key of the state (a random backward walk).

        uniform: [N, W] in [0, 1), W at least the most moves. A row without such a prefix has length 0. Not every world can: see `has_histories`.
        """
        raise InputError(f"the world {self.name!r} cannot walk backwards")

    @property
    def has_histories(self) -> bool:
        return type(self).histories is not World.histories

    def after(self, documents: Documents) -> S:
        """The state after the last token of each document."""
        return after(self, documents)

    def distance(self, states: S) -> np.ndarray | None:
        """Fewest moves still needed, int [N]; None where the world has no such notion."""
        return None

    def within_budget(self, states: S) -> np.ndarray | None:
        """bool [N, A]: legal moves (no end) after which the goal can still be reached within the budget (the detours' rule); None: no such notion."""
        return None

    def graph(self) -> Graph | None:
        """The true map, for worlds that have one."""
        return None

    def damageable(self) -> int:
        """How many edges damage can be done to: those of the map, or of one prompt's."""
        graph = self.graph()
        return 0 if graph is None else len(graph.edges)

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> World[S]:
        """The same world on a map with so many edges deleted, added and led elsewhere; what is held out stays held out. More damage keeps what less did."""
        raise InputError(f"the world {self.name!r} has no map to damage: deleted, added and rewired must be 0")

    def retold(self, documents: Documents, seed: int) -> Documents:
        """The same documents with each prompt told another way, so that the state after it is the same; lengths stay. A longer request extends a shorter one.
        For worlds whose prompts tell a rule of their own: see `has_tellings`.
        """
        raise InputError(f"the prompts of the world {self.name!r} can be told in one way only")

    @property
    def has_tellings(self) -> bool:
        return type(self).retold is not World.retold

    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """For worlds with tellings: each prompt with one fact of its rule changed and all else told alike, and its length, 0 where that cannot be."""
        raise InputError(f"the prompts of the world {self.name!r} tell no rule of their own")

    def shifted(self) -> dict[str, World[S]]:
        """Worlds of the same words whose prompts come from another law, by name: what training did not show."""
        return {}

    def drawing(self, prompts: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays that a picture of each prompt needs; none where there is no such picture."""
        return {}

    def route_ends(self, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For worlds with a map: the places int [N] where the rides asked for by prompts [N, P] start and should end."""
        raise InputError(f"the world {self.name!r} has no map")

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the data depends on, as JSON: digests of maps, bounds. It enters the identity of every run; paths and clocks do not."""

    def summary(self, documents: int) -> str:
        """One line for people, said when a run starts."""
        return self.name

    @abc.abstractmethod
    def card(self, documents: int) -> dict[str, Any]:
        """For people: what it is, counts, digests, the held-out rule, how hard a test it is when training draws that many documents."""

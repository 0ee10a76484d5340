"""The oracle, damaged on purpose: with edges of its map deleted, added or led elsewhere, and with noise on its logits.
What a metric must notice.

Shape letters: N rows, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldbench.baselines import prefixes
from worldbench.baselines.from_states import FromStates, StateDecoder, StateDynamics
from worldbench.baselines.references import Oracle
from worldbench.core import streams
from worldbench.core.abilities import Able, HasDamage, HasLaw, require
from worldbench.core.errors import InputError
from worldbench.core.model import Decoder, Dynamics
from worldbench.core.world import ILLEGAL, OPEN, Automaton, Documents, States, World


@dataclass(frozen=True, kw_only=True)
class CorruptedConfig:
    """What is done to the oracle. The run's seed chooses the edges and the noise; more damage of a kind keeps what less
    of it did."""

    deleted: int = 0
    """Edges taken off its map."""
    added: int = 0
    """Edges added to it, each between two random places, in a direction that was free."""
    rewired: int = 4
    """Edges that lead to another random place."""
    noise: float = 0.0
    """Standard deviation, in nats, of Gaussian noise on the logits of possible actions: drawn for each prefix, and the
    same whenever that prefix comes."""
    floor: float = 1e-6
    """Probability mixed in evenly over all actions, so that every loss is finite."""

    def __post_init__(self) -> None:
        for name in ("deleted", "added", "rewired", "noise"):
            if not getattr(self, name) >= 0:
                raise InputError(f"model.{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.floor < 1:
            raise InputError(f"model.floor is a probability below 1, not {self.floor}")


@dataclass
class CorruptedStates(States):
    """own: states of the damaged world, where each row last stood before it was lost. lost: bool [N]. prefix: uint64
    [N], hash of the tokens so far."""

    own: States
    lost: np.ndarray
    prefix: np.ndarray


class Corrupted(FromStates):
    """The exact law of a damaged world, with noise. Where a prefix takes a move that its map lacks it is lost: uniform
    over its own legal moves from there."""

    name = "corrupted"
    needs = (Automaton, HasLaw)

    def __init__(self, world: World, config: CorruptedConfig | None = None, seed: int = 0) -> None:
        super().__init__(world)
        self.config = config or CorruptedConfig()
        self.own: Able = world
        c = self.config
        if c.deleted or c.added or c.rewired:
            require((HasDamage,), world)
            self.own = self.own.damaged(c.deleted, c.added, c.rewired, seed)
        self._key = np.uint64(streams.integer("noise", seed))

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> CorruptedStates:
        own = self.own.start(tokens, lengths)
        prefix = np.full(len(tokens), self._key)
        for t in range(tokens.shape[1]):
            prefix = np.where(t < np.asarray(lengths), prefixes.extend(prefix, tokens[:, t]), prefix)
        return CorruptedStates(own, np.asarray(self.own.outcome(own)) == ILLEGAL, prefix)

    def step(self, states: States, tokens: np.ndarray) -> CorruptedStates:
        assert isinstance(states, CorruptedStates)
        own = self.own.step(states.own, tokens)
        lost = states.lost | (
            (np.asarray(self.own.outcome(states.own)) == OPEN) & (np.asarray(self.own.outcome(own)) == ILLEGAL)
        )
        own = own.copy()
        own.put(np.flatnonzero(lost), states.own.take(lost))
        return CorruptedStates(own, lost, prefixes.extend(states.prefix, np.asarray(tokens)))

    def answer_law(self, states: States) -> np.ndarray:
        assert isinstance(states, CorruptedStates)
        law = self.own.law(states.own)
        if states.lost.any():
            legal = np.ones_like(law[states.lost])
            if not self.own.labelled:
                legal = self.own.legal(states.own.take(states.lost)).astype(float)
            legal[~legal.any(axis=1)] = 1
            law[states.lost] = legal / legal.sum(axis=1, keepdims=True)
        if self.config.noise:
            law = law * np.exp(self.config.noise * prefixes.normals(states.prefix, law.shape[1]))
            law /= law.sum(axis=1, keepdims=True)
        return (1 - self.config.floor) * law + self.config.floor / law.shape[1]


class Blurred(Oracle):
    """The oracle with Gaussian noise on its hidden states: what a metric of geometry must notice.

    sd: the noise's standard deviation, in standard deviations of each number of the hidden state (over documents of the
    training stream). made: the noise is not on the states that are read, each prefix its own, but on those that its
    dynamics makes and that a swap puts in. In `check` only: its predictions are the oracle's.
    """

    name = "blurred"

    def __init__(self, world: World, sd: float, seed: int = 0, *, made: bool = False) -> None:
        super().__init__(world)
        self.sd, self.made, self._key = sd, made, np.uint64(streams.integer("blur", seed))

    @cached_property
    def _scale(self) -> np.ndarray:
        documents = self.world.sample(0, "train", 0, 200)
        h = super().hidden(documents.inputs)
        return h[np.arange(h.shape[1])[None, :] < documents.input_length[:, None]].std(axis=0)

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        out = super().hidden(tokens)
        if self.made:
            return out
        prefix = np.full(len(tokens), self._key)
        for t in range(tokens.shape[1]):
            prefix = prefixes.extend(prefix, tokens[:, t])
            out[:, t] += self.sd * self._scale * prefixes.normals(prefix, out.shape[2])
        return out

    def noisy(self, hidden: np.ndarray) -> np.ndarray:
        """Hidden states [N, D] with noise that belongs to their numbers."""
        bits = np.ascontiguousarray(hidden, np.float32).view(np.uint32)
        row = np.full(len(bits), self._key)
        for column in bits.T:
            row = prefixes.extend(row, column)
        return (hidden + self.sd * self._scale * prefixes.normals(row, hidden.shape[1])).astype(np.float32)

    def dynamics(self) -> Dynamics:
        return NoisyDynamics(self) if self.made else super().dynamics()

    def fit_dynamics(self, documents: Documents, steps: int, seed: int) -> Dynamics:
        return self.dynamics()

    def swapped(self, documents: Documents, donors: Documents, layer: str) -> Decoder:
        states = self._after(donors.tokens, donors.length)
        return StateDecoder(self, self.decode(self.noisy(self.encode(states))) if self.made else states)


class NoisyDynamics(StateDynamics):
    """The exact transition, with noise on each state that it makes."""

    model: Blurred

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.model.noisy(super().step(hidden, tokens))

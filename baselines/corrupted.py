"""The oracle with deliberate damage, which metrics must detect: edges of its map are deleted, added or rewired, its
logits or its hidden states get noise.

Shape letters: N rows, T tokens, A actions, D width.
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
    """The damage to the oracle. The seed of the run chooses the edges and the noise. Of each kind, larger damage
    includes all smaller damage."""

    deleted: int = 0
    """Number of edges that are deleted from the map."""
    added: int = 0
    """Number of edges that are added to the map, each between two random nodes, in a direction that was free."""
    rewired: int = 4
    """Number of edges whose end is moved to another random node."""
    noise: float = 0.0
    """Standard deviation, in nats, of Gaussian noise on the logits of possible actions. The noise is a function of the
    prefix: the same prefix always gets the same noise."""
    floor: float = 1e-6
    """Share of the uniform distribution over all actions that is mixed in, so that every loss is finite."""

    def __post_init__(self) -> None:
        for name in ("deleted", "added", "rewired", "noise"):
            if not getattr(self, name) >= 0:
                raise InputError(f"model.{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.floor < 1:
            raise InputError(f"model.floor must be at least 0 and below 1, not {self.floor}")


@dataclass
class CorruptedStates(States):
    """own: states of the damaged world; for a lost row the last state before the row was lost. lost: bool [N], whether
    the row has taken a move that the damaged map lacks. prefix: uint64 [N], hashes of the tokens so far."""

    own: States
    lost: np.ndarray
    prefix: np.ndarray


class Corrupted(FromStates):
    """The exact law of a damaged world, with noise. A prefix that takes a move that the damaged map lacks is lost: from
    then on the model predicts a uniform distribution over the legal moves of its last state."""

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
    """The oracle with Gaussian noise on its hidden states, which metrics of geometry and transition must detect. Its
    predictions are those of the oracle. Used by `check` alone.

    sd: the standard deviation of the noise, in units of the standard deviation of each component of the hidden state
    over documents of the training stream. made: False: noise on the hidden states that are read off prefixes, which is
    a function of the prefix. True: noise on the hidden states that the dynamics computes and that a swap inserts, which
    is a function of the state.
    """

    name = "blurred"

    def __init__(self, world: World, sd: float, seed: int = 0, *, made: bool = False) -> None:
        super().__init__(world)
        self.sd, self.made, self._key = sd, made, np.uint64(streams.integer("blur", seed))

    @cached_property
    def _scale(self) -> np.ndarray:
        """The standard deviation of each component of the hidden state, [D]."""
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
        """Hidden states [N, D] with noise that is a function of their values: equal states get equal noise."""
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
    """The exact transition, with noise on each state that it computes."""

    model: Blurred

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.model.noisy(super().step(hidden, tokens))

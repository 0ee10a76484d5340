"""The oracle with noise on its hidden states.

Shape letters: N rows, T tokens, D width.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from worldbench.baselines import prefixes
from worldbench.baselines.from_states import StateDecoder, StateDynamics
from worldbench.baselines.references import Oracle
from worldbench.core import streams
from worldbench.core.hashing import extended
from worldbench.core.model import Decoder, Dynamics
from worldbench.core.world import Documents, World


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
            prefix = extended(prefix, tokens[:, t])
            out[:, t] += self.sd * self._scale * prefixes.normals(prefix, out.shape[2])
        return out

    def noisy(self, hidden: np.ndarray) -> np.ndarray:
        """Hidden states [N, D] with noise that is a function of their values: equal states get equal noise."""
        bits = np.ascontiguousarray(hidden, np.float32).view(np.uint32)
        row = np.full(len(bits), self._key)
        for column in bits.T:
            row = extended(row, column)
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

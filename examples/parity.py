"""A world with labels in one file: `worldbench run parity --plugin examples/parity.py`.

A document is a row of random bits. After each bit the model is asked for a label, and not for the next bit: is the
number of ones so far even or odd? Held-out documents are twice as long as those of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.registry import worlds
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Automaton, Documents, States, Vocabulary

PAD, ZERO, ONE, EVEN, ODD = range(5)


@dataclass
class Parities(States):
    """Whether the number of ones is odd, the bits so far, and the outcome, all int64 [N]."""

    odd: np.ndarray
    bits: np.ndarray
    status: np.ndarray


class Parity(Automaton[Parities]):
    name, version, labelled, prompt_length = "parity", 1, True, 0
    vocabulary = Vocabulary(("<pad>", "0", "1", "even", "odd"), PAD, None, actions=(ZERO, ONE), labels=(EVEN, ODD))
    trained_length, context, longest = 10, 20, 20

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        length = self.trained_length if split == "train" else self.context
        bits = (streams.uniform(start, count, length, "parity", seed, split) < 0.5).astype(np.int32)
        tokens, labels = np.full((count, self.context), PAD, np.int32), np.full((count, self.context), -1, np.int32)
        tokens[:, :length], labels[:, :length] = ZERO + bits, EVEN + np.cumsum(bits, axis=1) % 2
        return Documents(tokens, np.full(count, length, np.int32), np.zeros(count, np.int32), labels)

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((1, 0), np.int32), np.zeros(1, np.int32)  # one prompt, which is empty

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> Parities:
        return Parities(*np.zeros((2, len(tokens)), np.int64), np.full(len(tokens), OPEN))

    def step(self, states: Parities, tokens: np.ndarray) -> Parities:
        bit = np.isin(tokens, (ZERO, ONE)) & (states.status == OPEN)
        odd, bits = states.odd ^ (bit & (tokens == ONE)), states.bits + bit
        status = np.where(bit, np.where(bits == self.longest, ARRIVED, OPEN), states.status)
        return Parities(odd, bits, np.where(~bit & (states.status == OPEN), ILLEGAL, status))

    def legal(self, states: Parities) -> np.ndarray:
        return np.repeat((states.status == OPEN)[:, None], 2, axis=1)

    def outcome(self, states: Parities) -> np.ndarray:
        return states.status

    def law(self, states: Parities) -> np.ndarray:
        return np.where((states.status == ILLEGAL)[:, None], 0.5, np.eye(2)[states.odd])

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version}

    def card(self, documents: int) -> dict[str, Any]:
        return {"documents": documents, "held_out": "new random bits, in longer documents"}


worlds.add("parity", "random bits; the label after each says whether the ones so far are even or odd", Parity)

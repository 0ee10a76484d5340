"""What a sequence model is to the metrics: numpy in, numpy out, wherever it computes.

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, V vocabulary, D width.
"""

from __future__ import annotations

import abc

import numpy as np

from worldbench.core.world import World


class Decoder(abc.ABC):
    """Continues B rows at once, keeping what it has computed.

    `logits` float32 [B, V] are those of the next token of every row.
    """

    logits: np.ndarray

    @abc.abstractmethod
    def extend(self, tokens: np.ndarray) -> np.ndarray:
        """Append K tokens to every row (int [B, K]); the logits after each of them, float32 [B, K, V]."""

    @abc.abstractmethod
    def select(self, rows: np.ndarray) -> None:
        """Keep only the chosen rows (indices), in that order; a row may be repeated."""


class SequenceModel(abc.ABC):
    """Anything that gives a next-token law after a prefix."""

    name: str

    @classmethod
    def impossible(cls, world: World) -> str | None:
        """None, or the reason why this model cannot be had in that world (an oracle needs an exact law)."""
        return None

    @abc.abstractmethod
    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Scores of the next token after every prefix: tokens int [B, T] (padding at the end is ignored) -> float32 [B, T, V]."""

    @abc.abstractmethod
    def decoder(self, prompts: np.ndarray, lengths: np.ndarray) -> Decoder:
        """Start decoding after prompts int [B, P], of which the first `lengths` [B] tokens of each row count."""

    def hidden(self, tokens: np.ndarray) -> np.ndarray | None:
        """The hidden state that the head reads, float32 [B, T, D]; None for models without one."""
        return None

    hidden_name: str = ""
    """Which tensor `hidden` is, for the tables: latent rank moves with the choice."""

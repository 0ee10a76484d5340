"""Is a user's function a next-token model at all? Asked once, before it is scored.

Shape letters: N rows, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.model import HasHidden, SequenceModel, log_softmax
from worldbench.core.world import Documents, World

ROWS = 8
"""Held-out documents that are asked about."""
SAME, OTHER_SHAPE = 1e-3, 0.05
"""Largest difference between two answers that should be equal: for tokens of one shape; and of two shapes, where sums
run in another order and half precision rounds to three digits. Of distributions: the distance in total variation. Of
hidden
states: the largest entry, where their root mean square is 1."""
SUM = 0.02
"""How far from 1 the sum of probabilities may be in half precision."""


@dataclass(frozen=True)
class Answer:
    """law: float64 [N, T, V]. hidden: float [N, T, D], or None."""

    law: np.ndarray
    hidden: np.ndarray | None

    @classmethod
    def of(cls, model: SequenceModel, tokens: np.ndarray) -> Answer:
        return cls(
            np.exp(log_softmax(model.logits(tokens))), model.hidden(tokens) if isinstance(model, HasHidden) else None
        )

    def differs(self, other: Answer, where: np.ndarray, most: float) -> str | None:
        """What differs from the first columns of `other` by more than `most` at the places bool [N, T], if anything."""
        width = where.shape[1]
        moved = (np.abs(self.law - other.law[:, :width]).sum(axis=-1) / 2)[where].max(initial=0.0)
        if moved > most:
            return f"its probabilities move by up to {moved:.2g}"
        if self.hidden is not None and other.hidden is not None:
            scale = np.sqrt(np.mean(np.square(other.hidden, dtype=np.float64))) or 1.0
            moved = (np.abs(self.hidden - other.hidden[:, :width]).max(axis=-1) / scale)[where].max(initial=0.0)
            if moved > most:
                return f"its hidden states move by up to {moved:.2g} of their size"
        return None


def require_next_token_model(model: SequenceModel, world: World, seed: int) -> None:
    """Raises InputError for a function that returns probabilities, draws at random, or looks at later tokens.

    Looked at on held-out documents: each is cut at another place, and what follows the cut is replaced by random words
    or by padding; or all rows are cut at one place. None of this may change an answer before the cut.
    """
    documents = world.sample(seed, "test", 0, ROWS)
    tokens = documents.tokens
    column = np.arange(tokens.shape[1])[None, :]
    inside, before = column < documents.length[:, None], column < _cuts(documents)[:, None]
    _refuse_probabilities(model, model.logits(tokens)[inside])
    answer = Answer.of(model, tokens)
    if (how := Answer.of(model, tokens).differs(answer, inside, SAME)) is not None:
        raise InputError(
            f"{model.name} answers otherwise when it is asked the same again ({how}): "
            "it draws at random; switch dropout "
            f"and sampling off (eval mode)"
        )
    pad, half = world.vocabulary.pad, max(1, tokens.shape[1] // 2)
    words = np.setdiff1d(np.arange(len(world.vocabulary)), [pad])
    other = words[streams.generator("causality", seed).integers(0, len(words), tokens.shape)]
    for what, changed, where, most in (
        ("replaced by other words", np.where(before, tokens, other), before, SAME),
        ("replaced by padding", np.where(before, tokens, pad), before, SAME),
        ("left out", tokens[:, :half], inside[:, :half], OTHER_SHAPE),
    ):
        if (how := Answer.of(model, changed.astype(tokens.dtype)).differs(answer, where, most)) is not None:
            raise InputError(
                f"{model.name} looks at later tokens: where the rest of a document is {what}, {how} before that place; "
                f"row t may depend on the tokens up to t alone (a causal mask, positions counted from the start)"
            )


def _cuts(documents: Documents) -> np.ndarray:
    """For each document how many first tokens stay, int [N]: from 1 to all but one, spread over the documents."""
    share = (np.arange(len(documents)) + 0.5) / len(documents)
    return np.clip((share * documents.length).astype(int), 1, np.maximum(documents.length - 1, 1))


def _refuse_probabilities(model: SequenceModel, rows: np.ndarray) -> None:
    """rows: the logits [M, V] at the tokens of documents."""
    if rows.min() >= 0 and rows.max() <= 1 + SUM and np.abs(rows.sum(axis=-1) - 1).max() <= SUM:
        raise InputError(
            f"{model.name} returns probabilities: every row lies between 0 and 1 and sums to 1; return logits, or the "
            f"logarithms of the probabilities (-inf for 0)"
        )

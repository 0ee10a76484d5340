"""Checks that a function of the user is a next-token model. Called once, before the function is scored.

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
"""Number of held-out documents that the check uses."""
SAME, OTHER_SHAPE = 1e-3, 0.05
"""Largest difference allowed between two answers that should be equal: for tokens of the same shape, and for tokens of
different shapes, where sums are computed in another order and half precision rounds to three digits. The difference of
distributions is their distance in total variation. The difference of hidden states is the largest difference of an
entry, in units of the root mean square of its component."""
LEAST_COMPONENT = 0.1
"""The least unit for a component of hidden states, as a share of the median over components. A component near 0 is the
rest of larger numbers, and only as exact as they are."""
SUM = 0.02
"""Largest distance from 1 of a sum of probabilities in half precision."""


@dataclass(frozen=True)
class Answer:
    """What a model predicts. law: probabilities, float64 [N, T, V]. hidden: hidden states [N, T, D], or None."""

    law: np.ndarray
    hidden: np.ndarray | None

    @classmethod
    def of(cls, model: SequenceModel, tokens: np.ndarray) -> Answer:
        return cls(
            np.exp(log_softmax(model.logits(tokens))), model.hidden(tokens) if isinstance(model, HasHidden) else None
        )

    def differs(self, other: Answer, where: np.ndarray, most: float) -> str | None:
        """What differs by more than `most` from the first columns of `other`, at the places `where` bool [N, T]; None
        if nothing does."""
        width = where.shape[1]
        moved = (np.abs(self.law - other.law[:, :width]).sum(axis=-1) / 2)[where].max(initial=0.0)
        if moved > most:
            return f"its probabilities move by up to {moved:.2g}"
        if self.hidden is not None and other.hidden is not None:
            # By component: where one is far larger than all others, an error of the others would not show.
            size = np.sqrt(np.mean(np.square(other.hidden[:, :width][where], dtype=np.float64), axis=0))
            unit = np.maximum(size, LEAST_COMPONENT * np.median(size))
            gap = np.abs(self.hidden - other.hidden[:, :width], dtype=np.float64)[where]
            moved = (gap / np.where(unit > 0, unit, 1.0)).max(initial=0.0)
            if moved > most:
                return f"its hidden states move by up to {moved:.2g} of their size"
        return None


def require_next_token_model(model: SequenceModel, world: World, seed: int) -> None:
    """Raises InputError for a function that returns probabilities, that draws at random, or that reads later tokens.

    The check uses held-out documents. Each is cut at another place, and the tokens after the cut are replaced by random
    words or by padding; then all rows are cut off at one place. None of this may change an answer before the cut.
    """
    documents = world.sample(seed, "test", 0, ROWS)
    tokens = documents.tokens
    column = np.arange(tokens.shape[1])[None, :]
    inside, before = column < documents.length[:, None], column < _cuts(documents)[:, None]
    _refuse_probabilities(model, model.logits(tokens)[inside])
    answer = Answer.of(model, tokens)
    if (how := Answer.of(model, tokens).differs(answer, inside, SAME)) is not None:
        raise InputError(
            f"{model.name} gives another answer when it is called again with the same tokens ({how}): "
            "it draws at random; switch dropout and sampling off (eval mode)"
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
                f"{model.name} reads later tokens: where the rest of a document is {what}, {how} before that place; "
                f"row t may depend on the tokens up to t alone (a causal mask, positions counted from the start)"
            )


def _cuts(documents: Documents) -> np.ndarray:
    """How many tokens of each document stay, int [N]: from 1 to all but one, spread over the documents."""
    share = (np.arange(len(documents)) + 0.5) / len(documents)
    return np.clip((share * documents.length).astype(int), 1, np.maximum(documents.length - 1, 1))


def _refuse_probabilities(model: SequenceModel, rows: np.ndarray) -> None:
    """Raises InputError where all rows [M, V], which should be logits, are probabilities."""
    if rows.min() >= 0 and rows.max() <= 1 + SUM and np.abs(rows.sum(axis=-1) - 1).max() <= SUM:
        raise InputError(
            f"{model.name} returns probabilities: every row lies between 0 and 1 and sums to 1; return logits, or the "
            f"logarithms of the probabilities (-inf for 0)"
        )

"""Words, and documents made of them: what a world gives to a model.

Shape letters: N documents, T tokens, V words, M positions in documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Vocabulary:
    """Token ids and their words.

    pad: the id that fills rows after the end of a document. No document contains it.
    end: the id of the token that ends a document. None if documents have no such token.
    actions: the ids that may follow a prompt, in the order of the columns of `legal`.
    labels: the ids of the labels, in the order of the columns of `law`. Empty if the model is asked for the next token.
    """

    words: tuple[str, ...]
    pad: int
    end: int | None
    actions: tuple[int, ...]
    labels: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.words)

    @property
    def answers(self) -> tuple[int, ...]:
        """The ids that a model is asked for, in the order of the columns of `law`: the labels if there are any, else
        the actions."""
        return self.labels or self.actions

    @property
    def action_of_token(self) -> np.ndarray:
        """The column of each token among the actions, int32 [V]. -1 for other tokens."""
        return self._columns(self.actions)

    @property
    def answer_of_token(self) -> np.ndarray:
        """The column of each token among the answers, int32 [V]. -1 for other tokens."""
        return self._columns(self.answers)

    def _columns(self, ids: tuple[int, ...]) -> np.ndarray:
        table = np.full(len(self.words), -1, np.int32)
        table[list(ids)] = np.arange(len(ids))
        return table

    def closes(self, tokens: np.ndarray) -> np.ndarray:
        """Which tokens are `end`: bool of the same shape. All false if the vocabulary has no `end`."""
        return np.zeros(np.shape(tokens), bool) if self.end is None else np.asarray(tokens == self.end)

    def text(self, tokens: np.ndarray) -> str:
        """The words of one row, without padding."""
        return " ".join(self.words[t] for t in tokens if t != self.pad)


@dataclass(frozen=True)
class Documents:
    """Whole token sequences.

    tokens: int32 [N, T], padded.
    length: tokens of each document, int32 [N].
    prompt_length: tokens of the prompt at the start of each document, int32 [N].
    labels: what a model is asked for after each token, int32 [N, T], -1 where nothing is asked. None: a model is asked
        for the next token, from the last token of the prompt on.
    """

    tokens: np.ndarray
    length: np.ndarray
    prompt_length: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> np.ndarray:
        """What a model is asked for after each token, int32 [N, T]. -1 where nothing is asked."""
        if self.labels is not None:
            return self.labels
        n, width = self.tokens.shape
        following = np.full((n, width), -1, np.int32)
        following[:, :-1] = self.tokens[:, 1:]
        place = np.arange(1, width + 1)[None, :]
        return np.where(
            (place >= self.prompt_length[:, None]) & (place < self.length[:, None]), following, np.int32(-1)
        )

    @property
    def input_length(self) -> np.ndarray:
        """How many tokens of each document a model reads, int [N]. The last token is read only if a label is asked
        after it."""
        if self.labels is None or not len(self):
            return self.length - 1
        last = self.labels[np.arange(len(self)), np.maximum(self.length - 1, 0)]
        return self.length - 1 + ((last >= 0) & (self.length > 0))

    @property
    def inputs(self) -> np.ndarray:
        """The tokens that a model reads: int32 [N, T], or int32 [N, T - 1] if no document needs its last token read."""
        width = self.tokens.shape[1]
        return self.tokens if int(self.input_length.max(initial=0)) == width else self.tokens[:, : width - 1]

    def answer(self, rows: np.ndarray, prefix_length: np.ndarray) -> np.ndarray:
        """What a model is asked for after the first `prefix_length` [M] tokens of documents `rows` [M]: int32 [M].
        Only valid at positions where something is asked."""
        return self.tokens[rows, prefix_length] if self.labels is None else self.labels[rows, prefix_length - 1]

    def take(self, rows: np.ndarray | slice) -> Documents:
        """The chosen documents (indices, a mask or a slice), in that order."""
        labels = None if self.labels is None else self.labels[rows]
        return Documents(self.tokens[rows], self.length[rows], self.prompt_length[rows], labels)

    @staticmethod
    def concat(parts: Sequence[Documents]) -> Documents:
        """All documents of several parts, in order. All parts must have the same number of columns."""
        tokens, length, prompt_length = (
            np.concatenate([getattr(p, f) for p in parts]) for f in ("tokens", "length", "prompt_length")
        )
        plain = all(p.labels is None for p in parts)
        return Documents(tokens, length, prompt_length, None if plain else np.concatenate([p.targets for p in parts]))

"""An n-gram model: the distribution of the next token given the last few tokens, from counts in training documents. It
knows nothing about earlier tokens.

Interpolated Witten-Bell smoothing (Witten & Bell 1991). With c(u, x) the count of token x after the context u, and T(u)
the number of different tokens after u,
    P(x | u) = (c(u, x) + T(u) P(x | u')) / (c(u) + T(u)),
where u' is u without its first token. The empty context is smoothed with the uniform distribution over the answers.
Contexts include tokens of the prompt, and never cross the start of a document. Where documents have labels of their
own, x is the label.

Only counts above 0 are stored, so memory grows with the number of different n-grams, not with the vocabulary.

Shape letters: N, B rows, T tokens, K context tokens, A answers, V vocabulary, C distinct contexts, G distinct n-grams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.hashing import extended
from worldbench.core.model import Decoder, SequenceModel, refuse_condition
from worldbench.core.world import World

CELLS = 1 << 22
"""Probabilities computed together, to limit memory."""


@dataclass(frozen=True, kw_only=True)
class NGramConfig:
    """The length of the n-grams, and the number of documents."""

    order: int = 5
    """Number of tokens of an n-gram: the predicted token and order - 1 tokens before it."""
    documents: int = 8000
    """Number of training documents in which n-grams are counted."""

    def __post_init__(self) -> None:
        for name in ("order", "documents"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} must be at least 1, not {getattr(self, name)}")


class NGram(SequenceModel):
    """Interpolated counts of n-grams: by default 5-grams, the next token given the last four."""

    name = "ngram"

    def __init__(self, world: World, config: NGramConfig | None = None, seed: int = 0) -> None:
        self.config = config or NGramConfig()
        self.answers = np.array(world.vocabulary.answers)
        self.size, self.reach = len(world.vocabulary), self.config.order - 1
        documents = world.sample(seed, "train", 0, self.config.documents)
        windows = self._windows(documents.tokens)
        row, t = np.nonzero(documents.targets >= 0)
        asked = world.vocabulary.answer_of_token[documents.targets[row, t]]
        if (asked < 0).any():
            raise InputError(
                f"the world {world.name!r} asks for tokens that are not among the answers of its vocabulary, "
                "so an n-gram model cannot count them"
            )
        self._tables = []  # by context length: sorted hashes [C], first n-gram of each [C + 1], answers [G], counts [G]
        for k in range(self.reach + 1):
            far = t + 1 >= k
            contexts, inverse = np.unique(windows[k][row[far], t[far]], return_inverse=True)
            pairs, counts = np.unique(inverse * np.int64(len(self.answers)) + asked[far], return_counts=True)
            first = np.searchsorted(pairs // len(self.answers), np.arange(len(contexts) + 1))
            self._tables.append((contexts, first, (pairs % len(self.answers)).astype(np.int32), counts.astype(float)))

    def _windows(self, tokens: np.ndarray) -> list[np.ndarray]:
        """For each k = 0 .. reach, the hashes of the k tokens that end at each position, uint64 [N, T]. Before position
        k - 1 the value has no meaning."""
        n, width = tokens.shape
        out = [np.zeros((n, width), np.uint64)]
        for k in range(1, self.reach + 1):
            h = np.full((n, width), k, np.uint64)
            for back in range(k - 1, -1, -1):
                shifted = np.zeros_like(tokens)
                shifted[:, back:] = tokens[:, : max(width - back, 0)]
                h = extended(h, shifted)
            out.append(h)
        return out

    def law(self, hashes: list[np.ndarray], seen: np.ndarray) -> np.ndarray:
        """The distributions after N prefixes, float64 [N, A].

        hashes: for each k = 0 .. reach the hashes of the last k tokens, uint64 [N]. seen: int [N], lengths of the
        prefixes.
        """
        n = len(seen)
        p = np.full((n, len(self.answers)), 1 / len(self.answers))
        for k, (contexts, first, answers, counts) in enumerate(self._tables):
            if not len(contexts):
                continue
            at = np.minimum(np.searchsorted(contexts, hashes[k]), len(contexts) - 1)
            known = np.flatnonzero((contexts[at] == hashes[k]) & (seen >= k))
            begin = first[at[known]]
            kinds = first[at[known] + 1] - begin
            row = np.repeat(known, kinds)
            gram = np.arange(len(row)) + np.repeat(begin - (np.cumsum(kinds) - kinds), kinds)
            total = np.bincount(row, counts[gram], minlength=n)[known]
            p[known] *= kinds[:, None]
            p[row, answers[gram]] += counts[gram]
            p[known] /= (total + kinds)[:, None]
        return p

    def _spread(self, law: np.ndarray) -> np.ndarray:
        out = np.full((*law.shape[:-1], self.size), -np.inf, np.float32)
        out[..., self.answers] = np.log(law)
        return out

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        n, width = tokens.shape
        windows = [w.ravel() for w in self._windows(np.asarray(tokens))]
        seen = np.tile(np.arange(1, width + 1), n)
        out = np.empty((n * width, self.size), np.float32)
        for low in range(0, len(out), step := max(1, CELLS // self.size)):
            part = slice(low, low + step)
            out[part] = self._spread(self.law([w[part] for w in windows], seen[part]))
        return out.reshape(n, width, self.size)

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> NGramDecoder:
        refuse_condition(self.name, condition)
        return NGramDecoder(self, np.asarray(prompts), np.asarray(lengths))


class NGramDecoder(Decoder):
    """Decodes with the last few tokens of each row."""

    def __init__(self, model: NGram, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.model, self.seen = model, lengths.astype(np.int64)
        reach = max(model.reach, 1)
        column = lengths[:, None] - reach + np.arange(reach)[None, :]
        self.window = np.where(column >= 0, np.take_along_axis(prompts, np.maximum(column, 0), axis=1), 0)
        self.logits = self._predict()

    def _predict(self) -> np.ndarray:
        hashes = [w[:, -1] for w in self.model._windows(self.window)]
        return self.model._spread(self.model.law(hashes, self.seen))

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        out = []
        for column in np.asarray(tokens).T:
            self.window = np.concatenate([self.window[:, 1:], column[:, None]], axis=1)
            self.seen = self.seen + 1
            self.logits = self._predict()
            out.append(self.logits)
        return np.stack(out, axis=1)

    def select(self, rows: np.ndarray) -> None:
        self.window, self.seen, self.logits = self.window[rows], self.seen[rows], self.logits[rows]

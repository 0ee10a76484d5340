"""The world of text: windows at random places of files.

Shape letters: N documents, T tokens, V words, P prompt tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.sampling import distinct_prompts
from worldbench.core.text import counted
from worldbench.core.world import Documents, Vocabulary, World
from worldbench.envs.text.config import TextConfig
from worldbench.envs.text.corpus import load
from worldbench.envs.text.encoding import as_bytes, as_pairs, word

PAD = 0
PROMPT = 32
"""Most tokens of a prompt."""


class Split:
    """The files of one split, and every place where a window can begin.

    offset, length: int64 [F], where each file begins among all tokens, and its tokens. before: int64 [F + 1], how many
    places the files before each one have. A file that is not longer than a window has one place.
    """

    def __init__(self, offset: np.ndarray, length: np.ndarray, window: int) -> None:
        kept = length > 1
        self.offset, self.length = offset[kept], length[kept]
        self.before = np.concatenate([[0], np.cumsum(np.maximum(1, self.length - window + 1))])

    def places(self, uniform: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Uniformly random places, from random numbers [N] in [0, 1): the first token int64 [N], and the tokens of
        each window int64 [N]."""
        at = (uniform * self.before[-1]).astype(np.int64)
        file = np.searchsorted(self.before, at, side="right") - 1
        return self.offset[file] + at - self.before[file], np.minimum(self.length[file], window)


class TextWorld(World):
    """Text of one's own files, or of the standard library of Python.

    A document is a window of `window` tokens at a uniformly random place of a random file; a window never crosses the
    end of a file. A file that is not longer than a window is one document. Files are held out as a whole. Tokens are
    bytes, or a byte-pair encoding of the training files. There is no ground truth: no states, and no law.

    Two documents of bytes, in windows of 8 (␣ is a space):
        i m p o r t ␣ o
        ␣ = ␣ 1 2 \\n d e
    """

    name = "text"
    version = 1

    def __init__(self, config: TextConfig | None = None) -> None:
        self.config = c = config or TextConfig()
        corpus = load(c.files, c.held_out_share)
        encoded = as_bytes(corpus) if c.tokens == "bytes" else as_pairs(corpus, c.size)
        self._tokens, self._words, self.encoding = encoded.tokens, encoded.words, encoded.digest
        words = ("<pad>", *map(word, encoded.words[1:]))
        self.vocabulary = Vocabulary(words, pad=PAD, end=None, actions=tuple(range(1, len(words))))
        self.context = c.window
        self.prompt_length = max(1, min(PROMPT, c.window // 2))
        self.longest = c.window - self.prompt_length
        self.corpus, self.digest = corpus.name, corpus.digest
        self.bytes = {"train": sum(map(len, corpus.train)), "test": sum(map(len, corpus.test))}
        length, offset = encoded.length, np.concatenate([[0], np.cumsum(encoded.length)[:-1]])
        n = len(corpus.train)
        self._splits = {
            "train": Split(offset[:n], length[:n], c.window),
            "test": Split(offset[n:], length[n:], c.window),
        }
        for name, split in self._splits.items():
            longest = int(split.length.max(initial=0))
            if longest < c.window:
                raise InputError(
                    f"env.window is {c.window} tokens, and the longest file of the {name} split has {longest}; choose "
                    "a shorter window, or give longer files"
                )

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        if split not in self._splits:
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        u = streams.uniform(start, count, 1, "text", seed, split)[:, 0]
        first, length = self._splits[split].places(u, self.context)
        column = np.arange(self.context)
        inside = column < length[:, None]
        tokens = np.where(inside, self._tokens[np.where(inside, first[:, None] + column, 0)], np.uint16(PAD))
        return Documents(tokens.astype(np.int32), length.astype(np.int32), np.ones(count, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct beginnings of the test documents of `seed`."""
        size = self.prompt_length

        def beginnings(start: int, count: int) -> np.ndarray:
            documents = self.sample(seed, "test", start, count)
            return documents.tokens[documents.length > size, :size]

        return distinct_prompts(beginnings, count)

    def token_bytes(self) -> np.ndarray:
        return np.array([len(content) for content in self._words], np.int64)

    def text(self, tokens: np.ndarray) -> bytes:
        """The bytes of one row of tokens int [T]."""
        return b"".join(self._words[t] for t in tokens)

    # Identity, and texts for people

    def identity(self) -> dict[str, Any]:
        c = self.config
        encoding = {"vocabulary": c.size, "encoding": self.encoding} if c.tokens == "bpe" else {}
        return {
            "world": self.name,
            "version": self.version,
            "corpus": self.digest,
            "tokens": c.tokens,
            "window": c.window,
            "held_out_share": c.held_out_share,
            **encoding,
        }

    def _counts(self) -> dict[str, dict[str, int]]:
        return {
            name: {"files": len(split.length), "bytes": self.bytes[name], "tokens": int(split.length.sum())}
            for name, split in self._splits.items()
        }

    def summary(self, documents: int) -> str:
        counts = self._counts()
        files, size = (sum(split[what] for split in counts.values()) for what in ("files", "bytes"))
        kind = "bytes" if self.config.tokens == "bytes" else f"{self.config.size:,} tokens of a byte-pair encoding"
        text = f"text of {self.corpus}: {counted(files, 'file')}, {size / 1e6:.3g} MB, of which "
        text += f"{counted(counts['test']['files'], 'file')} held out; {kind}; windows of {self.context} tokens"
        return text + (f"; {counted(documents, 'document')} for training" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        counts = self._counts()
        tokens = sum(split["tokens"] for split in counts.values())
        passes = documents * self.context / max(1, counts["train"]["tokens"])
        return {
            "corpus": self.corpus,
            "corpus_digest": self.digest,
            "tokens": self.config.tokens,
            "vocabulary": len(self.vocabulary),
            "window": self.context,
            **{f"{what}_{name}": n for name, split in counts.items() for what, n in split.items()},
            "bytes_per_token": sum(self.bytes.values()) / max(1, tokens),
            "encoding_digest": self.encoding,
            "held_out": f"whole files: {self.config.held_out_share:g} of them, at least one, by a hash of the content",
            "documents": documents,
            "passes": passes,
        }

"""Counts over the documents of a world, which are drawn in blocks: lengths, words, different documents.

Shape letters: N documents, T tokens, V words.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from worldbench.core import streams
from worldbench.core.world import Documents, World
from worldbench.records.data import Split, Words

BLOCK = 1 << 14
"""Documents that are drawn together."""


@dataclass
class Counts:
    """Sums over documents. lengths, prompts: documents by their tokens, and by the tokens of their prompts: int
    [context + 1]. before, after: occurrences of each word in prompts and after them, int [V]. asked: answers that a
    model is asked for. marks: a hash of each document, uint64 [N]. seconds: processor time of drawing the documents.
    """

    lengths: np.ndarray
    prompts: np.ndarray
    before: np.ndarray
    after: np.ndarray
    asked: int = 0
    marks: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def of(cls, world: World) -> Counts:
        """Counts of no documents."""
        sizes, words = np.zeros(world.context + 1, np.int64), np.zeros(len(world.vocabulary), np.int64)
        return cls(sizes, sizes.copy(), words, words.copy())

    def add(self, documents: Documents) -> None:
        """Count more documents."""
        place = np.arange(documents.tokens.shape[1])
        inside = place < documents.length[:, None]
        prompt = place < documents.prompt_length[:, None]
        for total, where in ((self.before, inside & prompt), (self.after, inside & ~prompt)):
            total += np.bincount(documents.tokens[where], minlength=len(total))
        self.lengths += np.bincount(documents.length, minlength=len(self.lengths))
        self.prompts += np.bincount(documents.prompt_length, minlength=len(self.prompts))
        self.asked += int((documents.targets >= 0).sum())
        self.marks.append(hashes(documents, inside))

    def split(self) -> Split:
        """The numbers of a record. There must be documents."""
        size, number = np.arange(len(self.lengths)), int(self.lengths.sum())
        present = np.flatnonzero(self.lengths)
        below = np.cumsum(self.lengths)
        middle = [int(np.searchsorted(below, k, side="right")) for k in ((number - 1) // 2, number // 2)]
        return Split(
            documents=number,
            distinct=len(np.unique(np.concatenate(self.marks))),
            tokens=int(self.lengths @ size),
            asked=self.asked,
            least=int(present[0]),
            median=sum(middle) / 2,
            most=int(present[-1]),
            prompt=float(self.prompts @ size) / number,
        )

    def words(self, pad: int) -> Words:
        """The numbers of a record about words. pad: the word that is left out."""
        seen = (self.before + self.after) > 0
        seen[pad] = False
        share = self.after[self.after > 0] / max(int(self.after.sum()), 1)
        entropy = float(-(share * np.log(share)).sum()) if len(share) else None
        return Words(vocabulary=len(seen) - 1, seen=int(seen.sum()), entropy=entropy)


def hashes(documents: Documents, inside: np.ndarray) -> np.ndarray:
    """A 64-bit hash of the tokens of each document, uint64 [N]: a sum of products modulo 2^64, mixed. inside: bool [N,
    T], which tokens belong to the document."""
    factor = streams.generator("data", "hash").integers(1 << 62, size=inside.shape[1], dtype=np.uint64)
    factor = factor * np.uint64(2) + np.uint64(1)
    words = np.where(inside, documents.tokens.astype(np.uint64) + np.uint64(1), np.uint64(0))
    words = (words ^ (words << np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (words ^ (words >> np.uint64(32))) @ factor
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def count(
    world: World, seed: int, split: str, number: int, also: Callable[[int, Documents], None] | None = None
) -> Counts:
    """Counts over the first `number` documents of a split. also: called with the index of the first document of each
    block, and the block."""
    counts = Counts.of(world)
    for low in range(0, number, BLOCK):
        started = time.process_time()
        documents = world.sample(seed, split, low, min(BLOCK, number - low))
        counts.seconds += time.process_time() - started
        counts.add(documents)
        if also is not None:
            also(low, documents)
    return counts


def in_both(first: Counts, second: Counts) -> int:
    """How many documents of the second counts are among those of the first."""
    return int(np.isin(np.concatenate(second.marks), np.concatenate(first.marks)).sum())

"""The training stream: the documents of each step. They are a function of (seed, step), so that a resumed run needs no
state of a random generator."""

from __future__ import annotations

import dataclasses
from math import ceil

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import RunError
from worldbench.core.world import Documents, World
from worldbench.settings.train import DataConfig, TrainConfig

BLOCK = 4096
"""Number of documents that are drawn at a time."""


def documents_seen(world: World, data: DataConfig, train: TrainConfig, seed: int) -> int:
    """Number of different documents that training draws: the size of the fixed set, else the number that the steps use
    (an estimate where rows are packed). Never more than the world has (`World.most_documents`)."""
    rows = train.steps * train.batch
    used = data.documents or (
        round(rows * train.row_tokens / mean_inputs(world, data, seed)) if train.row_tokens else rows
    )
    most = world.most_documents()
    return used if most is None else min(used, most)


def mean_inputs(world: World, data: DataConfig, seed: int) -> float:
    """Mean number of input tokens of a document, from the first 512."""
    return float(world.sample(seed, "train", 0, min(512, data.documents or 512)).input_length.mean())


class TrainingStream:
    """The documents of one run, in the order in which training uses them."""

    def __init__(self, world: World, data: DataConfig, train: TrainConfig, seed: int) -> None:
        self.world, self.seed, self.size = world, seed, data.documents
        self.width = train.row_tokens or world.input_length
        # A packed row gets one document more than fill it on average; tokens beyond its end are not used.
        self.per_row = ceil(train.row_tokens / mean_inputs(world, data, seed)) + 1 if train.row_tokens else 1
        self.per_step = train.batch * self.per_row
        _check_labels(world, world.sample(seed, "train", 0, 32))
        self._fixed = world.sample(seed, "train", 0, data.documents) if data.documents else None
        self._block: tuple[int, Documents] | None = None
        self._order: tuple[int, np.ndarray] | None = None

    def documents(self, step: int) -> Documents:
        """The `per_step` documents of a step, counted from 0."""
        start = step * self.per_step
        if self._fixed is None:
            return self._fresh(start, self.per_step)
        place = np.arange(start, start + self.per_step)
        epoch = place // self.size
        index = np.empty(self.per_step, np.int64)
        for e in np.unique(epoch):
            inside = epoch == e
            index[inside] = self._epoch(int(e))[place[inside] % self.size]
        return self._fixed.take(index)

    def _epoch(self, epoch: int) -> np.ndarray:
        """The order of the fixed set in an epoch, int [size]."""
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, streams.generator("order", self.seed, epoch).permutation(self.size))
        return self._order[1]

    def _fresh(self, start: int, count: int) -> Documents:
        """New documents start .. start + count - 1 of the training split, drawn in blocks."""
        parts, at = [], start
        while at < start + count:
            number = at // BLOCK
            if self._block is None or self._block[0] != number:
                self._block = (number, self.world.sample(self.seed, "train", number * BLOCK, BLOCK))
            stop = min(start + count, (number + 1) * BLOCK)
            parts.append(self._block[1].take(np.arange(at - number * BLOCK, stop - number * BLOCK)))
            at = stop
        return Documents.concat(parts)


def _check_labels(world: World, documents: Documents) -> None:
    """Raises RunError if documents have labels of their own and the world does not say so, or the other way round:
    models would learn the wrong tokens."""
    following = dataclasses.replace(documents, prompt_length=np.ones_like(documents.prompt_length), labels=None).targets
    own = (documents.targets >= 0) & (documents.targets != following)
    if own.any() and not world.labelled:
        raise RunError(
            f"the world {world.name!r} asks for labels that are not the next token, and does not "
            "say so; set `labelled = True` in its class"
        )
    if world.labelled and documents.labels is None:
        raise RunError(
            f"the world {world.name!r} says that it asks for labels, and its documents have none; "
            "set `Documents.labels`, or `labelled = False`"
        )

"""The training stream: which documents each step sees. A pure function of (seed, step), so that a resumed run needs no random state."""

from __future__ import annotations

from math import ceil

import numpy as np

from worldbench.configuration import DataConfig, TrainConfig
from worldbench.core import streams
from worldbench.core.world import Documents, World

BLOCK = 4096


def documents_seen(world: World, data: DataConfig, train: TrainConfig, seed: int) -> int:
    """How many different documents training draws: the fixed set, or (about, where rows are packed) as many as the steps take."""
    if data.rides:
        return data.rides
    rows = train.steps * train.batch
    return round(rows * train.row_tokens / mean_inputs(world, data, seed)) if train.row_tokens else rows


def mean_inputs(world: World, data: DataConfig, seed: int) -> float:
    """Mean input tokens of a document."""
    return float((world.sample(seed, "train", 0, min(512, data.rides or 512)).length - 1).mean())


class TrainingStream:
    """Documents of one run, in the order in which training meets them."""

    def __init__(self, world: World, data: DataConfig, train: TrainConfig, seed: int) -> None:
        self.world, self.seed, self.rides = world, seed, data.rides
        self.width = train.row_tokens or world.context - 1
        # A packed row takes as many documents as fill it almost always; what is left over when it is full is not used.
        self.per_row = ceil(train.row_tokens / mean_inputs(world, data, seed)) + 1 if train.row_tokens else 1
        self.per_step = train.batch * self.per_row
        self._fixed = world.sample(seed, "train", 0, data.rides) if data.rides else None
        self._block: tuple[int, Documents] | None = None
        self._order: tuple[int, np.ndarray] | None = None

    def documents(self, step: int) -> Documents:
        """The documents of a step (0-based), `per_step` of them."""
        start = step * self.per_step
        if self._fixed is None:
            return self._fresh(start, self.per_step)
        place = np.arange(start, start + self.per_step)
        epoch = place // self.rides
        index = np.empty(self.per_step, np.int64)
        for e in np.unique(epoch):
            inside = epoch == e
            index[inside] = self._epoch(int(e))[place[inside] % self.rides]
        return _take(self._fixed, index)

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, streams.generator("order", self.seed, epoch).permutation(self.rides))
        return self._order[1]

    def _fresh(self, start: int, count: int) -> Documents:
        """Documents by index, drawn a block at a time."""
        parts, at = [], start
        while at < start + count:
            number = at // BLOCK
            if self._block is None or self._block[0] != number:
                self._block = (number, self.world.sample(self.seed, "train", number * BLOCK, BLOCK))
            stop = min(start + count, (number + 1) * BLOCK)
            parts.append(_take(self._block[1], np.arange(at - number * BLOCK, stop - number * BLOCK)))
            at = stop
        return Documents(*(np.concatenate([getattr(p, f) for p in parts]) for f in Documents.__dataclass_fields__))


def _take(documents: Documents, rows: np.ndarray) -> Documents:
    return Documents(documents.tokens[rows], documents.length[rows], documents.prompt_length[rows])

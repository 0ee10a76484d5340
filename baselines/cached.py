"""Decoding with a transformer, with cached keys and values.

Shape letters: B rows, P prompt tokens, K new tokens, S cached tokens, V vocabulary, D width.
"""

from __future__ import annotations

import abc
import copy
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.attention import Cache, Step
from worldbench.core.model import Decoder


class Readable(Protocol):
    """What cached decoding needs of an objective."""

    trunk: Any

    def embed(self, tokens: Tensor) -> Tensor: ...

    def head(self, h: Tensor, tokens: Tensor) -> Tensor: ...


class SwappableDecoder(Decoder):
    """A decoder whose hidden states can be replaced (`SequenceModel.swapped`)."""

    @abc.abstractmethod
    def replace_next(self, layer: int, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Append one token per row, int [B], whose hidden state at one layer is replaced by `hidden` [B, D].

        layer: the index of the layer among `Objective.layers`.
        """

    @abc.abstractmethod
    def adopt_last(self, other: Any) -> None:
        """Copy the states of the last token of every row, at all layers, and the logits, from another such decoder."""


class CachedDecoder(SwappableDecoder):
    """Decodes rows, with cached keys and values.

    Prompts are aligned at their right ends, so that all rows append to the same columns. Where prompts differ in
    length, a mask hides the columns before the first token of each row.
    """

    branches = True

    def __init__(self, objective: Readable, device: str, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.objective, self.device = objective, torch.device(device)
        trunk, widest = objective.trunk, int(lengths.max())
        self._skip = torch.from_numpy(widest - np.asarray(lengths, np.int64)).to(self.device)
        self._even = bool((self._skip == 0).all())
        self._filled, self._room = 0, widest + 16
        size = (len(prompts), trunk.heads, self._room, trunk.head_size)
        self._caches = [Cache(*size, self.device) for _ in trunk.blocks]
        column = np.arange(widest)[None, :] - (widest - np.asarray(lengths))[:, None]
        flush = np.where(column >= 0, np.take_along_axis(np.asarray(prompts), np.maximum(column, 0), axis=1), 0)
        self._forward(flush)

    @torch.inference_mode()
    def _forward(self, tokens: np.ndarray, replace: tuple[int, Tensor] | None = None) -> np.ndarray:
        new = torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(self.device)
        _rows, k = new.shape
        if self._filled + k > self._room:
            self._grow(max(self._filled + k, self._room * 3 // 2))
        column = torch.arange(self._filled, self._filled + k, device=self.device)
        skip = self._skip[:1] if self._even else self._skip  # rows of one length have one row of positions
        position = (column[None, :] - skip[:, None]).clamp(min=0)
        mask = None
        if not self._even or (k > 1 and self._filled > 0):
            seen = torch.arange(self._filled + k, device=self.device)
            causal = seen[None, :] <= column[:, None]
            own = seen[None, None, :] >= self._skip[:, None, None]
            mask = (causal[None] & (own | (seen[None, None, :] == column[None, :, None])))[:, None]
        step = Step(self._filled, mask)
        embedded, longest = self.objective.embed(new), self._filled + k
        h = self.objective.trunk(embedded, position, mask, self._caches, step, longest=longest, replace=replace)
        self._filled += k
        out = self.read(h, new).cpu().numpy()
        self.logits = out[:, -1]
        return out

    def read(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        """The logits [B, K, V] of hidden states, given the token that each state has read last."""
        return self.objective.head(h_BKD, tokens_BK)

    @torch.inference_mode()
    def adopt_last(self, other: CachedDecoder) -> None:
        """Copy the keys, values and logits of the last token of every row from another decoder."""
        last = self._filled - 1
        for own, theirs in zip(self._caches, other._caches):
            own.k[:, :, last], own.v[:, :, last] = theirs.k[:, :, last], theirs.v[:, :, last]
        self.logits = other.logits

    def _grow(self, room: int) -> None:
        for cache in self._caches:
            cache.grow(self._filled, room)
        self._room = room

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        return self._forward(tokens)

    def replace_next(self, layer: int, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Append one token per row, int [B], with the state `hidden` [B, D] at a layer (see `Encoder.forward`)."""
        new = torch.from_numpy(np.ascontiguousarray(hidden))[:, None].to(self.device)
        self._forward(np.asarray(tokens)[:, None], (layer, new))

    def branch(self, rows: np.ndarray) -> CachedDecoder:
        new = copy.copy(self)
        new._caches = [copy.copy(cache) for cache in self._caches]
        new._keep(rows, copied=True)
        return new

    def select(self, rows: np.ndarray) -> None:
        """As `Decoder.select`. The first rows, in their order, are kept without a copy."""
        self._keep(rows)

    @torch.inference_mode()
    def _keep(self, rows: np.ndarray, copied: bool = False) -> None:
        """copied: the caches become copies in any case, and the old ones stay as they are."""
        rows = np.asarray(rows, np.int64)
        self.logits = self.logits[rows]
        if not copied and len(rows) <= len(self._skip) and np.array_equal(rows, np.arange(len(rows))):
            self._skip = self._skip[: len(rows)]
            for cache in self._caches:
                cache.first(len(rows))
            return
        index = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        self._skip = self._skip[index]
        for cache in self._caches:
            cache.select(index, self._filled)

"""Decoding with a transformer's keys and values cached.

Shape letters: B rows, P prompt tokens, K new tokens, S cached tokens, V vocabulary, D width.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.backbone import Cache, Step
from worldbench.core.model import Decoder

if TYPE_CHECKING:
    from worldbench.baselines.objective import Objective


class SwappableDecoder(Decoder):
    """A decoder whose hidden states can be replaced by others (`SequenceModel.swapped`)."""

    @abc.abstractmethod
    def replace_next(self, layer: int, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Append one token a row [B], with its hidden state at a layer (its place among `Objective.layers`) replaced by `hidden` [B, D]."""

    @abc.abstractmethod
    def adopt_last(self, other: Any) -> None:
        """Take the states of the last token of every row, at all layers, and the logits, from another decoder of this kind."""


class CachedDecoder(SwappableDecoder):
    """Continues rows with their keys and values cached.

    Prompts are laid flush right, so that all rows grow by the same columns; where their lengths differ, a mask hides the columns before a row's first token.
    """

    def __init__(self, objective: Objective, device: str, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.objective, self.device = objective, torch.device(device)
        trunk, widest = objective.trunk, int(lengths.max())
        self._skip = torch.from_numpy(widest - np.asarray(lengths, np.int64)).to(self.device)
        self._even = bool((self._skip == 0).all())
        self._filled, self._room = 0, widest + 16
        self._caches = [Cache(len(prompts), trunk.heads, self._room, trunk.head_size, self.device) for _ in trunk.blocks]
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
        position = (column[None, :] - self._skip[:, None]).clamp(min=0)
        mask = None
        if not self._even or (k > 1 and self._filled > 0):
            seen = torch.arange(self._filled + k, device=self.device)
            causal = seen[None, :] <= column[:, None]
            own = seen[None, None, :] >= self._skip[:, None, None]
            mask = (causal[None] & (own | (seen[None, None, :] == column[None, :, None])))[:, None]
        step = Step(self._filled, mask)
        h = self.objective.trunk(self.objective.embed(new), position, mask, self._caches, step, longest=self._filled + k, replace=replace)
        self._filled += k
        out = self.read(h, new).cpu().numpy()
        self.logits = out[:, -1]
        return out

    def read(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        """Logits [B, K, V] from hidden states and the tokens that were read."""
        return self.objective.head(h_BKD, tokens_BK)

    @torch.inference_mode()
    def adopt_last(self, other: CachedDecoder) -> None:
        """Take another decoder's keys, values and logits for the last token of every row."""
        last = self._filled - 1
        for own, theirs in zip(self._caches, other._caches):
            own.k[:, :, last], own.v[:, :, last] = theirs.k[:, :, last], theirs.v[:, :, last]
        self.logits = other.logits

    def _grow(self, room: int) -> None:
        for cache in self._caches:
            for name in ("k", "v"):
                old = getattr(cache, name)
                bigger = old.new_empty(*old.shape[:2], room, old.shape[3])
                bigger[:, :, : self._filled] = old[:, :, : self._filled]
                setattr(cache, name, bigger)
        self._room = room

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        return self._forward(tokens)

    def replace_next(self, layer: int, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Append one token a row [B], with its hidden state at a layer (see `Backbone.forward`) replaced by `hidden` [B, D]."""
        self._forward(np.asarray(tokens)[:, None], (layer, torch.from_numpy(np.ascontiguousarray(hidden))[:, None].to(self.device)))

    @torch.inference_mode()
    def select(self, rows: np.ndarray) -> None:
        index = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64)).to(self.device)
        self._skip = self._skip[index]
        self.logits = self.logits[rows]
        for cache in self._caches:
            for name in ("k", "v"):
                setattr(cache, name, getattr(cache, name)[index])

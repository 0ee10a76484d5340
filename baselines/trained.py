"""A trained objective as the metrics see a model: numpy in, numpy out, in bounded memory.

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, S cached tokens, V vocabulary, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.backbone import Cache, Step
from worldbench.baselines.dynamics import LatentDynamics, fit_dynamics
from worldbench.baselines.objective import Objective
from worldbench.core import streams
from worldbench.core.model import ALL_LAYERS, Decoder, Dynamics, SequenceModel
from worldbench.core.world import Documents

LOGITS_AT_ONCE = 1 << 26
"""Floats of logits that one forward pass may make."""


class TrainedModel(SequenceModel):
    """An objective's predictions, on its device."""

    def __init__(self, objective: Objective, device: str = "cpu") -> None:
        self.objective, self.device, self.name = objective, device, objective.name
        self.hidden_name = objective.hidden_name
        self.parameters = {"training": objective.parameter_count(), "inference": objective.inference_parameters()}

    def _chunks(self, tokens: np.ndarray) -> list[Tensor]:
        rows = max(1, LOGITS_AT_ONCE // (tokens.shape[1] * max(self.objective.vocabulary, 8 * self.objective.trunk.width)))
        return [torch.from_numpy(np.ascontiguousarray(tokens[i : i + rows], dtype=np.int64)).to(self.device) for i in range(0, len(tokens), rows)]

    @torch.inference_mode()
    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.concatenate([self.objective.head(self.objective.encode(part)).cpu().numpy() for part in self._chunks(tokens)])

    @torch.inference_mode()
    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        return np.concatenate([self.objective.encode(part).cpu().numpy() for part in self._chunks(tokens)])

    @torch.inference_mode()
    def layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """The embeddings, the output of every block, and the final norm's."""
        out: dict[str, list[np.ndarray]] = {}
        for part in self._chunks(tokens):
            for name, h in self.objective.layers(part).items():
                out.setdefault(name, []).append(h.cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in out.items()}

    @torch.inference_mode()
    def head(self, hidden: np.ndarray) -> np.ndarray:
        rows = max(1, LOGITS_AT_ONCE // self.objective.vocabulary)
        parts = [torch.from_numpy(np.ascontiguousarray(hidden[i : i + rows], dtype=np.float32)) for i in range(0, len(hidden), rows)]
        return np.concatenate([self.objective.head(part.to(self.device)).cpu().numpy() for part in parts])

    def untrained(self, seed: int) -> TrainedModel:
        o = self.objective
        fresh = type(o)(o.config, o.vocabulary, o.context, streams.integer("untrained", seed))
        return TrainedModel(fresh.to(self.device), self.device)

    def dynamics(self) -> Dynamics | None:
        own = getattr(self.objective, "dynamics", None)
        return None if own is None else LatentDynamics(self.objective, own, self.device)

    def fit_dynamics(self, documents: Documents, steps: int, seed: int) -> Dynamics:
        hidden = self.hidden(documents.tokens[:, :-1])
        return LatentDynamics(self.objective, fit_dynamics(self.objective, hidden, documents, steps, seed, self.device), self.device)

    def swapped(self, documents: Documents, donors: Documents, layer: str) -> CachedDecoder:
        if layer == ALL_LAYERS:
            decoder = CachedDecoder(self.objective, self.device, documents.tokens, documents.length)
            decoder.adopt_last(CachedDecoder(self.objective, self.device, donors.tokens, donors.length))
            return decoder
        names = ["embedding", *(f"block {i}" for i in range(1, self.objective.trunk.layers + 1)), self.hidden_name]
        n, last = len(documents), donors.length - 1
        donated = self.layers(donors.tokens)[layer][np.arange(n), last]
        decoder = CachedDecoder(self.objective, self.device, documents.tokens, documents.length - 1)
        decoder.replace_next(names.index(layer), donated, documents.tokens[np.arange(n), documents.length - 1])
        return decoder

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray) -> CachedDecoder:
        return CachedDecoder(self.objective, self.device, prompts, lengths)


class CachedDecoder(Decoder):
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
        out = self.objective.head(h).cpu().numpy()
        self.logits = out[:, -1]
        return out

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

"""Shared by the objectives that predict several tokens ahead."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from worldbench.baselines.batch import Batch, places
from worldbench.baselines.objective import Count


def continues(batch: Batch, horizon: int) -> list[Tensor]:
    """For each i = 1 .. horizon (at most T - 1), bool [B, T - i]: t and t + i are inputs of one document."""
    d = batch.document
    return [(d[:, :-i] == d[:, i:]) & (d[:, i:] >= 0) for i in range(1, min(horizon, d.shape[1] - 1) + 1)]


def scored_ahead(batch: Batch, horizon: int) -> list[Tensor]:
    """For each i = 1 .. horizon (at most T - 1), bool [B, T - i]: t and t + i are inputs of one document, and the token
    after t + i is scored."""
    return [inside & batch.scored[:, i:] for i, inside in enumerate(continues(batch, horizon), start=1)]


def places_ahead(rows: Batch, horizon: int) -> list[Tensor]:
    """For `Batch.derived`: for each i, the flat places [M] among the inputs [B, T] where `scored_ahead` is true."""
    return [places(F.pad(mask, (0, i))) for i, mask in enumerate(scored_ahead(rows, horizon), start=1)]


def tokens_ahead(batch: Batch, horizon: int) -> dict[str, Count]:
    """Number of positions of CE_0 (next_token) and of each CE_i (ahead_i): the positions t where t + i is an input of
    the same document and the token after t + i is scored."""
    ahead = batch.derived(places_ahead, horizon)
    counts: dict[str, Count] = {f"ahead_{i}": len(x) for i, x in enumerate(ahead, start=1)}
    return {"next_token": len(batch.scored_places)} | counts

"""What objectives that look several tokens ahead share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.core.errors import InputError


def continues(batch: Batch, horizon: int) -> list[Tensor]:
    """For each i = 1 .. horizon (at most T - 1), bool [B, T - i]: t and t + i are inputs of one document."""
    d = batch.document
    return [(d[:, :-i] == d[:, i:]) & (d[:, i:] >= 0) for i in range(1, min(horizon, d.shape[1] - 1) + 1)]


def check_horizon(config: Any, weight: str) -> None:
    """Raises InputError unless the horizon is at least 1 and the weight of what lies ahead 0 or more."""
    if config.horizon < 1:
        raise InputError(f"model.horizon must be at least 1, not {config.horizon}")
    if not getattr(config, weight) >= 0:
        raise InputError(f"model.{weight} must be 0 or more, not {getattr(config, weight)}")

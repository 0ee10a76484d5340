"""Small models of every objective that drafts, and their continuations of random prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.drafters import drafter_of, reader_of
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import JTPConfig, MTPConfig, NextLatConfig
from worldbench.baselines.speculative import Counts, Drafting, generate
from worldbench.core.streams import generator

END = 1
KINDS: dict[str, tuple[type[Objective], Any]] = {
    "nextlat": (NextLat, NextLatConfig),
    "mtp": (MTP, MTPConfig),
    "jtp": (JTP, JTPConfig),
}


def objective(name: str, vocabulary: int = 12, scale: float = 6, **options: Any) -> Objective:
    """An untrained model. Its weight matrices are multiplied by `scale`, so that its predictions are far from uniform.
    The matrices of the dynamics are not, so that drafts are often right."""
    kind, config = KINDS[name]
    made = kind(config(**{"layers": 3, "width": 32, "heads": 2, "horizon": 4} | options), vocabulary, 64, 3)
    with torch.no_grad():
        for own, p in made.named_parameters():
            if p.ndim >= 2 and "dynamics" not in own:
                p.mul_(scale)
    return made


def prompts(rows: int, vocabulary: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = generator("test", "prompts")
    return rng.integers(2, vocabulary, (rows, 6)), rng.integers(1, 7, rows)


def continue_(
    made: Objective, plan: Drafting, rows: int = 9, batch: int = 0, limit: int = 20, u: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray, Counts]:
    reader = reader_of(made)
    drafter = drafter_of(made, reader) if plan.length else None
    p, n = prompts(rows)
    total, parts = Counts(), []
    for low in range(0, rows, batch or rows):
        at = slice(low, low + (batch or rows))
        tokens, length, counts = generate(
            reader, p[at], n[at], limit=limit, end=END, drafter=drafter, plan=plan, u=None if u is None else u[at]
        )
        total += counts
        parts.append((tokens, length))
    return np.concatenate([x for x, _ in parts]), np.concatenate([x for _, x in parts]), total

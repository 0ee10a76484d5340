"""Models of double precision, packed batches and settings for the tests of NextLat."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import GPTConfig, NextLatConfig
from worldbench.core.world import Documents

V, CONTEXT = 19, 30
CONFIG = NextLatConfig(layers=2, heads=2, width=16, horizon=3, lambda_h=0.7, lambda_kl=0.4)


def make(config: GPTConfig = CONFIG) -> GPT | NextLat:
    """In double precision, with weights that make latents differ."""
    kind: Any = NextLat if isinstance(config, NextLatConfig) else GPT
    objective = kind(config, V, CONTEXT, 0).double()
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
    return objective


def packed(rows: int = 4, share: int = 3, width: int = 14, seed: int = 0) -> Batch:
    """Documents of 2 to 8 tokens, prompts of 1 to 3; some rows cut, some padded."""
    rng = np.random.default_rng(seed)
    length = rng.integers(2, 9, rows * share).astype(np.int32)
    return pack(
        Documents(
            rng.integers(0, V, (rows * share, 8)).astype(np.int32),
            length,
            rng.integers(1, 4, rows * share).astype(np.int32),
        ),
        rows,
        width,
    )


def gradients(objective: Objective) -> dict[str, Tensor]:
    out = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in objective.named_parameters()}
    objective.zero_grad(set_to_none=True)
    return out


def assert_same_gradients(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, g in expected.items():
        torch.testing.assert_close(got[name], g, atol=1e-9, rtol=1e-6, msg=name)


ONE_BY_ONE = {
    "gpt": GPTConfig(layers=2, heads=2, width=16),
    "nextlat": CONFIG,
    "no-kl": dataclasses.replace(CONFIG, lambda_kl=0.0),
    "no-regression": dataclasses.replace(CONFIG, lambda_h=0.0),
    "no-latents": dataclasses.replace(CONFIG, lambda_h=0.0, lambda_kl=0.0),
    "one-step": dataclasses.replace(CONFIG, horizon=1),
    "past-every-document": dataclasses.replace(CONFIG, horizon=10),
    "past-every-document-and-on": dataclasses.replace(CONFIG, horizon=15, mask="landing"),
}
CHANGES = {
    "plain": {},
    "landing": {"mask": "landing"},
    "prompts": {"mask_prompts": True},
    "no-residual": {"residual": False},
    "before-the-norm": {"state": "residual"},
    "shuffled": {"control": "shuffled"},
    "all-but-shuffled": {"mask": "landing", "mask_prompts": True, "residual": False, "state": "residual"},
    "all": {"mask": "landing", "mask_prompts": True, "residual": False, "state": "residual", "control": "shuffled"},
}
STOPS = {
    "": {},
    "-moving-target": {"stop_target": False},
    "-moving-head": {"stop_head": False},
    "-both-moving": {"stop_target": False, "stop_head": False},
}
EVERY = ONE_BY_ONE | {
    name + stop: dataclasses.replace(CONFIG, **changes, **stops)
    for name, changes in CHANGES.items()
    for stop, stops in STOPS.items()
}

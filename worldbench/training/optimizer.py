"""The optimizers, their learning rates, and the end of a training step."""

from __future__ import annotations

import math

import torch
from torch import nn

from worldbench.baselines.objective import Objective
from worldbench.core.errors import InputError, RunError
from worldbench.settings.train import TrainConfig
from worldbench.training.muon import BUFFER, Muon
from worldbench.training.precision import rounds_updates

FLOOR = 0.01
"""The last learning rate of a falling schedule, as a share of the peak."""
ADAMW = {"betas": (0.9, 0.95), "eps": 1e-8, "fused": True}
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps for each parameter that has had a gradient."""


def learning_rate(config: TrainConfig, step: int, peak: float | None = None) -> float:
    """The learning rate of a step, counted from 0. peak: its highest value; None: `train.learning_rate`."""
    peak = config.learning_rate if peak is None else peak
    if step < config.warmup:
        return peak * (step + 1) / config.warmup
    if config.schedule == "constant":
        return peak
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    shape = (1 + math.cos(math.pi * progress)) / 2 if config.schedule == "cosine" else 1 - progress
    return peak * (FLOOR + (1 - FLOOR) * shape)


def set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int) -> None:
    """Set the learning rate of every group for a step, counted from 0. All groups follow one schedule."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step, config.muon_rate if group.get("muon") else None)


def make_optimizer(objective: Objective, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of the settings. Only matrices have weight decay.

    Raises InputError for Muon and an objective that names no matrix for it, and RunError if it names other tensors.
    """
    inside = inner_matrices(objective) if config.optimizer == "muon" else []
    taken = {id(p) for p in inside}
    parameters = [p for p in objective.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate)
    if config.optimizer == "muon":
        rounds = rounds_updates(config.precision, inside[0].device.type)
        return Muon(inside, groups, config.muon_rate, config.learning_rate, config.weight_decay, rounds, **ADAMW)
    return torch.optim.AdamW(groups, lr=config.learning_rate, **ADAMW)


def inner_matrices(objective: Objective) -> list[nn.Parameter]:
    """The matrices that Muon trains, as the objective names them. Raises as `make_optimizer` does."""
    inside, own = objective.inner_matrices(), {id(p) for p in objective.parameters()}
    where = f"`inner_matrices` of the objective {objective.name!r}"
    if not inside:
        raise InputError(
            f"train.optimizer muon: {where} names no matrix that Muon could train; define this method, or use "
            "--train.optimizer adamw"
        )
    if len({id(p) for p in inside}) < len(inside):
        raise RunError(f"{where} names a matrix twice; name each once")
    for p in inside:
        if p.ndim != 2 or id(p) not in own:
            what = f"a tensor of shape {list(p.shape)}" if p.ndim != 2 else "a matrix that is not its parameter"
            raise RunError(f"{where} names {what}; name parameters of the objective with two dimensions only")
    return inside


def kept(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, tuple[str, ...]]:
    """The names of the tensors that the optimizer keeps for each parameter that has had a gradient."""
    names = MOMENTS if isinstance(optimizer, torch.optim.AdamW | Muon) else ()
    return {p: (BUFFER,) if group.get("muon") else names for group in optimizer.param_groups for p in group["params"]}


def apply_gradients(objective: Objective, optimizer: torch.optim.Optimizer, config: TrainConfig) -> None:
    """End a step: clip the gradients, update the weights, and free the gradients."""
    if config.clip:
        for parameters in objective.clip_groups():
            torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)

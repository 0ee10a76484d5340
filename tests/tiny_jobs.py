"""Small jobs of taxi, and another valid value of each option of everything that is registered."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

from tiny_runs import tiny_env, tiny_model

from worldbench.core.eval_config import eval_config
from worldbench.settings.job import Job
from worldbench.settings.train import DataConfig, TrainConfig

BASE_ENV = tiny_env("taxi")
BASE_TRAIN = TrainConfig(
    steps=4,
    batch=6,
    row_tokens=30,
    accumulate=1,
    warmup=1,
    checkpoints=2,
    curve_documents=20,
    learning_rate=3e-3,
    weight_decay=0.05,
    device="cpu",
)
OTHER: dict[str, dict[str, Any]] = {
    "taxi.map": {"map": "city:30"},
    "taxi.region": {"region": "14@0,0"},
    "taxi.rides": {"rides": "random:0.4,shortest:0.6"},
    "taxi.trips": {"rides": "noisy", "trips": str(Path(__file__).with_name("trips.csv"))},
    "taxi.ride_file": {"ride_file": str(Path(__file__).with_name("rides.txt"))},
    "taxi.weightings": {"rides": "noisy", "weightings": 7},
    "taxi.held_out_share": {"held_out_share": 0.35},
    "maze.generator": {"generator": "wilson", "percolation": None},
    "maze.held_out_share": {"held_out_share": 0.35},
    "maze-solve.columns": {"columns": 4},
    "maze-solve.generator": {"generator": "wilson"},
    "maze-solve.percolation": {"percolation": 0.5},
    "maze-solve.least_moves": {"least_moves": 4},
    "group.group": {"group": "Z5"},
    "othello.size": {"size": 6},
    "text.tokens": {"tokens": "bpe"},
    "train.scored_step": {"scored_step": "least_loss"},  # `last` is what `auto` means where every document is new
    "text.vocabulary": {"tokens": "bpe", "vocabulary": 300},
    "hmm.process": {"process": "rrxor(p1=0.4)"},
    "data.documents": {"documents": 5},
    "model.heads": {"heads": 2},
    "model.width": {"width": 32},
    "model.head_width": {"head_width": 8},
    "model.mlp_width": {"mlp_width": 96},
    "model.pairs": {"pairs": 0.4},
    "train.optimizer": {"optimizer": "sgd"},
    "train.precision": {"precision": "bf16"},
    "train.muon_rate": {"muon_rate": 0.05},
    "model.dynamics_factor": {"dynamics_factor": 20.0},
    "model.mask": {"mask": "landing"},
    "model.state": {"state": "residual"},
    "model.control": {"control": "shuffled"},
    "train.row_tokens": {"row_tokens": 40},
    "train.accumulate": {"accumulate": 3},
    "train.schedule": {"schedule": "constant"},
    "train.clip": {"clip": 0.05},
    "eval.curve_share": {"curve_share": 0.5},
    "eval.detours": {"detours": (0.3,)},
    "eval.detour_kinds": {"detour_kinds": ("second",)},
    "eval.reconstruction_decoding": {"reconstruction_decoding": "greedy"},
    "eval.reconstruction_distance": {"reconstruction_distance": 150.0},
    "eval.reconstruction_degree": {"reconstruction_degree": 1},
}
"""Another valid value, where the rule of `another` below would not do."""
BESIDE: dict[str, dict[str, Any]] = {"train.muon_rate": {"optimizer": "muon"}}
"""Options that are used only beside other values, and these values."""
NEEDS_PACKAGE = {"text.tokens": "tokenizers", "text.vocabulary": "tokenizers"}
"""Options whose other value needs a package that worldbench does not need."""
LONG_PROMPTS = ("model.mask_prompts",)
"""Tried in a world whose prompts are long enough to be landed on."""
NEEDS_HARDWARE = {
    "train.threads": "changes the last bits only, and not on every machine",
    "train.processes": "needs torchrun (see test_processes.py)",
    "train.device": "needs a GPU",
    "train.compile": "needs a C++ compiler; tests/test_compiled.py",
    "train.products": "changes the last bits only, and not of small matrices; tests/test_products.py",
}


def another(owner: str, config: Any, field: dataclasses.Field) -> dict[str, Any]:
    """Another value of an option. owner: a world, "data", "model", "train" or "eval"."""
    if f"{owner}.{field.name}" in OTHER:
        return OTHER[f"{owner}.{field.name}"]
    value = getattr(config, field.name)
    choices = typing.get_args(typing.get_type_hints(type(config))[field.name])
    if value in choices:
        return {field.name: next(choice for choice in choices if choice != value)}
    if isinstance(value, bool):
        return {field.name: not value}
    if isinstance(value, int):
        return {field.name: value + 1}
    if isinstance(value, float):
        return {field.name: value * 1.5 + 0.1 if value else 0.5}
    raise AssertionError(f"say in OTHER (tests/tiny_jobs.py) what another value of {owner}.{field.name} is")


def job(model: str, seed: int = 0, changes: dict[str, dict[str, object]] | None = None) -> Job:
    groups = {
        "env": BASE_ENV,
        "data": DataConfig(),
        "model": tiny_model(model),
        "train": BASE_TRAIN,
        "eval": eval_config(),
    }
    for group, values in (changes or {}).items():
        groups[group] = dataclasses.replace(groups[group], **values)
    return Job("taxi", model, "quick", seed, groups, {})

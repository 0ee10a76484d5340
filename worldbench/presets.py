"""Named sizes. `quick` and `small` fit two CPU cores, `standard` one GPU; `paper` is the published recipe.

All values of a preset can be read with `--print-config` and changed one by one on the command line.
"""

from __future__ import annotations

from typing import Any

from worldbench.core.errors import unknown
from worldbench.core.registry import models

PRESETS = {
    "quick": "minutes on two CPU cores: a village of 43 intersections, 8,000 rides",
    "small": "three minutes on one CPU core, for wide tables",
    "standard": "one GPU: all of Manhattan",
    "paper": "the published recipe: NextLat's on Manhattan (arXiv 2511.05963, Table 5), Shai et al.'s on hidden Markov processes (2405.15943)",
}

_VALUES: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    "hmm": {
        "quick": {
            "env": {"process": "rrxor", "length": 16},
            "model": {"layers": 4, "heads": 4, "width": 64},
            "train": {"steps": 3000, "batch": 256, "learning_rate": 1e-3},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "small": {
            "env": {"process": "rrxor", "length": 12},
            "model": {"layers": 3, "heads": 4, "width": 64},
            "train": {"steps": 1500, "batch": 128, "learning_rate": 1e-3},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "standard": {
            "env": {"process": "rrxor", "length": 32},
            "model": {"layers": 6, "heads": 8, "width": 256},
            "train": {"steps": 20_000, "batch": 512, "learning_rate": 5e-4, "warmup": 1000},
            "nextlat": {"horizon": 8, "lambda_kl": 0.1},
            "bst": {"pairs": 0.1},
            "mtp": {"horizon": 8},
            "jtp": {"horizon": 8},
        },
        "paper": {
            "env": {"process": "mess3", "length": 10},
            "model": {"layers": 4, "heads": 1, "head_width": 8, "width": 64, "mlp_width": 256},
            "train": {
                "steps": 1_000_000, "batch": 64, "optimiser": "sgd",
                "learning_rate": 0.01, "weight_decay": 0.0, "clip": 0.0, "schedule": "constant", "warmup": 0,
            },
        },
    },
    "maze": {
        "quick": {
            "env": {"generator": "depth-first-percolation", "min_moves": 2, "max_moves": 20},
            "data": {"rides": 10_000},
            "model": {"layers": 6, "heads": 4, "width": 64},
            "train": {"steps": 3000, "batch": 38, "row_tokens": 64},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "bst": {"pairs": 0.25},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "small": {
            "env": {"generator": "depth-first-percolation", "min_moves": 2, "max_moves": 20},
            "data": {"rides": 10_000},
            "model": {"layers": 4, "heads": 4, "width": 64},
            "train": {"steps": 1200, "batch": 38, "row_tokens": 64},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "bst": {"pairs": 0.25},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "standard": {
            "env": {"generator": "depth-first-percolation", "rows": 30, "columns": 30, "min_moves": 2, "max_moves": 199},
            "model": {"layers": 12, "heads": 8, "width": 256},
            "train": {"steps": 50_000, "batch": 128, "row_tokens": 512, "learning_rate": 5e-4, "warmup": 1000},
            "nextlat": {"horizon": 8, "lambda_kl": 0.1},
            "bst": {"pairs": 0.1},
            "mtp": {"horizon": 8},
            "jtp": {"horizon": 8},
        },
    },
    "maze-solve": {
        "quick": {
            "env": {"rows": 5},
            "model": {"layers": 4, "heads": 4, "width": 64},
            "train": {"steps": 3000, "batch": 32},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "bst": {"pairs": 0.25},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "small": {
            "env": {"rows": 5},
            "model": {"layers": 4, "heads": 4, "width": 64},
            "train": {"steps": 1500, "batch": 32},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "bst": {"pairs": 0.25},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "standard": {
            "env": {"rows": 10},
            "model": {"layers": 8, "heads": 8, "width": 256},
            "train": {"steps": 50_000, "batch": 256, "learning_rate": 5e-4, "warmup": 1000},
            "nextlat": {"horizon": 8, "lambda_kl": 0.1},
            "bst": {"pairs": 0.1},
            "mtp": {"horizon": 8},
            "jtp": {"horizon": 8},
        },
    },
    "taxi": {
        "quick": {
            "env": {"region": "village", "min_moves": 5, "max_moves": 28},
            "data": {"rides": 8000},
            "model": {"layers": 6, "heads": 4, "width": 64},
            "train": {"steps": 3000, "batch": 38, "row_tokens": 64},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "bst": {"pairs": 0.25},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "small": {
            "env": {"region": "village", "min_moves": 5, "max_moves": 28},
            "data": {"rides": 8000},
            "model": {"layers": 4, "heads": 4, "width": 64},
            "train": {"steps": 1200, "batch": 38, "row_tokens": 64},
            "nextlat": {"horizon": 4, "lambda_kl": 0.1},
            "bst": {"pairs": 0.25},
            "mtp": {"horizon": 4},
            "jtp": {"horizon": 4},
        },
        "standard": {
            "env": {"min_moves": 2, "max_moves": 99},
            "model": {"layers": 12, "heads": 8, "width": 256},
            "train": {"steps": 50_000, "batch": 256, "row_tokens": 256, "learning_rate": 5e-4, "warmup": 1000},
            "nextlat": {"horizon": 8, "lambda_kl": 0.1},
            "bst": {"pairs": 0.1},
            "mtp": {"horizon": 8},
            "jtp": {"horizon": 8},
        },
        "paper": {
            "env": {"min_moves": 2, "max_moves": 99},
            "model": {"layers": 48, "heads": 8, "width": 384},
            "train": {
                "steps": 400_000, "batch": 256, "row_tokens": 256,
                "learning_rate": 1e-4, "weight_decay": 0.01, "clip": 0.0, "schedule": "constant", "warmup": 0,
            },
            "nextlat": {"horizon": 8, "lambda_h": 1.0, "lambda_kl": 0.1, "dynamics_factor": 2.0},
            "bst": {"pairs": 0.1},
            "mtp": {"horizon": 8},
            "jtp": {"horizon": 8},
        },
    }
}  # fmt: skip


def preset_values(world: str, model: str, preset: str) -> dict[str, dict[str, Any]]:
    """Option group -> values, for the groups that the model has. A world without presets of its own has the dataclasses' defaults under every name."""
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    values = _VALUES.get(world, {}).get(preset, {})
    own = {k: v for k, v in values.items() if k in ("env", "data", "model", "train", "eval")}
    own["model"] = {**own.get("model", {}), **values.get(models[model].weights_of or model, {})}
    return own

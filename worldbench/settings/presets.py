"""The settings of a preset for a model: the values beside the world (`envs/<world>/presets.py`), and sizes of the
objective.

`--print-config` prints all values, and each can be changed on the command line.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from worldbench.core.errors import InputError, nearest
from worldbench.core.presets import NONE, Preset
from worldbench.core.registry import models, worlds

SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "short": {"nextlat": {"horizon": 4, "lambda_kl": 0.1}, "mtp": {"horizon": 4}, "jtp": {"horizon": 4}},
    "star": {
        "nextlat": {"horizon": 2, "lambda_h": 1.0, "lambda_kl": 1.0, "dynamics_factor": 0.5},
        "mtp": {"horizon": 2},
        "jtp": {"horizon": 2},
    },
    "star-5": {
        "nextlat": {"horizon": 3, "lambda_h": 1.0, "lambda_kl": 1.0, "dynamics_factor": 0.5},
        "mtp": {"horizon": 3},
        "jtp": {"horizon": 3},
    },
    "countdown": {
        "nextlat": {"horizon": 1, "lambda_h": 2.0, "lambda_kl": 1.0, "dynamics_factor": 0.5},
        "mtp": {"horizon": 1},
        "jtp": {"horizon": 1},
    },
    "group": {"nextlat": {"horizon": 1, "lambda_h": 1.0, "lambda_kl": 0.0, "dynamics_factor": 1.0}},
    "group-small": {
        "nextlat": {"horizon": 1, "lambda_h": 1.0, "lambda_kl": 0.0, "dynamics_factor": 1.0},
        "gru": {"layers": 1, "width": 256},
        "lstm": {"layers": 1, "width": 256},
    },
    "middle": {
        "nextlat": {"horizon": 4, "lambda_kl": 0.1},
        "bst": {"pairs": 0.25},
        "mtp": {"horizon": 4},
        "jtp": {"horizon": 4},
    },
    "long": {
        "nextlat": {"horizon": 8, "lambda_kl": 0.1},
        "bst": {"pairs": 0.1},
        "mtp": {"horizon": 8},
        "jtp": {"horizon": 8},
    },
    "text": {
        "nextlat": {"horizon": 4, "lambda_kl": 0.1},
        "bst": {"pairs": 0.05, "min_gap": 1},
        "mtp": {"horizon": 4},
        "jtp": {"horizon": 4},
    },
    "text-long": {
        "nextlat": {"horizon": 8, "lambda_kl": 0.1},
        "bst": {"pairs": 0.1, "min_gap": 1},
        "mtp": {"horizon": 8},
        "jtp": {"horizon": 8},
    },
    "tiny-stories": {
        "nextlat": {"horizon": 8, "lambda_h": 1.0, "lambda_kl": 1.0, "dynamics_factor": 4 / 3},
        "bst": {"pairs": 0.1, "min_gap": 1},
        "mtp": {"horizon": 8},
        "jtp": {"horizon": 8},
    },
    "paper": {
        "nextlat": {"horizon": 8, "lambda_h": 1.0, "lambda_kl": 0.1, "dynamics_factor": 2.0},
        "bst": {"pairs": 0.1},
        "mtp": {"horizon": 8},
        "jtp": {"horizon": 8},
    },
}
"""Options of the objectives for documents of about 10, 30 and 100 tokens and for text, and those of the paper (arXiv
2511.05963, Table 5): for Manhattan (`paper`), path-star graphs with arms of four and five nodes, Countdown, groups, and
TinyStories. On text, BST's pairs begin at a gap of 1 (Hu et al. 2025)."""
GROUPS = ("env", "data", "model", "train", "eval")


def presets_of(world: str) -> dict[str, Preset]:
    """A world's presets, the default one first. Raises InputError for a plugin that declares something else."""
    presets = worlds[world].load_presets()
    if not presets:
        return NONE
    if not isinstance(presets, dict) or not all(isinstance(p, Preset) for p in presets.values()):
        raise InputError(
            f"the presets of the world {world!r} must be a dict of names and worldbench.core.presets.Preset"
        )
    return presets


def default_preset(world: str) -> str:
    """The name of a world's first preset."""
    return next(iter(presets_of(world)))


def preset_values(world: str, model: str, preset: str) -> dict[str, dict[str, Any]]:
    """Option group -> option -> value. The group `model` may hold options that other models have.

    Raises InputError for a preset that the world does not have.
    """
    presets = presets_of(world)
    if preset not in presets:
        if presets is NONE:
            raise InputError(f"the world {world!r} has no presets; leave --preset {preset} out")
        raise InputError(f"the world {world!r} has no preset {preset!r}{nearest(preset, presets)}")
    chosen = presets[preset]
    if chosen.sizes and chosen.sizes not in SIZES:
        raise InputError(
            f"the preset {preset!r} of the world {world!r} has unknown sizes "
            f"{chosen.sizes!r}{nearest(chosen.sizes, SIZES)}"
        )
    values = {group: dict(getattr(chosen, group)) for group in GROUPS}
    values["model"] |= SIZES.get(chosen.sizes, {}).get(model, {})
    return values


def known_options(group: str, config: type) -> set[str]:
    """The options that a preset may set in a group: those of the group, and in [model] also those of the shared
    backbone."""
    types_ = [config, *([models["gpt"].load_config()] if group == "model" else [])]
    return {f.name for kind in types_ for f in dataclasses.fields(kind)}

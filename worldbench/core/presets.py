"""Presets: named sizes of a world's runs. They are declared beside the world and registered with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
"""Option -> value."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values of the options of a run, by group. Other options keep their defaults.

    line: what the preset is for.
    model: values for every model that has the option.
    sizes: a row of `worldbench.settings.presets` with values for the options of single objectives. "": their defaults.
    """

    line: str
    env: Values = field(default_factory=dict)
    data: Values = field(default_factory=dict)
    model: Values = field(default_factory=dict)
    train: Values = field(default_factory=dict)
    eval: Values = field(default_factory=dict)
    sizes: str = ""


SMALL_NETWORK: Values = {"layers": 4, "heads": 4, "width": 64}
"""Options of `model`: a network that two CPU cores train in minutes."""
LARGE_NETWORK: Values = {"layers": 8, "heads": 8, "width": 256}
"""Options of `model`: a network for one GPU."""
MUON: Values = {"optimizer": "muon", "muon_rate": 0.02, "learning_rate": 4e-3}
"""Options of `train` for networks of width 64 that train for minutes. LOG.md (2026-11-26) says how they were found."""
LARGE_TRAINING: Values = {"optimizer": "muon", "muon_rate": 0.01, "learning_rate": 1e-3, "warmup": 1000}
"""Options of `train` for networks that need a GPU. LOG.md (2026-11-27) says how they were found."""
MIXED: Values = {"precision": "bf16", "accumulate": 0}
"""Options of `train`: bf16, and as many parts of a batch as the memory of the GPU needs."""
CONSTANT: Values = {"schedule": "constant", "warmup": 0, **MIXED}
"""Options of `train` that the published recipes of NextLat share (arXiv 2511.05963, Table 5): a constant learning rate
in bf16."""

NONE = {"default": Preset(line="every option at its own default")}
"""The presets of a world that declares none."""

"""The presets of path-star."""

from __future__ import annotations

from worldbench.core.presets import Preset

TRAIN = {
    "batch": 128,
    "schedule": "constant",
    "learning_rate": 2e-3,
    "warmup": 100,
    "weight_decay": 0.1,
}
PRESETS = {
    "quick": Preset(
        line="two arms of four nodes, 12 labels; three minutes on one CPU core for GPT",
        env={"arms": 2, "length": 4, "labels": 12},
        model={"layers": 4, "heads": 4, "width": 64},
        train={**TRAIN, "steps": 2000},
        sizes="star",
    ),
}

"""The presets of Countdown."""

from __future__ import annotations

from worldbench.core.presets import Preset

PRESETS = {
    "quick": Preset(
        line="three numbers up to 15 and targets from 5 to 40; minutes on one CPU core",
        env={"numbers": 3, "largest": 15, "least_target": 5, "most_target": 40, "largest_result": 60, "pauses": 4},
        model={"layers": 4, "heads": 4, "width": 64},
        train={"steps": 3000, "batch": 128, "warmup": 100, "weight_decay": 0.1},
        sizes="short",
    ),
}

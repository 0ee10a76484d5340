"""The presets of Othello."""

from __future__ import annotations

from worldbench.core.presets import Preset

PRESETS = {
    "quick": Preset(
        line="games on 6 x 6 squares, every game new; minutes on one CPU core",
        env={"size": 6},
        model={"layers": 6, "heads": 4, "width": 64},
        train={"steps": 3000, "batch": 64, "warmup": 100},
        sizes="middle",
    ),
}

"""The presets of groups."""

from __future__ import annotations

from worldbench.core.presets import Preset

PRESETS = {
    "quick": Preset(
        line="A5, trained on 12 elements and tested on 36; minutes on one CPU core",
        model={"layers": 4, "heads": 4, "width": 64},
        train={"steps": 3000, "batch": 64, "row_tokens": 36, "warmup": 100},
        sizes="short",
    ),
}

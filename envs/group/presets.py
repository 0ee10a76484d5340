"""The presets of groups."""

from __future__ import annotations

from worldbench.core.presets import CONSTANT, MUON, SMALL_NETWORK, Preset

PAPER = {**CONSTANT, "batch": 1024, "learning_rate": 1e-4, "weight_decay": 0.01}
WIDE = {"layers": 2, "heads": 8, "width": 512}

PRESETS = {
    "quick": Preset(
        line="A5, trained on 12 elements and tested on 36; about 13 minutes on one CPU core",
        model=SMALL_NETWORK,
        train={"batch": 128, "row_tokens": 39, "learning_rate": 2e-3, "warmup": 100, "steps": 5000},
        sizes="group-small",
    ),
    "small": Preset(
        line="A5, trained on 5 elements and tested on 15; two to three minutes on one CPU core",
        env={"length": 5, "test_length": 15},
        model=SMALL_NETWORK,
        train={**MUON, "batch": 128, "row_tokens": 18, "warmup": 100, "steps": 2000},
        sizes="group-small",
    ),
    "standard": Preset(
        line="A5, a wider network and more steps; needs one GPU",
        model=WIDE,
        train={**PAPER, "steps": 50_000, "learning_rate": 3e-4},
        sizes="group",
    ),
    "paper": Preset(
        line="A5, the published recipe of NextLat (arXiv 2511.05963, Table 5); needs one GPU",
        model=WIDE,
        train={**PAPER, "steps": 400_000},
        sizes="group",
    ),
}

"""The presets of groups."""

from __future__ import annotations

from worldbench.core.presets import CONSTANT, SMALL_NETWORK, Preset

SMALL = {"batch": 64, "row_tokens": 39, "learning_rate": 4e-3, "warmup": 100}
"""AdamW: with Muon, recurrent networks learned A5 more slowly (LOG.md, 2026-11-26)."""
PAPER = {**CONSTANT, "batch": 1024, "learning_rate": 1e-4, "weight_decay": 0.01}
WIDE = {"layers": 2, "heads": 8, "width": 512}

PRESETS = {
    "quick": Preset(
        line="A5, trained on 12 elements and tested on 36; takes minutes on two CPU cores",
        model=SMALL_NETWORK,
        train={**SMALL, "steps": 3000},
        sizes="group-small",
    ),
    "small": Preset(
        line="the group of quick, with fewer steps, for tables of many runs",
        model=SMALL_NETWORK,
        train={**SMALL, "steps": 2000},
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

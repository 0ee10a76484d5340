"""The presets of Countdown."""

from __future__ import annotations

from worldbench.core.presets import CONSTANT, LARGE_TRAINING, MIXED, MUON, SMALL_NETWORK, Preset

THREE = {
    "held_out": "problems",
    "numbers": 3,
    "largest": 15,
    "least_target": 5,
    "most_target": 40,
    "largest_result": 60,
    "pauses": 4,
}
"""Problems that a small network learns in minutes. Problems are held out, because a network that trained without four
of these few targets mostly reaches them by equations that are false (LOG, 2026-11-27)."""
SMALL = {**MUON, "batch": 128, "warmup": 100, "weight_decay": 0.1}
PAPER = {**CONSTANT, "steps": 100_000, "batch": 1024, "learning_rate": 3e-4, "weight_decay": 0.1}
DEEP = {"layers": 12, "heads": 12, "width": 768}

PRESETS = {
    "quick": Preset(
        line="three numbers up to 15, targets from 5 to 40, some problems held out; takes minutes on two CPU cores",
        env=THREE,
        model=SMALL_NETWORK,
        train={**SMALL, "steps": 4000},
        sizes="countdown",
    ),
    "small": Preset(
        line="the same problems as in quick, with fewer steps, for tables of many runs",
        env=THREE,
        model=SMALL_NETWORK,
        train={**SMALL, "steps": 2000},
        sizes="countdown",
    ),
    "standard": Preset(
        line="four numbers up to 99, targets from 10 to 100, some targets held out; needs one GPU",
        model={"layers": 8, "heads": 8, "width": 384},
        train={**LARGE_TRAINING, **MIXED, "steps": 50_000, "batch": 512, "weight_decay": 0.1},
        sizes="countdown",
    ),
    "paper": Preset(
        line="500,000 problems, the published recipe of NextLat (arXiv 2511.05963, Table 5); needs one GPU",
        data={"documents": 500_000},
        model=DEEP,
        train=PAPER,
        sizes="countdown",
    ),
}

"""The presets of Othello."""

from __future__ import annotations

from worldbench.core.presets import LARGE_NETWORK, LARGE_TRAINING, MIXED, MUON, SMALL_NETWORK, Preset

SMALL = {**MUON, "batch": 64, "warmup": 100}

PRESETS = {
    "quick": Preset(
        line="games on 6 x 6 squares, every game new; takes minutes on two CPU cores",
        env={"size": 6},
        model={"layers": 6, "heads": 4, "width": 64},
        train={**SMALL, "steps": 4000},
        sizes="middle",
    ),
    "small": Preset(
        line="the same games as in quick, a smaller network and fewer steps, for tables of many runs",
        env={"size": 6},
        model=SMALL_NETWORK,
        train={**SMALL, "steps": 1500},
        sizes="middle",
    ),
    "gpu-quick": Preset(
        line="the same games as in quick, a larger network; five minutes of training on one H200",
        env={"size": 6},
        model=LARGE_NETWORK,
        train={
            **MUON,
            "learning_rate": 2e-3,
            "steps": 6000,
            "batch": 512,
            "warmup": 100,
            "precision": "bf16",
            "compile": True,
        },
        sizes="middle",
    ),
    "standard": Preset(
        line="games on 8 x 8 squares, every game new; needs one GPU",
        env={"size": 8},
        model=LARGE_NETWORK,
        train={"steps": 40_000, "batch": 512, **LARGE_TRAINING, "precision": "bf16"},
        sizes="long",
    ),
    "paper": Preset(
        line="8 x 8 squares, the network of Othello-GPT (arXiv 2210.13382) on 20 million new games; needs one GPU",
        env={"size": 8},
        model={"layers": 8, "heads": 8, "width": 512},
        train={**MIXED, "learning_rate": 5e-4, "warmup": 1000, "steps": 39_000, "batch": 512},
        sizes="long",
    ),
}

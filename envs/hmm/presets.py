"""The presets of the hidden Markov world."""

from __future__ import annotations

from worldbench.core.presets import LARGE_TRAINING, MUON, SMALL_NETWORK, Preset

PRESETS = {
    "quick": Preset(
        line="the process rrxor, 16 tokens; takes minutes on two CPU cores",
        env={"process": "rrxor", "length": 16},
        model=SMALL_NETWORK,
        train={**MUON, "steps": 3000, "batch": 256},
        sizes="short",
    ),
    "small": Preset(
        line="the process rrxor, 12 tokens; takes one or two minutes on one CPU core",
        env={"process": "rrxor", "length": 12},
        model={"layers": 3, "heads": 4, "width": 64},
        train={**MUON, "steps": 1500, "batch": 128},
        sizes="short",
    ),
    "standard": Preset(
        line="the process rrxor, 32 tokens; needs one GPU",
        env={"process": "rrxor", "length": 32},
        model={"layers": 6, "heads": 8, "width": 256},
        train={"steps": 20_000, "batch": 512, **LARGE_TRAINING},
        sizes="long",
    ),
    "paper": Preset(
        line="the published recipe of Shai et al. on Mess3 (arXiv 2405.15943)",
        env={"process": "mess3", "length": 10},
        model={"layers": 4, "heads": 1, "head_width": 8, "width": 64, "mlp_width": 256},
        train={
            "steps": 1_000_000,
            "batch": 64,
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "clip": 0.0,
            "schedule": "constant",
            "warmup": 0,
        },
    ),
}

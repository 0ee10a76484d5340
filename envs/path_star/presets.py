"""The presets of path-star."""

from __future__ import annotations

from worldbench.core.presets import CONSTANT, SMALL_NETWORK, Preset

STAR = {"arms": 2, "length": 4, "labels": 12}
SMALL = {
    "batch": 128,
    "optimizer": "muon",
    "muon_rate": 0.01,
    "learning_rate": 2e-3,
    "warmup": 100,
    "weight_decay": 0.1,
}
PAPER = {**CONSTANT, "steps": 20_000, "batch": 512, "learning_rate": 5e-4, "weight_decay": 0.1, "clip": 100.0}
DEEP = {"layers": 12, "heads": 6, "width": 384}

PRESETS = {
    "quick": Preset(
        line="G(2,4) with 12 labels, every graph new; takes minutes on two CPU cores",
        env=STAR,
        model=SMALL_NETWORK,
        train={**SMALL, "steps": 4000},
        sizes="star",
    ),
    "small": Preset(
        line="G(2,4) with 8 labels, 1,500 steps of 256 graphs; for tables of many runs",
        env={**STAR, "labels": 8},
        model=SMALL_NETWORK,
        train={
            **SMALL,
            "steps": 1500,
            "batch": 256,
            "muon_rate": 0.02,
            "learning_rate": 4e-3,
            "schedule": "constant",
        },
        sizes="star",
    ),
    "standard": Preset(
        line="G(5,5) with 100 labels, every graph new; needs one GPU",
        env={"arms": 5, "length": 5},
        model=DEEP,
        train=PAPER,
        sizes="star-5",
    ),
    "paper": Preset(
        line="G(5,5), 200,000 graphs, the published recipe of NextLat (arXiv 2511.05963, Table 5); needs one GPU",
        env={"arms": 5, "length": 5},
        data={"documents": 200_000},
        model=DEEP,
        train=PAPER,
        sizes="star-5",
    ),
}

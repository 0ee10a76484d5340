"""The presets of the taxi world."""

from __future__ import annotations

from worldbench.core.presets import MUON, Preset

MANHATTAN = {"min_moves": 2, "max_moves": 99}
# docs/one-gpu.md has the arithmetic of both presets for one graphics card, and tests compute it again.
GPU = {"optimizer": "muon", "learning_rate": 1e-3, "precision": "bf16", "accumulate": 0}

PRESETS = {
    "small": Preset(
        line="Greenwich Village, 43 or 44 intersections, every ride new; about three minutes on one CPU core",
        env={"region": "village", "min_moves": 5, "max_moves": 28},
        model={"layers": 4, "heads": 4, "width": 64},
        train={**MUON, "steps": 1200, "batch": 38, "row_tokens": 64},
        sizes="middle",
    ),
    "quick": Preset(
        line="about 150 intersections in and around Greenwich Village, every ride new; ten minutes on one CPU core",
        env={"region": "village:150", "min_moves": 5, "max_moves": 40},
        model={"layers": 6, "heads": 4, "width": 64},
        train={**MUON, "steps": 3000, "batch": 25, "row_tokens": 96, "muon_rate": 0.015},
        sizes="middle",
    ),
    "standard": Preset(
        line="all of Manhattan; on one H200, forecasts of training are 27 min (GPT) and an hour (NextLat)",
        env=MANHATTAN,
        model={"layers": 24, "heads": 6, "width": 384},
        train={
            "steps": 17_500,
            "batch": 256,
            "row_tokens": 256,
            "muon_rate": 0.012,
            "warmup": 1000,
            "compile": True,
            **GPU,
        },
        sizes="long",
    ),
    "gpu-quick": Preset(
        line="all of Manhattan, a smaller network and few steps; some minutes on one GPU (docs/one-gpu.md)",
        env=MANHATTAN,
        model={"layers": 12, "heads": 4, "width": 256},
        train={"steps": 3000, "batch": 256, "row_tokens": 256, "warmup": 200, **GPU},
        sizes="long",
    ),
    "paper": Preset(
        line="the published recipe of NextLat on Manhattan (arXiv 2511.05963, Table 5)",
        env=MANHATTAN,
        model={"layers": 48, "heads": 8, "width": 384},
        train={
            "steps": 400_000,
            "batch": 256,
            "row_tokens": 256,
            "learning_rate": 1e-4,
            "weight_decay": 0.01,
            "clip": 0.0,
            "schedule": "constant",
            "warmup": 0,
            "precision": "bf16",
            "accumulate": 0,
        },
        sizes="paper",
    ),
}

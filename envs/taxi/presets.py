"""The presets of the taxi world."""

from __future__ import annotations

from worldbench.core.presets import Preset

VILLAGE = {"region": "village", "min_moves": 5, "max_moves": 28}
MANHATTAN = {"min_moves": 2, "max_moves": 99}
# docs/one-gpu.md has the arithmetic of both presets for one graphics card, and tests compute it again.
GPU = {"optimizer": "muon", "learning_rate": 1e-3, "precision": "bf16", "accumulate": 0}

PRESETS = {
    "quick": Preset(
        line="Greenwich Village, 43 intersections, 8,000 rides; takes minutes on two CPU cores",
        env=VILLAGE,
        data={"documents": 8000},
        model={"layers": 6, "heads": 4, "width": 64},
        train={"steps": 3000, "batch": 38, "row_tokens": 64},
        sizes="middle",
    ),
    "small": Preset(
        line="the map of quick; about three minutes on one CPU core, for tables of many runs",
        env=VILLAGE,
        data={"documents": 8000},
        model={"layers": 4, "heads": 4, "width": 64},
        train={"steps": 1200, "batch": 38, "row_tokens": 64},
        sizes="middle",
    ),
    "standard": Preset(
        line="all of Manhattan; about an hour on one GPU (docs/one-gpu.md)",
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

"""The presets of the two worlds of mazes."""

from __future__ import annotations

from worldbench.core.presets import LARGE_NETWORK, LARGE_TRAINING, MUON, SMALL_NETWORK, Preset

LOOPS = {"generator": "depth-first-percolation", "min_moves": 2, "max_moves": 20}

NAV = {
    "quick": Preset(
        line="a maze of 7 x 7 cells with loops, every ride new; takes minutes on two CPU cores",
        env=LOOPS,
        model={"layers": 6, "heads": 4, "width": 64},
        train={**MUON, "muon_rate": 0.015, "steps": 3000, "batch": 38, "row_tokens": 64},
        sizes="middle",
    ),
    "small": Preset(
        line="the same maze as in quick; about three minutes on one CPU core, for tables of many runs",
        env=LOOPS,
        model=SMALL_NETWORK,
        train={**MUON, "steps": 1200, "batch": 38, "row_tokens": 64},
        sizes="middle",
    ),
    "standard": Preset(
        line="a maze of 30 x 30 cells; needs one GPU",
        env={"generator": "depth-first-percolation", "rows": 30, "columns": 30, "min_moves": 2, "max_moves": 199},
        model={"layers": 12, "heads": 8, "width": 256},
        train={"steps": 50_000, "batch": 128, "row_tokens": 512, **LARGE_TRAINING},
        sizes="long",
    ),
}
SOLVE = {
    "quick": Preset(
        line="mazes of 5 x 5 cells; takes minutes on two CPU cores",
        env={"rows": 5},
        model=SMALL_NETWORK,
        train={**MUON, "steps": 3000, "batch": 32},
        sizes="middle",
    ),
    "small": Preset(
        line="mazes of 4 x 4 cells; about four minutes on one CPU core, for tables of many runs",
        env={"rows": 4},
        model=SMALL_NETWORK,
        train={**MUON, "steps": 2500, "batch": 32},
        sizes="middle",
    ),
    "standard": Preset(
        line="mazes of 10 x 10 cells; needs one GPU",
        env={"rows": 10},
        model=LARGE_NETWORK,
        train={"steps": 50_000, "batch": 256, **LARGE_TRAINING},
        sizes="long",
    ),
}

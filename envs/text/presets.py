"""The presets of text.

A row holds one window: all windows have one length, so rows that are packed would cut the windows behind the first one.
"""

from __future__ import annotations

from worldbench.core.presets import CONSTANT, LARGE_TRAINING, MUON, SMALL_NETWORK, Preset

PRESETS = {
    "quick": Preset(
        line="bytes of the standard library in windows of 128; about ten minutes on one CPU core",
        env={"window": 128},
        model={"layers": 6, "heads": 4, "width": 64},
        train={**MUON, "steps": 3000, "batch": 32, "warmup": 100},
        sizes="text",
    ),
    "small": Preset(
        line="the same text as in quick, a smaller network and fewer steps; about three minutes on one CPU core",
        env={"window": 128},
        model=SMALL_NETWORK,
        train={**MUON, "steps": 1500, "batch": 24, "warmup": 100},
        sizes="text",
    ),
    "standard": Preset(
        line="bytes of the standard library in windows of 512; needs one GPU",
        env={"window": 512},
        model={"layers": 12, "heads": 8, "width": 512},
        train={"steps": 50_000, "batch": 64, **LARGE_TRAINING},
        sizes="text-long",
    ),
    "paper": Preset(
        line="the recipe of NextLat for TinyStories (arXiv 2511.05963, Table 5): 1,000 tokens of a byte-pair encoding "
        "in windows of 256; give --env.files; needs one GPU",
        env={"tokens": "bpe", "vocabulary": 1000},
        model={"layers": 8, "heads": 8, "width": 768},
        train={"steps": 100_000, "batch": 256, "learning_rate": 3e-4, "weight_decay": 0.1, **CONSTANT},
        sizes="tiny-stories",
    ),
}

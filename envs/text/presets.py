"""The presets of text."""

from __future__ import annotations

from worldbench.core.presets import LARGE_TRAINING, MUON, SMALL_NETWORK, Preset

PRESETS = {
    "quick": Preset(
        line="bytes of the standard library in windows of 128; minutes on two CPU cores",
        env={"window": 128},
        model=SMALL_NETWORK,
        train={**MUON, "steps": 3000, "batch": 16, "row_tokens": 128, "warmup": 100},
        sizes="middle",
    ),
    "small": Preset(
        line="the text of quick in windows of 64; about three minutes on one CPU core",
        env={"window": 64},
        model={"layers": 3, "heads": 4, "width": 64},
        train={**MUON, "steps": 1200, "batch": 16, "row_tokens": 64, "warmup": 100},
        sizes="middle",
    ),
    "standard": Preset(
        line="bytes of the standard library in windows of 512; needs one GPU",
        env={"window": 512},
        model={"layers": 12, "heads": 8, "width": 512},
        train={"steps": 50_000, "batch": 64, "row_tokens": 512, **LARGE_TRAINING},
        sizes="long",
    ),
    "paper": Preset(
        line="1,000 tokens of a byte-pair encoding in windows of 256, as for TinyStories; give --env.files; one GPU",
        env={"tokens": "bpe", "vocabulary": 1000},
        model={"layers": 8, "heads": 8, "width": 512},
        train={"steps": 100_000, "batch": 128, "row_tokens": 256, **LARGE_TRAINING},
        sizes="paper",
    ),
}

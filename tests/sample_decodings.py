"""Sample records of `worldbench decode`, for the tests of its picture and of its board."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import sample_records
from msgspec.structs import replace

from worldbench.records.decoding import Arm, Spread
from worldbench.records.reading import write


def arm(length: int, tokens: float, repeats: list[float], threshold: float = 0.0, **changes: Any) -> Arm:
    (sample,) = sample_records.decode().arms
    middle = statistics.median(repeats)
    fields = {
        "length": length, "tokens_per_round": tokens, "threshold": threshold, "seconds": [1.0] * len(repeats),
        "speed_up": Spread(median=middle, low=min(repeats), high=max(repeats), repeats=repeats),
        "tested": [300 // (i + 1) for i in range(length)], "accepted": [200 // (i + 1) for i in range(length)],
    }  # fmt: skip
    return replace(sample, **fields | changes)


def record(
    path: Path,
    arms: list[Arm],
    model: str = "nextlat",
    seed: int = 0,
    *,
    processor: str = "some",
    steps: int = 10,
    **asked: Any,
) -> Path:
    """Write a sample record with other arms, by another model, machine and way of decoding."""
    sample = sample_records.decode()
    head = sample_records.head(model, seed, config={"train": {"steps": steps}})
    head["environment"] = replace(head["environment"], processor=processor)
    lengths = [mine.length for mine in arms]
    path.parent.mkdir(parents=True, exist_ok=True)
    made = replace(sample, **head, arms=arms, decode=replace(sample.decode, lengths=lengths, **asked))
    write(path, made)
    return path

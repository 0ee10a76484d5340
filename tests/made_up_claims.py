"""Made-up claims, and made-up results that decide them."""

from __future__ import annotations

from typing import Any

from sample_records import metric, result

from worldbench.records.claims import Arm, Claim
from worldbench.records.runs import Result

SCORE = "valid_trajectories.arrives_sampled"


def claim(expects: Any = "a higher", margin: float = 0.05, **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "name": "c", "claim": "A is better than B.", "source": "a paper", "score": SCORE, "world": "taxi",
        "a": Arm(model="nextlat"), "b": Arm(model="gpt"), "expects": expects, "margin": margin, "sweep": "s",
    }  # fmt: skip
    return Claim(**fields | changes)


def run(model: str, seed: int | None, value: float | None, **changes: Any) -> Result:
    name, _, score = changes.pop("score", SCORE).partition(".")
    bounds = {"floor": "random-legal", "ceiling": "oracle"}
    return result(model, seed, {name: metric({score: value}, **bounds)}, **changes)


def both(a: list[float], b: list[float], **changes: Any) -> list[Result]:
    return [run(m, s, v, **changes) for m, mine in (("nextlat", a), ("gpt", b)) for s, v in enumerate(mine)]


HIGH, LOW = [0.80, 0.82, 0.81, 0.83, 0.79], [0.60, 0.61, 0.63, 0.60, 0.62]
WIDE = [0.70, 0.95, 0.60, 0.99, 0.75]
"""Scores of five seeds: clearly apart, and widely spread."""

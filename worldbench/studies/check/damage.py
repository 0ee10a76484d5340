"""The damage that a check uses: kinds, sizes, and the damaged models.

A ladder is one kind of damage at increasing severities. Each severity is measured on several corruptions. All
severities use the same prompts and random draws of the evaluation (common random numbers). A larger damage contains
the smaller one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from worldbench.core.abilities import Able, HasDamage
from worldbench.core.errors import InputError
from worldbench.core.eval_config import CommonOptions
from worldbench.core.model import SequenceModel
from worldbench.core.world import World
from worldbench.metrics.evaluation import truth

SHARES = (1 / 75, 2 / 75, 4 / 75, 8 / 75, 15 / 75)
"""Damaged edges as shares of all edges of the map (1, 2, 4, 8, 15 of the 75 edges of a small map)."""
NOISE = (0.1, 0.2, 0.3, 0.5, 1.0)
BLUR = (0.1, 0.3, 1.0, 3.0, 10.0)
DRIFT = (0.01, 0.03, 0.1, 0.3, 1.0)
MAP_KINDS = ("deleted", "added", "rewired")


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """How a world is checked.

    settings: the options of the evaluation. corruptions: how many each severity has. severities: how many each
    ladder has, always with the largest.
    """

    settings: CommonOptions
    corruptions: int = 10
    severities: int = 5

    def __post_init__(self) -> None:
        if self.corruptions < 2:
            raise InputError(f"--corruptions must be at least 2, not {self.corruptions}: an interval needs two")
        if not 1 <= self.severities <= len(SHARES):
            raise InputError(f"--severities must be 1 .. {len(SHARES)}, not {self.severities}")

    def sizes(self, kind: str, world: World) -> list[float]:
        """The sizes of a kind of damage, ascending, without the undamaged end. On a map, each severity has at least
        one more damaged edge than the previous one."""
        chosen = (
            [round(i * (len(SHARES) - 1) / max(self.severities - 1, 1)) for i in range(self.severities)]
            if self.severities > 1
            else [len(SHARES) - 1]
        )
        if kind == "noise":
            return [NOISE[i] for i in chosen]
        if kind in ("blur", "drift"):
            return [(BLUR if kind == "blur" else DRIFT)[i] for i in chosen]
        damageable = world.damageable() if isinstance(world, HasDamage) else 0
        out: list[float] = []
        for i in chosen:
            out.append(max(round(SHARES[i] * damageable), (int(out[-1]) if out else 0) + 1))
        return out


def kinds(world: World) -> list[str]:
    """The kinds of damage for a world. Noise on logits is left out if the exact law never leaves a choice."""
    of_map = MAP_KINDS if isinstance(world, HasDamage) else ()
    return [*of_map, *(("noise",) if leaves_choice(world) else ()), "blur", "drift"]


def leaves_choice(world: Able) -> bool:
    """True if the exact law somewhere gives more than one token a probability above 0. (Tested on 200 documents.)"""
    known = truth(world, world.sample(0, "test", 0, 200))
    return known.law is None or bool((known.law[known.scored].max(axis=1) < 1).any())


def damaged(world: World, kind: str, size: float, corruption: int) -> SequenceModel:
    from worldbench.baselines.corrupted import Blurred, Corrupted, CorruptedConfig

    if kind in ("blur", "drift"):
        return Blurred(world, size, corruption, made=kind == "drift")
    options: dict[str, Any] = {"rewired": 0, kind: size if kind == "noise" else int(size)}
    return Corrupted(world, CorruptedConfig(**options), corruption)

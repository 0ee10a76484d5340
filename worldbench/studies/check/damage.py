"""The damage that a check uses: kinds, sizes, and the damaged models.

A ladder is one kind of damage at increasing severities. Each severity is measured on several corruptions. All
severities use the same prompts and random draws of the evaluation (common random numbers). A larger damage contains
the smaller one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from worldbench.core.abilities import Able, HasDamage, HasGoals, lacking
from worldbench.core.errors import InputError
from worldbench.core.eval_config import CommonOptions
from worldbench.core.metric import DAMAGE
from worldbench.core.model import SequenceModel
from worldbench.core.world import World
from worldbench.metrics.evaluation import truth

MAP_SHARES = (1 / 75, 2 / 75, 4 / 75, 8 / 75, 15 / 75)
"""Damaged edges as shares of all edges of the map (1, 2, 4, 8, 15 of the 75 edges of a small map)."""
MAP_KINDS = ("deleted", "added", "rewired")
SIZES: dict[str, tuple[float, ...]] = {
    "noise": (0.1, 0.2, 0.3, 0.5, 1.0),
    "blur": (0.1, 0.3, 1.0, 3.0, 10.0),
    "drift": (0.01, 0.03, 0.1, 0.3, 1.0),
    "wrong_goal": (0.05, 0.1, 0.2, 0.5, 1.0),
    "blind": (0.05, 0.1, 0.2, 0.5, 1.0),
    "late": (0.05, 0.1, 0.2, 0.5, 1.0),
    "forgets": (0.2, 0.4, 0.6, 0.8, 0.9),
    "leak": (0.001, 0.003, 0.01, 0.03, 0.1),
    "temperature": (1.1, 1.25, 1.5, 2.0, 4.0),
}
"""Sizes of the other kinds, in the units of `CorruptedConfig` (noise .. temperature) and of `Blurred` (blur, drift)."""
SEVERITIES = len(MAP_SHARES)
WITHOUT_CHANCE = ("blind", "forgets", "leak", "temperature")
"""Kinds of which all corruptions are the same: nothing is drawn."""


def undamaged(kind: str) -> float:
    """The size at which a kind of damage leaves the exact model as it is."""
    return 1.0 if kind == "temperature" else 0.0


def like_undamaged(kind: str) -> str:
    """A kind of damage whose undamaged model is the same as that of `kind`, so that it is measured once for all."""
    return "blur" if kind in ("blur", "drift") else "noise"


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
        if not 1 <= self.severities <= SEVERITIES:
            raise InputError(f"--severities must be 1 .. {SEVERITIES}, not {self.severities}")

    def sizes(self, kind: str, world: World) -> list[float]:
        """The sizes of a kind of damage, ascending, without the undamaged end. On a map, each severity has at least
        one more damaged edge than the previous one."""
        chosen = (
            [round(i * (SEVERITIES - 1) / max(self.severities - 1, 1)) for i in range(self.severities)]
            if self.severities > 1
            else [SEVERITIES - 1]
        )
        if kind not in MAP_KINDS:
            return [SIZES[kind][i] for i in chosen]
        damageable = world.damageable() if isinstance(world, HasDamage) else 0
        out: list[float] = []
        for i in chosen:
            out.append(max(round(MAP_SHARES[i] * damageable), (int(out[-1]) if out else 0) + 1))
        return out


def kinds(world: Able) -> dict[str, str | None]:
    """Every kind of damage: None if the world can be damaged so, else the reason why not, in one sentence."""
    known = truth(world, world.sample(0, "test", 0, 200))
    law = None if known.law is None else known.law[known.scored]
    choice = law is None or bool((law.max(axis=1) < 1).any())
    even = law is not None and bool(((law == 0) | (law > law.max(axis=1, keepdims=True) - 1e-9)).all())
    out: dict[str, str | None] = dict.fromkeys(DAMAGE)
    for kind in MAP_KINDS:
        out[kind] = lacking((HasDamage,), world)
    for kind in ("wrong_goal", "blind"):
        out[kind] = lacking((HasGoals,), world)
    for kind in ("noise", "temperature"):
        if not choice:
            out[kind] = "the exact law gives each next token probability 1, so its logits do not matter"
        elif even and kind == "temperature":
            out[kind] = "the possible next tokens are equally likely in the exact law, at every temperature"
    if world.labelled:
        out["leak"] = "the world asks for labels, and every label is legal"
    elif known.legal[known.scored].all():
        out["leak"] = "every token is always legal"
    if world.longest < 2:
        out["late"] = "documents have one predicted token: there is none before it"
    return out


def damaged(world: World, kind: str, size: float, corruption: int) -> SequenceModel:
    """The exact model of the world with damage of one kind. corruption: the seed of the damage."""
    from worldbench.baselines.blurred import Blurred
    from worldbench.baselines.corrupted import Corrupted
    from worldbench.baselines.corrupted_config import CorruptedConfig

    if kind in ("blur", "drift"):
        return Blurred(world, size, corruption, made=kind == "drift")
    options: dict[str, Any] = {"rewired": 0, kind: int(size) if kind in MAP_KINDS else size}
    return Corrupted(world, CorruptedConfig(**options), corruption)

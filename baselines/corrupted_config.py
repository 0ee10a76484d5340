"""The options of the reference `corrupted`: the kinds of damage, and their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from worldbench.core.errors import InputError

MAP_DAMAGE = ("deleted", "added", "rewired")
SHARES = ("wrong_goal", "blind", "late", "forgets", "leak")


@dataclass(frozen=True, kw_only=True)
class CorruptedConfig:
    """The damage to the oracle. The seed of the run chooses the edges, the prompts, the positions and the noise. Larger
    damage of a kind includes all smaller damage of this kind."""

    deleted: int = 0
    """Number of edges that are deleted from the map."""
    added: int = 0
    """Number of edges that are added to the map, each between two random nodes, in a direction that was free."""
    rewired: int = 4
    """Number of edges whose end is moved to another random node."""
    wrong_goal: float = 0.0
    """Share of the prompts after which the model aims at another goal. A hash of the prompt chooses the prompts and the
    goals."""
    blind: float = 0.0
    """Weight of the law of a reader who does not see the goal. 1: the model does not know the goal."""
    late: float = 0.0
    """Share of the positions at which the model gives the distribution of one token earlier. A hash of the prefix
    chooses the positions."""
    forgets: float = 0.0
    """Share of the longest continuation, at its end, in which the model predicts uniformly. Before that the model is
    exact."""
    temperature: float = 1.0
    """The logits are divided by this number. Above 1 the model is less sure than the law, below 1 it is too sure."""
    noise: float = 0.0
    """Standard deviation, in nats, of Gaussian noise on the logits of possible actions. The noise is a function of the
    prefix: the same prefix always gets the same noise."""
    leak: float = 0.0
    """Share of the probability that is spread over the illegal tokens."""
    floor: float = 1e-6
    """Share of the uniform distribution over all actions that is mixed in, so that every loss is finite."""

    def __post_init__(self) -> None:
        for name in (*MAP_DAMAGE, "noise"):
            if not getattr(self, name) >= 0:
                raise InputError(f"model.{name} must be 0 or more, not {getattr(self, name)}")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"model.{name} must be a share between 0 and 1, not {getattr(self, name)}")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"model.temperature must be above 0 and finite, not {self.temperature}")
        if not 0 <= self.floor < 1:
            raise InputError(f"model.floor must be at least 0 and below 1, not {self.floor}")

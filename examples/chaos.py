"""A world without states and without a law, in one file: `worldbench run chaos --plugin examples/chaos.py`.

A document is an orbit of the logistic map x -> rate x (1 - x), of which only the tenth of the interval is written down.
What comes next follows from x, which nobody sees; its exact probability given the tokens is not computed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.registry import worlds
from worldbench.core.world import Documents, Vocabulary, World


@dataclass(frozen=True, kw_only=True)
class ChaosConfig:
    """Orbits of the logistic map."""

    rate: float = 3.9
    """The rate of the map. Orbits are chaotic at most rates from 3.57 to 4."""
    length: int = 40
    """Number of tokens of a document."""

    def __post_init__(self) -> None:
        if not 3 < self.rate <= 4 or self.length < 8:
            raise InputError(
                f"env.rate must lie in (3, 4] and env.length be at least 8, not {self.rate}, {self.length}"
            )


class Chaos(World):
    name, version, prompt_length = "chaos", 1, 4
    vocabulary = Vocabulary(("<pad>", *"0123456789"), pad=0, end=None, actions=tuple(range(1, 11)))

    def __init__(self, config: ChaosConfig) -> None:
        self.config, self.context = config, config.length
        self.longest = self.context - self.prompt_length

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        x = streams.uniform(start, count, 1, "chaos", seed, split)[:, 0] * 0.98 + 0.01
        tokens = np.empty((count, self.context), np.int32)
        for t in range(self.context):
            tokens[:, t] = 1 + (x * 10).astype(np.int32)
            x = self.config.rate * x * (1 - x)
        return Documents(tokens, np.full(count, self.context, np.int32), np.ones(count, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = self.sample(seed, "test", 0, 2000).tokens[:, : self.prompt_length]
        first = np.sort(np.unique(tokens, axis=0, return_index=True)[1])[:count]
        return tokens[first], np.full(len(first), self.prompt_length, np.int32)

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, **asdict(self.config)}

    def card(self, documents: int) -> dict[str, Any]:
        return {"documents": documents, "held_out": "other orbits; nearly every orbit begins at another number"}


worlds.add("chaos", "orbits of the logistic map, written in tenths", Chaos, config=ChaosConfig)

"""A world of your own in one file: a walk on a ring of streets, `worldbench run ring --plugin examples/ring.py`.

A prompt names the place where a walk starts. Each move goes left or right along the ring, right with probability
`right`. The walk ends when it is back at its start, and at the latest after `most_moves` moves. The state is (place,
start, moves). The law is exact. Held-out prompts start at held-out places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.presets import Preset
from worldbench.core.registry import worlds
from worldbench.core.sampling import documents_by_law
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton, Documents, States, Vocabulary

PAD, END, LEFT, RIGHT, FIRST_PLACE = 0, 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class RingConfig:
    """A walk on a ring."""

    size: int = 12
    """Places on the ring."""
    right: float = 0.6
    """Probability of a move to the right."""
    most_moves: int = 12
    """Most moves of a walk."""

    def __post_init__(self) -> None:
        if self.size < 3 or self.most_moves < 2 or not 0 < self.right < 1:
            raise InputError(
                "the options env need size >= 3, most_moves >= 2 and 0 < right < 1, "
                f"not {self.size}, {self.most_moves} and {self.right}"
            )


@dataclass
class RingStates(States):
    """Place and start on the ring, number of moves, and outcome so far, all int64 [N]."""

    place: np.ndarray
    origin: np.ndarray
    moves: np.ndarray
    status: np.ndarray

    def must_end(self, most_moves: int) -> np.ndarray:
        """True where a walk is back at its start (after two moves or more), or has no moves left: bool [N]."""
        return ((self.place == self.origin) & (self.moves >= 2)) | (self.moves == most_moves)


class Ring(Automaton[RingStates]):
    """Documents have the form `place move .. move end`. On a ring of three places: `p0 right right right end`."""

    name, version = "ring", 2  # raise the version when any sequence changes

    def __init__(self, config: RingConfig) -> None:
        self.config, self.held_out = config, np.arange(0, config.size, 4)
        words = ("<pad>", "end", "left", "right", *(f"p{i}" for i in range(config.size)))
        self.vocabulary = Vocabulary(words, pad=PAD, end=END, actions=(LEFT, RIGHT, END))
        self.prompt_length, self.longest, self.context = 1, config.most_moves + 1, config.most_moves + 2

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        u = streams.uniform(start, count, 1 + self.longest, "ring", seed, split)
        places = self.held_out if split == "test" else np.setdiff1d(np.arange(self.config.size), self.held_out)
        prompts = FIRST_PLACE + places[(u[:, :1] * len(places)).astype(np.int64)]
        return documents_by_law(self, prompts, np.ones(count, np.int64), u[:, 1:])

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        places = streams.generator("ring prompts", seed).permutation(self.held_out)[:count]
        return (FIRST_PLACE + places[:, None]).astype(np.int32), np.ones(len(places), np.int32)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> RingStates:
        place = tokens[:, 0].astype(np.int64) - FIRST_PLACE
        good = (place >= 0) & (place < self.config.size)
        place = np.where(good, place, 0)
        return RingStates(place, place, np.zeros_like(place), np.where(good, OPEN, ILLEGAL))

    def step(self, states: RingStates, tokens: np.ndarray) -> RingStates:
        going, ends = states.status == OPEN, states.must_end(self.config.most_moves)
        moving = going & ~ends & ((tokens == LEFT) | (tokens == RIGHT))
        wrong = np.where(tokens == END, np.where(ends, ARRIVED, MISPLACED_END), ILLEGAL)
        place = (states.place + np.where(tokens == RIGHT, 1, -1)) % self.config.size
        place, status = np.where(moving, place, states.place), np.where(going & ~moving, wrong, states.status)
        return RingStates(place, states.origin, states.moves + moving, status)

    def legal(self, states: RingStates) -> np.ndarray:
        ends = states.must_end(self.config.most_moves)[:, None]
        return np.concatenate([~ends, ~ends, ends], axis=1) & (states.status == OPEN)[:, None]

    def outcome(self, states: RingStates) -> np.ndarray:
        return states.status

    def law(self, states: RingStates) -> np.ndarray:
        law = self.legal(states) * np.array([1 - self.config.right, self.config.right, 1.0])
        return np.where(law.any(1, keepdims=True), law, 1 / 3)

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, **vars(self.config)}

    def card(self, documents: int) -> dict[str, Any]:
        return {"places": self.config.size, "documents": documents, "held_out": "every fourth place as a start"}


PRESETS = {
    "quick": Preset(
        line="a ring of 12 places, a minute or two on one CPU core",
        model={"layers": 2, "heads": 2, "width": 32},
        train={"steps": 1000, "batch": 64},
    ),
    "large": Preset(line="a ring of 100 places", env={"size": 100, "most_moves": 100}, sizes="long"),
}
worlds.add("ring", "a walk on a ring, back to its start", Ring, config=RingConfig, presets=PRESETS)

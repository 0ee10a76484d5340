"""A world of one's own in one file: a walk on a ring of streets, `worldbench run ring --plugin examples/ring.py`.

A prompt names the place to start from; each move goes left or right along the ring, right with probability `right`; the walk ends where it began or, at the
latest, after `longest` moves. The state is (place, start, moves), the law is exact, and held-out prompts are held-out starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.presets import Preset
from worldbench.core.registry import worlds
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Documents, States, Vocabulary, World

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
            raise InputError(f"env: size >= 3, most_moves >= 2 and 0 < right < 1 are needed, not {self.size}, {self.most_moves} and {self.right}")


@dataclass
class RingStates(States):
    """All int64 [N]: place and start on the ring, moves made, and the outcome so far."""

    place: np.ndarray
    start: np.ndarray
    moves: np.ndarray
    status: np.ndarray


class Ring(World[RingStates]):
    """Documents read `place move .. move end`: a walk, which ends when it is back (after two moves or more) or has used its moves up.

    With three places, 0 and most moves 4:  `0 right right right end`, `0 left right end`.
    """

    name = "ring"
    version = 1

    def __init__(self, config: RingConfig) -> None:
        self.config = config
        words = ("<pad>", "end", "left", "right", *(f"p{i}" for i in range(config.size)))
        self.vocabulary = Vocabulary(words=words, pad=PAD, end=END, actions=(LEFT, RIGHT, END))
        self.prompt_length = 1
        self.longest = config.most_moves + 1
        self.context = 1 + self.longest

    def _held_out(self) -> np.ndarray:
        """The starts that training never shows: every fourth place."""
        return np.arange(0, self.config.size, 4)

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        uniform = streams.uniform(start, count, 1 + self.config.most_moves, "ring", seed, split)
        starts = self._held_out() if split == "test" else np.setdiff1d(np.arange(self.config.size), self._held_out())
        tokens = np.zeros((count, self.context), np.int32)
        tokens[:, 0] = FIRST_PLACE + starts[(uniform[:, 0] * len(starts)).astype(int)]
        states = self.start(tokens[:, :1], np.ones(count, np.int64))
        for t in range(1, self.context):
            walking = states.status == OPEN
            stops = self._must_end(states)
            move = np.where(uniform[:, min(t, self.config.most_moves)] < self.config.right, RIGHT, LEFT)
            tokens[walking, t] = np.where(stops, END, move)[walking]
            states = self.step(states, np.where(walking, tokens[:, t], PAD))
        return Documents(tokens, (tokens != PAD).sum(1).astype(np.int32), np.ones(count, np.int32))

    def _must_end(self, states: RingStates) -> np.ndarray:
        back = (states.place == states.start) & (states.moves >= 2)
        return back | (states.moves == self.config.most_moves)

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        starts = streams.generator("ring prompts", seed).permutation(self._held_out())[:count]
        return (FIRST_PLACE + starts[:, None]).astype(np.int32), np.ones(len(starts), np.int32)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> RingStates:
        place = tokens[:, 0].astype(np.int64) - FIRST_PLACE
        good = (place >= 0) & (place < self.config.size)
        return RingStates(np.where(good, place, 0), np.where(good, place, 0), np.zeros(len(place), np.int64), np.where(good, OPEN, ILLEGAL))

    def step(self, states: RingStates, tokens: np.ndarray) -> RingStates:
        going, stops = states.status == OPEN, self._must_end(states)
        moving = going & ~stops & ((tokens == LEFT) | (tokens == RIGHT))
        status = np.where(going & ~moving, np.where(tokens == END, np.where(stops, ARRIVED, MISPLACED_END), ILLEGAL), states.status)
        place = (states.place + np.where(tokens == RIGHT, 1, -1)) % self.config.size
        return RingStates(np.where(moving, place, states.place), states.start, states.moves + moving, status)

    def legal(self, states: RingStates) -> np.ndarray:
        stops, going = self._must_end(states), states.status == OPEN
        return np.stack([~stops & going, ~stops & going, stops & going], axis=1)

    def law(self, states: RingStates) -> np.ndarray:
        law = self.legal(states) * np.array([1 - self.config.right, self.config.right, 1.0])
        return np.where(law.any(1, keepdims=True), law, 1 / 3)

    def outcome(self, states: RingStates) -> np.ndarray:
        return states.status

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, "size": self.config.size, "right": self.config.right, "most_moves": self.config.most_moves}

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
worlds.add("ring", "a walk on a ring, back to where it began", Ring, config=RingConfig, presets=PRESETS)

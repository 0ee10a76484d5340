"""What a metric works on: a model in a world, the evaluation's own streams, and the work that metrics share, done once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldbench.core.model import SequenceModel
from worldbench.core.world import Documents, States, World
from worldbench.metrics.config import EvalConfig
from worldbench.metrics.rollout import CHUNK, Choice, Kind, Rides, roll_out


class Evaluation:
    """One model scored in one world. Draws nothing from any training stream."""

    def __init__(self, world: World, model: SequenceModel, settings: EvalConfig | None = None) -> None:
        self.world, self.model = world, model
        self.settings = settings or EvalConfig()
        self.seed = self.settings.seed
        self._rides: dict[tuple[str, float, str], Rides] = {}
        self._prompts, self._asked = (np.empty((0, 0), np.int32), np.empty(0, np.int32)), 0

    def prompts(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first `count` distinct held-out prompts (or as many as there are): tokens [N, P], lengths [N]."""
        if self._asked < count:
            self._prompts, self._asked = self.world.prompts(self.seed, count), count
        tokens, lengths = self._prompts
        return tokens[:count], lengths[:count]

    def rides(self, choice: Choice, count: int, detour: float = 0.0, kind: Kind = "random") -> Rides:
        """One decoded ride for each of the first `count` prompts, with detours of that probability and kind. What was decoded is not decoded again."""
        key = (choice, detour, kind if detour else "")
        have = self._rides.get(key)
        if have is not None and len(have) >= count:
            return have.first(count)
        prompts, lengths = self.prompts(count)
        done = 0 if have is None else len(have)
        if have is None or len(prompts) > done:
            more = roll_out(self.world, self.model, prompts[done:], lengths[done:], self.seed, choice, detour, start=done, kind=kind)
            have = more if have is None else Rides(*(np.concatenate([getattr(have, f), getattr(more, f)]) for f in Rides.__dataclass_fields__))
            self._rides[key] = have
        return have.first(count)

    @cached_property
    def documents(self) -> Documents:
        """Held-out documents for teacher-forced metrics."""
        return self.world.sample(self.seed, "test", 0, self.settings.documents)


@dataclass(frozen=True)
class Truth:
    """The world's own view of every predicted token of some documents.

    scored: bool [N, T], is token t of the document predicted (not given, not padding)? legal: bool [N, T, A], what the rule allows there.
    law: float64 [N, T, A], the exact law there, or None where the world has none.
    """

    documents: Documents
    scored: np.ndarray
    legal: np.ndarray
    law: np.ndarray | None


def walk(world: World, documents: Documents) -> Iterator[tuple[int, np.ndarray, States]]:
    """Walk documents through the world, all rows at once: for each predicted position t, the rows int [M] that have it and their states before that token."""
    n = len(documents)
    longest_prompt = int(documents.prompt_length.max())
    states = world.start(documents.tokens[:, :longest_prompt], documents.prompt_length)
    states = states.take(np.arange(n))  # a copy: rows are overwritten below
    for t in range(int(documents.prompt_length.min()), int(documents.length.max())):
        rows = np.flatnonzero((t >= documents.prompt_length) & (t < documents.length))
        here = states.take(rows)
        yield t, rows, here
        states.put(rows, world.step(here, documents.tokens[rows, t]))


def truth(world: World, documents: Documents) -> Truth:
    """The world's view of every predicted token."""
    n, width = documents.tokens.shape
    actions = len(world.vocabulary.actions)
    scored, legal, law = np.zeros((n, width), bool), np.zeros((n, width, actions), bool), None
    for t, rows, here in walk(world, documents):
        scored[rows, t] = True
        legal[rows, t] = world.legal(here)
        exact = world.law(here)
        if exact is not None:
            law = np.zeros((n, width, actions)) if law is None else law
            law[rows, t] = exact
    return Truth(documents, scored, legal, law)


def chunks(documents: Documents) -> Iterator[Documents]:
    """Documents in chunks that bound the memory of logits and of the exact law."""
    for i in range(0, len(documents), CHUNK):
        yield Documents(documents.tokens[i : i + CHUNK], documents.length[i : i + CHUNK], documents.prompt_length[i : i + CHUNK])

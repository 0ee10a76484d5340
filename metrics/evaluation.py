"""What a metric works on: a model in a world, the streams of the evaluation, and work that metrics share, done once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from worldbench.core.abilities import Able, HasLaw
from worldbench.core.errors import InputError
from worldbench.core.eval_config import CommonOptions, eval_config
from worldbench.core.model import SequenceModel
from worldbench.core.states import replay
from worldbench.core.world import Automaton, Documents, States, World
from worldbench.metrics.rollout import CHUNK, Choice, Kind, Rides, roll_out

MOST_LOGITS = 1 << 27
"""Most logits of one chunk of documents."""


class Evaluation:
    """One model scored in one world. Draws nothing from any training stream.

    apart: whether the present metric says that it may be measured in a process of its own (`Metric.apart`).
    """

    def __init__(self, world: World, model: SequenceModel, settings: CommonOptions | None = None) -> None:
        self.world: Able = world
        self.model: Able = model
        self.settings: Any = settings or eval_config()
        self.seed = self.settings.seed
        self.apart = False
        self._rides: dict[tuple[str, float, str], Rides] = {}
        self._prompts, self._asked = (np.empty((0, 0), np.int32), np.empty(0, np.int32)), 0

    def prompts(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first `count` distinct held-out prompts (or as many as there are): tokens [N, P], lengths [N]."""
        if self._asked < count:
            self._prompts, self._asked = self.world.prompts(self.seed, count), count
        tokens, lengths = self._prompts
        return tokens[:count], lengths[:count]

    def rides(self, choice: Choice, count: int, detour: float = 0.0, kind: Kind = "random") -> Rides:
        """One decoded ride for each of the first `count` prompts, with detours of that probability and kind. What was
        decoded is not decoded again. Raises InputError for a metric that says that it asks for none."""
        if self.apart:
            raise InputError("a metric with `apart = True` asks for rides, which metrics share; leave out `apart`")
        key = (choice, detour, kind if detour else "")
        have = self._rides.get(key)
        if have is not None and len(have) >= count:
            return have.first(count)
        prompts, lengths = self.prompts(count)
        done = 0 if have is None else len(have)
        if have is None or len(prompts) > done:
            more = roll_out(
                self.world, self.model, prompts[done:], lengths[done:], self.seed, choice, detour, start=done, kind=kind
            )
            have = more if have is None else Rides.concat([have, more])
            self._rides[key] = have
        return have.first(count)

    @cached_property
    def documents(self) -> Documents:
        """Held-out documents for teacher-forced metrics."""
        return self.world.sample(self.seed, "test", 0, self.settings.documents)


@dataclass(frozen=True)
class Truth:
    """The world's own view of every place where documents ask for something.

    Places are named by the tokens seen there, 0 .. W - 1: W is T, or T + 1 where labels are asked for, also after the
    last token.
    scored: bool [N, W], is something asked for there? legal: bool [N, W, A], the tokens that the rule allows next.
    law: float64 [N, W, A], the exact law of what is asked for, over the answers; None where the world has none.
    """

    documents: Documents
    scored: np.ndarray
    legal: np.ndarray
    law: np.ndarray | None


def walk(world: Automaton, documents: Documents) -> Iterator[tuple[int, np.ndarray, States]]:
    """Follow documents through the world, all rows at once. For each number of tokens seen: the rows, int [M], of which
    something is asked there, and their states."""
    labels = documents.labels
    for seen, rows, here in replay(world, documents, ends=labels is not None):
        if labels is None:
            yield seen, rows, here
        elif seen and (asked := labels[rows, seen - 1] >= 0).any():
            yield seen, rows[asked], here.take(asked)


def truth(world: Automaton, documents: Documents) -> Truth:
    """The world's view of every place where something is asked for."""
    n, width = documents.tokens.shape
    width += documents.labels is not None
    scored, legal = np.zeros((n, width), bool), np.zeros((n, width, len(world.vocabulary.actions)), bool)
    law_of = world.law if isinstance(world, HasLaw) else None
    law = None if law_of is None else np.zeros((n, width, len(world.vocabulary.answers)))
    for seen, rows, here in walk(world, documents):
        scored[rows, seen] = True
        legal[rows, seen] = world.legal(here)
        if law is not None and law_of is not None:
            law[rows, seen] = law_of(here)
    return Truth(documents, scored, legal, law)


def chunks(documents: Documents, words: int = 0) -> Iterator[Documents]:
    """Documents in chunks that bound the memory of the exact law; and of logits over a vocabulary of `words` tokens, if
    words is not 0."""
    rows = max(1, min(CHUNK, MOST_LOGITS // max(1, documents.tokens.shape[1] * words)))
    for i in range(0, len(documents), rows):
        yield documents.take(slice(i, i + rows))


def single_prompt(world: World) -> str | None:
    """The reason why metrics of rides from distinct prompts do not apply; None where they do."""
    if len(world.prompts(0, 2)[0]) < 2:
        return f"the world {world.name!r} has a single prompt: there are no distinct rides to ask for"
    return None

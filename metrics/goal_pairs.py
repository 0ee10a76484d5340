"""Pairs of prefixes that differ in nothing but the goal in the prompt: the same place, the same tokens, another goal.

Only a model that uses the goal can tell the two prefixes of a pair apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able
from worldbench.core.world import Documents
from worldbench.metrics.prefix_pairs import cut
from worldbench.metrics.suffixes import take


def goal_pairs(world: Able, seed: int, count: int, name: str, near: int | None = None) -> tuple[Documents, Documents]:
    """Prefixes of held-out documents, and the same prefixes with another goal in the prompt: at most `count` pairs.

    Under the other goal, documents can reach the place of the prefix after as many tokens. A prefix without such a goal
    is left out. near: None cuts each document before one of its predicted tokens, which is chosen evenly; otherwise
    before one of its last `near` tokens. The world must have the ability HasGoals.
    """
    documents = world.sample(seed, "test", 0, count)
    uniform = streams.uniform(0, count, 2, "evaluation", seed, name)
    predicted = documents.length - documents.prompt_length
    last = predicted if near is None else np.minimum(near, predicted)
    # `cut` takes the place among the predicted tokens as a number in [0, 1).
    first = cut(world, documents, 1 - last / predicted * (1 - uniform[:, 0]))
    goals = np.asarray(world.other_goals(world.after(first), uniform[:, 1]))
    first = take(first, np.flatnonzero(goals >= 0))
    return first, with_goals(world, first, goals[goals >= 0])


def with_goals(world: Able, documents: Documents, goals: np.ndarray) -> Documents:
    """The same documents with these goals int [N] in their prompts."""
    width = int(documents.prompt_length.max(initial=0))
    tokens = documents.tokens.copy()
    given = np.arange(width)[None, :] < documents.prompt_length[:, None]
    prompts = world.prompts_with_goals(tokens[:, :width], documents.prompt_length, goals)
    tokens[:, :width] = np.where(given, prompts, tokens[:, :width])
    return dataclasses.replace(documents, tokens=tokens)

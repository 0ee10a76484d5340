"""Draws from distributions: one index per row, whole continuations of prompts from the exact law of a world, and
distinct prompts.

Shape letters: N rows, K weights, P prompt tokens, L tokens of a continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worldbench.core.abilities import Able
from worldbench.core.documents import Documents
from worldbench.core.states import OPEN

PROMPT_BLOCK = 512
"""Test documents that are drawn together when prompts are collected."""
FRUITLESS = 20
"""Blocks in a row without a new prompt after which the search for more stops."""


def draw(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One index per row, drawn from unnormalized weights [N, K] by inverse transform sampling with `uniform` [N] in
    [0, 1). Each row needs a weight above 0. An index of weight 0 is never drawn."""
    cumulative = np.cumsum(weights, axis=1)
    return np.argmax(cumulative > (uniform * cumulative[:, -1])[:, None], axis=1)


LANES = 8
"""numpy sums a long row in this many partial sums, over blocks of at least `LEAST_BLOCK` entries."""
LEAST_BLOCK = 64


def leading_width(tokens: Sequence[int], size: int) -> int:
    """How many of the first tokens of a vocabulary of `size` hold all of `tokens`, and give the same sums, to the last
    bit, as the whole vocabulary with zeros for all other tokens; `size` if only the whole vocabulary does."""
    width = -(-(max(tokens, default=0) + 1) // LANES) * LANES
    return width if width <= LEAST_BLOCK < size else size


def continuations(
    world: Able, prompts: np.ndarray, lengths: np.ndarray, uniform: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One continuation of each prompt int [N, P], drawn from the exact law: padded tokens int32 [N, L], and their
    number [N].

    world: an Automaton that HasLaw. lengths: tokens of each prompt, int [N]. uniform: random numbers [N, L] in [0,
    1). A row continues while its state is open, for at most L tokens.
    """
    n, limit = uniform.shape
    actions = np.array(world.vocabulary.actions)
    tokens, length = np.full((n, limit), world.vocabulary.pad, np.int32), np.zeros(n, np.int64)
    states = world.start(prompts, lengths).copy()
    for t in range(limit):
        rows = np.flatnonzero(np.asarray(world.outcome(states)) == OPEN)
        if not len(rows):
            break
        here = states.take(rows)
        taken = actions[draw(world.law(here), uniform[rows, t])]
        tokens[rows, t] = taken
        length[rows] += 1
        states.put(rows, world.step(here, taken))
    return tokens, length


def documents_by_law(world: Able, prompts: np.ndarray, lengths: np.ndarray, uniform: np.ndarray) -> Documents:
    """Documents of at most `world.context` tokens: each prompt, followed by its continuation (see `continuations`)."""
    tokens, length = continuations(world, prompts, lengths, uniform)
    n = len(prompts)
    out = np.full((n, world.context + tokens.shape[1]), world.vocabulary.pad, np.int32)
    given = np.arange(prompts.shape[1])[None, :] < lengths[:, None]
    out[:, : prompts.shape[1]] = np.where(given, prompts, world.vocabulary.pad)
    out[np.arange(n)[:, None], lengths[:, None] + np.arange(tokens.shape[1])] = tokens
    return Documents(out[:, : world.context], (lengths + length).astype(np.int32), lengths.astype(np.int32))


def distinct_prompts(
    prompts: Callable[[int, int], np.ndarray], count: int, asked: Callable[[np.ndarray], np.ndarray] = lambda x: x
) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` distinct prompts of one length, in the order in which they occur: tokens int32 [N, P], and their
    lengths int32 [N]. A larger `count` gives the same prompts first.

    prompts: (start, count) -> the prompts int32 [count, P] of consecutive test documents (fewer rows, where some
    documents have none). asked: what prompts ask for, int [N, K]; prompts with equal rows are the same.
    """
    found, block, fruitless = prompts(0, 0), 0, 0
    while len(found) < count and fruitless < FRUITLESS:
        more = np.concatenate([found, prompts(block * PROMPT_BLOCK, PROMPT_BLOCK)])
        first = np.sort(np.unique(asked(more), axis=0, return_index=True)[1])
        fruitless = fruitless + 1 if len(first) == len(found) else 0
        found, block = more[first], block + 1
    found = found[:count]
    return found, np.full(len(found), found.shape[1], np.int32)

"""Pairs of prefixes of held-out documents: cut at random, and paired by what they have in common.

Shape letters: N prefixes, P pairs.
"""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able
from worldbench.core.world import Documents, World
from worldbench.metrics.kept import Kept

POOL = 20_000
"""Prefixes among which aliased pairs, and pairs in one state, are looked for."""


def cut(world: World, documents: Documents, uniform: np.ndarray) -> Documents:
    """Each document cut before one of its predicted tokens, which uniform [N] in [0, 1) chooses evenly."""
    predicted = documents.length - documents.prompt_length
    length = documents.prompt_length + (uniform * predicted).astype(np.int32)
    inside = np.arange(documents.tokens.shape[1])[None, :] < length[:, None]
    return Documents(
        np.where(inside, documents.tokens, world.vocabulary.pad), length.astype(np.int32), documents.prompt_length
    )


def last_tokens(documents: Documents, count: int) -> np.ndarray:
    """The last `count` tokens of each document: int [N, count]; -1 before its start."""
    column = documents.length[:, None] - count + np.arange(count)[None, :]
    return np.where(column >= 0, np.take_along_axis(documents.tokens, np.maximum(column, 0), axis=1), -1)


def within(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pairs of rows that agree in `groups` int [N, k], in random order: int [P, 2]. Each row is in at most one pair."""
    if not len(groups):
        return np.empty((0, 2), np.int64)
    _, label = np.unique(groups, axis=0, return_inverse=True)
    shuffled = rng.permutation(len(groups))
    order = shuffled[np.argsort(label.ravel()[shuffled], kind="stable")]
    sorted_label = label.ravel()[order]
    start = np.r_[True, np.diff(sorted_label) != 0]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(start, np.arange(len(order)), 0))
    head = np.flatnonzero((rank[:-1] % 2 == 0) & (sorted_label[:-1] == sorted_label[1:]))
    pairs = np.stack([order[head], order[head + 1]], axis=1)
    return pairs[rng.permutation(len(pairs))]


Pool = tuple[Documents, np.ndarray, np.ndarray]
_pools: Kept[Pool] = Kept()
"""The dearest part where mazes are drawn."""


def prefix_pool(world: Able, seed: int) -> Pool:
    """Prefixes of held-out documents, the predictive key of the state after each [N, k], and all aliased pairs among
    them [P, 2] in random order."""
    return _pools.get(world, seed, lambda: _pool(world, seed))


def _pool(world: Able, seed: int) -> Pool:
    uniform = streams.uniform(0, POOL, 1, "evaluation", seed, "split pool")[:, 0]
    pool = cut(world, world.sample(seed, "test", 0, POOL), uniform)
    states = world.after(pool)
    law, key = world.law(states), world.key(states)[1]
    rng = streams.generator("evaluation", seed, "split aliased")
    alike = within(np.concatenate([last_tokens(pool, 2), np.rint(law * 1e9).astype(np.int64)], axis=1), rng)
    return pool, key, alike[(key[alike[:, 0]] != key[alike[:, 1]]).any(axis=1)]

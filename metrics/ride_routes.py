"""The routes of rides: the directions that a model took, and those of held-out documents.

Shape letters: N rides, P prompt tokens, L moves.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.graph import Graph
from worldbench.core.world import Vocabulary, World
from worldbench.metrics.kept import Kept
from worldbench.metrics.routes import NO_END, NOT_A_DIRECTION, PAST_END

DATA_BLOCK, DATA_LIMIT = 1024, 65_536
"""Held-out documents that are searched at a time, and at most, for the routes of the controls."""
_routes: Kept[np.ndarray] = Kept()


def routes_of(tokens: np.ndarray, length: np.ndarray, vocabulary: Vocabulary, directions: int) -> np.ndarray:
    """The directions that each ride takes before its first `end`: int16 [N, L], PAST_END from there on.

    tokens: int [N, L], what follows the prompt. length: int [N], how many tokens count. The first `directions` actions
    of the vocabulary are the directions; any other token is NOT_A_DIRECTION. A ride that spends its budget without
    `end` gets NO_END in place of its last token.
    """
    steps = np.arange(tokens.shape[1])[None, :]
    ended = vocabulary.closes(tokens) & (steps < length[:, None])
    stop = np.where(ended.any(1), ended.argmax(1), length)
    column = vocabulary.action_of_token[tokens]
    column = np.where((column >= 0) & (column < directions), column, NOT_A_DIRECTION)
    column = np.where(steps < stop[:, None], column, PAST_END).astype(np.int16)
    open_end = np.flatnonzero(~ended.any(1))
    column[open_end, np.maximum(length[open_end] - 1, 0)] = NO_END
    return column


def routes_from_data(world: World, graph: Graph, seed: int, prompts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The route of the first held-out document with each prompt (tokens [N, P], lengths [N]): int16 [N, L]; a single
    NOT_A_DIRECTION where no document is found.

    Given its prompt, such a document is a draw from the exact law. The search stops when all are found, or after
    DATA_LIMIT documents (four for each prompt where that is more). It is the same for every model.
    """
    about = seed, graph.digest, *((str(x.dtype), x.shape, x.tobytes()) for x in (prompts, lengths))
    return _routes.get(world, about, lambda: _searched(world, graph, seed, prompts, lengths))


def _searched(world: World, graph: Graph, seed: int, prompts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    n, width = prompts.shape
    routes = np.full((n, world.longest), PAST_END, np.int16)
    routes[:, 0] = NOT_A_DIRECTION
    asked = np.where(np.arange(width)[None, :] < lengths[:, None], prompts, -1)
    missing = np.arange(n)
    for start in range(0, max(DATA_LIMIT, 4 * n), DATA_BLOCK):
        if not len(missing):
            break
        documents = world.sample(seed, "test", start, DATA_BLOCK)
        columns = np.arange(documents.tokens.shape[1])
        given = np.where(columns[None, :width] < documents.prompt_length[:, None], documents.tokens[:, :width], -1)
        _, first, which = np.unique(
            np.concatenate([given, asked[missing]]), axis=0, return_index=True, return_inverse=True
        )
        row = first[which.reshape(-1)[DATA_BLOCK:]]
        found = row < DATA_BLOCK
        row = row[found]
        take = np.minimum(documents.prompt_length[row][:, None] + np.arange(world.longest)[None, :], columns[-1])
        follows = np.take_along_axis(documents.tokens[row], take, axis=1)
        length = documents.length[row] - documents.prompt_length[row]
        routes[missing[found]] = routes_of(follows, length, world.vocabulary, len(graph.directions))
        missing = missing[~found]
    return routes

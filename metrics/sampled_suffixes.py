"""Suffixes sampled from a model after the first of two prefixes, until the model rejects a token after the second one.

The suffixes of a trial form a trie: suffixes that begin with the same tokens share the rows of the decoder for as long
as they do.

Shape letters: N trials, S suffixes of a trial, K tokens, M suffixes that go on, U nodes of the trie, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.model import Decoder, SequenceModel
from worldbench.core.sampling import draw
from worldbench.core.world import World
from worldbench.metrics.acceptance import Pairs
from worldbench.metrics.rollout import probabilities

ROWS = 1024
"""Suffixes sampled together. Their prefixes are also read together for `Sampled.laws`: another number changes the last
digits of these laws."""
SHARED = 0.75
"""Suffixes share rows of the decoder while that saves a quarter of the rows. Finished rows are dropped when they are as
many."""


@dataclass(frozen=True)
class Sampled:
    """Suffixes sampled after the first prefixes.

    tokens: int32 [N, S, K], padded with -1. length: int [N, S]. rejected: bool [N, S], the suffix ends with its first
    token that is not accepted after the second prefix. laws: float64 [2, N, V], the model's next-token distributions
    after the two prefixes.
    """

    tokens: np.ndarray
    length: np.ndarray
    rejected: np.ndarray
    laws: np.ndarray


def sample_suffixes(
    world: World, model: SequenceModel, pairs: Pairs, seed: int, name: str, suffixes: int, eps: float
) -> Sampled:
    """Suffixes drawn from the model after the first prefix, without tokens below eps. A suffix ends at `end` (if there
    is one), at the first token that is rejected after the second prefix, or at the budget."""
    n, limit = len(pairs), world.longest
    tokens = np.full((n, suffixes, limit), -1, np.int32)
    length, rejected = np.zeros((n, suffixes), np.int64), np.zeros((n, suffixes), bool)
    together = max(1, ROWS // suffixes)
    for trials in _of_like_length(pairs, together):
        prompt = pairs.first.prompt_length[trials]
        room = np.repeat(limit - (pairs.first.length[trials] - prompt), suffixes)
        uniform = streams.uniform_rows(trials, suffixes * limit, "evaluation", seed, f"{name} suffixes")
        out = _sample(world, _decoder(model, pairs, trials), uniform.reshape(-1, limit), room, eps)
        for array, found in zip((tokens, length, rejected), out):
            array[trials] = found.reshape(len(trials), suffixes, *found.shape[1:])
    groups = (np.arange(low, min(low + together, n)) for low in range(0, n, together))
    laws = [probabilities(_decoder(model, pairs, g).logits).reshape(2, len(g), -1) for g in groups]
    return Sampled(tokens, length, rejected, np.concatenate(laws, axis=1))


def _of_like_length(pairs: Pairs, most: int) -> Iterator[np.ndarray]:
    """All trials, at most `most` together: those whose prefixes are about equally long, so that little is padded."""
    order = np.argsort(pairs.first.length, kind="stable")
    yield from (np.sort(order[low : low + most]) for low in range(0, len(order), most))


def _decoder(model: SequenceModel, pairs: Pairs, trials: np.ndarray) -> Decoder:
    both = pairs.both(trials)
    return model.decoder(both.tokens[:, : int(both.length.max())], both.length)


def _sample(
    world: World, decoder: Decoder, uniform: np.ndarray, room: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens [M, K], lengths [M] and rejections [M] of the suffixes of some trials, as many of each.

    decoder: holds the first prefixes and then the second ones. uniform: float64 [M, K]. room: int [M], the most tokens
    of each suffix.
    """
    m, limit = uniform.shape
    nodes = (
        len(decoder.leading()) // 2
    )  # the decoder holds each node twice: after the first and after the second prefix
    tokens = np.full((m, limit), -1, np.int32)
    length, rejected = np.zeros(m, np.int64), np.zeros(m, bool)
    held, node = np.arange(m), np.arange(m) // (m // nodes)  # the suffixes that go on, and their nodes
    for t in range(limit):
        law = probabilities(decoder.leading())
        allowed = np.where(law[:nodes] > eps, law[:nodes], 0.0)
        some = np.asarray(allowed.any(axis=1))[node] & (t < room[held])
        held, node = held[some], node[some]
        chosen = draw(allowed[node], uniform[held, t])
        tokens[held, t] = chosen
        length[held] += 1
        refused = law[nodes:][node, chosen] <= eps
        rejected[held[refused]] = True
        going = ~refused & ~world.vocabulary.closes(chosen)
        held, node, chosen = held[going], node[going], chosen[going]
        if not len(held) or t + 1 == limit:
            break
        node, nodes = _grow(decoder, node, chosen, nodes)
    return tokens, length, rejected


def _grow(decoder: Decoder, node: np.ndarray, chosen: np.ndarray, nodes: int) -> tuple[np.ndarray, int]:
    """Feed the decoder one more token of each suffix. node, chosen: int [M], the node of each suffix and its next
    token. The new node of each suffix [M], and the number of nodes."""
    size = int(chosen.max()) + 1
    children, child = np.unique(node * size + chosen, return_inverse=True)
    if len(children) > SHARED * len(node):
        children, child = node * size + chosen, np.arange(len(node))
    parents, token = children // size, children % size
    if len(parents) > SHARED * nodes and len(np.unique(parents)) == len(parents):  # nothing branches: rows stay
        every = np.full(nodes, token[0])  # finished rows read a token that nobody looks at
        every[parents] = token
        child, token = parents[child], every
    else:
        decoder.select(np.concatenate([parents, nodes + parents]))
        nodes = len(parents)
    decoder.advance(np.tile(token, 2))
    return child, nodes

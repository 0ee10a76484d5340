"""Log probabilities of many suffixes after many prefixes, and which suffixes a model accepts. What several suffixes
share is decoded once.

Shape letters: P prefixes, M suffixes, K tokens of the longest suffix, V vocabulary.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.model import Decoder, SequenceModel, log_softmax
from worldbench.core.world import Documents

NODES = 16_384
"""Number of suffixes that are scored together. It limits the number of rows of the decoder."""
BRANCH = 512
"""Rows of a decoder at a level of the trie. More rows are decoded in branches one after another, if the decoder can
branch. Bounds memory: on a CPU, the branches have the logits of all rows together to the last digit (a test)."""
TOGETHER = 2048
"""Number of suffixes that are accepted or rejected together."""


def take(documents: Documents, rows: np.ndarray) -> Documents:
    """The chosen documents, without the columns after the longest of them."""
    length = documents.length[rows]
    return Documents(documents.tokens[rows, : int(length.max(initial=1))], length, documents.prompt_length[rows])


def score_suffixes(
    model: SequenceModel, prefixes: Documents, owner: np.ndarray, tokens: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """float64 [M, K]: the log probability of every token of every suffix, in nats; 0 after the end of a suffix.

    prefixes: P documents. owner: int [M], the index of the prefix that each suffix follows. tokens: int [M, K], the
    suffixes. length: int [M], their lengths in tokens. The suffixes of a prefix form a trie, which the cached decoder
    of the model scores level by level.
    """
    out = np.zeros(tokens.shape)
    order = np.argsort(owner, kind="stable")
    if not len(order):
        return out
    starts = np.flatnonzero(np.r_[True, np.diff(owner[order]) != 0])
    low = 0
    while low < len(starts):
        high = int(np.searchsorted(starts, starts[low] + NODES, side="right")) - 1
        high = min(max(high, low + 1), len(starts))
        part = order[starts[low] : starts[high] if high < len(starts) else len(order)]
        out[part] = _score_part(model, prefixes, owner[part], tokens[part], length[part])
        low = high
    return out


def accepted(
    model: SequenceModel, prefixes: Documents, owner: np.ndarray, tokens: np.ndarray, length: np.ndarray, eps: float
) -> np.ndarray:
    """bool [M]: has every token of a suffix a probability above eps?

    As `score_suffixes`, but a suffix is followed only to its first token that is not accepted, and prefixes of about
    one length are read together, so that little is padded.
    """
    out, least = np.ones(len(owner), bool), float(np.log(eps))
    order = np.lexsort((owner, prefixes.length[owner]))
    for low in range(0, len(order), TOGETHER):
        part = order[low : low + TOGETHER]
        log_p = _score_part(model, prefixes, owner[part], tokens[part], length[part], least)
        inside = np.arange(tokens.shape[1])[None, :] < length[part, None]
        out[part] = ((log_p > least) | ~inside).all(axis=1)
    return out


def _score_part(
    model: SequenceModel,
    prefixes: Documents,
    owner: np.ndarray,
    tokens: np.ndarray,
    length: np.ndarray,
    least: float | None = None,
) -> np.ndarray:
    """least: a suffix is not followed after a token whose log probability is not above (None: every suffix is)."""
    owners, node = np.unique(owner, return_inverse=True)
    chosen = take(prefixes, owners)
    decoder = model.decoder(chosen.tokens, chosen.length)
    out = np.zeros(tokens.shape)
    _follow(decoder, out, np.flatnonzero(length > 0), node, 0, tokens, length, least)
    return out


def _follow(
    decoder: Decoder,
    out: np.ndarray,
    going: np.ndarray,
    node: np.ndarray,
    first: int,
    tokens: np.ndarray,
    length: np.ndarray,
    least: float | None,
) -> None:
    """Score the suffixes `going` from their token `first` on, into `out` [M, K]. node: int [M], the row of the decoder
    that has read the tokens before; the entries of other suffixes have no meaning."""
    for k in range(first, tokens.shape[1]):
        law = log_softmax(decoder.leading())
        token = tokens[going, k]
        inside = token < law.shape[1]  # the other tokens have probability 0
        out[going, k] = np.where(inside, law[node[going], np.where(inside, token, 0)], -np.inf)
        goes_on = length[going] > k + 1
        if least is not None:
            goes_on &= out[going, k] > least
        longer = going[goes_on]
        if not len(longer):
            break
        size = int(tokens.max()) + 1
        children, inverse = np.unique(node[longer] * size + tokens[longer, k], return_inverse=True)
        if len(children) > BRANCH and decoder.branches:
            low = 0
            for block in np.array_split(children, -(-len(children) // BRANCH)):
                branch = decoder.branch(block // size)
                branch.advance(block % size)
                inside = (inverse >= low) & (inverse < low + len(block))
                node[longer[inside]] = inverse[inside] - low
                _follow(branch, out, longer[inside], node, k + 1, tokens, length, least)
                low += len(block)
            return
        decoder.select(children // size)
        decoder.advance(children % size)
        node[longer] = inverse
        going = longer

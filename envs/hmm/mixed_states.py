"""The mixed-state presentation: which beliefs a process can be in after L tokens, how likely each is, and the entropies that follow.

    h_L = sum over beliefs b at depth L of Pr(b) H(next token | b);      h = lim h_L, the entropy rate (nats)
(Crutchfield, Riechers & Ellison 2016; Shai et al. 2024, arXiv 2405.15943). Shape letters: V tokens, S states, M beliefs or prefixes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.errors import InputError

if TYPE_CHECKING:
    from worldbench.envs.hmm.process import Process

EQUAL = 9
"""Beliefs that agree to so many decimals are one."""
OFFSET = 0.3819660112501051
"""Shifts the borders of rounding away from the fractions with few digits, decimal or binary, that beliefs often are."""
MOST_MERGED = 2_000_000
RAREST = 1e-6
MOST_SOLVED = 500
"""A closed set of at most so many beliefs has its entropy rate solved for."""


@dataclass(frozen=True)
class MixedStates:
    """Prefixes of one length that can occur, or the beliefs they lead to: tokens int [M, L], probability [M] (summing to 1), belief [M, S]."""

    tokens: np.ndarray
    probability: np.ndarray
    belief: np.ndarray

    def __len__(self) -> int:
        return len(self.probability)


def label(belief: np.ndarray, decimals: int = EQUAL) -> np.ndarray:
    """Whole numbers [M, S], the same for beliefs that are equal but for rounding."""
    return np.floor(belief * 10.0**decimals + OFFSET).astype(np.int64)


def _children(process: Process, last: MixedStates) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every belief of a level after every token that can follow: parent [M], token [M], belief [M, S], probability [M]; impossible ones are skipped."""
    parent, token = np.repeat(np.arange(len(last)), process.n_tokens), np.tile(np.arange(process.n_tokens), len(last))
    belief, p = process.update(last.belief[parent], token)
    probability = last.probability[parent] * p
    keep = probability > 1e-300
    return parent[keep], token[keep], belief[keep], probability[keep]


def _root(process: Process) -> MixedStates:
    return MixedStates(np.zeros((1, 0), np.min_scalar_type(-process.n_tokens)), np.ones(1), process.start[None].copy())


def prefixes(process: Process, depth: int) -> list[MixedStates]:
    """Every prefix of length 0 .. depth that can occur, with its probability and belief."""
    levels = [_root(process)]
    for _ in range(depth):
        last = levels[-1]
        parent, token, belief, probability = _children(process, last)
        longer = np.concatenate([last.tokens[parent], token[:, None].astype(last.tokens.dtype)], axis=1)
        levels.append(MixedStates(longer, probability, belief))
    return levels


def merged(process: Process) -> Iterator[MixedStates]:
    """The beliefs at depth 0, 1, .. without end, equal ones merged, so that their number stays finite where the process has finitely many."""
    level = _root(process)
    while True:
        yield level
        _, _, belief, probability = _children(process, level)
        _, first, inverse = np.unique(label(belief), axis=0, return_index=True, return_inverse=True)
        level = MixedStates(np.zeros((len(first), 0), np.int8), np.bincount(inverse.ravel(), probability), belief[first])


def entropy(law: np.ndarray) -> np.ndarray:
    """Of each row, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(law > 1e-300, law * np.log(law), 0.0).sum(1)


def myopic_entropies(process: Process, depth: int, most: int = MOST_MERGED) -> np.ndarray:
    """h_L for L = 0 .. depth; fewer where a depth has over `most` beliefs."""
    out = []
    for level in itertools.islice(merged(process), depth + 1):
        out.append(float(level.probability @ entropy(process.law(level.belief))))
        if len(level) * process.n_tokens > most:
            break
    return np.array(out)


def distinct(process: Process, depth: int) -> np.ndarray:
    """How many distinct beliefs prefixes of length 0 .. L have, cumulative, for L = 0 .. depth: int [depth + 1]. InputError where they are too many."""
    seen, counts = np.empty((0, process.n_states), np.int64), []
    for level in itertools.islice(merged(process), depth + 1):
        if len(level) > MOST_MERGED:
            raise InputError(f"the process {process.name!r} has over two million beliefs at depth {len(counts)}; ask for less depth")
        seen = np.unique(np.concatenate([seen, label(level.belief)]), axis=0)
        counts.append(len(seen))
    return np.array(counts)


def entropy_rate(process: Process, tolerance: float, deepest: int, most: int = 200_000) -> float:
    """h: solved for where the beliefs are a closed set of at most 500; else h_L at the depth where it settles to `tolerance`, or that `most` beliefs reach."""
    if (exact := _closed_rate(process)) is not None:
        return exact
    before = np.inf
    for depth, level in enumerate(itertools.islice(merged(process), deepest + 1)):
        value = float(level.probability @ entropy(process.law(level.belief)))
        if (abs(before - value) < tolerance and depth > process.n_states) or len(level) * process.n_tokens > most:
            return value
        before = value
    return before


def _closed_rate(process: Process) -> float | None:
    """The entropy rate from the Markov chain of beliefs, where there are at most 500 in all, and none leads on by a hair: beliefs that only tend to a limit
    count as equal to it in the end, and what they still doubt would decide the long run.
    """
    numbers: dict[bytes, int] = {}
    beliefs = np.empty((0, process.n_states))
    fresh, origin, target, weight = process.start[None], [], [], []
    numbers[label(fresh)[0].tobytes()] = 0
    while len(fresh):
        first = len(beliefs)
        beliefs = np.concatenate([beliefs, fresh])
        parent, _, belief, probability = _children(process, MixedStates(np.zeros((len(fresh), 0), np.int8), np.ones(len(fresh)), fresh))
        if probability.min() < RAREST:
            return None
        new = []
        for i, row in enumerate(label(belief)):
            key = row.tobytes()
            if key not in numbers:
                numbers[key] = len(numbers)
                new.append(i)
            target.append(numbers[key])
        if len(numbers) > MOST_SOLVED:
            return None
        origin += (first + parent).tolist()
        weight += probability.tolist()
        fresh = belief[new]
    chain = np.zeros((len(beliefs), len(beliefs)))
    np.add.at(chain, (origin, target), weight)
    # Half the time it stays: the same long-run shares, without the periods that would keep powers from settling.
    lazy = (chain / chain.sum(1, keepdims=True) + np.eye(len(beliefs))) / 2
    for _ in range(60):
        lazy = lazy @ lazy
        lazy /= lazy.sum(1, keepdims=True)
    return float(lazy[0] @ entropy(process.law(beliefs)))

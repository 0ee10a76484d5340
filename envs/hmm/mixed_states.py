"""The mixed-state presentation: which beliefs a process can be in after L tokens, how likely each is, and the
entropies that follow.

    h_L = sum over beliefs b at depth L of Pr(b) H(next token | b);      h = lim h_L, the entropy rate (nats)
(Crutchfield, Riechers & Ellison 2016; Shai et al. 2024, arXiv 2405.15943). Beliefs may be infinitely many, and grow as
V^L. So everything here stops at a bound of counted numbers, never of seconds: the same on every machine.

Shape letters: V tokens, S states, M beliefs or prefixes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.envs.hmm.dynamics import Dynamics

EQUAL = 9
"""Beliefs that agree to so many decimals are one."""
OFFSET = 0.3819660112501051
"""Shifts the borders of rounding away from the fractions with few digits, decimal or binary, that beliefs often are."""
MOST_BELIEFS = 200_000
"""A depth with more beliefs, before equal ones are merged, is not unfolded."""
MOST_NUMBERS = 4_000_000
"""Nor is one whose beliefs, or whose laws, hold more numbers than this: about 200 MB at work."""
MOST_IN_ALL = 12_000_000
"""Nor any depth more, once the depths so far held more numbers than this in all: about a second."""
MOST_PREFIXES = 50_000_000
"""Numbers in the prefixes of one depth, which are never merged: 400 MB."""
BESIDE = 6
"""Numbers that a belief takes beside its states: token, parent, probability, what sorting needs."""
DEEPEST = 40
"""The depth at which the entropy rate is looked for at the latest."""
RAREST = 1e-6
MOST_SOLVED = 500
"""A closed set of at most so many beliefs has its entropy rate solved for."""


@dataclass(frozen=True)
class MixedStates:
    """Prefixes of one length that can occur, or the beliefs they lead to: tokens int [M, L], probability [M] (summing
    to 1), belief [M, S]."""

    tokens: np.ndarray
    probability: np.ndarray
    belief: np.ndarray

    def __len__(self) -> int:
        return len(self.probability)


def label(belief: np.ndarray, decimals: int = EQUAL) -> np.ndarray:
    """Whole numbers [M, S], the same for beliefs that are equal but for rounding."""
    return np.floor(belief * 10.0**decimals + OFFSET).astype(np.int64)


def numbers(process: Dynamics, beliefs: int) -> int:
    """How many numbers the beliefs hold that so many beliefs lead to, by every token each."""
    return beliefs * process.n_tokens * (process.n_states + BESIDE)


def _children(process: Dynamics, last: MixedStates) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every belief of a level after every token that can follow: parent [M], token [M], belief [M, S], probability [M].

    Impossible ones are skipped.
    """
    belief, p = process.successors(last.belief)
    probability = (last.probability[:, None] * p).ravel()
    keep = probability > 1e-300
    parent, token = np.divmod(np.flatnonzero(keep), process.n_tokens)
    belief = belief.reshape(-1, process.n_states)
    return parent, token, belief if keep.all() else belief[keep], probability[keep]


def _root(process: Dynamics) -> MixedStates:
    return MixedStates(np.zeros((1, 0), np.min_scalar_type(-process.n_tokens)), np.ones(1), process.start[None].copy())


def prefixes(process: Dynamics, depth: int) -> list[MixedStates]:
    """Every prefix of length 0 .. depth that can occur, with its probability and belief. InputError where they are too
    many to hold."""
    levels = [_root(process)]
    for length in range(1, depth + 1):
        last = levels[-1]
        if numbers(process, len(last)) + len(last) * process.n_tokens * length > MOST_PREFIXES:
            raise InputError(
                f"the process {process.name!r} has up to {len(last) * process.n_tokens:,} prefixes of {length} tokens, "
                f"too many to hold; ask for at most {length - 1}"
            )
        parent, token, belief, probability = _children(process, last)
        longer = np.concatenate([last.tokens[parent], token[:, None].astype(last.tokens.dtype)], axis=1)
        levels.append(MixedStates(longer, probability, belief))
    return levels


def merged(process: Dynamics) -> Iterator[MixedStates]:
    """The beliefs at depth 0, 1, .., equal ones merged, so that their number stays finite where the process has
    finitely many.

    Ends before a depth that would exceed the bounds.
    """
    level, spent = _root(process), 0
    while True:
        yield level
        more = numbers(process, len(level))
        spent += more
        if len(level) * process.n_tokens > MOST_BELIEFS or more > MOST_NUMBERS or spent > MOST_IN_ALL:
            return
        _, _, belief, probability = _children(process, level)
        _, first, inverse = np.unique(label(belief), axis=0, return_index=True, return_inverse=True)
        laws = len(first) * process.n_tokens
        spent += laws
        if laws > MOST_NUMBERS:
            return
        level = MixedStates(
            np.zeros((len(first), 0), np.int8), np.bincount(inverse.ravel(), probability), belief[first]
        )


def entropy(law: np.ndarray) -> np.ndarray:
    """Of each row, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(law > 1e-300, law * np.log(law), 0.0).sum(1)


class Unfolding:
    """The myopic entropies of a process, each depth unfolded once."""

    def __init__(self, process: Dynamics) -> None:
        self.process = process
        self._levels = merged(process)
        self._entropies: list[float] = []
        self._last = 0
        self._ended = False

    def entropies(self, depth: int) -> np.ndarray:
        """h_L for L = 0 .. depth; fewer where the bounds end them."""
        while len(self._entropies) <= depth and not self._ended:
            if (level := next(self._levels, None)) is None:
                self._ended = True
                break
            self._entropies.append(float(level.probability @ entropy(self.process.law(level.belief))))
            self._last = len(level)
        return np.array(self._entropies[: depth + 1])

    @property
    def depth(self) -> int:
        """The last depth that was unfolded."""
        return len(self._entropies) - 1

    def shortfall(self) -> str:
        """Why no further depth is unfolded, in words."""
        beliefs = counted(self._last, "belief")
        if not self._ended:
            return f"{beliefs} at depth {self.depth}, and no deeper one was looked at"
        more = self._last * self.process.n_tokens
        return f"{beliefs} at depth {self.depth} may lead to {more:,} more, too many to unfold"


def distinct(process: Dynamics, depth: int) -> np.ndarray:
    """How many distinct beliefs prefixes of length 0 .. L have, cumulative, for L = 0 .. depth: int, fewer where the
    bounds end them."""
    seen, counts = np.empty((0, process.n_states), np.int64), []
    for level in itertools.islice(merged(process), depth + 1):
        seen = np.unique(np.concatenate([seen, label(level.belief)]), axis=0)
        counts.append(len(seen))
    return np.array(counts)


@dataclass(frozen=True)
class Rate:
    """The entropy rate in nats. settled: False where `value` is only the entropy at the last depth unfolded."""

    value: float
    settled: bool


def entropy_rate(unfolding: Unfolding, tolerance: float, deepest: int) -> Rate:
    """h: solved for where the beliefs are a closed set of at most 500; else h_L at the depth where it settles to
    `tolerance`, or the last one unfolded."""
    process = unfolding.process
    if (exact := _closed_rate(process)) is not None:
        return Rate(exact, True)
    before = np.inf
    for depth in range(deepest + 1):
        h = unfolding.entropies(depth)
        if len(h) <= depth:
            break
        if abs(before - h[depth]) < tolerance and depth > process.n_states:
            return Rate(float(h[depth]), True)
        before = float(h[depth])
    return Rate(float(before), False)


def _closed_rate(process: Dynamics) -> float | None:
    """The entropy rate from the Markov chain of beliefs, where there are at most 500 in all, and every step between
    them has a probability of at least 1e-6.

    Beliefs that only tend to a limit count as equal to it in the end, and what they still doubt would decide the long
    run: hence the least probability.
    """
    beliefs, fresh, spent = process.start[None], process.start[None], 0
    origin, target, weight = [], [], []
    while len(fresh):
        spent += numbers(process, len(fresh))
        if spent > MOST_NUMBERS:
            return None
        start = MixedStates(np.zeros((len(fresh), 0), np.int8), np.ones(len(fresh)), fresh)
        parent, _, belief, probability = _children(process, start)
        if probability.min(initial=0 if not len(probability) else 1) < RAREST:
            return None
        known = len(beliefs)
        rows = np.concatenate([label(beliefs), label(belief)])
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        number = np.argsort(np.argsort(first))[inverse.ravel()]  # by the order in which they were met
        origin.append(known - len(fresh) + parent)
        target.append(number[known:])
        weight.append(probability)
        fresh = belief[np.sort(first)[known:] - known]
        if known + len(fresh) > MOST_SOLVED:
            return None
        beliefs = np.concatenate([beliefs, fresh])
    chain = np.zeros((len(beliefs), len(beliefs)))
    np.add.at(chain, (np.concatenate(origin), np.concatenate(target)), np.concatenate(weight))
    # Half the time it stays: the same long-run shares, without the periods that would keep powers from settling.
    lazy = (chain / chain.sum(1, keepdims=True) + np.eye(len(beliefs))) / 2
    for _ in range(60):
        lazy = lazy @ lazy
        lazy /= lazy.sum(1, keepdims=True)
    return float(lazy[0] @ entropy(process.law(beliefs)))

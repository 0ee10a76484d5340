"""The mixed-state presentation of a process: the beliefs after L tokens, their probabilities, and the entropies.

The depth of a belief is L, the number of tokens that lead to it. The expected entropy of the next token at depth L is

    h_L = sum over beliefs b at depth L of Pr(b) H(next token | b)

and the entropy rate is h = lim h_L for L to infinity, in nats (Crutchfield, Riechers & Ellison 2016; Shai et al. 2024,
arXiv 2405.15943). A process may have infinitely many beliefs: their number can grow as V^L. So the computations stop
at a limit. The limit counts stored numbers, not seconds, so that results are the same on every machine.

Shape letters: V tokens, S states, M beliefs or prefixes, L length.
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
"""Beliefs that agree when rounded to this many decimals count as one belief."""
OFFSET = 0.3819660112501051
"""Added before rounding. Beliefs are often short fractions, such as 0.25. The offset keeps the borders of rounding away
from them, so that floating-point errors do not split equal beliefs."""
MOST_BELIEFS = 200_000
"""Most beliefs of one depth, counted before equal beliefs are merged."""
MOST_NUMBERS = 4_000_000
"""Most numbers that the beliefs of one depth, or their laws, may hold. The work then takes about 200 MB."""
MOST_IN_ALL = 12_000_000
"""Most numbers that all depths together may hold. The work then takes about a second."""
MOST_PRODUCTS = 1_000_000_000
"""Most products of a number of a belief and a weight of the process, at all depths together, for the same reason."""
MOST_PREFIXES = 50_000_000
"""Most numbers that the prefixes of one length may hold (400 MB). Prefixes are not merged."""
BESIDE = 6
"""Numbers stored for a belief in addition to its S entries: token, parent, probability, and work space for sorting."""


@dataclass(frozen=True)
class MixedStates:
    """The possible prefixes of one length with their beliefs, or, merged, the distinct beliefs at this depth.

    tokens: int [M, L], or [M, 0] if merged. probability: float64 [M], with sum 1. belief: float64 [M, S].
    """

    tokens: np.ndarray
    probability: np.ndarray
    belief: np.ndarray

    def __len__(self) -> int:
        return len(self.probability)


def rounded(belief: np.ndarray, decimals: int = EQUAL) -> np.ndarray:
    """Beliefs [M, S] as int64 [M, S]. Beliefs that are equal up to floating-point errors get equal rows."""
    return np.floor(belief * 10.0**decimals + OFFSET).astype(np.int64)


def successor_numbers(process: Dynamics, beliefs: int) -> int:
    """How many numbers are stored for the successors of this many beliefs, one successor per belief and token."""
    return beliefs * process.n_tokens * (process.n_states + BESIDE)


def _children(process: Dynamics, last: MixedStates) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The possible successors of the beliefs of one depth: parent [M], token [M], belief [M, S], probability [M].

    M counts pairs of a belief and a token that can follow; parent is the row of the belief.
    """
    belief, p = process.successors(last.belief)
    probability = (last.probability[:, None] * p).ravel()
    keep = probability > 1e-300
    parent, token = np.divmod(np.flatnonzero(keep), process.n_tokens)
    belief = belief.reshape(-1, process.n_states)
    return parent, token, belief if keep.all() else belief[keep], probability[keep]


def _root(process: Dynamics) -> MixedStates:
    """Depth 0: the belief before any token."""
    return MixedStates(np.zeros((1, 0), np.min_scalar_type(-process.n_tokens)), np.ones(1), process.start[None].copy())


def prefixes(process: Dynamics, depth: int) -> list[MixedStates]:
    """For each length 0 .. depth, every prefix that can occur, with its probability and belief.

    Raises InputError if the prefixes are too many for memory.
    """
    levels = [_root(process)]
    for length in range(1, depth + 1):
        last = levels[-1]
        if successor_numbers(process, len(last)) + len(last) * process.n_tokens * length > MOST_PREFIXES:
            raise InputError(
                f"the process {process.name!r} has up to {len(last) * process.n_tokens:,} prefixes of {length} tokens, "
                f"too many for memory; ask for at most {length - 1} tokens"
            )
        parent, token, belief, probability = _children(process, last)
        longer = np.concatenate([last.tokens[parent], token[:, None].astype(last.tokens.dtype)], axis=1)
        levels.append(MixedStates(longer, probability, belief))
    return levels


def merged(process: Dynamics) -> Iterator[MixedStates]:
    """Yields the distinct beliefs at depth 0, 1, .. with their probabilities, and ends before the limits are exceeded.

    Equal beliefs of one depth are merged. So a process with finitely many beliefs never exceeds the limit of one depth.
    """
    level, spent, products = _root(process), 0, 0
    while True:
        yield level
        more = successor_numbers(process, len(level))
        spent += more
        products += level.belief.size * process.n_tokens * process.n_states
        if len(level) * process.n_tokens > MOST_BELIEFS or more > MOST_NUMBERS:
            return
        if spent > MOST_IN_ALL or products > MOST_PRODUCTS:
            return
        _, _, belief, probability = _children(process, level)
        _, first, inverse = np.unique(rounded(belief), axis=0, return_index=True, return_inverse=True)
        laws = len(first) * process.n_tokens
        spent += laws
        if laws > MOST_NUMBERS:
            return
        level = MixedStates(
            np.zeros((len(first), 0), np.int8), np.bincount(inverse.ravel(), probability), belief[first]
        )


def entropy(law: np.ndarray) -> np.ndarray:
    """The entropy of each row of law [N, V], in nats: float64 [N]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(law > 1e-300, law * np.log(law), 0.0).sum(1)


class Unfolding:
    """The myopic entropies h_L of a process. The beliefs of each depth are computed once and then dropped."""

    def __init__(self, process: Dynamics) -> None:
        self.process = process
        self._levels = merged(process)
        self._entropies: list[float] = []
        self._last = 0
        self._ended = False

    def entropies(self, depth: int) -> np.ndarray:
        """h_L in nats for L = 0 .. depth: float64 [depth + 1], or fewer if the limits are reached."""
        while len(self._entropies) <= depth and not self._ended:
            if (level := next(self._levels, None)) is None:
                self._ended = True
                break
            self._entropies.append(float(level.probability @ entropy(self.process.law(level.belief))))
            self._last = len(level)
        return np.array(self._entropies[: depth + 1])

    @property
    def depth(self) -> int:
        """The largest depth computed so far."""
        return len(self._entropies) - 1

    def shortfall(self) -> str:
        """In words, why there is no entropy beyond `depth`."""
        beliefs = counted(self._last, "belief")
        if not self._ended:
            return f"{beliefs} at depth {self.depth}, and no larger depth was computed"
        more = self._last * self.process.n_tokens
        return f"{beliefs} at depth {self.depth} may lead to {more:,} more, too many to compute"


def distinct(process: Dynamics, depth: int) -> np.ndarray:
    """How many distinct beliefs the prefixes of at most L tokens have, for L = 0 .. depth.

    int [depth + 1], or fewer if the limits are reached.
    """
    seen, counts = np.empty((0, process.n_states), np.int64), []
    for level in itertools.islice(merged(process), depth + 1):
        seen = np.unique(np.concatenate([seen, rounded(level.belief)]), axis=0)
        counts.append(len(seen))
    return np.array(counts)

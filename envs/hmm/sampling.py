"""Draws tokens of a process from uniform numbers.

There are two ways. `by_states` draws the states too, and is fast. `by_beliefs` follows the belief, and also works for
generalized processes. Both have the same distribution, but the same numbers give different tokens. An outcome of a
state is a pair (token, next state) with a positive weight.
Shape letters: V tokens, S states, N rows, L length, K outcomes of all states together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.envs.hmm.dynamics import Dynamics

FEWEST_BINS, MOST_BINS = 1 << 4, 1 << 16
"""Bounds on the number of bins of a state."""
MOST_IN_TABLE = 1 << 23
"""Most entries of the table of bins (128 MB). Beyond, outcomes are found by bisection, with the same result."""
TOKEN_BITS = 17
"""Bits of the token in a packed outcome, which is next state << TOKEN_BITS | token."""


@dataclass(frozen=True)
class Guide:
    """A table for drawing an outcome of a state with one uniform number u, by inversion of the distribution.

    The outcomes of a state divide [0, 1) into intervals. The borders between the intervals are the cuts of the state:
    one fewer than its outcomes. The drawn outcome is the number of cuts that are <= u. To find it in constant time,
    [0, 1) is divided into `bins` bins of equal width, with at most one cut of a state inside a bin. So the outcome is
    the one at the start of the bin of u, plus 1 if u is at or above the cut in the bin (the guide table method of Chen
    & Asau 1974).

    bins: a power of two; 0 if up to 65,536 bins are too few.
    first: int64 [S + 1], index of the first outcome of each state. cuts: float64 [K - S]; the cuts of state s begin at
    first[s] - s. outcomes: int64 [K], packed. table, cut: [S * bins], the outcome at the start of each bin, and the cut
    inside the bin (infinity if there is none); both empty if the table would be too large.
    """

    bins: int
    first: np.ndarray
    cuts: np.ndarray
    outcomes: np.ndarray
    table: np.ndarray
    cut: np.ndarray

    @classmethod
    def of(cls, transition: np.ndarray) -> Guide:
        """transition: float64 [V, S, S], without negative weights; every state has an outcome."""
        v, s, _ = transition.shape
        weights = transition.transpose(1, 0, 2).reshape(s, v * s)
        cumulative = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        possible = weights > 0
        outcome = np.nonzero(possible)[1]
        first = np.concatenate([[0], np.cumsum(possible.sum(1))])
        keep = np.ones(len(outcome), bool)
        keep[first[1:] - 1] = False  # the interval of the last outcome ends at 1, which is not a cut
        cuts, state = cumulative[possible][keep], np.repeat(np.arange(s), np.diff(first) - 1)
        bins = _bins(state, cuts)
        table, cut = np.empty(0, np.int64), np.empty(0)
        if 0 < s * bins <= MOST_IN_TABLE:
            table, cut = np.zeros((s, bins), np.int64), np.full((s, bins), np.inf)
            edges = np.arange(bins) / bins
            for i in range(s):
                inner = cuts[first[i] - i : first[i + 1] - i - 1]
                below = np.searchsorted(inner, edges, side="right")
                split = np.searchsorted(inner, edges + 1 / bins, side="left") > below
                cut[i, split] = inner[below[split]]
                table[i] = below + first[i]
        packed = (outcome % s) * (1 << TOKEN_BITS) + outcome // s
        return cls(bins, first, cuts, packed, table.ravel(), cut.ravel())

    def outcome(self, state: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """The outcome that each row draws: indices into `outcomes`, int64 [N]. state: int [N]; uniform: float64 [N]."""
        if len(self.table):
            at = (uniform * self.bins).astype(np.int64)
            at += state * self.bins
            outcome = self.table.take(at)
            outcome += uniform >= self.cut.take(at)
            return outcome
        low, high = self.first[state] - state, self.first[state + 1] - state - 1
        while (open_ := low < high).any():  # bisection, all rows at once
            middle = (low + high) // 2
            above = open_ & (uniform >= self.cuts.take(middle, mode="clip"))
            low, high = np.where(above, middle + 1, low), np.where(open_ & ~above, middle, high)
        return low + state


def _bins(state: np.ndarray, cuts: np.ndarray) -> int:
    """The smallest number of bins, a power of two, with at most one cut of a state strictly inside each bin.

    0 if 65,536 bins are too few. state, cuts: [K - S], the state of each cut, and the cut.
    """
    bins = FEWEST_BINS
    while bins <= MOST_BINS:
        scaled = cuts * bins  # exact, because `bins` is a power of two
        bin_ = np.floor(scaled)
        inside = (scaled != bin_) & (cuts < 1)
        at = state[inside] * float(bins) + bin_[inside]
        if not (at[1:] == at[:-1]).any():
            return bins
        bins *= 2
    return 0


def by_states(process: Dynamics, guide: Guide, uniform: np.ndarray) -> np.ndarray:
    """Tokens int64 [L, N] from uniform numbers [1 + L, N] in [0, 1). The first row draws the first states."""
    state = np.minimum(np.searchsorted(np.cumsum(process.start), uniform[0], side="right"), process.n_states - 1)
    tokens = np.empty((len(uniform) - 1, uniform.shape[1]), np.int64)
    for t, u in enumerate(uniform[1:]):
        drawn = guide.outcomes.take(guide.outcome(state, u))
        state = drawn >> TOKEN_BITS
        np.bitwise_and(drawn, (1 << TOKEN_BITS) - 1, out=tokens[t])
    return tokens


def by_beliefs(process: Dynamics, uniform: np.ndarray) -> np.ndarray:
    """Tokens int64 [L, N] from uniform numbers [1 + L, N] in [0, 1). The first row is not used."""
    belief = np.repeat(process.start[None], uniform.shape[1], axis=0)
    tokens = np.empty((len(uniform) - 1, uniform.shape[1]), np.int64)
    for t, u in enumerate(uniform[1:]):
        cumulative = np.cumsum(np.maximum(process.law(belief), 0), axis=1)
        tokens[t] = np.minimum((cumulative <= (u * cumulative[:, -1])[:, None]).sum(1), process.n_tokens - 1)
        belief, _ = process.update(belief, tokens[t])
    return tokens

"""Drawing tokens of a hidden Markov process from uniform numbers.

Two ways, with different sequences and one law: by hidden states, where there are any, and by beliefs.
Shape letters: V tokens, S states, N rows, L length, K outcomes (a token and a next state, of positive weight) in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.envs.hmm.dynamics import Dynamics

FEWEST_BINS, MOST_BINS = 1 << 4, 1 << 16
MOST_IN_TABLE = 1 << 23
"""A larger table (128 MB) is not made: outcomes are searched for instead, and are the same."""
TOKEN_BITS = 17


@dataclass(frozen=True)
class Guide:
    """How to draw (token, next state) given a state by one uniform number: the outcome is how many of the state's cuts
    lie at or below that number.

    bins: a power of two, such that no bin holds more than one cut of a state; 0: there is none up to 65,536.
    first: int64 [S + 1], where the outcomes of each state begin. cuts: float64 [K - S], where those of state s begin
    at first[s] - s.
    outcomes: int64 [K], the next state above, the token below. table, cut: [S bins], the outcome at the start of each
    bin, and the cut inside the bin;
    empty where the table would be too large.
    """

    bins: int
    first: np.ndarray
    cuts: np.ndarray
    outcomes: np.ndarray
    table: np.ndarray
    cut: np.ndarray

    @classmethod
    def of(cls, transition: np.ndarray) -> Guide:
        """transition: float64 [V, S, S], no weight negative, every state with a way out."""
        v, s, _ = transition.shape
        weights = transition.transpose(1, 0, 2).reshape(s, v * s)
        cumulative = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        possible = weights > 0
        outcome = np.nonzero(possible)[1]
        first = np.concatenate([[0], np.cumsum(possible.sum(1))])
        keep = np.ones(len(outcome), bool)
        keep[first[1:] - 1] = False  # the last outcome of a state needs no cut
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
        """Which outcome each row draws: indices into `outcomes`, int64 [N]."""
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
    """The fewest bins, a power of two, with at most one cut of a state strictly inside each; 0 where 65,536 are too
    few."""
    bins = FEWEST_BINS
    while bins <= MOST_BINS:
        scaled = cuts * bins  # exact, as is every edge
        bin_ = np.floor(scaled)
        inside = (scaled != bin_) & (cuts < 1)
        at = state[inside] * float(bins) + bin_[inside]
        if not (at[1:] == at[:-1]).any():
            return bins
        bins *= 2
    return 0


def by_states(process: Dynamics, guide: Guide, uniform: np.ndarray) -> np.ndarray:
    """Tokens int64 [L, N] from draws [1 + L, N] in [0, 1): the first chooses the state."""
    state = np.minimum(np.searchsorted(np.cumsum(process.start), uniform[0], side="right"), process.n_states - 1)
    tokens = np.empty((len(uniform) - 1, uniform.shape[1]), np.int64)
    for t, u in enumerate(uniform[1:]):
        drawn = guide.outcomes.take(guide.outcome(state, u))
        state = drawn >> TOKEN_BITS
        np.bitwise_and(drawn, (1 << TOKEN_BITS) - 1, out=tokens[t])
    return tokens


def by_beliefs(process: Dynamics, uniform: np.ndarray) -> np.ndarray:
    """Tokens int64 [L, N] from draws [1 + L, N] in [0, 1), of which the first is not used."""
    belief = np.repeat(process.start[None], uniform.shape[1], axis=0)
    tokens = np.empty((len(uniform) - 1, uniform.shape[1]), np.int64)
    for t, u in enumerate(uniform[1:]):
        cumulative = np.cumsum(np.maximum(process.law(belief), 0), axis=1)
        tokens[t] = np.minimum((cumulative <= (u * cumulative[:, -1])[:, None]).sum(1), process.n_tokens - 1)
        belief, _ = process.update(belief, tokens[t])
    return tokens

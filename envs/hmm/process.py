"""Hidden Markov processes and generalized ones: sampling, exact beliefs, laws, entropies. Needs numpy alone.

A process is given in the edge-emitting form: T[x][i, j] is the weight of the step from state i to state j that emits
token x. A belief is a row vector b with one entry per state. With a column vector phi,

    law of the next token:   Pr(x | b) = b T[x] phi
    belief after token x:    b' = b T[x] / (b T[x] phi)

In a hidden Markov process, T[x][i, j] is a probability, the sum of all T[x] is a row-stochastic matrix, phi is all
ones, and b is a probability distribution over states. In a generalized process, weights and beliefs may be negative,
and phi is a right eigenvector of the sum of all T[x] with eigenvalue 1 (Riechers et al. 2025, arXiv 2507.07432; Shai
et al. 2024, arXiv 2405.15943).

Shape letters: V tokens, S states, N rows, L length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from worldbench.core.errors import InputError
from worldbench.envs.hmm import chains, sampling, validity
from worldbench.envs.hmm import mixed_states as presentation
from worldbench.envs.hmm.entropy_rate import Rate, entropy_rate
from worldbench.envs.hmm.mixed_states import MixedStates, Unfolding

CHUNK = 2048
"""Rows computed in one block. A block of this size fits into the cache of a core."""
IMPOSSIBLE = 1e-15
"""A token with at most this probability counts as impossible."""
WIDE = 1 << 15
"""Above this number of weights, a belief is multiplied by the matrix of its token alone. Below, one product with all
matrices together is faster, although most of its results are not used."""
AT_ONCE = 1 << 24
"""Most numbers that one product with all matrices may give, to limit memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Process:
    """A process over V tokens. It is stationary unless `start` is given.

    transition: float64 [V, S, S]. start: the belief before any token, float64 [S], which is divided by start phi; None:
    the stationary distribution. words: the names of the tokens. phi: float64 [S], which turns weights into
    probabilities; None: all ones, or for a generalized process the right eigenvector of the summed matrix.
    own_phi: does phi hold information that matrices and start do not determine? Then phi is part of the identity of
    the world. Raises InputError for shapes that do not fit, and for weights that do not form a
    (generalized) hidden Markov process.
    """

    name: str
    transition: np.ndarray
    start: np.ndarray = field(default=None)  # type: ignore[assignment]
    words: tuple[str, ...] = ()
    phi: np.ndarray = field(default=None)  # type: ignore[assignment]
    own_phi: bool = False
    factors: tuple[Process, ...] = ()
    """The independent processes of which this one is the product; empty if it is not given as a product."""
    hidden_markov: bool = field(init=False, default=False)
    """No weight is negative, and phi is all ones. Then beliefs are probabilities, and states can be sampled."""

    def __post_init__(self) -> None:
        t = validity.transition(self.name, self.transition)
        object.__setattr__(self, "transition", t)
        object.__setattr__(self, "words", validity.words(self.name, len(t), self.words))
        object.__setattr__(self, "phi", validity.functional(self.name, t, self.phi))
        object.__setattr__(self, "hidden_markov", bool((t >= 0).all() and (self.phi == 1).all()))
        object.__setattr__(self, "start", validity.start(self.name, t, self.phi, self.start))
        if not self.hidden_markov:
            validity.refuse_negative_laws(self)

    @property
    def n_tokens(self) -> int:
        return self.transition.shape[0]

    @property
    def n_states(self) -> int:
        return self.transition.shape[1]

    @cached_property
    def emission(self) -> np.ndarray:
        """float64 [S, V], with the columns T[x] phi. The product of a belief with this matrix is the law."""
        return (self.transition @ self.phi).T

    @property
    def stationary(self) -> bool:
        """Is the start a stationary distribution? Then h_L does not increase with L."""
        return bool(np.abs(self.start @ self.summed - self.start).max() < validity.ROUNDED)

    @cached_property
    def summed(self) -> np.ndarray:
        """The sum of the matrices over tokens, float64 [S, S]."""
        return np.asarray(self.transition.sum(0))

    @cached_property
    def _reach(self) -> np.ndarray:
        """bool [S, S]: can the chain of states go from one state to the other?"""
        return chains.reachable(self.summed)

    @cached_property
    def visited(self) -> np.ndarray:
        """bool [S]: can the state be reached from the start? Always True for a generalized process."""
        if not self.hidden_markov:
            return np.ones(self.n_states, bool)
        return np.asarray(self._reach[self.start > 0].any(axis=0))

    @cached_property
    def component(self) -> np.ndarray:
        """The component of each state, int [S]: a number that no token changes, such as the part of a mixture.

        Two states are in one component if steps in any direction connect them. Components are numbered in the order of
        their first states.
        """
        return chains.blocks(np.abs(self.transition).sum(0))

    def long_run(self) -> list[tuple[float, Process]]:
        """The stationary processes that this process becomes in the long run, each with its probability.

        For a hidden Markov process there is one for each closed class of states, for a generalized process one for
        each component.
        """
        if self.hidden_markov:
            ends = chains.long_run(self.summed, self.start, self._reach)
            return [(weight, self._part(states)) for weight, states in ends]
        inside = [np.flatnonzero(self.component == k) for k in range(self.component.max() + 1)]
        weights = [float(self.start[states] @ self.phi[states]) for states in inside]
        if len(inside) == 1 or min(weights) < 0:
            return [(1.0, self._part(np.arange(self.n_states)))]
        return [(weight, self._part(states)) for weight, states in zip(weights, inside) if weight > 0]

    def _part(self, states: np.ndarray) -> Process:
        """The process on these states [K], which no step leaves, from its stationary distribution."""
        if self.hidden_markov and self.stationary and len(states) == self.n_states:
            return self
        t = self.transition[np.ix_(np.arange(self.n_tokens), states, states)]
        phi, start = self.phi[states], self.start[states]
        if (t >= 0).all() and (phi > 0).all() and chains.irreducible(t.sum(0)):  # hidden states, perhaps in other units
            t *= phi
            t /= phi[:, None]
            kept = self.stationary and bool((start > 0).all())
            start = start * phi if kept else chains.of_class(t.sum(0), np.arange(len(states)))
            return Process(name=self.name, transition=t, start=start / start.sum(), words=self.words)
        if not self.stationary:
            total = (t.sum(0) + np.eye(len(states))) / 2  # its powers converge; they keep the stationary part
            for _ in range(40):
                total = total @ total
            start = start @ total
        return Process(name=self.name, transition=t, start=start, words=self.words, phi=phi)

    @cached_property
    def _wide(self) -> np.ndarray:
        """All matrices side by side, float64 [S, V S], for one product with all of them."""
        return np.concatenate(list(self.transition), axis=1)

    def law(self, belief: np.ndarray) -> np.ndarray:
        """The next-token law at beliefs [N, S]: float64 [N, V]."""
        return belief @ self.emission

    def update(self, belief: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs [N, S] after one more token per row, tokens [N], and the probability [N] of that token.

        An impossible token gives a belief of zeros and the probability 0.
        """
        after, rows = np.empty((len(belief), self.n_states)), max(2, AT_ONCE // (self.n_tokens * self.n_states))
        if self.transition.size > WIDE:
            order = np.argsort(tokens, kind="stable")
            ends = np.cumsum(np.bincount(tokens, minlength=self.n_tokens))
            for x in np.flatnonzero(np.diff(ends, prepend=0)):
                these = order[ends[x - 1] if x else 0 : ends[x]]
                after[these] = belief[these] @ self.transition[x]
        else:
            for low in range(0, len(belief), rows):
                part = (belief[low : low + rows] @ self._wide).reshape(-1, self.n_tokens, self.n_states)
                after[low : low + rows] = part[np.arange(len(part)), tokens[low : low + rows]]
        return _normalized(after, after @ self.phi)

    def successors(self, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs after every possible token: [N, S] -> [N, V, S], and the probabilities [N, V] of the tokens."""
        # BLAS rounds a product with one row differently, and results must not depend on the number of rows.
        rows = np.repeat(belief, 2, axis=0) if len(belief) == 1 < self.n_tokens else belief
        after = (rows @ self._wide)[: len(belief)].reshape(-1, self.n_states)
        after, p = _normalized(after, after @ self.phi)
        return after.reshape(len(belief), self.n_tokens, -1), p.reshape(len(belief), -1)

    def beliefs(self, tokens: np.ndarray) -> np.ndarray:
        """Beliefs before each token and after the last one: int [N, L] -> float64 [N, L + 1, S].

        All beliefs after an impossible token are zeros.
        """
        n, length = tokens.shape
        out = np.empty((n, length + 1, self.n_states))
        if self.transition.size > WIDE:
            out[:, 0] = self.start
            for t in range(length):
                out[:, t + 1], _ = self.update(out[:, t], tokens[:, t])
            return out
        # Axes: states first, rows last. The inner loop of every operation is then long and contiguous in memory.
        wide = self.transition.transpose(0, 2, 1).reshape(-1, self.n_states)
        phi = None if (self.phi == 1).all() else self.phi
        for low in range(0, n, CHUNK):
            part = np.ascontiguousarray(tokens[low : low + CHUNK].T)
            rows = np.arange(part.shape[1])
            b = np.repeat(self.start[:, None], part.shape[1], axis=1)
            steps = np.empty((length + 1, self.n_states, part.shape[1]))
            steps[0] = b
            for t in range(length):
                candidates = (wide @ b).reshape(self.n_tokens, self.n_states, -1)
                b = candidates[part[t], :, rows].T if self.n_tokens > 8 else _choose(part[t], candidates)
                p = b.sum(0) if phi is None else phi @ b
                if p.min() <= IMPOSSIBLE:
                    dead = p <= IMPOSSIBLE
                    b = np.where(dead, 0.0, b / np.where(dead, 1.0, p))
                else:
                    b = b / p
                steps[t + 1] = b
            out[low : low + CHUNK] = steps.transpose(2, 0, 1)
        return out

    def log_probability(self, tokens: np.ndarray) -> np.ndarray:
        """Log probability in nats of each row of tokens: int [N, L] -> float64 [N]; -inf for an impossible row."""
        belief, total = np.repeat(self.start[None], len(tokens), axis=0), np.zeros(len(tokens))
        with np.errstate(divide="ignore"):
            for column in np.asarray(tokens).T:
                belief, p = self.update(belief, column)
                total += np.log(p)
        return total

    @cached_property
    def guide(self) -> sampling.Guide:
        """The table for sampling states and tokens. Hidden Markov processes only."""
        return sampling.Guide.of(self.transition)

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Tokens uint8 or int32 [N, L] from uniform numbers [N, 1 + L] in [0, 1).

        The first number of a row draws the first state. A generalized process has no states to draw, and ignores it.
        """
        n, length = len(uniform), uniform.shape[1] - 1
        out = np.empty((n, length), np.uint8 if self.n_tokens <= 256 else np.int32)
        guide = self.guide if self.hidden_markov and self.guide.bins else None
        for low in range(0, n, CHUNK):
            drawn = np.ascontiguousarray(uniform[low : low + CHUNK].T)
            tokens = sampling.by_beliefs(self, drawn) if guide is None else sampling.by_states(self, guide, drawn)
            out[low : low + CHUNK] = tokens.T
        return out

    @cached_property
    def unfolding(self) -> Unfolding:
        """The entropies of the mixed states by depth, within the limits of `mixed_states.py`."""
        return Unfolding(self)

    def mixed_states(self, depth: int) -> list[MixedStates]:
        """For each length 0 .. depth, every prefix that can occur, with its probability and belief.

        Raises InputError if the prefixes are too many for memory.
        """
        return presentation.prefixes(self, depth)

    def myopic_entropies(self, depth: int) -> np.ndarray:
        """h_L for L = 0 .. depth, in nats: float64 [depth + 1]. h_L is the expected entropy of the next token after L
        tokens.

        Raises InputError if there are too many beliefs to reach this depth.
        """
        h = self.unfolding.entropies(depth)
        if len(h) <= depth:
            raise InputError(
                f"the process {self.name!r} has too many beliefs: {self.unfolding.shortfall()}; ask for at most "
                f"depth {len(h) - 1}"
            )
        return h

    def rate(self) -> Rate:
        """The entropy rate h in nats: exact, or between two bounds. `entropy_rate.py` says how it is computed."""
        return self._rate

    @cached_property
    def _rate(self) -> Rate:
        return entropy_rate(self)

    def entropy_rate(self) -> float:
        """The entropy rate h in nats, with an error of at most 5e-6.

        Raises InputError if it is not known so well; `rate` has its bounds.
        """
        rate = self._rate
        if (value := rate.value) is None:
            raise InputError(
                f"the entropy rate of the process {self.name!r} is only known to lie between {rate.lower:.6g} and "
                f"{rate.upper:.6g} nats; use both bounds, in `rate`"
            )
        return value

    def distinct_beliefs(self, depth: int) -> np.ndarray:
        """How many distinct beliefs the prefixes of at most L tokens have, for L = 0 .. depth: int [depth + 1].

        Raises InputError if there are too many to count.
        """
        counts = presentation.distinct(self, depth)
        if len(counts) <= depth:
            raise InputError(
                f"the process {self.name!r} has too many beliefs to count beyond depth {len(counts) - 1}; ask for "
                "at most this depth"
            )
        return counts


def _normalized(after: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The beliefs after / p, for after [N, S] and p [N], and p. Both are 0 in rows whose token is impossible."""
    possible = p > IMPOSSIBLE
    return np.where(possible[:, None], after / np.where(possible, p, 1)[:, None], 0.0), np.where(possible, p, 0.0)


def _choose(tokens: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Selects for each of N rows the candidate of its token: tokens [N], candidates [V, S, N] -> [S, N]."""
    out = candidates[0].copy()
    for x in range(1, len(candidates)):
        np.copyto(out, candidates[x], where=tokens == x)
    return out

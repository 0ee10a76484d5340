"""Hidden Markov processes and their generalisations: sampling, exact beliefs, laws, entropies. numpy only; useful
without any model.

Edge-emitting form: T[x][i, j] is the weight of going from state i to state j and emitting x. A *belief* is a row
vector b over states;
    after token x:  b' = b T[x] / (b T[x] phi),      law of the next token:  Pr(x | b) = b T[x] phi,
with phi all ones for a hidden Markov process (the T[x] then sum to a row-stochastic matrix), and the right eigenvector
of their sum for a generalised one,
whose entries may be negative (Riechers et al. 2025, arXiv 2507.07432; Shai et al. 2024, arXiv 2405.15943).

Shape letters: V tokens, S states, N rows, L length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from worldbench.core.errors import InputError
from worldbench.envs.hmm import chains, sampling, validity
from worldbench.envs.hmm import mixed_states as presentation
from worldbench.envs.hmm.mixed_states import DEEPEST, MixedStates, Rate, Unfolding

CHUNK = 2048
"""Rows worked on together: their working set stays in a core's cache."""
IMPOSSIBLE = 1e-15
"""A token of at most this probability is taken to be impossible."""
WIDE = 1 << 15
"""With more than so many weights, each belief is multiplied by the matrix of its own token alone, not by all."""
AT_ONCE = 1 << 24
"""Numbers of beliefs after every token that are held together."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Process:
    """A process over V tokens, stationary unless it has a start of its own.

    transition: float64 [V, S, S]. start: the belief before any token, float64 [S], up to a factor; None: the
    stationary distribution. words: the tokens' names.
    phi: the functional that turns weights into probabilities, float64 [S]; None: all ones, or of a generalised process
    the right eigenvector of the summed
    matrix. own_phi: whether phi says something that matrices and start do not, and so belongs to what identifies the
    process.
    Raises InputError for shapes that do not fit, and for weights that are no (generalised) hidden Markov process.
    """

    name: str
    transition: np.ndarray
    start: np.ndarray = field(default=None)  # type: ignore[assignment]
    words: tuple[str, ...] = ()
    phi: np.ndarray = field(default=None)  # type: ignore[assignment]
    own_phi: bool = False
    hidden_markov: bool = field(init=False, default=False)
    """No negative weights and phi all ones: beliefs are probabilities, and states can be sampled."""

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
        """T[x] phi, as columns: float64 [S, V]; a belief times it is the next-token law."""
        return (self.transition @ self.phi).T

    @cached_property
    def stationary(self) -> bool:
        """Whether the start is a stationary distribution, so that h_L never rises."""
        return bool(np.abs(self.start @ self.transition.sum(0) - self.start).max() < validity.ROUNDED)

    @cached_property
    def visited(self) -> np.ndarray:
        """bool [S]: the states that can be reached from the start; all of a generalised process."""
        if not self.hidden_markov:
            return np.ones(self.n_states, bool)
        return np.asarray(chains.reachable(self.transition.sum(0))[self.start > 0].any(axis=0))

    @cached_property
    def _wide(self) -> np.ndarray:
        """The matrices side by side, float64 [S, V S]: one product for all tokens."""
        return np.concatenate(list(self.transition), axis=1)

    def law(self, belief: np.ndarray) -> np.ndarray:
        """The next-token law at beliefs [N, S]: float64 [N, V]."""
        return belief @ self.emission

    def update(self, belief: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs [N, S] after one more token each [N], and the probability [N] that it had; an impossible token
        leaves zeros."""
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
        """`update` by every token: beliefs [N, S] -> [N, V, S], and the probabilities [N, V]."""
        rows = (
            np.repeat(belief, 2, axis=0) if len(belief) == 1 < self.n_tokens else belief
        )  # BLAS rounds a single row otherwise
        after = (rows @ self._wide)[: len(belief)].reshape(-1, self.n_states)
        after, p = _normalized(after, after @ self.phi)
        return after.reshape(len(belief), self.n_tokens, -1), p.reshape(len(belief), -1)

    def beliefs(self, tokens: np.ndarray) -> np.ndarray:
        """Beliefs before each token and after the last: int [N, L] -> float64 [N, L + 1, S]; zeros after an impossible
        token."""
        n, length = tokens.shape
        out = np.empty((n, length + 1, self.n_states))
        if self.transition.size > WIDE:
            out[:, 0] = self.start
            for t in range(length):
                out[:, t + 1], _ = self.update(out[:, t], tokens[:, t])
            return out
        # States first, rows last: every operation then runs along contiguous rows.
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
        """Log probability of each row, int [N, L] -> float64 [N]; -inf for an impossible one."""
        belief, total = np.repeat(self.start[None], len(tokens), axis=0), np.zeros(len(tokens))
        with np.errstate(divide="ignore"):
            for column in np.asarray(tokens).T:
                belief, p = self.update(belief, column)
                total += np.log(p)
        return total

    @cached_property
    def guide(self) -> sampling.Guide:
        """How states and tokens are drawn, of a hidden Markov process."""
        return sampling.Guide.of(self.transition)

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Tokens uint8 or int32 [N, L] from draws [N, 1 + L] in [0, 1): the first chooses the state (a generalised
        process has no use for it)."""
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
        """Its mixed states by depth, within the bounds of `mixed_states.py`."""
        return Unfolding(self)

    def mixed_states(self, depth: int) -> list[MixedStates]:
        """Every prefix of length 0 .. depth that can occur, with its probability and belief (the mixed-state
        presentation, unfolded).

        InputError where they are too many to hold.
        """
        return presentation.prefixes(self, depth)

    def myopic_entropies(self, depth: int) -> np.ndarray:
        """h_L for L = 0 .. depth, in nats: the expected entropy of the next token after L tokens. InputError where
        beliefs are too many to go so deep."""
        h = self.unfolding.entropies(depth)
        if len(h) <= depth:
            raise InputError(
                f"the process {self.name!r} has too many beliefs: {self.unfolding.shortfall()}; ask for at most "
                f"depth {len(h) - 1}"
            )
        return h

    def rate(self, tolerance: float = 1e-6, deepest: int = DEEPEST) -> Rate:
        """The entropy rate h, and whether that is what was found: exact where the process has at most 500 beliefs;
        else h_L at the depth where it settles
        to `tolerance`, or at the last depth that could be unfolded.
        """
        return presentation.entropy_rate(self.unfolding, tolerance, deepest)

    def entropy_rate(self, tolerance: float = 1e-6, deepest: int = DEEPEST) -> float:
        """h in nats, or h_L at the last depth that could be unfolded; `rate` says which."""
        return self.rate(tolerance, deepest).value

    def distinct_beliefs(self, depth: int) -> np.ndarray:
        """How many distinct beliefs prefixes of length 0 .. L have, cumulative, for L = 0 .. depth: int [depth + 1].
        InputError where they are too many."""
        counts = presentation.distinct(self, depth)
        if len(counts) <= depth:
            raise InputError(
                f"the process {self.name!r} has too many beliefs beyond depth {len(counts) - 1} to count; ask for "
                "at most that depth"
            )
        return counts


def _normalized(after: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [N, S] of probability [N] as beliefs, both 0 where the probability is."""
    possible = p > IMPOSSIBLE
    return np.where(possible[:, None], after / np.where(possible, p, 1)[:, None], 0.0), np.where(possible, p, 0.0)


def _choose(tokens: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """candidates [V, S, N] -> [S, N], each row its own token's."""
    out = candidates[0].copy()
    for x in range(1, len(candidates)):
        np.copyto(out, candidates[x], where=tokens == x)
    return out

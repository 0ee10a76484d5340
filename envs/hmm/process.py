"""Hidden Markov processes and their generalisations: sampling, exact beliefs, laws, entropies. numpy only; useful without any model.

Edge-emitting form: T[x][i, j] is the weight of going from state i to state j and emitting x. A *belief* is a row vector b over states;
    after token x:  b' = b T[x] / (b T[x] phi),      law of the next token:  Pr(x | b) = b T[x] phi,
with phi all ones for a hidden Markov process (the T[x] then sum to a row-stochastic matrix), and the right eigenvector of their sum for a generalised one,
whose entries may be negative (Riechers et al. 2025, arXiv 2507.07432; Shai et al. 2024, arXiv 2405.15943).

Shape letters: V tokens, S states, N rows, L length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.envs.hmm import mixed_states
from worldbench.envs.hmm.mixed_states import MixedStates

CHUNK = 2048
"""Rows worked on together: their working set stays in a core's cache."""
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Process:
    """A stationary process over V tokens.

    transition: float64 [V, S, S]. start: the belief before any token, float64 [S]; None: the stationary law. words: the tokens' names. phi: the functional
    that turns weights into probabilities, float64 [S]; None: all ones, or of a generalised process the right eigenvector of the summed matrix.
    Raises InputError for shapes that do not fit, and for weights that are no (generalised) hidden Markov process.
    """

    name: str
    transition: np.ndarray
    start: np.ndarray = field(default=None)  # type: ignore[assignment]
    words: tuple[str, ...] = ()
    phi: np.ndarray = field(default=None)  # type: ignore[assignment]
    hidden_markov: bool = field(init=False, default=False)
    """No negative weights and phi all ones: beliefs are probabilities, and states can be sampled."""

    def __post_init__(self) -> None:
        t = np.asarray(self.transition, float)
        if t.ndim != 3 or t.shape[1] != t.shape[2] or 0 in t.shape:
            raise InputError(f"the process {self.name!r} needs one square matrix a token, [tokens, states, states], not an array of shape {t.shape}")
        if not np.isfinite(t).all():
            raise InputError(f"the process {self.name!r} has a weight that is not a number")
        object.__setattr__(self, "transition", t)
        object.__setattr__(self, "words", self.words or tuple(str(x) for x in range(len(t))))
        if len(self.words) != len(t):
            raise InputError(f"the process {self.name!r} has {counted(len(t), 'matrix', 'matrices')} and {counted(len(self.words), 'word')}")
        if len(set(self.words)) < len(self.words):
            raise InputError(f"the process {self.name!r} has two tokens of one name: {', '.join(self.words)}")
        object.__setattr__(self, "phi", self._functional(t.sum(0)))
        proper = bool((t >= 0).all() and (self.phi == 1).all())
        begin = np.asarray(_stationary(t.sum(0), self.name) if self.start is None else self.start, float)
        if begin.shape != (t.shape[1],):
            raise InputError(f"the start of the process {self.name!r} needs {t.shape[1]} entries, not {begin.shape}")
        mass = float(begin @ self.phi)
        if not abs(mass) >= TOLERANCE or (proper and (begin < -TOLERANCE).any()):
            raise InputError(f"the start of the process {self.name!r} is no belief: {begin}")
        object.__setattr__(self, "start", (np.maximum(begin, 0) if proper else begin) / mass)
        object.__setattr__(self, "hidden_markov", proper)
        if not proper:
            self._refuse_negative_laws()

    def _functional(self, total: np.ndarray) -> np.ndarray:
        """phi, checked: total phi = phi."""
        if self.phi is None and (np.abs(total.sum(1) - 1) < 1e-6).all() and (self.transition >= 0).all():
            return np.ones(len(total))
        values, right = np.linalg.eig(total)
        ones = np.flatnonzero(np.abs(values - 1) < 1e-6)
        if not len(ones) or np.abs(values).max() > 1 + 1e-6:
            sums = ", ".join(f"{v:.6g}" for v in total.sum(1))
            raise InputError(f"the matrices of the process {self.name!r} must sum to one whose largest eigenvalue is 1; its rows sum to {sums}")
        if self.phi is not None:
            phi = np.asarray(self.phi, float)
            if phi.shape != (len(total),) or not np.allclose(total @ phi, phi, atol=1e-6) or not phi.any():
                raise InputError(f"phi of the process {self.name!r} must be a right eigenvector of its summed matrix, not {phi}")
            return phi
        if len(ones) > 1:
            raise InputError(f"the process {self.name!r} has {len(ones)} eigenvectors that could turn weights into probabilities; give phi")
        phi = np.real(right[:, ones[0]])
        return phi / phi[np.argmax(np.abs(phi))]

    def _refuse_negative_laws(self) -> None:
        """A generalised process may have negative weights, but no negative probability: looked for after every prefix of a few tokens."""
        level = self.start[None]
        while len(level) <= 512:
            law = self.law(level)
            if law.min() < -1e-9:
                raise InputError(f"the process {self.name!r} gives a token a negative probability, {law.min():.3g}")
            row, token = np.nonzero(law > 1e-9)
            level, before = self.update(level[row], token)[0], level
            if self.n_tokens == 1 or np.array_equal(level, before):
                break

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

    def law(self, belief: np.ndarray) -> np.ndarray:
        """The next-token law at beliefs [N, S]: float64 [N, V]."""
        return belief @ self.emission

    def update(self, belief: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs [N, S] after one more token each [N], and the probability [N] that it had; an impossible token leaves zeros."""
        wide = np.concatenate(list(self.transition), axis=1)  # [S, V S]: one product for all tokens
        after = (belief @ wide).reshape(len(belief), self.n_tokens, self.n_states)[np.arange(len(belief)), tokens]
        p = after @ self.phi
        possible = p > 1e-15
        return np.where(possible[:, None], after / np.where(possible, p, 1)[:, None], 0.0), np.where(possible, p, 0.0)

    def beliefs(self, tokens: np.ndarray) -> np.ndarray:
        """Beliefs before each token and after the last: int [N, L] -> float64 [N, L + 1, S]; zeros after an impossible token."""
        n, length = tokens.shape
        out = np.empty((n, length + 1, self.n_states))
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
                if p.min() <= 1e-15:
                    dead = p <= 1e-15
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
    def _guide(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """A table for drawing (token, next state) given a state by one uniform: bins, first outcome of each bin, cut inside it, outcomes packed.

        Bins are so narrow that at most one cut between outcomes falls inside each; 0 bins where that would take too many.
        """
        s, v = self.n_states, self.n_tokens
        weights = self.transition.transpose(1, 0, 2).reshape(s, v * s)
        cuts = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        bins = 16
        while True:
            table, cut, crowded = np.zeros((s, bins), np.int64), np.full((s, bins), np.inf), False
            for i in range(s):
                possible = np.flatnonzero(weights[i] > 0)
                inner = cuts[i, possible[:-1]]
                edges = np.arange(bins) / bins
                first = np.searchsorted(inner, edges, side="right")
                last = np.searchsorted(inner, edges + 1 / bins, side="left")
                crowded |= bool((last - first > 1).any())
                split = last > first
                cut[i, split] = inner[first[split]]
                table[i] = first + np.concatenate([[0], np.cumsum((weights > 0).sum(1))])[i]
            if not crowded or bins >= 1 << 16:
                break
            bins *= 2
        outcome = np.nonzero(weights > 0)[1]
        packed = (outcome % s) * (1 << 17) + outcome // s  # next state above, token below
        return (0 if crowded else bins), table.ravel(), cut.ravel(), packed

    def sample(self, uniform: np.ndarray) -> np.ndarray:
        """Tokens uint8 or int32 [N, L] from draws [N, 1 + L] in [0, 1): the first chooses the state (a generalised process has no use for it)."""
        n, length = len(uniform), uniform.shape[1] - 1
        out = np.empty((n, length), np.uint8 if self.n_tokens <= 256 else np.int32)
        for low in range(0, n, CHUNK):
            part = np.ascontiguousarray(uniform[low : low + CHUNK].T)
            out[low : low + CHUNK] = (self._sample_states(part) if self.hidden_markov and self._guide[0] else self._sample_beliefs(part)).T
        return out

    def _sample_states(self, uniform: np.ndarray) -> np.ndarray:
        bins, table, cut, packed = self._guide
        state = np.minimum(np.searchsorted(np.cumsum(self.start), uniform[0], side="right"), self.n_states - 1)
        tokens = np.empty((len(uniform) - 1, uniform.shape[1]), np.int64)
        for t, u in enumerate(uniform[1:]):
            at = (u * bins).astype(np.int64)
            at += state * bins
            outcome = table.take(at)
            outcome += u >= cut.take(at)
            drawn = packed.take(outcome)
            state = drawn >> 17
            np.bitwise_and(drawn, (1 << 17) - 1, out=tokens[t])
        return tokens

    def _sample_beliefs(self, uniform: np.ndarray) -> np.ndarray:
        belief = np.repeat(self.start[None], uniform.shape[1], axis=0)
        tokens = np.empty((len(uniform) - 1, uniform.shape[1]), np.int64)
        for t, u in enumerate(uniform[1:]):
            cumulative = np.cumsum(np.maximum(self.law(belief), 0), axis=1)
            tokens[t] = np.minimum((cumulative <= (u * cumulative[:, -1])[:, None]).sum(1), self.n_tokens - 1)
            belief, _ = self.update(belief, tokens[t])
        return tokens

    def mixed_states(self, depth: int) -> list[MixedStates]:
        """Every prefix of length 0 .. depth that can occur, with its probability and belief (the mixed-state presentation, unfolded)."""
        return mixed_states.prefixes(self, depth)

    def myopic_entropies(self, depth: int) -> np.ndarray:
        """h_L for L = 0 .. depth, in nats: the expected entropy of the next token after L tokens. InputError where beliefs are too many to go so deep."""
        h = mixed_states.myopic_entropies(self, depth)
        if len(h) <= depth:
            raise InputError(f"the process {self.name!r} has over two million beliefs at depth {len(h)}; ask for less depth")
        return h

    def entropy_rate(self, tolerance: float = 1e-6, deepest: int = 40) -> float:
        """h in nats: exact where the process has at most 500 beliefs; else the limit of h_L, to `tolerance`, or as far as 200,000 beliefs reach."""
        return mixed_states.entropy_rate(self, tolerance, deepest)

    def distinct_beliefs(self, depth: int) -> np.ndarray:
        """How many distinct beliefs prefixes of length 0 .. L have, cumulative, for L = 0 .. depth: int [depth + 1]."""
        return mixed_states.distinct(self, depth)


def _choose(tokens: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """candidates [V, S, N] -> [S, N], each row its own token's."""
    out = candidates[0].copy()
    for x in range(1, len(candidates)):
        np.copyto(out, candidates[x], where=tokens == x)
    return out


def _stationary(total: np.ndarray, name: str) -> np.ndarray:
    """The left eigenvector of eigenvalue 1; refused where it is not unique."""
    values, left = np.linalg.eig(total.T)
    ones = np.flatnonzero(np.abs(values - 1) < 1e-9)
    if len(ones) != 1:
        raise InputError(f"the process {name!r} has {len(ones)} stationary laws (it falls into parts); give its start")
    v = np.real(left[:, ones[0]])
    return v / v.sum() if abs(v.sum()) > TOLERANCE else v

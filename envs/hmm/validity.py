"""Checks the parts of a process (matrices, words, phi, start), and computes those that are not given.

Every function raises InputError, which says what is wrong with the process, and what to do. T is the sum of the
matrices over tokens, [S, S]. `process.py` explains the notation.
Shape letters: V tokens, S states.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.envs.hmm import chains
from worldbench.envs.hmm.dynamics import Dynamics
from worldbench.envs.hmm.sampling import TOKEN_BITS

TOLERANCE = 1e-9
"""Size of floating-point errors: smaller numbers count as 0."""
ROUNDED = 1e-6
"""Largest difference from 1 of a sum of weights, or of an eigenvalue. Larger than TOLERANCE, because users round the
numbers in their files."""
MOST_WEIGHTS = 1 << 24
MOST_TOKENS = (1 << TOKEN_BITS) - 1
PREFIXES, LONGEST = 512, 64
"""Limits of the search for negative probabilities: prefixes of one length, and tokens of a prefix."""


def size(name: str, tokens: int, states: int) -> None:
    """Refuses a process that is too large."""
    if tokens > MOST_TOKENS or tokens * states**2 > MOST_WEIGHTS:
        raise InputError(
            f"the process {name!r} is too large, with {counted(tokens, 'token')} and {counted(states, 'state')}; "
            "use at most "
            f"{MOST_TOKENS:,} tokens, and at most {MOST_WEIGHTS:,} weights (tokens times states squared)"
        )


def transition(name: str, matrices: np.ndarray) -> np.ndarray:
    """The matrices as float64 [V, S, S]. Refuses another shape, and infinite or missing weights."""
    t = np.asarray(matrices, float)
    if t.ndim != 3 or t.shape[1] != t.shape[2] or 0 in t.shape:
        raise InputError(
            f"the process {name!r} needs one square matrix per token, [tokens, states, states], "
            f"not an array of shape {list(t.shape)}"
        )
    size(name, *t.shape[:2])
    if not np.isfinite(t).all():
        x, i, j = np.argwhere(~np.isfinite(t))[0]
        raise InputError(
            f"the process {name!r} has a weight that is not a number: {t[x, i, j]} for token {x} from state {i} "
            f"to state {j}; give 0 where there is no such step"
        )
    return t


def words(name: str, tokens: int, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the tokens: the given ones, else "0", "1", .. Refuses a wrong number of names, and duplicates."""
    out = given or tuple(str(x) for x in range(tokens))
    if len(out) != tokens:
        both = f"{counted(tokens, 'matrix', 'matrices')} and {counted(len(out), 'word')}"
        raise InputError(f"the process {name!r} has {both}; give one word per matrix")
    if len(set(out)) < len(out):
        twice = next(w for w in out if out.count(w) > 1)
        raise InputError(f"the process {name!r} has two tokens with the name {twice!r}; give each token its own name")
    return out


def functional(name: str, t: np.ndarray, phi: np.ndarray | None) -> np.ndarray:
    """phi: float64 [S], with T phi = phi.

    For a hidden Markov process it is all ones. For a generalized process it is the right eigenvector of T with the
    eigenvalue 1, scaled so that its largest entry is 1. A given phi is only checked.
    """
    total, positive = t.sum(0), bool((t >= 0).all())
    rows, columns = total.sum(1), total.sum(0)
    if phi is None and positive and (np.abs(rows - 1) < ROUNDED).all():
        return np.ones(len(total))
    if phi is None and positive and (np.abs(columns - 1) < ROUNDED).all():
        raise InputError(
            f"the matrices of the process {name!r} are transposed: their columns, not their rows, sum to 1 over all "
            "tokens; entry [i][j] of a token's matrix is for going from state i to state j"
        )
    # Probabilities of all sequences of one length must sum to 1, at every length. So T must have the eigenvalue 1, and
    # no larger one, which would make the probabilities of long sequences grow without limit.
    values, right = np.linalg.eig(total)
    ones = np.flatnonzero(np.abs(values - 1) < ROUNDED)
    if not len(ones) or np.abs(values).max() > 1 + ROUNDED:
        raise _no_unit_eigenvalue(name, rows, float(np.abs(values).max()), positive)
    if phi is not None:
        given = np.asarray(phi, float)
        if given.shape != (len(total),) or not np.allclose(total @ given, given, atol=ROUNDED) or not given.any():
            raise InputError(
                f"phi of the process {name!r} must be a right eigenvector of its summed matrix, not {_listed(given)}; "
                "leave phi out to have it computed"
            )
        return given
    if len(ones) > 1:
        raise InputError(
            f"the process {name!r} has {len(ones)} possible phi (right eigenvectors of its summed matrix); "
            "give phi, one number per state"
        )
    found = np.real(right[:, ones[0]])
    return found / found[np.argmax(np.abs(found))]


def _no_unit_eigenvalue(name: str, rows: np.ndarray, largest: float, positive: bool) -> InputError:
    """The error for a summed matrix whose largest eigenvalue is not 1. rows: its row sums. positive: no weight < 0."""
    if not positive:
        return InputError(
            f"the sum of the matrices of the process {name!r} must have the largest eigenvalue 1, not {largest:.6g}; "
            f"its rows sum to {_listed(rows)}"
        )
    i = int(np.argmax(np.abs(rows - 1) >= ROUNDED))
    change = "divide the weights of each state by their sum"
    if rows[i] == 0:
        change = "if no state follows it, let it go to itself with probability 1"
    return InputError(
        f"the weights of state {i} of the process {name!r}, over all tokens and next states, "
        f"sum to {rows[i]:.6g} and not to 1; {change}"
    )


def start(name: str, t: np.ndarray, phi: np.ndarray, given: np.ndarray | None) -> np.ndarray:
    """The belief before any token, float64 [S], scaled so that start phi = 1.

    given: None takes the stationary distribution: for a hidden Markov process, of its chain of states; else the left
    eigenvector of T with the eigenvalue 1.
    """
    total, proper = t.sum(0), bool((t >= 0).all() and (phi == 1).all())
    if given is not None:
        begin = np.asarray(given, float)
    else:
        begin = chains.stationary(total, name) if proper else _left_eigenvector(total, name)
    if begin.shape != (len(total),):
        raise InputError(
            f"the start of the process {name!r} needs {counted(len(total), 'entry', 'entries')}, one per state, "
            f"not an array of shape {list(begin.shape)}"
        )
    mass = float(begin @ phi)
    if not abs(mass) >= TOLERANCE or (proper and (begin < -TOLERANCE).any()):
        wanted = "one probability per state" if proper else "numbers whose product with phi is not 0"
        raise InputError(f"the start of the process {name!r} is not a belief, {_listed(begin)}; give {wanted}")
    return (np.maximum(begin, 0) if proper else begin) / mass


def _left_eigenvector(total: np.ndarray, name: str) -> np.ndarray:
    """The left eigenvector of T with the eigenvalue 1, for a generalized process. Refused if it is not unique."""
    values, left = np.linalg.eig(total.T)
    ones = np.flatnonzero(np.abs(values - 1) < TOLERANCE)
    if not len(ones):  # the eigenvalue is 1 only up to the rounding of the user's numbers
        ones = np.flatnonzero(np.abs(values - 1) < ROUNDED)
    if len(ones) != 1:
        raise InputError(
            f"the process {name!r} has {len(ones)} stationary distributions, because it falls into parts; "
            "give its start, one number per state"
        )
    v = np.real(left[:, ones[0]])
    return v / v.sum() if abs(v.sum()) > TOLERANCE else v


def refuse_negative_laws(process: Dynamics) -> None:
    """Refuses a generalized process with a negative probability after one of its first prefixes.

    Negative weights are allowed; negative probabilities of tokens are not. No finite test can exclude them after every
    prefix. So this searches the prefixes in order of length, up to 64 tokens and about 512 prefixes of one length.
    """
    level = process.start[None]
    for _ in range(LONGEST):
        law = process.law(level)
        if law.min() < -TOLERANCE:
            row, token = np.unravel_index(int(np.argmin(law)), law.shape)
            raise InputError(
                f"the process {process.name!r} gives the token {process.words[token]!r} a negative probability, "
                f"{law[row, token]:.3g}, which no process can have; correct its matrices, its start or phi"
            )
        rows, tokens = np.nonzero(law > TOLERANCE)
        level, before = process.update(level[rows], tokens)[0], level
        # With one token, or if the beliefs no longer change, longer prefixes give nothing new.
        if process.n_tokens == 1 or len(level) > PREFIXES or np.array_equal(level, before):
            break


def _listed(numbers: np.ndarray) -> str:
    """The first eight numbers, as text."""
    flat = np.ravel(numbers)
    more = f", .. ({len(flat)} in all)" if len(flat) > 8 else ""
    return ", ".join(f"{v:.6g}" for v in flat[:8]) + more

"""Markov chains of hidden states: which states can follow which, and the long-run distribution.

Shape letters: S states.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.errors import InputError

NEAR_ONE = 1e-9
MOST_BY_EIGENVALUES = 1000


def reachable(total: np.ndarray) -> np.ndarray:
    """bool [S, S]: whether a chain of stochastic matrix float64 [S, S] that stands in state i can ever stand in state
    j; each state reaches itself."""
    reach = (total > 0) | np.eye(len(total), dtype=bool)
    while True:  # at most log2 S times
        further = reach.astype(np.float32) @ reach.astype(np.float32) > 0
        if np.array_equal(further, reach):
            return reach
        reach = further


def closed_classes(reach: np.ndarray) -> list[np.ndarray]:
    """The closed classes: sets of states that all reach one another and that nothing leaves, in the order of their
    first states."""
    recurrent = np.flatnonzero((~reach | reach.T).all(axis=1))
    _, first, label = np.unique(reach[recurrent], axis=0, return_index=True, return_inverse=True)
    return [recurrent[label.ravel() == label.ravel()[i]] for i in np.sort(first)]


def stationary(total: np.ndarray, name: str) -> np.ndarray:
    """The stationary distribution of a stochastic matrix: float64 [S].

    Raises InputError where there are several, which is where the chain has several closed classes (Norris 1997,
    theorem 1.7.7).
    """
    classes = closed_classes(reachable(total))
    if len(classes) > 1:
        parts = " and ".join(_told(c) for c in classes[:3]) + (
            f" and {len(classes) - 3} sets more" if len(classes) > 3 else ""
        )
        raise InputError(
            f"the process {name!r} has {len(classes)} stationary distributions, as it cannot leave {parts}: give "
            "its start, a probability for each state"
        )
    if len(total) <= MOST_BY_EIGENVALUES:
        values, left = np.linalg.eig(total.T)
        ones = np.flatnonzero(np.abs(values - 1) < NEAR_ONE)
        if len(ones) == 1:
            v = np.real(left[:, ones[0]])
            if abs(v.sum()) > NEAR_ONE:
                return v / v.sum()
    out = np.zeros(len(total))
    out[classes[0]] = _by_elimination(total[np.ix_(classes[0], classes[0])])
    return out


def _by_elimination(total: np.ndarray) -> np.ndarray:
    """The stationary distribution of an irreducible chain, to full relative precision however seldom its states change.

    Source: Grassmann, Taksar & Heyman 1985 (state reduction without subtractions).
    """
    a, n = total.copy(), len(total)
    for k in range(n - 1, 0, -1):
        a[:k, k] /= a[k, :k].sum()
        a[:k, :k] += np.outer(a[:k, k], a[k, :k])
    out = np.ones(n)
    for k in range(1, n):
        out[k] = out[:k] @ a[:k, k]
    return out / out.sum()


def _told(states: np.ndarray) -> str:
    """`state 3`, or `states 0, 1, 2 ..`."""
    listed = ", ".join(map(str, states[:4])) + (" .." if len(states) > 4 else "")
    return f"state {listed}" if len(states) == 1 else f"states {listed}"

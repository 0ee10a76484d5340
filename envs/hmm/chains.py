"""Markov chains of the states of a process: which states can be reached, and the stationary distribution.

Shape letters: S states.
"""

from __future__ import annotations

import numpy as np

from worldbench.core.errors import InputError

NEAR_ONE = 1e-9
"""An eigenvalue this close to 1 counts as 1."""
MOST_BY_EIGENVALUES = 1000
"""Most states of a chain whose stationary distribution is computed by an eigenvector."""


def reachable(total: np.ndarray) -> np.ndarray:
    """bool [S, S]: can the chain go from state i to state j in any number of steps, including none?

    total: the transition matrix, float64 [S, S].
    """
    reach = (total > 0) | np.eye(len(total), dtype=bool)
    while True:  # at most log2 S times: every pass doubles the number of steps
        further = reach.astype(np.float32) @ reach.astype(np.float32) > 0
        if np.array_equal(further, reach):
            return reach
        reach = further


def blocks(total: np.ndarray) -> np.ndarray:
    """A number for each state, int [S]: equal for states that are connected by steps in any direction.

    A block is never left. So the block is a part of the state that no token changes. total: weights of steps, float64
    [S, S], 0 where there is no step. The numbers are in the order of the first states of the blocks.
    """
    _, first, label = np.unique(
        reachable(np.abs(total) + np.abs(total).T), axis=0, return_index=True, return_inverse=True
    )
    return np.argsort(np.argsort(first))[label.ravel()]


def closed_classes(reach: np.ndarray) -> list[np.ndarray]:
    """The closed classes of a chain, in the order of their first states.

    A closed class is a set of states that all reach each other, and from which no other state can be reached. reach:
    bool [S, S], from `reachable`.
    """
    recurrent = np.flatnonzero((~reach | reach.T).all(axis=1))
    _, first, label = np.unique(reach[recurrent], axis=0, return_index=True, return_inverse=True)
    return [recurrent[label.ravel() == label.ravel()[i]] for i in np.sort(first)]


def stationary(total: np.ndarray, name: str) -> np.ndarray:
    """The stationary distribution of a chain, float64 [S]. total: its transition matrix, float64 [S, S].

    Raises InputError if there are several stationary distributions. This is so exactly if the chain has several closed
    classes (Norris 1997, Markov Chains, theorem 1.7.7). name: the process, for the error.
    """
    classes = closed_classes(reachable(total))
    if len(classes) > 1:
        parts = " and ".join(_listed(c) for c in classes[:3]) + (
            f" and {len(classes) - 3} sets more" if len(classes) > 3 else ""
        )
        raise InputError(
            f"the process {name!r} has {len(classes)} stationary distributions, because it cannot leave {parts}; give "
            "its start, one probability per state"
        )
    # An eigenvector is fast. It is used only if the eigenvalue 1 is clearly separated from the others; a chain that
    # falls almost into parts needs the elimination, which is exact there too.
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


def long_run(total: np.ndarray, start: np.ndarray, reach: np.ndarray | None = None) -> list[tuple[float, np.ndarray]]:
    """The closed classes in which a chain ends, each with its probability and its states.

    total: the transition matrix, float64 [S, S]. start: float64 [S]. reach: bool [S, S], from `reachable`; None
    computes it.
    """
    reach = reachable(total) if reach is None else reach
    classes = closed_classes(reach)
    passing = np.setdiff1d(np.flatnonzero(reach[start > 0].any(axis=0)), np.concatenate(classes))
    mass = start.copy()
    if len(passing):  # expected visits of each state that is left for good
        stay = total[np.ix_(passing, passing)]
        visits = np.linalg.solve(((1 + 1e-15) * np.eye(len(passing)) - stay).T, start[passing])  # never singular
        mass += visits @ total[passing]
    ends = [(float(mass[c].sum()), c) for c in classes]
    return [(weight / sum(w for w, _ in ends), c) for weight, c in ends if weight > 0]


def irreducible(total: np.ndarray) -> bool:
    """Can every state be reached from every other one? total: float64 [S, S], entries of 0 or more."""
    return bool(reachable(total).all())


def of_class(total: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The stationary distribution on the states of one closed class, float64 [len(states)]."""
    return _by_elimination(total[np.ix_(states, states)])


def _by_elimination(total: np.ndarray) -> np.ndarray:
    """The stationary distribution of an irreducible chain, by state reduction (Grassmann, Taksar & Heyman 1985).

    The method has no subtractions. So every entry has full relative precision, even if transitions are very rare.
    """
    a, n = total.copy(), len(total)
    for k in range(n - 1, 0, -1):
        a[:k, k] /= a[k, :k].sum()
        a[:k, :k] += np.outer(a[:k, k], a[k, :k])
    out = np.ones(n)
    for k in range(1, n):
        out[k] = out[:k] @ a[:k, k]
    return out / out.sum()


def _listed(states: np.ndarray) -> str:
    """`state 3`, or `states 0, 1, 2 ..`."""
    listed = ", ".join(map(str, states[:4])) + (" .." if len(states) > 4 else "")
    return f"state {listed}" if len(states) == 1 else f"states {listed}"

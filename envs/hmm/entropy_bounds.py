"""Lower and upper bounds of the entropy rate of a process with too many beliefs to list.

For a stationary process, at every depth L,

    H(X_L | X_0 .. X_(L-1), S_0)  <=  h  <=  H(X_L | X_0 .. X_(L-1)) = h_L

where S_0 is the first hidden state (Cover & Thomas 2006, Elements of Information Theory, theorem 4.5.1). Both sides
converge to h. The number of beliefs grows with L, so each side keeps a limited number of them, and stays a bound:

- upper: near beliefs are replaced by their mean. The entropy is concave in the belief, so this can only raise it.
- lower: beliefs are split into neighbors on a lattice, as if it were revealed from which neighbor the hidden state is
  drawn. This can only lower the entropy.

A generalized process has no hidden states. Its beliefs lie in the polytope of all vectors that give no word of n tokens
a negative probability, and the vertices of this polytope take the place of the hidden states.

Shape letters: V tokens, S states, M beliefs, K vertices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldbench.envs.hmm.dynamics import Dynamics
from worldbench.envs.hmm.mixed_states import entropy, rounded

CLOSE = 1e-7
"""The bounds stop at this distance, in nats."""
MOST_LEVELS = 100
"""Largest depth of a bound."""
MOST_WORK = 4_000_000
"""Most work of one bound, counted by `work`. It takes about 0.1 to 0.2 seconds. One half is for the first depths, where
all beliefs are kept; the other half is for up to MOST_LEVELS further depths, where few are kept."""
FINEST = 2.0**-30
"""Beliefs of one cell of a grid of this width are merged first. The width is doubled until few cells are left."""
FINEST_LATTICE = 1 << 12
"""Beliefs are split onto lattices of at most this many parts."""
MOST_SPLIT = 2_000_000
"""Most numbers that the neighbors of all beliefs may hold (16 MB)."""
MOST_DIMENSIONS = 4
"""Most states of a generalized process whose polytope is computed."""
MOST_VERTICES = 400
"""Most vertices of the polytope."""


def work(process: Dynamics, beliefs: int) -> float:
    """The work of one more token after this many beliefs: numbers that are stored, and products of matrices."""
    s = process.n_states
    return beliefs * process.n_tokens * (s + 8) * (1 + s / 100)


def bounds(process: Dynamics, share: float = 1.0) -> tuple[float, float]:
    """A lower and an upper bound of the entropy rate in nats. The start of the process must be stationary.

    share: the part of MOST_WORK that each bound may use.
    """
    most = share * MOST_WORK
    rising = _rising(process, most) if process.hidden_markov else _by_vertices(process, most)
    falling = _falling(process, most)
    low, high, steps = 0.0, np.inf, [rising, falling]
    while steps and high - low > CLOSE:
        for step in list(steps):
            if (h := next(step, None)) is None:
                steps.remove(step)
            elif step is rising:
                low = max(low, h)
            else:
                high = min(high, h)
    return min(low, high), high


def _kept(process: Dynamics, most: float, spent: float) -> float:
    """How many beliefs the next depth keeps."""
    return np.inf if spent <= most / 2 else max(1, most / 2 / MOST_LEVELS // work(process, 1))


def _falling(process: Dynamics, most: float) -> Iterator[float]:
    """Yields upper bounds, at depth 0, 1, .."""
    belief, weight, spent, width = process.start[None], np.ones(1), 0.0, FINEST
    for _ in range(MOST_LEVELS):
        yield float(weight @ entropy(process.law(belief)))
        spent += work(process, len(belief))
        if spent > most:
            return
        keep = _kept(process, most, spent + work(process, len(belief) * process.n_tokens))
        belief, p = process.successors(belief)
        weight = (weight[:, None] * p).ravel()
        belief, weight = belief.reshape(-1, process.n_states)[weight > 0], weight[weight > 0]
        width = FINEST if keep == np.inf else max(FINEST, width / 2)
        while True:
            cell = np.floor(belief / width + 0.381966)
            group, count = _groups(cell)
            if count <= keep:
                break
            width *= 2
        belief, weight = _means(belief, weight, group, count)


def _rising(process: Dynamics, most: float) -> Iterator[float]:
    """Yields lower bounds, at depth 0, 1, .., for a hidden Markov process."""
    yield float(process.start @ entropy(process.law(np.eye(process.n_states))))
    belief, weight = np.eye(process.n_states)[process.start > 0], process.start[process.start > 0]
    spent, parts = 0.0, FINEST_LATTICE
    for _ in range(MOST_LEVELS):
        spent += work(process, len(belief))
        if spent > most or parts == 1:
            return
        keep = _kept(process, most, spent + work(process, len(belief) * process.n_tokens))
        belief, p = process.successors(belief)
        weight = (weight[:, None] * p).ravel()
        belief, weight = belief.reshape(-1, process.n_states)[weight > 0], weight[weight > 0]
        belief, weight = _means(belief, weight, *_groups(rounded(belief).astype(float)))
        if keep < len(belief):
            if belief.size * (process.n_states + 1) > MOST_SPLIT:
                return
            usual = 4 * keep ** (1 / max(1, process.n_states - 1))  # a lattice of p parts has about p^(S - 1) points
            parts = min(FINEST_LATTICE, 2 * parts, 1 << round(np.log2(usual)))
            while len((found := _on_lattice(belief, weight, parts))[0]) > keep and parts > 1:
                parts //= 2
            belief, weight = found
        yield float(weight @ entropy(process.law(belief)))


def _on_lattice(belief: np.ndarray, weight: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Beliefs whose entries are multiples of 1 / parts, and their weights, with the same mean as belief [M, S].

    Every belief is split into at most S neighbors on the lattice (the Freudenthal triangulation of the simplex; Lovejoy
    1991, Operations Research 39). With parts = 1, the neighbors are the hidden states.
    """
    tail = parts * np.cumsum(belief[:, ::-1], axis=1)[:, ::-1]
    tail[:, 0] = parts
    corner = np.floor(tail)
    rest = tail - corner
    order = np.argsort(-rest, axis=1, kind="stable")
    falling = np.take_along_axis(rest, order, axis=1)
    shares = -np.diff(falling, axis=1, prepend=1, append=0)  # [M, S + 1]
    rank = np.argsort(order, axis=1)
    step = np.arange(belief.shape[1] + 1)[None, :, None]
    corners = corner[:, None] + (rank[:, None, :] < step)  # [M, S + 1, S]
    points = -np.diff(corners, axis=2, append=0)
    mass = (weight[:, None] * shares).ravel()
    points, mass = points.reshape(-1, belief.shape[1])[mass > 0], mass[mass > 0]
    points, mass = _means(points, mass, *_groups(points))
    return points / parts, mass


def _groups(cell: np.ndarray) -> tuple[np.ndarray, int]:
    """A number for each row of cell [M, S], equal for equal rows, int [M]; and how many numbers there are.

    Rows are compared by a random projection. If two different rows should agree in it, they are merged.
    """
    direction = np.random.Generator(np.random.Philox(key=7)).standard_normal(cell.shape[1])
    projected = cell @ direction
    values, group = np.unique(projected, return_inverse=True)
    return group.ravel(), len(values)


def _means(belief: np.ndarray, weight: np.ndarray, group: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean belief of each group, float64 [count, S], and its weight [count]."""
    order = np.argsort(group, kind="stable")
    first = np.searchsorted(group[order], np.arange(count))
    total = np.add.reduceat(weight[order], first)
    return np.add.reduceat((weight[:, None] * belief)[order], first, axis=0) / total[:, None], total


def _by_vertices(process: Dynamics, most: float) -> Iterator[float]:
    """Yields lower bounds for a generalized process; none where its polytope has too many dimensions or vertices.

    The expected entropy f of the token after n others is concave in the belief. So it is at least the smallest mean of
    f at vertices of the polytope whose mean is the start.
    """
    found = _polytope(process)
    if found is None:
        return
    vertex, depth = found
    from scipy.optimize import linprog

    belief, weight, root, spent = vertex, np.ones(len(vertex)), np.arange(len(vertex)), 0.0
    for _ in range(depth):
        f = np.bincount(root, weight * entropy(process.law(belief)), minlength=len(vertex))
        solved = linprog(f, A_eq=vertex.T, b_eq=process.start)
        if solved.status == 0:
            yield max(0.0, float(solved.fun))
        spent += work(process, len(belief))
        if spent > most:
            return
        belief, p = process.successors(belief)
        weight, root = (weight[:, None] * p).ravel(), np.repeat(root, process.n_tokens)
        keep = weight > 0
        belief, weight, root = belief.reshape(-1, process.n_states)[keep], weight[keep], root[keep]
        group, count = _groups(np.concatenate([rounded(belief), root[:, None]], axis=1).astype(float))
        order = np.argsort(group, kind="stable")
        first = order[np.searchsorted(group[order], np.arange(count))]
        belief, weight, root = belief[first], np.bincount(group, weight, minlength=count), root[first]


def _polytope(process: Dynamics) -> tuple[np.ndarray, int] | None:
    """The vertices, float64 [K, S], of the set of all b with b phi = 1 that give no word of n tokens a negative
    probability; and n, as large as the limits allow. It contains every belief. None if n = 1 exceeds the limits.

    The probability of a word is b times a vector. These vectors span a cone; its extreme rays suffice, and the extreme
    rays of longer words are products of a token's matrix with extreme rays.
    """
    from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

    s = process.n_states
    if not 3 <= s <= MOST_DIMENSIONS:
        return None
    plane = np.linalg.svd(process.phi[None])[2][1:]  # [S - 1, S]: the directions y with y phi = 0
    ray, found = process.phi[None], None
    for depth in range(1, MOST_LEVELS):
        ray = (process.transition @ ray.T).transpose(0, 2, 1).reshape(-1, s)
        chance = ray @ process.start
        ray = ray[chance > 1e-12] / chance[chance > 1e-12][:, None]
        try:
            point = ray @ plane.T
            ray = ray[ConvexHull(point).vertices]
            halfspaces = np.concatenate([-ray @ plane.T, -np.ones((len(ray), 1))], axis=1)
            corner = HalfspaceIntersection(halfspaces, np.zeros(s - 1)).intersections
        except (QhullError, ValueError):
            return found
        if len(corner) > MOST_VERTICES or not np.isfinite(corner).all():
            return found
        found = process.start + corner @ plane, depth
    return found

"""A generated city with irregular blocks and many one-way streets; each seed gives another city.

The intersections are the points of a grid, each shifted at random. The streets are edges of the Delaunay triangulation
of these points: a random spanning tree, then random further edges, up to 1.6 streets per intersection. 60% of the
streets are one-way. If too many intersections then cannot reach the others, streets outside the strongly connected
part become two-way, a random half of them in each round.
"""

from __future__ import annotations

import math

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import largest_component
from worldbench.core.streams import generator
from worldbench.envs.taxi.moves import resolve
from worldbench.envs.taxi.streets import Streets

SMALLEST, LARGEST = 8, 50_000
SPACING = 120.0
"""Distance in meters between neighbors on the grid, before the random shift."""
JITTER = 0.45
"""Largest shift along each axis, in units of SPACING. Below one half, so that no two points coincide."""
STREETS_PER_PLACE = 1.6
ONE_WAY = 0.6
SHARE_KEPT = 0.9
"""Smallest share of the N places that the strongly connected part may hold."""
ROUNDS = 12
"""Most rounds of making one-way streets two-way."""


def generate(n: int, seed: int) -> Streets:
    """The streets of `city:n`, which depend on (n, seed) alone.

    Places are named "0" .. "n-1"; positions are meters from the center. Raises InputError for n outside 8 .. 50,000.
    """
    if not SMALLEST <= n <= LARGEST:
        raise InputError(f"a generated city has from {SMALLEST} to {LARGEST:,} intersections, not {n}")
    rng = generator("city", n, seed)
    position = _points(n, rng)
    ends = _streets(position, rng)
    swap = rng.random(len(ends)) < 0.5
    ends[swap] = ends[swap, ::-1]
    two_way = rng.random(len(ends)) >= ONE_WAY
    drawn = int((~two_way).sum())
    for _ in range(ROUNDS):
        city = _directed(n, seed, position, ends, two_way)
        kept, _, _ = resolve(city)
        inside = largest_component(n, city.source[kept], city.target[kept])
        if inside.mean() >= SHARE_KEPT:
            break
        outside = ~(inside[ends[:, 0]] & inside[ends[:, 1]])
        two_way |= outside & (rng.random(len(ends)) < 0.5)
    else:
        city = _directed(n, seed, position, ends, two_way)
    city.report.update({"streets": len(ends), "one_way_drawn": drawn, "one_way": int((~two_way).sum())})
    return city


def _points(n: int, rng: np.random.Generator) -> np.ndarray:
    """Positions [n, 2] in meters from the center, rounded to centimeters."""
    side = math.ceil(math.sqrt(n))
    cell = np.sort(rng.permutation(side * side)[:n])
    grid = np.stack([cell % side, cell // side], axis=1)
    points = (grid + rng.uniform(-JITTER, JITTER, (n, 2)) - (side - 1) / 2) * SPACING
    return np.round(points, 2)


def _streets(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pairs of places [M, 2] that a street joins. All places are connected; M is about 1.6 n, or the number of edges of
    the triangulation if this is smaller."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial import Delaunay

    n = len(position)
    corners = Delaunay(position).simplices
    pairs = np.unique(
        np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]]), axis=1), axis=0
    ).astype(np.int64)
    # Weights are distinct, so that the tree is unique, and above 0, because csr_matrix drops zeros.
    weight = 1 + rng.permutation(len(pairs)).astype(np.float64)
    tree = minimum_spanning_tree(csr_matrix((weight, pairs.T), shape=(n, n))).data
    in_tree = np.isin(weight, tree)
    further = max(0, round(STREETS_PER_PLACE * n) - int(in_tree.sum()))
    chosen = in_tree.copy()
    chosen[rng.permutation(np.flatnonzero(~in_tree))[:further]] = True
    return pairs[chosen]


def _directed(n: int, seed: int, position: np.ndarray, ends: np.ndarray, two_way: np.ndarray) -> Streets:
    """The city with one row per direction of travel. ends: int [M, 2], from first to second; two_way: bool [M]."""
    source = np.concatenate([ends[:, 0], ends[two_way, 1]])
    target = np.concatenate([ends[:, 1], ends[two_way, 0]])
    return Streets(
        name=f"city:{n}",
        places=[str(i) for i in range(n)],
        position=position,
        globe=False,
        source=source,
        target=target,
        length=np.hypot(*(position[target] - position[source]).T),
        street=[""] * len(source),
        report={"nodes_read": n, "edges_read": len(source), "city_seed": seed},
    )

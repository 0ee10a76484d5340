"""Maze generators: trees that are trees, known counts of reachable trees, uniformity, and mazes that do not depend on
their batch."""

from __future__ import annotations

import itertools
from collections import defaultdict, deque

import numpy as np
import pytest
from scipy.stats import chi2

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.envs.maze.generators import GENERATORS, TREES, generate
from worldbench.envs.maze.grid import (
    OPPOSITE,
    UNREACHED,
    distances,
    from_walls,
    neighbors,
    pick,
    shortest_paths,
    text,
    to_walls,
    walls,
)


def make(kind: str, rows: int, columns: int, count: int, percolation: float = 0.4) -> np.ndarray:
    return generate(kind, rows, columns, np.arange(count), ("test",), percolation)


def codes(passages: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return to_walls(passages, rows, columns) @ (1 << np.arange(len(walls(rows, columns))))


def literal_distances(passages: np.ndarray, source: int, rows: int, columns: int) -> list[int]:
    dist, queue, table = {source: 0}, deque([source]), neighbors(rows, columns)
    while queue:
        cell = queue.popleft()
        for d in range(4):
            if passages[cell, d] and int(table[cell, d]) not in dist:
                dist[int(table[cell, d])] = dist[cell] + 1
                queue.append(int(table[cell, d]))
    return [dist.get(c, int(UNREACHED)) for c in range(rows * columns)]


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (3, 7), (1, 5), (6, 1)])
def test_passages_go_both_ways_and_stay_inside(kind: str, rows: int, columns: int) -> None:
    passages = make(kind, rows, columns, 50)
    table = neighbors(rows, columns)
    assert not passages[:, table == rows * columns].any()
    maze, cell, way = np.nonzero(passages)
    assert passages[maze, table[cell, way], OPPOSITE[way]].all()
    assert (from_walls(to_walls(passages, rows, columns), rows, columns) == passages).all()


@pytest.mark.parametrize("kind", TREES)
def test_trees_are_trees(kind: str) -> None:
    passages = make(kind, 5, 7, 300)
    assert (to_walls(passages, 5, 7).sum(axis=1) == 34).all()
    assert (distances(passages, np.zeros(300, int), 5, 7) < UNREACHED).all()
    assert len(np.unique(codes(passages, 5, 7))) > 290


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_maze_is_its_number_in_any_batch(kind: str) -> None:
    whole = make(kind, 4, 5, 1500)
    some = np.array([0, 3, 4, 5, 1023, 1024, 1499])
    assert (generate(kind, 4, 5, some, ("test",), 0.4) == whole[some]).all()
    assert (generate(kind, 4, 5, some, ("other",), 0.4) != whole[some]).any()


def test_wilson_is_uniform_over_the_192_trees() -> None:
    """A grid of 3 x 3 cells has 192 spanning trees. A chi-square test over 38,400 draws."""
    _, count = np.unique(codes(make("wilson", 3, 3, 38_400), 3, 3), return_counts=True)
    assert len(count) == 192
    statistic = ((count - 200) ** 2 / 200).sum()
    assert chi2.sf(statistic, 191) > 0.001
    for kind in ("kruskal", "prim", "division"):
        _, biased = np.unique(codes(make(kind, 3, 3, 38_400), 3, 3), return_counts=True)
        assert chi2.sf(((biased - 200) ** 2 / 200).sum(), 191) < 1e-9 or len(biased) < 192


def test_depth_first_reaches_the_known_trees() -> None:
    """Depth-first makes 88 of the 192 trees: 14 from a corner, 11 from an edge cell, 8 from the center."""
    tree = codes(make("depth-first", 3, 3, 20_000), 3, 3)
    start = (streams.uniform(0, 20_000, 9, "test", "depth-first")[:, 0] * 9).astype(int)
    assert len(np.unique(tree)) == 88
    assert [len(np.unique(tree[start == cell])) for cell in range(9)] == [14, 11, 14, 11, 8, 11, 14, 11, 14]
    assert set(tree.tolist()) == set(exact_law("depth-first", 3, 3))


def exact_law(kind: str, rows: int, columns: int) -> dict[int, float]:
    """The law of a generator over the trees (their code), from its definition, every choice enumerated."""
    edges = [(int(a), int(b)) for a, b, _ in walls(rows, columns)]
    k, law = rows * columns, defaultdict(float)

    def depth_first(path: list[int], seen: frozenset[int], tree: int, p: float) -> None:
        if not path:
            law[tree] += p
            return
        ways = [
            (i, a + b - path[-1])
            for i, (a, b) in enumerate(edges)
            if path[-1] in (a, b) and a + b - path[-1] not in seen
        ]
        for i, to in ways:
            depth_first([*path, to], seen | {to}, tree | 1 << i, p / len(ways))
        if not ways:
            depth_first(path[:-1], seen, tree, p)

    def prim(inside: frozenset[int], tree: int, p: float) -> None:
        ways = [i for i, (a, b) in enumerate(edges) if (a in inside) != (b in inside)]
        for i in ways:
            prim(inside | set(edges[i]), tree | 1 << i, p / len(ways))
        if not ways:
            law[tree] += p

    def kruskal(label: tuple[int, ...], tree: int, p: float) -> None:
        ways = [
            i for i, (a, b) in enumerate(edges) if label[a] != label[b]
        ]  # walls inside a region change nothing, whenever they come
        for i in ways:
            a, b = (label[c] for c in edges[i])
            kruskal(tuple(a if x == b else x for x in label), tree | 1 << i, p / len(ways))
        if not ways:
            law[tree] += p

    if kind == "kruskal":
        kruskal(tuple(range(k)), 0, 1.0)
    for start in range(k) if kind != "kruskal" else ():
        if kind == "prim":
            prim(frozenset([start]), 0, 1 / k)
        else:
            depth_first([start], frozenset([start]), 0, 1 / k)
    return dict(law)


@pytest.mark.parametrize("kind", ["depth-first", "prim", pytest.param("kruskal", marks=pytest.mark.slow)])
def test_generators_follow_their_exact_law(kind: str) -> None:
    """A chi-square of 30,000 mazes of 2x4 cells against the law that the definition gives."""
    exact = exact_law(kind, 2, 4)
    drawn, count = np.unique(codes(make(kind, 2, 4, 30_000), 2, 4), return_counts=True)
    assert sum(exact.values()) == pytest.approx(1)
    assert set(drawn.tolist()) == set(exact)
    expected = 30_000 * np.array([exact[c] for c in drawn.tolist()])
    assert chi2.sf(((count - expected) ** 2 / expected).sum(), len(exact) - 1) > 0.001


def test_depth_first_without_forks_is_one_walk() -> None:
    passages = make("depth-first-no-forks", 5, 5, 200)
    assert passages.sum(axis=2).max() <= 2
    assert (to_walls(passages, 5, 5).sum(axis=1) >= 2).all()


def test_percolation_opens_its_share_and_adds_to_depth_first() -> None:
    assert to_walls(make("percolation", 10, 10, 400, 0.3), 10, 10).mean() == pytest.approx(0.3, abs=0.01)
    looped = to_walls(make("depth-first-percolation", 10, 10, 400, 0.3), 10, 10).mean()
    assert looped == pytest.approx(99 / 180 + 0.3 * 81 / 180, abs=0.01)


@pytest.mark.parametrize("kind", ["wilson", "percolation", "depth-first-percolation"])
def test_distances_and_paths_are_literal(kind: str) -> None:
    passages = make(kind, 5, 4, 60)
    sources = np.arange(60) % 20
    dist = distances(passages, sources, 5, 4)
    for i in range(60):
        assert dist[i].tolist() == literal_distances(passages[i], int(sources[i]), 5, 4)
    far = np.where(dist < UNREACHED, dist, -1).argmax(axis=1)
    path, length = shortest_paths(passages, dist, far, np.random.default_rng(0).random((60, 40)), 5, 4)
    table = neighbors(5, 4)
    for i in range(60):
        cells = path[i, : length[i]].tolist()
        assert (cells[0], cells[-1], len(cells)) == (far[i], sources[i], dist[i, far[i]] + 1)
        assert all(any(passages[i, a, d] and table[a, d] == b for d in range(4)) for a, b in itertools.pairwise(cells))
        assert (path[i, length[i] :] == 20).all()


def test_pick_is_uniform_over_what_is_there() -> None:
    u = (np.arange(1200) + 0.5) / 1200
    for mask in range(1, 16):
        there = np.array([bool(mask >> d & 1) for d in range(4)])
        count = np.bincount(pick(np.tile(there, (1200, 1)), u), minlength=4)
        assert count[there].tolist() == [1200 // there.sum()] * there.sum()


def test_words() -> None:
    with pytest.raises(InputError, match="did you mean 'wilson'"):
        make("wilsen", 3, 3, 1)
    drawn = text(make("wilson", 2, 3, 1)[0], 2, 3)
    assert len(drawn.splitlines()) == 5
    assert drawn.count("+") == 12

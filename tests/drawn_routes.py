"""Routes and rides over small maps, and the literal definition of the drawing of a map."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from small_maps import small_map

from worldbench.core.graph import Graph
from worldbench.core.world import Documents, Vocabulary
from worldbench.metrics.map_reconstruction import METRIC
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED
from worldbench.metrics.routes import NO_END

N, E, S, W = 0, 2, 4, 6


class Literal:
    """The definition, word by word: a dict of edges, breadth-first search over whole paths, every candidate tried on a
    copy."""

    def __init__(self, graph: Graph, degree: int, distance: float, forced_end: bool = True) -> None:
        self.forced_end = forced_end
        self.true = {(int(u), int(a)): int(v) for u, v, a in graph.edges}
        self.cap = [max(degree, sum(1 for u, _ in self.true if u == node)) for node in range(graph.n_places)]
        self.used: dict[tuple[int, int], int] = {}
        gap = np.hypot(*(graph.metres[:, None] - graph.metres[None]).transpose(2, 0, 1))
        self.near = [
            sorted((v for v in range(graph.n_places) if v != u and gap[u, v] <= distance), key=lambda v: (gap[u, v], v))
            for u in range(len(gap))
        ]

    def room(self, used: dict, node: int, direction: int) -> bool:
        return (node, direction) not in used and sum(1 for u, _ in used if u == node) < self.cap[node]

    def search(self, used: dict, start: int, goal: int, directions: list[int]) -> list[tuple[int, int, int]] | None:
        """The whole path if there is one, else the longest path that ends where an edge in the next direction could be
        added."""
        queue: list[tuple[int, list[tuple[int, int, int]]]] = [(start, [])]
        best = None
        while queue:
            at, path = queue.pop(0)
            now = used | {(u, a): v for u, a, v in path}
            k = len(path)
            if k == len(directions):
                if at == goal or not self.forced_end:
                    return path
                continue
            if self.room(now, at, directions[k]):
                best = path
            key = (at, directions[k])
            steps = [now[key]] if key in now else [self.true[key]] if key in self.true and self.room(now, *key) else []
            queue += [(v, [*path, (*key, v)]) for v in steps]
        return best

    def explain(
        self, origin: int, goal: int, directions: list[int], roll_back: bool
    ) -> list[tuple[int, int, int]] | None:
        before = dict(self.used)
        path = self.search(self.used, origin, goal, directions)
        if path is None:
            return None
        self.used |= {(u, a): v for u, a, v in path}
        while path is not None and len(path) < len(directions):
            at = path[-1][2] if path else origin
            rest = directions[len(path) + 1 :]
            found: list[tuple[int, list[tuple[int, int, int]]]] = []
            for v in self.near[at]:
                new = (at, directions[len(path)], v)
                if not rest:
                    if v == goal or not self.forced_end:
                        found.append((1 + (v == goal), [new]))
                    continue
                sub = self.search(self.used | {new[:2]: v}, v, goal, rest)
                if sub:
                    arrives = len(sub) == len(rest) and sub[-1][2] == goal
                    found.append((len(sub) + arrives, [new, *sub]))
            best = max(found, key=lambda f: f[0])[1] if found else []
            self.used |= {(u, a): v for u, a, v in best}
            path = [*path, *best] if best else None
        if path is None and roll_back:
            self.used = before
        return path


def is_legal(graph: Graph, at: int, row: list[int]) -> bool:
    for move in row:
        at = int(graph.successor[at, move]) if move >= 0 and at >= 0 else -1
    return at >= 0


def literal(
    graph: Graph, origin, destination, moves, degree: int, distance: float, roll_back: bool, order, forced_end=True
) -> tuple[set, set, list]:
    drawing = Literal(graph, degree, distance, forced_end)
    paths: dict[int, list | None] = {}
    rows = [[int(a) for a in itertools.takewhile(lambda a: a != -1, row)] for row in moves]
    if not forced_end:
        rows = [row[:-1] if row[-1:] == [NO_END] else row for row in rows]
        order = sorted(order, key=lambda i: not is_legal(graph, int(origin[i]), rows[i]))
    for i in order:
        row = rows[i]
        paths[i] = (
            None if min(row, default=0) < 0 else drawing.explain(int(origin[i]), int(destination[i]), row, roll_back)
        )
    edges = {(u, v, a) for (u, a), v in drawing.used.items()}
    red = {(u, v, a) for u, v, a in edges if drawing.true.get((u, a)) != v}
    status = [
        FAILED if (p := paths[i]) is None else DRAWN_WITH_RED if any((u, v, a) in red for u, a, v in p) else DRAWN
        for i in range(len(moves))
    ]
    return edges - red, red, status


def walks(
    graph: Graph, rng: np.random.Generator, count: int, longest: int, wrong: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Legal walks, each direction replaced with probability `wrong`."""
    origin = rng.integers(graph.n_places, size=count)
    destination = origin.copy()
    moves = np.full((count, longest), -1)
    for i in range(count):
        for t in range(rng.integers(1, longest + 1)):
            turn = rng.choice(np.flatnonzero(graph.successor[destination[i]] >= 0))
            destination[i] = graph.successor[destination[i], turn]
            moves[i, t] = turn if rng.random() >= wrong else rng.integers(8)
    return origin, destination, moves


def line(gap: float = 100.0, places: int = 5) -> Graph:
    """Places 0 .. places - 1 from west to east; E leads one on, W one back."""
    graph = small_map(3, 0)
    successor = np.full((places, 8), -1, np.int32)
    successor[:-1, E] = np.arange(1, places)
    successor[1:, W] = np.arange(places - 1)
    metres = np.stack([np.arange(places) * gap, np.zeros(places)], axis=1)
    return replace(
        graph,
        places=tuple(map(str, range(places))),
        metres=metres,
        successor=successor,
        length=successor * 1.0,
        street=successor.astype(object),
    )


def rides_of(tokens: list[list[int]], length: list[int]) -> SimpleNamespace:
    prompts = np.array([[10, 12]] * len(tokens))
    return SimpleNamespace(
        prompts=prompts, prompt_lengths=np.full(len(tokens), 2), tokens=np.array(tokens), length=np.array(length)
    )


WORDS = Vocabulary(words=("<pad>", "end", *"ABCDEFGH", *"01234"), pad=0, end=1, actions=(*range(2, 10), 1))


def held_out(seed: int, split: str, start: int, count: int) -> Documents:
    """The data: rides 1 -> 2 along one street, and 0 -> 2 by a detour."""
    assert split == "test"
    tokens = np.where(
        (np.arange(start, start + count) % 3 == 2)[:, None], [10, 12, 4, 8, 4, 4, 1], [11, 12, 4, 1, 0, 0, 0]
    )
    return Documents(tokens, np.where(tokens[:, 0] == 10, 7, 4), np.full(count, 2))


def measure(
    tokens: list[list[int]], length: list[int], orders: int = 3, roll_back: bool = True, sample: Callable = held_out
):
    """The metric on rides 0 -> 2 over the line."""
    world = SimpleNamespace(
        graph=line,
        vocabulary=WORDS,
        route_ends=lambda prompts: (prompts[:, 0] - 10, prompts[:, 1] - 10),
        name="line",
        longest=5,
        sample=sample,
    )
    options = SimpleNamespace(
        reconstruction_rides=len(tokens),
        reconstruction_decoding="greedy",
        reconstruction_degree=4,
        reconstruction_distance=804.672,
        reconstruction_orders=orders,
        reconstruction_roll_back=roll_back,
    )
    return METRIC.measure(
        SimpleNamespace(world=world, settings=options, seed=0, rides=lambda kind, count: rides_of(tokens, length))
    )  # pyright: ignore[reportArgumentType]


def rewired_walks(
    graph: Graph, rng: np.random.Generator, count: int, longest: int, slips: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rides of a driver with a wrong map: two streets of each ten lead in a direction that the map lacks. In addition,
    each direction is replaced with probability `slips`, and one ride of ten names another destination."""
    successor = graph.successor.copy()
    for k in range(0, len(graph.edges), 5):
        u, v, a = graph.edges[k]
        if len(lacking := np.flatnonzero(graph.successor[u] < 0)):
            successor[u, a], successor[u, lacking[k % len(lacking)]] = -1, v
    at = rng.integers(graph.n_places, size=count)
    origin, length = at.copy(), rng.integers(2, longest + 1, size=count)
    table = np.full((count, longest), -1)
    for t in range(longest):
        on = length > t
        turn = np.where(successor[at] >= 0, rng.random(successor[at].shape), -1).argmax(1)
        wrong = rng.random(count) < slips
        table[on, t] = np.where(wrong, rng.integers(successor.shape[1], size=count), turn)[on]
        at = np.where(on, successor[at, turn], at)
    return origin, np.where(rng.random(count) < 0.1, rng.integers(graph.n_places, size=count), at), table

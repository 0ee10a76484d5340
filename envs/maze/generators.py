"""Maze generators, vectorized over mazes: maze i of a named stream depends on (name, i) alone, whatever the batch.

Spanning trees (exactly one path between any two cells): depth-first, Wilson (uniform over all trees), Kruskal and Prim
(random growth), recursive division. Mazes with loops: percolation (each wall is open with probability p), and
depth-first plus percolation.
Sources: Wilson 1996 (loop-erased random walk). The other algorithms are folklore; their names are those of Ivanitskiy
et al. 2023 (maze-dataset, arXiv 2309.10498).
Shape letters: N mazes, K cells, E walls.

Three conventions hold in this file. Every maze consumes its own row of uniform numbers, so that a maze does not depend
on its batch. Cell K is a virtual cell outside the maze: `neighbors` returns K where a move would leave the grid, and
arrays with K + 1 columns give that cell a value, which saves a test at every border. Several arrays are written through
a flattened view, because one flat index is much faster than a pair of index arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError, nearest
from worldbench.envs.maze.grid import OPPOSITE, from_walls, neighbors, pick, walls

CHUNK = 1024
"""Mazes generated together. Their arrays then fit the cache of one core."""
Name = tuple[streams.Name, ...]


def generate(kind: str, rows: int, columns: int, items: np.ndarray, name: Name, percolation: float = 0.1) -> np.ndarray:
    """Mazes of one kind: open passages, bool [N, K, 4], for the items (ascending) of the stream `name`.

    Raises InputError for an unknown kind.
    """
    if kind not in GENERATORS:
        raise InputError(f"there is no maze generator {kind!r}{nearest(kind, GENERATORS)}")
    chunks = (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))
    parts = [GENERATORS[kind](rows, columns, chunk, (*name, kind), percolation) for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros((0, rows * columns, 4), bool)


def _depth_first(
    rows: int, columns: int, items: np.ndarray, name: Name, percolation: float, *, forks: bool = True
) -> np.ndarray:
    """Walk from a uniform cell to a uniform unseen neighbor; if there is none, step back by one cell.

    Without forks, the walk ends where there is no unseen neighbor.
    """
    n, k = len(items), rows * columns
    u = streams.uniform_rows(items, k, *name)
    table = neighbors(rows, columns).astype(np.int64)
    row, base = np.arange(n), np.arange(n) * (k + 1)
    unseen = np.ones((n, k + 1), bool)
    unseen[:, k] = False  # the virtual cell outside the maze is never entered
    flat = unseen.ravel()
    passages = np.zeros((n, k, 4), bool)
    ways = passages.reshape(-1)
    at = np.minimum((u[:, 0] * k).astype(np.int64), k - 1)
    flat[base + at] = False
    stack = np.zeros((n, k), np.int64)
    depth, seen = np.zeros(n, np.int64), np.ones(n, np.int64)
    for _ in range(2 * k):  # every cell is entered once and left once
        free = flat[base[:, None] + table[at]]
        go = free.any(axis=1)
        # Uniform number `seen` is used for entering a new cell. A maze that only steps back keeps its number.
        direction = pick(free, u[row, np.minimum(seen, k - 1)])
        new = table[at, direction]
        moved, frm, way, to = row[go], at[go], direction[go], new[go]
        ways[(moved * k + frm) * 4 + way] = True
        ways[(moved * k + to) * 4 + OPPOSITE[way]] = True
        flat[moved * (k + 1) + to] = False
        seen += go
        if forks:
            stack[row, depth] = at
            depth = np.maximum(depth + np.where(go, 1, -1), 0)
            at = np.where(go, new, stack[row, depth])
            if (seen == k).all():
                break
        else:
            at = np.where(go, new, at)
            if not go.any():
                break
    return passages


def _no_forks(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    return _depth_first(rows, columns, items, name, percolation, forks=False)


def _wilson(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    """A uniform spanning tree (Wilson 1996).

    From each cell in turn, a random walk runs until it meets the tree. Following the last exit taken from each visited
    cell gives the walk with its loops erased, and this path joins the tree. Mazes advance side by side: at any moment
    some walk (`walking`) and others add their path to the tree (`returning`).
    """
    n, k, width = len(items), rows * columns, 4 * rows * columns
    table = neighbors(rows, columns).astype(np.int64)
    inside = table < k
    passages = np.zeros((n, k, 4), bool)
    in_tree = np.zeros((n, k), bool)
    leaves = np.zeros((n, k), np.int8)  # the last exit taken from each cell: later visits overwrite earlier ones
    row = np.arange(n)  # mazes that are not finished
    used = np.zeros(n, np.int64)
    u = streams.uniform_rows(items, width, *name, 0)
    in_tree[row, np.minimum((u[:, 0] * k).astype(np.int64), k - 1)] = True
    used += 1
    start = np.argmin(in_tree, axis=1)
    at, back = start.copy(), np.zeros(n, bool)
    attempt = np.zeros(n, np.int64)
    while len(row):
        walking = np.flatnonzero(~back)
        dry = walking[used[walking] == width]
        if len(dry):  # the walk is longer than one block of random numbers: each maze reads its own next block
            for a in np.unique(attempt[dry]):
                these = dry[attempt[dry] == a]
                u[row[these]] = streams.uniform_rows(items[row[these]], width, *name, int(a) + 1)
            attempt[dry] += 1
            used[dry] = 0
        w, here = row[walking], at[walking]
        direction = pick(inside[here], u[w, used[walking]])
        used[walking] += 1
        leaves[w, here] = direction
        at[walking] = table[here, direction]
        met = walking[in_tree[w, at[walking]]]
        at[met] = start[met]
        returning = np.flatnonzero(back)
        w, here = row[returning], at[returning]
        way = leaves[w, here]
        to = table[here, way]
        in_tree[w, here] = True
        passages[w, here, way] = True
        passages[w, to, OPPOSITE[way]] = True
        at[returning] = to
        joined = returning[in_tree[w, to]]
        back[met], back[joined] = True, False
        if len(joined):
            start[joined] = np.argmin(in_tree[row[joined]], axis=1)
            at[joined] = start[joined]
            done = joined[in_tree[row[joined], start[joined]]]
            if len(done):
                keep = np.ones(len(row), bool)
                keep[done] = False
                row, start, at, back, used, attempt = (x[keep] for x in (row, start, at, back, used, attempt))
    return passages


def _kruskal(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    """Go through the walls in random order and open each one that separates two regions (Kruskal's algorithm)."""
    w = walls(rows, columns).astype(np.int64)
    n, k = len(items), rows * columns
    order = np.argsort(streams.uniform_rows(items, len(w), *name), axis=1)
    label = np.tile(np.arange(k, dtype=np.int16), (n, 1))
    open_ = np.zeros((n, len(w)), bool)
    row = np.arange(n)
    for rank in range(len(w)):
        e = order[:, rank]
        a, b = label[row, w[e, 0]], label[row, w[e, 1]]
        apart = np.flatnonzero(a != b)
        open_[apart, e[apart]] = True
        part = label[apart]  # relabel region b as region a: K is small, so this is cheaper than a union-find per maze
        label[apart] = np.where(part == b[apart, None], a[apart, None], part)
    return from_walls(open_, rows, columns)


def _prim(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    """Grow from a uniform cell: open a uniform wall between the maze and the rest, until all cells are joined."""
    w = walls(rows, columns).astype(np.int64)
    n, k, none = len(items), rows * columns, len(w)
    around = np.full((k, 4), none)  # the walls of each cell; `none` where the cell lies at the edge of the grid
    around[w[:, 0], w[:, 2]] = around[w[:, 1], OPPOSITE[w[:, 2]]] = np.arange(none)
    u = streams.uniform_rows(items, k, *name)
    inside, open_ = np.zeros((n, k), bool), np.zeros((n, none), bool)
    # `border` lists the walls between the maze and the rest, in any order. `place` says where each wall stands in that
    # list (-1: it does not). The last column of both is a dummy: vectorized writes without a target go there.
    border, place = np.full((n, none + 1), none), np.full((n, none + 1), -1)
    border_, place_ = border.ravel(), place.ravel()
    row, base, count = np.arange(n), np.arange(n) * (none + 1), np.zeros(n, np.int64)
    cell = np.minimum((u[:, 0] * k).astype(np.int64), k - 1)
    for step in range(1, k + 1):
        inside[row, cell] = True
        if step == k:
            break
        # A wall of the new cell either enters the border, at its end, or leaves it: then the last wall takes its place.
        for wall in around[cell].T:
            at = place_[base + wall]
            leaves = at >= 0
            slot = np.where(leaves, at, np.where(wall < none, count, none))
            put = np.where(leaves, border_[base + count - 1], wall)
            border_[base + slot] = put
            place_[base + put] = slot
            place_[base + np.where(leaves, wall, none)] = -1
            count += np.where(leaves, -1, wall < none)
        e = border_[base + (u[:, step] * count).astype(np.int64)]
        open_[row, e] = True
        cell = np.where(inside[row, w[e, 0]], w[e, 1], w[e, 0])
    return from_walls(open_, rows, columns)


def _division(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    """Divide an empty room by a straight wall with one door, across its longer side; then divide the two new rooms in
    the same way, down to corridors.

    All rooms of all mazes that have the same depth are divided together. Each room takes three uniform numbers:
    orientation (for square rooms), position of the wall, position of the door.
    """
    n, k = len(items), rows * columns
    u = streams.uniform_rows(items, 3 * k, *name)
    table = neighbors(rows, columns)
    passages = np.tile(table < k, (n, 1, 1))
    # A room: maze, first row, last row + 1, first column, last column + 1.
    room = np.stack([np.arange(n), *(np.full(n, x) for x in (0, rows, 0, columns))], axis=1)
    used = np.zeros(n, np.int64)
    while True:
        height, width = room[:, 2] - room[:, 1], room[:, 4] - room[:, 3]
        room = room[(height > 1) & (width > 1)]
        if not len(room):
            return passages
        # In order of mazes, so that `rank`, the number of a room within its maze, picks that maze's random numbers.
        room = room[np.argsort(room[:, 0], kind="stable")]
        maze = room[:, 0]
        height, width = room[:, 2] - room[:, 1], room[:, 4] - room[:, 3]
        rank = np.arange(len(room)) - np.searchsorted(maze, maze)
        draw = u[maze[:, None], 3 * (used[maze] + rank)[:, None] + np.arange(3)]
        used += np.bincount(maze, minlength=n)
        across = np.where(height == width, draw[:, 0] < 0.5, height > width)  # True: the wall runs from west to east
        long, short = np.where(across, height, width), np.where(across, width, height)
        cut = (draw[:, 1] * (long - 1)).astype(np.int64)  # the wall lies behind this row or column of the room
        door = (draw[:, 2] * short).astype(np.int64)
        # One entry for each cell along each new wall: the room that owns the wall, and the position along the wall.
        owner = np.repeat(np.arange(len(room)), short)
        along = np.arange(len(owner)) - np.repeat(np.cumsum(short) - short, short)
        owner, along = owner[along != door[owner]], along[along != door[owner]]
        r = room[owner, 1] + np.where(across[owner], cut[owner], along)
        c = room[owner, 3] + np.where(across[owner], along, cut[owner])
        way = np.where(across[owner], 2, 1)
        cell = r * columns + c
        passages[maze[owner], cell, way] = False
        passages[maze[owner], table[cell, way], OPPOSITE[way]] = False
        near, far = room.copy(), room.copy()
        near[:, 2] = np.where(across, room[:, 1] + cut + 1, room[:, 2])
        near[:, 4] = np.where(across, room[:, 4], room[:, 3] + cut + 1)
        far[:, 1] = np.where(across, room[:, 1] + cut + 1, room[:, 1])
        far[:, 3] = np.where(across, room[:, 3], room[:, 3] + cut + 1)
        room = np.concatenate([near, far])


def _percolation(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    """Each wall is open with probability `percolation`, independently of all others."""
    return from_walls(streams.uniform_rows(items, len(walls(rows, columns)), *name) < percolation, rows, columns)


def _depth_first_percolation(rows: int, columns: int, items: np.ndarray, name: Name, percolation: float) -> np.ndarray:
    tree = _depth_first(rows, columns, items, (*name, "tree"), percolation)
    return tree | _percolation(rows, columns, items, (*name, "loops"), percolation)


GENERATORS: dict[str, Callable[[int, int, np.ndarray, Name, float], np.ndarray]] = {
    "depth-first": _depth_first,
    "depth-first-no-forks": _no_forks,
    "wilson": _wilson,
    "kruskal": _kruskal,
    "prim": _prim,
    "division": _division,
    "percolation": _percolation,
    "depth-first-percolation": _depth_first_percolation,
}
TREES = ("depth-first", "wilson", "kruskal", "prim", "division")
"""Generators whose mazes are spanning trees: exactly one path between any two cells."""

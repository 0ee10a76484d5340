"""Mazes as arrays: passages between neighboring cells, distances, shortest paths. Vectorized over mazes.

The cell in row r and column c of a maze with C columns has the number r * C + c. passages: bool [N, K, 4], is there a
passage north, east, south, west of each cell? A wall is a pair of neighboring cells; it is open if there is a passage
between them.
Shape letters: N mazes, K cells, E walls, L longest path in moves, M rows, 4 directions.
"""

from __future__ import annotations

import functools

import numpy as np

DIRECTIONS = ("N", "E", "S", "W")
ROW_STEP, COLUMN_STEP = np.array([-1, 0, 1, 0]), np.array([0, 1, 0, -1])
OPPOSITE = np.array([2, 3, 0, 1])
UNREACHED = np.iinfo(np.int16).max
"""The distance between cells that no path joins."""


@functools.cache
def neighbors(rows: int, columns: int) -> np.ndarray:
    """int16 [K, 4]: the neighbor of each cell in each direction; K if it is outside the grid."""
    r, c = np.divmod(np.arange(rows * columns), columns)
    to_r, to_c = r[:, None] + ROW_STEP, c[:, None] + COLUMN_STEP
    inside = (to_r >= 0) & (to_r < rows) & (to_c >= 0) & (to_c < columns)
    table = np.where(inside, to_r * columns + to_c, rows * columns).astype(np.int16)
    table.setflags(write=False)
    return table


@functools.cache
def walls(rows: int, columns: int) -> np.ndarray:
    """int16 [E, 3]: the walls. A row is a cell, its neighbor to the east or south, and this direction (1 or 2)."""
    table = neighbors(rows, columns)
    cell, direction = np.nonzero(table < rows * columns)
    keep = (direction == 1) | (direction == 2)
    cell, direction = cell[keep], direction[keep]
    out = np.stack([cell, table[cell, direction], direction], axis=1).astype(np.int16)
    out.setflags(write=False)
    return out


def from_walls(open_: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Passages, bool [N, K, 4], from open walls, bool [N, E], in the order of `walls`."""
    w = walls(rows, columns)
    out = np.zeros((len(open_), rows * columns, 4), bool)
    out[:, w[:, 0], w[:, 2]] = open_
    out[:, w[:, 1], OPPOSITE[w[:, 2]]] = open_
    return out


def to_walls(passages: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Open walls, bool [N, E], in the order of `walls`, from passages."""
    w = walls(rows, columns)
    return passages[:, w[:, 0], w[:, 2]]


def distances(passages: np.ndarray, sources: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Smallest number of moves from every cell to the source cell of its maze: int16 [N, K].

    sources: int [N]. UNREACHED where there is no path. A breadth-first search in all mazes at once: a uint64 word
    holds one bit for each of 64 mazes.
    """
    n, k = passages.shape[:2]
    padded = np.zeros((4, k, -(-n // 64) * 64), bool)  # 64 mazes per word
    padded[:, :, :n] = passages.transpose(2, 1, 0)
    north, east, south, west = (
        np.packbits(padded, axis=2, bitorder="little").view(np.uint64).reshape(4, rows, columns, -1)
    )
    start = np.zeros(padded.shape[1:], bool)
    start[sources, np.arange(n)] = True
    front = np.packbits(start, axis=1, bitorder="little").view(np.uint64).reshape(rows, columns, -1)
    # The number of the step at which a cell is reached is stored in binary: digits[b] holds bit b, one bit per maze.
    reached, digits = front.copy(), []
    for step in range(1, k):
        new = np.zeros_like(front)
        new[1:] = front[:-1] & south[:-1]
        new[:-1] |= front[1:] & north[1:]
        new[:, 1:] |= front[:, :-1] & east[:, :-1]
        new[:, :-1] |= front[:, 1:] & west[:, 1:]
        front = new & ~reached
        if not front.any():
            break
        reached |= front
        if step.bit_length() > len(digits):
            digits.append(np.zeros_like(front))
        for b, digit in enumerate(digits):
            if step >> b & 1:
                digit |= front
    spread = (
        np.unpackbits(x.view(np.uint8).reshape(k, -1), axis=1, count=n, bitorder="little") for x in (reached, *digits)
    )
    known = next(spread)
    dist = np.zeros((k, n), np.int16)
    for b, digit in enumerate(spread):
        dist += digit.astype(np.int16) << b
    dist[known == 0] = UNREACHED
    return np.ascontiguousarray(dist.T)


def shortest_paths(
    passages: np.ndarray, dist: np.ndarray, starts: np.ndarray, uniform: np.ndarray, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """A random shortest path from each start [N] to the source of the distances `dist` [N, K].

    Each step is uniform among the neighbors that are nearer to the source. uniform: float64 [N, L or more] in [0, 1).
    Returns the cells int16 [N, L + 1], start first, K after the end; and the number of cells of each path, int64 [N].
    """
    n, k = dist.shape
    table = neighbors(rows, columns)
    padded = np.concatenate([dist, np.full((n, 1), UNREACHED, np.int16)], axis=1)
    moves = dist[np.arange(n), starts].astype(np.int64)
    longest = int(moves.max(initial=0))
    path = np.full((n, longest + 1), k, np.int16)
    path[:, 0] = starts
    row, at = np.arange(n), np.asarray(starts, np.int64)
    for step in range(longest):
        going = moves[row] > step
        row, at = row[going], at[going]
        near = (padded[row[:, None], table[at]] == (moves[row] - step - 1)[:, None]) & passages[row, at]
        at = table[at, pick(near, uniform[row, step])].astype(np.int64)
        path[row, step + 1] = at
    return path, moves + 1


# For each set of directions (a bit mask) and each of 12 equal parts of [0, 1): the direction to pick. 12 is divisible
# by 1, 2, 3 and 4, so that the choice is uniform for every size of the set.
_PICK = np.zeros((16, 12), np.int8)
for _mask in range(1, 16):
    _set = [d for d in range(4) if _mask >> d & 1]
    _PICK[_mask] = [_set[j * len(_set) // 12] for j in range(12)]


def pick(mask: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Picks a uniform true column of each row of mask, bool [M, 4], by uniform [M] in [0, 1). 0 if a row has none."""
    return _PICK[mask @ np.array([1, 2, 4, 8], np.int8), (uniform * 12).astype(np.int8)]


def text(passages: np.ndarray, rows: int, columns: int) -> str:
    """One maze, passages bool [K, 4], drawn in characters: `+--+` for walls, spaces for passages."""
    p = passages.reshape(rows, columns, 4)
    lines = ["+" + "--+" * columns]
    for r in range(rows):
        lines.append("|" + "".join("  " + (" " if p[r, c, 1] else "|") for c in range(columns)))
        lines.append("+" + "".join(("  " if p[r, c, 2] else "--") + "+" for c in range(columns)))
    return "\n".join(lines)

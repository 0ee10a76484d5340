"""Draws maze problems (a maze with an origin, a target and a shortest path), and decides which mazes are held out.

Problem i of a split depends only on (seed, split, i). A problem is drawn by rejection: each try makes a maze, and the
first try whose maze belongs to the split, and has a long enough path, is taken.
Shape letters: N problems, G tries whose maze belongs to the split, K cells, E walls, L cells of the longest path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.hashing import hashed, share_of
from worldbench.core.text import counted
from worldbench.envs.maze.generators import generate
from worldbench.envs.maze.grid import UNREACHED, distances, neighbors, shortest_paths, to_walls, walls
from worldbench.envs.maze.solve_config import LOOPS, SolveConfig

MOST_TRIES = 20_000
"""Most tries for one problem."""
GIVEN_UP = ((1 << 14, 1), (1 << 16, 8))
"""Pairs (mazes, problems). If this many mazes give fewer problems than this, drawing stops with an error: most problems
would not be found in 20,000 tries."""
CHECKED = 64
"""Mazes of the first round of `Source.check`; every further round about doubles the number."""


def packed(bits: np.ndarray) -> np.ndarray:
    """Bits, bool [N, E], packed into words: uint64 [N, ceil(E / 64)]."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // 64) * 64), bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


@dataclass(frozen=True)
class HeldOut:
    """The rule that decides which mazes are held out. It does not depend on the seed of a run.

    share: the share of all mazes that is held out, by a hash of their passages with `salt`. listed: the hashes of
    mazes from a file, uint64, which are held out too.
    """

    share: float
    salt: int
    listed: np.ndarray

    @classmethod
    def of(cls, rows: int, columns: int, share: float, listed: np.ndarray) -> HeldOut:
        """The rule for mazes of this size. listed: bool [N, E], the open walls of the mazes of a file."""
        salt = streams.integer("held-out mazes", rows, columns)
        return cls(share, salt, np.unique(hashed(packed(listed), salt)))

    def holds(self, open_: np.ndarray) -> np.ndarray:
        """bool [N]: is the maze with these open walls, bool [N, E], held out?"""
        h = hashed(packed(open_), self.salt)
        return (share_of(h) < self.share) | np.isin(h, self.listed)


@dataclass(frozen=True)
class Problems:
    """Mazes with their tasks and solutions.

    open: bool [N, E], the open walls. origin, target: int64 [N], cells. path: int16 [N, L], the cells of a shortest
    path, K after its end. cells: int64 [N], the number of cells of the path.
    """

    open: np.ndarray
    origin: np.ndarray
    target: np.ndarray
    path: np.ndarray
    cells: np.ndarray


class Source:
    """Draws problems.

    The words for cells are those of the size in `config`. The mazes may be smaller, with `rows` and `columns` (0: as in
    `config`); they then lie in the north-west corner.
    """

    def __init__(self, config: SolveConfig, held_out: HeldOut, rows: int = 0, columns: int = 0) -> None:
        self.config, self.held_out = config, held_out
        self.rows, self.columns = rows or config.rows, columns or config.width
        r, c = np.divmod(np.arange(self.rows * self.columns), self.columns)
        self._cell = r * config.width + c  # the number of each cell of a maze in the full grid
        accepted = {"train": 1 - held_out.share, "test": held_out.share}
        self._tries = {split: int(np.clip(round(0.5 / p), 1, 16)) for split, p in accepted.items()}

    def passages(self, seed: int, split: str, attempt: int, items: np.ndarray) -> np.ndarray:
        """The mazes of one attempt, as passages in the full grid: bool [N, K, 4]."""
        c = self.config
        small = generate(
            c.generator, self.rows, self.columns, items, ("maze-solve", seed, split, attempt), c.open_share
        )
        if (self.rows, self.columns) == (c.rows, c.width):
            return small
        out = np.zeros((len(items), c.cells, 4), bool)
        out[:, self._cell] = small
        return out

    def draw(self, seed: int, split: str, start: int, count: int) -> Problems:
        """Problems start .. start + count - 1 of the split ("train" or "test").

        Raises InputError, with the reason, if the split has no problems, or too few to be found.
        """
        if split not in self._tries:
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        c, tries = self.config, self._tries[split]
        k, e = c.cells, len(walls(c.rows, c.width))
        open_, path = np.zeros((count, e), bool), np.full((count, k), k, np.int16)
        origin, target, cells = (np.zeros(count, np.int64) for _ in range(3))
        missing, attempt, mazes, allowed, found = np.arange(count), 0, 0, 0, 0
        while len(missing):
            items = ((missing[:, None] + start) * tries + np.arange(tries)).ravel()
            passages, shown, good, to, frm, dist = self._candidates(seed, split, attempt, items)
            there = np.flatnonzero(frm < k)
            row = good[there] // tries
            row, first = np.unique(row, return_index=True)  # the first good try of each problem
            there = there[first]
            choices = streams.uniform_rows(missing[row] + start, k, "maze-solve paths", seed, split)
            chosen, done = good[there], missing[row]
            steps, length = shortest_paths(passages[chosen], dist[there], frm[there], choices, c.rows, c.width)
            open_[done], origin[done], target[done], cells[done] = shown[chosen], frm[there], to[there], length
            path[done, : steps.shape[1]] = steps
            missing = np.delete(missing, row)
            attempt += 1
            mazes, allowed, found = mazes + len(items), allowed + len(good), found + len(row)
            if len(missing) and (attempt * tries > MOST_TRIES or self._hopeless(mazes, found)):
                raise self._no_problems(split, mazes, allowed, found)
        return Problems(open_, origin, target, path, cells)

    def _candidates(
        self, seed: int, split: str, attempt: int, items: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One try for each item.

        Returns passages bool [N, K, 4] and open walls bool [N, E] of all tries; the rows [G] of the tries whose maze
        belongs to the split; and for these rows a target [G], an origin [G] (K: there is none), and the distances to
        the target [G, K].
        """
        c = self.config
        passages = self.passages(seed, split, attempt, items)
        shown = to_walls(passages, c.rows, c.width)
        good = np.flatnonzero(self.held_out.holds(shown) == (split == "test"))
        ends = streams.uniform_rows(items, 2, "maze-solve ends", seed, split, attempt)[good]
        return passages, shown, good, *self._ends(passages[good], ends)

    def check(self, splits: tuple[str, ...] = ("train", "test")) -> None:
        """Raises InputError, with the reason, if random mazes give too few problems of one of the splits."""
        seed = streams.integer("check of mazes")
        for split in splits:
            mazes, allowed, found = 0, 0, 0
            while not found:
                items = np.arange(mazes, 2 * mazes + CHECKED)
                _, _, good, _, frm, _ = self._candidates(seed, split, 0, items)
                mazes, allowed, found = mazes + len(items), allowed + len(good), int((frm < self.config.cells).sum())
                if self._hopeless(mazes, found):
                    raise self._no_problems(split, mazes, allowed, found)

    @staticmethod
    def _hopeless(mazes: int, found: int) -> bool:
        """Should drawing stop with an error? mazes, found: mazes drawn so far, and problems among them."""
        return any(mazes >= enough and found < fewest for enough, fewest in GIVEN_UP)

    def _no_problems(self, split: str, mazes: int, allowed: int, found: int) -> InputError:
        """The error for a split with too few problems. allowed: how many of the mazes drawn belong to the split."""
        c = self.config
        loops = ", or raise env.percolation" if c.generator in LOOPS else ""
        drawn = f"of {mazes:,} mazes of {c.generator} {self.rows} x {self.columns}, "
        if not allowed:
            kind, change = ("is held out", "raise it") if split == "test" else ("remains for training", "lower it")
            return InputError(
                f"{drawn}none {kind} with env.held_out_share {c.held_out_share:g}; "
                f"{change}, or take larger mazes{loops}"
            )
        few = f"only {found}" if found else "none"
        return InputError(
            f"{drawn}{few} of the {split} split had a path of at least {counted(c.least_moves, 'move')}; lower "
            "env.least_moves, "
            f"or take larger mazes{loops}"
        )

    def _ends(self, passages: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws a task for each maze: a uniform target, and a uniform origin among the cells that are far enough away.

        passages: bool [N, K, 4]; uniform: float64 [N, 2]. Returns target [N], origin [N] (K if no cell is far enough),
        and the distances to the target [N, K].
        """
        c, k = self.config, passages.shape[1]
        target = self._cell[(uniform[:, 0] * len(self._cell)).astype(np.int64)]
        dist = distances(passages, target, c.rows, c.width)
        far = (dist >= c.least_moves) & (dist < UNREACHED)
        count = np.cumsum(far, axis=1, dtype=np.int16)
        origin = np.argmax(count > (uniform[:, 1] * count[:, -1]).astype(np.int16)[:, None], axis=1)
        return target, np.where(count[:, -1] > 0, origin, k), dist


def degree(open_: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The number of passages of each cell: int16 [N, K]. open_: bool [N, E], the open walls."""
    w, k = walls(rows, columns), rows * columns
    joins = np.zeros((len(w), k), np.int16)
    joins[np.arange(len(w)), w[:, 0]] = joins[np.arange(len(w)), w[:, 1]] = 1
    return open_.astype(np.int16) @ joins


def wall_at(rows: int, columns: int) -> np.ndarray:
    """int32 [K, 4]: the number of the wall north, east, south, west of each cell; E at the edge of the grid."""
    w, k = walls(rows, columns).astype(np.int64), rows * columns
    out = np.full((k, 4), len(w), np.int32)
    out[w[:, 0], w[:, 2]] = np.arange(len(w))
    out[w[:, 1], (w[:, 2] + 2) % 4] = np.arange(len(w))
    assert (neighbors(rows, columns)[out < len(w)] < k).all()
    return out

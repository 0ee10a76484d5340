"""Mazes with an origin, a target and a shortest path, drawn by counter; which mazes training never shows.

Shape letters: N problems, R rows redrawn, B tries at once, K cells, E walls, L cells of the longest path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.envs.maze.generators import generate
from worldbench.envs.maze.grid import UNREACHED, distances, neighbours, shortest_paths, to_walls, walls
from worldbench.envs.maze.solve_config import LOOPS, SolveConfig

MOST_TRIES = 20_000
GIVEN_UP = ((1 << 14, 1), (1 << 16, 8))
"""After so many mazes with fewer problems among them a split is given up: most problems would be missed in 20,000
tries."""
CHECKED = 64
_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), uint64 -> uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def packed(bits: np.ndarray) -> np.ndarray:
    """bool [N, E] in words: uint64 [N, ceil(E / 64)]."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // 64) * 64), bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def hashed(words: np.ndarray, salt: int = 0) -> np.ndarray:
    """A hash of each row of words [N, W]: uint64 [N]."""
    out = np.full(len(words), np.uint64(salt))
    for column in words.T:
        out = mix(out * np.uint64(3) + column.astype(np.uint64) + _STEP)
    return out


@dataclass(frozen=True)
class HeldOut:
    """What training never shows: a share of all mazes by a fixed salted hash of their passages, never of a run's seed,
    and the mazes of a file.

    share: of the mazes; listed: hashes of others, sorted uint64.
    """

    share: float
    salt: int
    listed: np.ndarray

    @classmethod
    def of(cls, rows: int, columns: int, share: float, listed: np.ndarray) -> HeldOut:
        """listed: bool [N, E], which walls of the mazes of a file are open."""
        salt = streams.integer("held-out mazes", rows, columns)
        return cls(share, salt, np.unique(hashed(packed(listed), salt)))

    def holds(self, open_: np.ndarray) -> np.ndarray:
        """bool [N]: is each maze (open walls bool [N, E]) held out?"""
        h = hashed(packed(open_), self.salt)
        return ((h >> np.uint64(11)) * 2.0**-53 < self.share) | np.isin(h, self.listed)


@dataclass(frozen=True)
class Problems:
    """open: bool [N, E]. origin, target: int64 [N]. path: int16 [N, L], K after its end; cells: int64 [N], its
    length."""

    open: np.ndarray
    origin: np.ndarray
    target: np.ndarray
    path: np.ndarray
    cells: np.ndarray


class Source:
    """Draws problems. The grid of words is the config's; the mazes themselves may be smaller (`rows`, `columns`), in
    its north-west corner."""

    def __init__(self, config: SolveConfig, held_out: HeldOut, rows: int = 0, columns: int = 0) -> None:
        self.config, self.held_out = config, held_out
        self.rows, self.columns = rows or config.rows, columns or config.width
        r, c = np.divmod(np.arange(self.rows * self.columns), self.columns)
        self._cell = r * config.width + c  # where each cell lies on the grid of words
        accepted = {"train": 1 - held_out.share, "test": held_out.share}
        self._tries = {split: int(np.clip(round(0.5 / p), 1, 16)) for split, p in accepted.items()}

    def passages(self, seed: int, split: str, attempt: int, items: np.ndarray) -> np.ndarray:
        """Mazes on the grid of words: bool [N, K, 4]."""
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
        """Problems start .. start + count - 1 of the split. A maze that the split may not show, or without a long
        enough way, is redrawn whole."""
        if split not in self._tries:
            raise InputError(f"unknown split {split!r}; there are train and test")
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
            row, first = np.unique(row, return_index=True)  # the first good try of each
            there = there[first]
            turns = streams.uniform_rows(missing[row] + start, k, "maze-solve paths", seed, split)
            chosen, done = good[there], missing[row]
            steps, length = shortest_paths(passages[chosen], dist[there], frm[there], turns, c.rows, c.width)
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
        """A maze for each item: passages [N, K, 4] and open walls [N, E]; which rows the split may show [G]; a target,
        an origin (K: none) and the distances of those rows [G], [G], [G, K].
        """
        c = self.config
        passages = self.passages(seed, split, attempt, items)
        shown = to_walls(passages, c.rows, c.width)
        good = np.flatnonzero(self.held_out.holds(shown) == (split == "test"))
        ends = streams.uniform_rows(items, 2, "maze-solve ends", seed, split, attempt)[good]
        return passages, shown, good, *self._ends(passages[good], ends)

    def check(self, splits: tuple[str, ...] = ("train", "test")) -> None:
        """Raises InputError, which says why, where a split has no problems, or so few that they are not found in a
        bounded number of mazes."""
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
        return any(mazes >= enough and found < fewest for enough, fewest in GIVEN_UP)

    def _no_problems(self, split: str, mazes: int, allowed: int, found: int) -> InputError:
        c = self.config
        loops = ", or raise env.percolation" if c.generator in LOOPS else ""
        told = f"of {mazes:,} mazes of {c.generator} {self.rows} x {self.columns}, "
        if not allowed:
            kind, change = ("is held out", "raise it") if split == "test" else ("is left to train on", "lower it")
            return InputError(
                f"{told}none {kind} at env.held_out_share {c.held_out_share:g}; {change}, or take larger mazes{loops}"
            )
        few = f"only {found}" if found else "none"
        return InputError(
            f"{told}{few} of the {split} split had a way of at least {counted(c.least_moves, 'move')}; lower "
            "env.least_moves, "
            f"or take larger mazes{loops}"
        )

    def _ends(self, passages: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A uniform target, a uniform origin among the cells far enough from it (K: there is none), and the distances
        to the target [N, K]."""
        c, k = self.config, passages.shape[1]
        target = self._cell[(uniform[:, 0] * len(self._cell)).astype(np.int64)]
        dist = distances(passages, target, c.rows, c.width)
        far = (dist >= c.least_moves) & (dist < UNREACHED)
        count = np.cumsum(far, axis=1, dtype=np.int16)
        origin = np.argmax(count > (uniform[:, 1] * count[:, -1]).astype(np.int16)[:, None], axis=1)
        return target, np.where(count[:, -1] > 0, origin, k), dist


def degree(open_: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Passages of each cell: int [N, K]."""
    w, k = walls(rows, columns), rows * columns
    joins = np.zeros((len(w), k), np.int16)
    joins[np.arange(len(w)), w[:, 0]] = joins[np.arange(len(w)), w[:, 1]] = 1
    return open_.astype(np.int16) @ joins


def wall_at(rows: int, columns: int) -> np.ndarray:
    """int32 [K, 4]: the wall north, east, south, west of each cell; E at the edge of the grid."""
    w, k = walls(rows, columns).astype(np.int64), rows * columns
    out = np.full((k, 4), len(w), np.int32)
    out[w[:, 0], w[:, 2]] = np.arange(len(w))
    out[w[:, 1], (w[:, 2] + 2) % 4] = np.arange(len(w))
    assert (neighbours(rows, columns)[out < len(w)] < k).all()
    return out

"""The arithmetic of Countdown: which results are allowed, and how problems are drawn.

Shape letters: N problems, K numbers of a problem, E = K - 1 equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.hashing import hashed, share_of
from worldbench.envs.countdown.config import CountdownConfig

OPERATIONS = "+-*/"
PLUS, MINUS, TIMES, OVER = range(4)
MOST_TRIES = 5_000
"""Rounds of drawing after which a split is given up."""
NONE = -1


def results(a: np.ndarray, operation: np.ndarray, b: np.ndarray, largest: int) -> np.ndarray:
    """The results of equations `a operation b`, int64; -1 where no result is allowed: a difference below 0, a division
    by 0 or with a remainder, a result above `largest`. The arguments are broadcast."""
    a, operation, b = np.broadcast_arrays(np.asarray(a, np.int64), np.asarray(operation), np.asarray(b, np.int64))
    divisor = np.maximum(b, 1)
    whole = (b > 0) & (a % divisor == 0)
    out = np.select(
        [operation == PLUS, operation == MINUS, operation == TIMES, operation == OVER],
        [a + b, a - b, a * b, np.where(whole, a // divisor, NONE)],
        NONE,
    )
    return np.where((out >= 0) & (out <= largest) & (a >= 0) & (b >= 0), out, NONE)


@dataclass(frozen=True)
class Problems:
    """given: int64 [N, K], the numbers. target: int64 [N]. equations: int64 [N, E, 4], (a, operation, b, result)."""

    given: np.ndarray
    target: np.ndarray
    equations: np.ndarray


@dataclass(frozen=True)
class Source:
    """Draws problems with a solution: uniformly random numbers, then at each step a random pair of the numbers that are
    left, and a random one of the operations that have an allowed result."""

    config: CountdownConfig

    @cached_property
    def targets(self) -> np.ndarray:
        """bool [most_target + 1]: is a target held out? The seed of a run does not matter. All are False where problems
        are held out."""
        c = self.config
        if c.held_out == "problems":
            return np.zeros(c.most_target + 1, bool)
        possible = np.arange(c.least_target, c.most_target + 1)
        chosen = max(1, min(len(possible) - 1, round(c.held_out_share * len(possible))))
        out = np.zeros(c.most_target + 1, bool)
        order = streams.generator("held-out countdown", c.least_target, c.most_target).permutation(possible)
        out[order[:chosen]] = True
        return out

    def held_out(self, given: np.ndarray, target: np.ndarray) -> np.ndarray:
        """bool [N]: is the problem with the numbers `given` [N, K] and the `target` [N] held out? Neither the order of
        the numbers nor the seed of a run matters."""
        if self.config.held_out == "targets":
            return self.targets[np.clip(target, 0, self.config.most_target)]
        words = np.concatenate([np.sort(given, axis=1), target[:, None]], axis=1)
        return share_of(hashed(words, streams.integer("held-out countdown problems"))) < self.config.held_out_share

    def draw(self, seed: int, split: str, start: int, count: int) -> Problems:
        """Problems start .. start + count - 1 of the split ("train" or "test"), drawn again until the last result is in
        the range of targets and the problem belongs to the split.

        Raises InputError for another split, and where no problem is found.
        """
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        c = self.config
        out = Problems(
            np.zeros((count, c.numbers), np.int64),
            np.zeros(count, np.int64),
            np.zeros((count, c.equations, 4), np.int64),
        )
        tries = 4 if split == "train" else 32
        missing = np.arange(count)
        for attempt in range(MOST_TRIES):
            items = ((start + missing)[:, None] * tries + np.arange(tries)).ravel()
            given, equations = self._tried(
                streams.uniform_rows(items, c.numbers + 3 * c.equations, "countdown", seed, split, attempt)
            )
            target = equations[:, -1, 3]
            good = (target >= c.least_target) & (target <= c.most_target)
            good &= self.held_out(given, target) == (split == "test")
            taken = np.flatnonzero(good)
            row, first = np.unique(taken // tries, return_index=True)  # the first good try of each problem
            taken = taken[first]
            at = missing[row]
            out.given[at], out.target[at], out.equations[at] = given[taken], target[taken], equations[taken]
            missing = np.delete(missing, row)
            if not len(missing):
                return out
        raise InputError(
            f"no problem of the split {split!r} was found in {MOST_TRIES * tries:,} tries; raise env.largest_result, "
            "or change env.held_out_share or the range of targets"
        )

    def _tried(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One try for each row of random numbers [N, K + 3 E]: the numbers, and the equations. Results are -1 from the
        first step on that is not allowed."""
        c, n = self.config, len(u)
        given = 1 + (u[:, : c.numbers] * c.largest).astype(np.int64)
        left, rows = given.copy(), np.arange(n)
        equations = np.full((n, c.equations, 4), NONE, np.int64)
        for e in range(c.equations):
            k = c.numbers - e
            first, second, operation = u[:, c.numbers + 3 * e : c.numbers + 3 * e + 3].T
            i = (first * k).astype(np.int64)
            j = (i + 1 + (second * (k - 1)).astype(np.int64)) % k
            a, b = left[rows, i], left[rows, j]
            possible = results(a[:, None], np.arange(4), b[:, None], c.largest_result)
            count = np.cumsum(possible != NONE, axis=1)
            op = np.argmax(count > (operation * count[:, -1]).astype(np.int64)[:, None], axis=1)
            result = possible[rows, op]
            equations[:, e] = np.stack([a, op, b, result], axis=1)
            # The result takes the place of the first operand, and the last number that of the second.
            left[rows, i] = result
            left[rows, j] = np.where(j == k - 1, left[rows, j], left[:, k - 1])
            moved = i == k - 1
            left[rows[moved], j[moved]] = result[moved]
        return given, equations

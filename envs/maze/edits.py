"""Mazes changed on purpose: a corrupted reading of the prompt (damage), or one passage moved (minimal pairs).

Shape letters: N mazes, K cells, E walls, M entries of an edge list.
"""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.hashing import STEP, extended, mix
from worldbench.envs.maze.grid import UNREACHED, distances, from_walls, walls
from worldbench.envs.maze.problems import degree
from worldbench.envs.maze.text_format import Prompts


def check_damage(deleted: int, added: int, rewired: int, rows: int, columns: int) -> None:
    """Refuses damage with a count below 0, or above the number of walls."""
    e = len(walls(rows, columns))
    for name, value in {"deleted": deleted, "added": added, "rewired": rewired}.items():
        if not 0 <= value <= e:
            raise InputError(f"{name} must lie between 0 and {e} (the number of walls of a maze), not {value}")


def misread(prompts: Prompts, deleted: int, added: int, rewired: int, seed: int, rows: int, columns: int) -> np.ndarray:
    """Each maze as a model would read it that makes mistakes: open walls, bool [N, E].

    rewired: this many entries of the edge list are read as passages to another neighbor of one of their cells.
    deleted: this many entries are overlooked, but never the only passage of a cell.
    added: this many passages are read that no entry of the list names.

    Rewired and deleted entries are chosen by their position in the list: `seed` draws an order of positions, the same
    for every prompt. The new passages are chosen by a hash of the whole prompt. Larger damage contains smaller damage
    of the same kind. A maze that has too few candidates is damaged less than asked.
    """
    n, e = prompts.open.shape
    w = walls(rows, columns)
    open_, row = prompts.open.copy(), np.arange(n)
    text = np.full(n, np.uint64(streams.integer("misread", seed)))
    for wall, flip in zip(prompts.entries.T, prompts.flip.T):
        text = np.where(wall < e, extended(text, 2 * wall + flip), text)
    # A random order of walls for each prompt. It depends on the text of the prompt alone, so that the damage of a
    # prompt does not depend on its batch.
    rank = mix(text[:, None] + (np.arange(1, e + 1, dtype=np.uint64) * STEP)[None, :])
    entries = prompts.entries if prompts.entries.shape[1] else np.full((n, 1), e)
    places = entries.shape[1]

    def in_order(kind: str) -> np.ndarray:
        return np.argsort(streams.generator("misread", kind, seed).random(e))

    shares = np.zeros((e, e), bool)  # do two walls have a cell in common?
    for side in (0, 1):
        for other in (0, 1):
            shares |= w[:, None, side] == w[None, :, other]
    last = np.uint64(np.iinfo(np.uint64).max)
    for kind, wanted in (("rewired", rewired), ("deleted", deleted)):
        left = np.full(n, wanted)
        for place in in_order(kind)[: e if wanted else 0]:
            if place >= places or not left.any():
                continue
            wall = entries[:, place]
            hit = (wall < e) & (left > 0)  # e: the list of this prompt is shorter
            wall = np.minimum(wall, e - 1)
            hit &= open_[row, wall]
            if kind == "deleted":
                ways = degree(open_, rows, columns)
                hit &= (ways[row, w[wall, 0]] > 1) & (ways[row, w[wall, 1]] > 1)
            else:
                free = ~open_ & ~prompts.open & shares[wall]
                hit &= free.any(axis=1)
                elsewhere = np.argmin(np.where(free, rank, last), axis=1)
                open_[row[hit], elsewhere[hit]] = True
            open_[row[hit], wall[hit]] = False
            left -= hit
    if added:
        closed = ~prompts.open
        order = np.argsort(np.where(closed, rank, last), axis=1)[:, :added]
        np.put_along_axis(open_, order, np.take_along_axis(closed | open_, order, axis=1), axis=1)
    return open_


def move_one(prompts: Prompts, uniform: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Move one passage of each maze: the new entries [N, M], and the rows that could be changed, bool [N].

    uniform: [N, 3] in [0, 1). For half of the rows the closed passage lies on a shortest path from origin to target;
    for the other half it lies on none. Where closing the passage splits the maze in two, the new passage joins the same
    two parts, so that every cell that could reach the target still can. One entry of the list is replaced, in place.
    """
    n = len(prompts.open)
    w, row = walls(rows, columns), np.arange(n)
    passages = from_walls(prompts.open, rows, columns)
    to, back = (distances(passages, x, rows, columns).astype(np.int64) for x in (prompts.target, prompts.origin))
    least = to[row, prompts.origin][:, None]
    # A wall lies on a shortest path if the distances from both ends, through it, add up to the shortest length.
    through = np.minimum(back[:, w[:, 0]] + to[:, w[:, 1]], back[:, w[:, 1]] + to[:, w[:, 0]]) + 1
    on_way = (through == least) & prompts.open
    reached = to < UNREACHED
    candidates = np.where(uniform[:, :1] < 0.5, on_way, prompts.open & ~on_way & reached[:, w[:, 0]])
    closed = _pick(candidates, uniform[:, 1])
    done = np.asarray(candidates.any(axis=1))
    less = prompts.open.copy()
    less[row, closed] = False
    still = np.asarray(distances(from_walls(less, rows, columns), prompts.target, rows, columns) < UNREACHED)
    parted = np.asarray((reached & ~still).any(axis=1))
    bridge = reached[:, w[:, 0]] & reached[:, w[:, 1]] & (still[:, w[:, 0]] != still[:, w[:, 1]])
    free = ~prompts.open & (bridge | ~parted[:, None])
    opened = _pick(free, uniform[:, 2])
    done = done & np.asarray(free.any(axis=1)) & prompts.good
    replaced = (prompts.entries == closed[:, None]) & done[:, None]
    return np.where(replaced, opened[:, None], prompts.entries), done


def _pick(mask: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One of the true columns of each row of `mask` [N, E], uniformly; 0 where a row has none."""
    count = np.cumsum(mask, axis=1)
    return np.argmax(count > (uniform * count[:, -1]).astype(np.int64)[:, None], axis=1)

"""The world of mazes to be solved: each prompt tells a maze of its own, an origin and a target; what follows is a
shortest path.

Shape letters: N rows, P prompt tokens, K cells, E walls.
"""

from __future__ import annotations

import contextlib
import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.core.world import Documents
from worldbench.envs.maze import text_format
from worldbench.envs.maze.edits import check_damage, misread, move_one
from worldbench.envs.maze.generators import TREES
from worldbench.envs.maze.grid import from_walls
from worldbench.envs.maze.problems import HeldOut, Source, hashed, packed
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.solve_states import SolveStates, Solving
from worldbench.envs.maze.text_format import FIRST_CELL, entries_of, parse, prompt_tokens, put_paths, tell

BLOCK = 8192
"""Problems drawn together: bounds memory, changes no result."""
PROMPT_BLOCK = 512
FRUITLESS = 20
SHIFTS: dict[str, dict[str, Any]] = {
    "depth-first": {"generator": "depth-first"},
    "wilson": {"generator": "wilson"},
    "kruskal": {"generator": "kruskal"},
    "prim": {"generator": "prim"},
    "division": {"generator": "division"},
    "loops": {"generator": "depth-first-percolation", "percolation": 0.2},
    "percolation": {"generator": "percolation", "percolation": 0.6},
}
"""Other mazes of the same words."""


class SolveWorld(Solving):
    """A new maze in every prompt (Ivanitskiy et al. 2023, arXiv 2309.10498; Nolte et al. 2024, arXiv 2412.05117).

    State: the maze as a set of passages, the cell, the target. Words: a prompt tells the passages in random order, each
    from a random side, then origin and target; then come the cells of a shortest path, each step even among those that
    come nearer, and the end. Only the path is predicted. Mazes are held out, by a salted hash of their passages. Ground
    truth: which passages there are, the exact law, distances. (Text format: `text_format.py`.)

    On 2 x 2 cells without a passage between (0,0) and (0,1), and without one between (1,0) and (1,1):
        <ADJLIST_START> (1,1) <--> (1,0) ; (0,0) <--> (1,0) ; (0,1) <--> (1,1) ; <ADJLIST_END> <ORIGIN_START> (0,0)
        <ORIGIN_END>
            <TARGET_START> (0,1) <TARGET_END> <PATH_START> (0,0) (1,0) (1,1) (0,1) <PATH_END>
        <ADJLIST_START> (0,1) <--> (0,0) ; (0,0) <--> (1,0) ; (1,1) <--> (0,1) ; <ADJLIST_END> <ORIGIN_START> (1,1)
        <ORIGIN_END>
            <TARGET_START> (0,0) <TARGET_END> <PATH_START> (1,1) (0,1) (0,0) <PATH_END>
    """

    name = "maze-solve"
    version = 1

    def __init__(self, config: SolveConfig | None = None, source: Source | None = None) -> None:
        """source: None draws the mazes that the options name."""
        self.config = c = config or SolveConfig()
        super().__init__(c.rows, c.width)
        self.listed = text_format.read(Path(c.file), c.rows, c.width) if c.file else None
        told = (
            parse(self.listed.tokens, self.listed.prompt_length, c.rows, c.width).open
            if self.listed
            else np.zeros((0, self.n_walls), bool)
        )
        self.source = source or Source(c, HeldOut.of(c.rows, c.width, c.held_out_share, told))
        if source is None:
            self.source.check(("train",) if self.listed else ("train", "test"))
        most = self.k - 1 if c.generator in TREES else self.n_walls
        most = max(most, int(told.sum(axis=1).max(initial=0)))
        self.prompt_length = int(prompt_tokens(most))
        self.context = self.prompt_length + self.longest
        self._asked: tuple[int, np.ndarray, np.ndarray, int, int] | None = (
            None  # seed, prompts and lengths found, blocks looked through, fruitless ones
        )

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        if split == "test" and self.listed is not None:
            return self._from_file(start, count)
        parts = [
            self._drawn(seed, split, i, min(BLOCK, start + count - i)) for i in range(start, start + count, BLOCK)
        ] or [self._drawn(seed, split, start, 0)]
        return Documents.concat(parts)

    def _drawn(self, seed: int, split: str, start: int, count: int) -> Documents:
        p = self.source.draw(seed, split, start, count)
        uniform = streams.uniform(start, count, self.n_walls, "maze-solve telling", seed, split)
        tokens, lengths = self._told(entries_of(p.open, uniform), uniform, p.origin, p.target)
        return put_paths(tokens, lengths, p.path, p.cells)

    def _told(
        self, entries: np.ndarray, uniform: np.ndarray, origin: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prompts [N, context] and their lengths; a wall's draw (uniform [N, E]) has ordered it by its first bits, and
        flips it by a later one."""
        later = np.concatenate(
            [(uniform * 2.0**32).astype(np.int64) & 1, np.zeros((len(uniform), 1), np.int64)], axis=1
        )
        return tell(
            entries, np.take_along_axis(later, entries, axis=1), origin, target, self.rows, self.columns, self.context
        )

    def _from_file(self, start: int, count: int) -> Documents:
        """The file's lines, again and again; from the second time on each is told anew."""
        assert self.listed is not None
        place = np.arange(start, start + count)
        chosen = place % len(self.listed)
        tokens = np.zeros((count, self.context), np.int32)
        tokens[:, : self.listed.tokens.shape[1]] = self.listed.tokens[chosen]
        whole = Documents(tokens, self.listed.length[chosen], self.listed.prompt_length[chosen])
        again = np.flatnonzero(place >= len(self.listed))
        if len(again):
            first = again[0]
            uniform = streams.uniform(start + int(first), len(again), self.n_walls, "maze-solve file")
            tokens[first:] = self._retold(whole.take(slice(first, None)), uniform).tokens
        return whole

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The prompts of the test documents of `seed`, each maze with its origin and target once."""
        found, lengths, block, fruitless = np.zeros((0, self.prompt_length), np.int32), np.zeros(0, np.int32), 0, 0
        if self._asked is not None and self._asked[0] == seed:
            _, found, lengths, block, fruitless = self._asked
        while (
            len(found) < count
            and fruitless < FRUITLESS
            and (self.listed is None or block * PROMPT_BLOCK < len(self.listed))
        ):
            more = self.sample(seed, "test", block * PROMPT_BLOCK, PROMPT_BLOCK)
            inside = np.arange(self.prompt_length)[None, :] < more.prompt_length[:, None]
            found = np.concatenate([found, np.where(inside, more.tokens[:, : self.prompt_length], 0)])
            lengths = np.concatenate([lengths, more.prompt_length])
            said = parse(found, lengths, self.rows, self.columns)
            asked = np.concatenate(
                [packed(said.open), np.stack([said.origin, said.target], axis=1).astype(np.uint64)], axis=1
            )
            kept = np.sort(np.unique(asked, axis=0, return_index=True)[1])
            fruitless = fruitless + 1 if kept[-1] < len(found) - PROMPT_BLOCK else 0
            found, lengths, block = found[kept], lengths[kept], block + 1
        self._asked = (seed, found, lengths, block, fruitless)
        return found[:count], lengths[:count]

    # Prompts told again, changed, or of other mazes

    def retold(self, documents: Documents, seed: int) -> Documents:
        return self._retold(documents, streams.uniform(0, len(documents), self.n_walls, "maze-solve retold", seed))

    def _retold(self, documents: Documents, uniform: np.ndarray) -> Documents:
        said = parse(documents.tokens, documents.prompt_length, self.rows, self.columns)
        tokens, _ = self._told(entries_of(said.open, uniform), uniform, said.origin, said.target)
        width = documents.tokens.shape[1]
        given = np.arange(width)[None, :] < documents.prompt_length[:, None]
        tokens = np.pad(tokens, ((0, 0), (0, max(0, width - tokens.shape[1]))))[:, :width]
        return dataclasses.replace(documents, tokens=np.where(given, tokens, documents.tokens))

    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        said = parse(prompts, lengths, self.rows, self.columns)
        entries, done = move_one(
            said, streams.uniform(0, len(prompts), 3, "maze-solve moved", seed), self.rows, self.columns
        )
        tokens, told = tell(entries, said.flip, said.origin, said.target, self.rows, self.columns, prompts.shape[1])
        return tokens, np.where(done, told, 0).astype(np.int32)

    def shifted(self) -> dict[str, SolveWorld]:
        return dict(self._shifted)

    @cached_property
    def _shifted(self) -> dict[str, SolveWorld]:
        """Mazes of other generators, with loops, and smaller ones, by the same words; held out as this world's are.

        Left out are those without problems, as where no way in them has `env.least_moves` moves.
        """
        c = dataclasses.replace(self.config, file="")
        out = {}
        for name, change in SHIFTS.items():
            if change["generator"] != c.generator:
                with contextlib.suppress(InputError):
                    out[name] = SolveWorld(dataclasses.replace(c, **{"percolation": None, **change}))
        if min(c.rows, c.width) > 2:
            less = dataclasses.replace(c, least_moves=min(c.least_moves, c.rows + c.width - 4))
            out["smaller"] = SolveWorld(less, Source(less, self.source.held_out, c.rows - 1, c.width - 1))
        return out

    def damageable(self) -> int:
        return self.k - 1

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> SolveWorld:
        """A reader who overlooks, invents and misreads passages of every prompt (`edits.misread`)."""
        check_damage(deleted, added, rewired, self.rows, self.columns)
        return Misread(self.config, self.source, (deleted, added, rewired, seed))

    def drawing(self, prompts: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """rows, columns; passages bool [N, K, 4] (north, east, south, west); origin, target [N]; cell_of_token [V], -1
        for words that are no cell."""
        said = parse(prompts, lengths, self.rows, self.columns)
        cell = np.full(len(self.vocabulary), -1, np.int32)
        cell[FIRST_CELL:] = np.arange(self.k)
        return {
            "rows": np.array(self.rows),
            "columns": np.array(self.columns),
            "passages": from_walls(said.open, self.rows, self.columns),
            "origin": said.origin,
            "target": said.target,
            "cell_of_token": cell,
        }

    # What people read

    def identity(self) -> dict[str, Any]:
        c, told = self.config, self.listed
        out: dict[str, Any] = {
            "world": self.name,
            "version": self.version,
            "rows": self.rows,
            "columns": self.columns,
            "generator": c.generator,
            "percolation": c.open_share,
            "least_moves": c.least_moves,
            "held_out_share": c.held_out_share,
        }
        if told is not None:
            out["file"] = f"{len(told)} lines, {int(hashed(hashed(told.tokens.astype(np.uint64))[None])[0]):016x}"
        return out

    def summary(self, documents: int) -> str:
        c = self.config
        loops = f", walls opened with probability {c.open_share:g}" if c.open_share else ""
        told = (
            f"mazes of {self.rows} x {self.columns} cells, {c.generator}{loops}; prompts of at "
            f"most {counted(self.prompt_length, 'token')}"
        )
        told += f"; tested on the {len(self.listed):,} of {Path(c.file).name}" if self.listed else ""
        return told + (f"; {counted(documents, 'maze')} to learn from" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        c, d = self.config, self.sample(0, "train", 0, 1000)
        moves = d.length - d.prompt_length - 2
        law_leaves = self.start(d.tokens[:, : self.prompt_length], d.prompt_length)
        return {
            "cells": [self.rows, self.columns],
            "generator": c.generator,
            "percolation": c.open_share,
            "passages": float((law_leaves.open > 0).sum(axis=1).mean()),
            "path_moves": {f"{q}%": int(np.quantile(moves, q / 100)) for q in (5, 50, 95)},
            "least_moves": c.least_moves,
            "tokens": float(d.length.mean()),
            "vocabulary": len(self.vocabulary),
            "held_out": f"{c.held_out_share:.3g} of the mazes, by a salted hash of their passages"
            + (f", and those of {Path(c.file).name}" if c.file else ""),
            "mazes": documents,
            "tested_on": Path(c.file).name if c.file else "held-out mazes of the same generator",
        }


class Misread(SolveWorld):
    """The same prompts, read carelessly: its states hold another maze than the prompt tells."""

    def __init__(self, config: SolveConfig, source: Source, damage: tuple[int, int, int, int]) -> None:
        super().__init__(config, source)
        self.damage = damage

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> SolveStates:
        said = parse(tokens, lengths, self.rows, self.columns)
        return self._begin(said, misread(said, *self.damage, self.rows, self.columns))

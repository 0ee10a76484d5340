"""The maze-solve world: each prompt describes a new maze, an origin and a target, and a shortest path follows.

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
from worldbench.core.hashing import hashed
from worldbench.core.text import counted
from worldbench.core.world import Documents
from worldbench.envs.maze import text_format
from worldbench.envs.maze.edits import check_damage, misread, move_one
from worldbench.envs.maze.generators import TREES
from worldbench.envs.maze.goals import Goals
from worldbench.envs.maze.grid import from_walls
from worldbench.envs.maze.problems import HeldOut, Source, packed
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.solve_states import SolveStates
from worldbench.envs.maze.text_format import FIRST_CELL, entries_of, parse, prompt_tokens, put_paths, write_prompts

BLOCK = 8192
"""Problems drawn together, to limit memory. Results do not depend on it."""
PROMPT_BLOCK = 512
"""Test documents that are drawn together when prompts are collected."""
FRUITLESS = 20
"""Blocks in a row without a new prompt after which `prompts` stops."""
SHIFTS: dict[str, dict[str, Any]] = {
    "depth-first": {"generator": "depth-first"},
    "wilson": {"generator": "wilson"},
    "kruskal": {"generator": "kruskal"},
    "prim": {"generator": "prim"},
    "division": {"generator": "division"},
    "loops": {"generator": "depth-first-percolation", "percolation": 0.2},
    "percolation": {"generator": "percolation", "percolation": 0.6},
}
"""Options of worlds with other mazes in the same words, by name (see `SolveWorld.shifted`)."""


class SolveWorld(Goals):
    """A new maze in every prompt (Ivanitskiy et al. 2023, arXiv 2309.10498; Nolte et al. 2024, arXiv 2412.05117).

    A prompt lists the passages of a maze in random order, with the two cells of each in random order; then it gives
    origin and target. The cells of a shortest path and the end follow. Each step of the path is uniform among the cells
    that are nearer to the target. A model predicts the path alone. `text_format.py` describes the format.

    State: the set of passages, the current cell, the target. Ground truth: the passages, the exact law, distances.
    Whole mazes are held out, by a hash of their passages.

    Two documents on 2 x 2 cells. The first maze has no passage between (0,0) and (0,1), the second has none between
    (1,0) and (1,1):
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
        """source: draws the mazes; None draws those that the options name."""
        self.config = c = config or SolveConfig()
        super().__init__(c.rows, c.width)
        self.least_moves = c.least_moves
        self.listed = text_format.read(Path(c.file), c.rows, c.width) if c.file else None
        listed_open = (
            parse(self.listed.tokens, self.listed.prompt_length, c.rows, c.width).open
            if self.listed
            else np.zeros((0, self.n_walls), bool)
        )
        self.source = source or Source(c, HeldOut.of(c.rows, c.width, c.held_out_share, listed_open))
        if source is None:
            self.source.check(("train",) if self.listed else ("train", "test"))
        most = self.k - 1 if c.generator in TREES else self.n_walls
        most = max(most, int(listed_open.sum(axis=1).max(initial=0)))
        self.prompt_length = int(prompt_tokens(most))
        self.context = self.prompt_length + self.longest
        # Seed, prompts and lengths found, blocks drawn, and how many of the last blocks had no new prompt
        self._found: tuple[int, np.ndarray, np.ndarray, int, int] | None = None

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        if split == "test" and self.listed is not None:
            return self._from_file(start, count)
        parts = [
            self._drawn(seed, split, i, min(BLOCK, start + count - i)) for i in range(start, start + count, BLOCK)
        ] or [self._drawn(seed, split, start, 0)]
        return Documents.concat(parts)

    def _drawn(self, seed: int, split: str, start: int, count: int) -> Documents:
        """Generated documents of a split."""
        p = self.source.draw(seed, split, start, count)
        uniform = streams.uniform(start, count, self.n_walls, "maze-solve telling", seed, split)
        tokens, lengths = self._telling(entries_of(p.open, uniform), uniform, p.origin, p.target)
        return put_paths(tokens, lengths, p.path, p.cells)

    def _telling(
        self, entries: np.ndarray, uniform: np.ndarray, origin: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prompts int32 [N, context], and their lengths [N].

        uniform: float64 [N, E], one number per wall. The caller has sorted the entries by these numbers. The 32nd
        binary digit of the same number decides whether the two cells of the entry are written in reverse order.
        """
        later = np.concatenate(
            [(uniform * 2.0**32).astype(np.int64) & 1, np.zeros((len(uniform), 1), np.int64)], axis=1
        )
        return write_prompts(
            entries, np.take_along_axis(later, entries, axis=1), origin, target, self.rows, self.columns, self.context
        )

    def _from_file(self, start: int, count: int) -> Documents:
        """The mazes of the file, again and again. Each repetition writes the mazes in new random tellings."""
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
        """The distinct prompts of the test documents of `seed`. A maze in another telling is not a new prompt."""
        found, lengths, block, fruitless = np.zeros((0, self.prompt_length), np.int32), np.zeros(0, np.int32), 0, 0
        if self._found is not None and self._found[0] == seed:
            _, found, lengths, block, fruitless = self._found
        while (
            len(found) < count
            and fruitless < FRUITLESS
            and (self.listed is None or block * PROMPT_BLOCK < len(self.listed))
        ):
            more = self.sample(seed, "test", block * PROMPT_BLOCK, PROMPT_BLOCK)
            inside = np.arange(self.prompt_length)[None, :] < more.prompt_length[:, None]
            found = np.concatenate([found, np.where(inside, more.tokens[:, : self.prompt_length], 0)])
            lengths = np.concatenate([lengths, more.prompt_length])
            parsed = parse(found, lengths, self.rows, self.columns)
            asked = np.concatenate(
                [packed(parsed.open), np.stack([parsed.origin, parsed.target], axis=1).astype(np.uint64)], axis=1
            )
            kept = np.sort(np.unique(asked, axis=0, return_index=True)[1])
            fruitless = fruitless + 1 if kept[-1] < len(found) - PROMPT_BLOCK else 0
            found, lengths, block = found[kept], lengths[kept], block + 1
        self._found = (seed, found, lengths, block, fruitless)
        return found[:count], lengths[:count]

    # Other tellings, changed mazes, and other mazes

    def retold(self, documents: Documents, seed: int) -> Documents:
        return self._retold(documents, streams.uniform(0, len(documents), self.n_walls, "maze-solve retold", seed))

    def _retold(self, documents: Documents, uniform: np.ndarray) -> Documents:
        """The documents with new tellings of their mazes, by uniform float64 [N, E]. Lengths stay the same."""
        parsed = parse(documents.tokens, documents.prompt_length, self.rows, self.columns)
        tokens, _ = self._telling(entries_of(parsed.open, uniform), uniform, parsed.origin, parsed.target)
        width = documents.tokens.shape[1]
        given = np.arange(width)[None, :] < documents.prompt_length[:, None]
        tokens = np.pad(tokens, ((0, 0), (0, max(0, width - tokens.shape[1]))))[:, :width]
        return dataclasses.replace(documents, tokens=np.where(given, tokens, documents.tokens))

    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        parsed = parse(prompts, lengths, self.rows, self.columns)
        entries, done = move_one(
            parsed, streams.uniform(0, len(prompts), 3, "maze-solve moved", seed), self.rows, self.columns
        )
        tokens, written = write_prompts(
            entries, parsed.flip, parsed.origin, parsed.target, self.rows, self.columns, prompts.shape[1]
        )
        return tokens, np.where(done, written, 0).astype(np.int32)

    def shifted(self) -> dict[str, SolveWorld]:
        return dict(self._shifted)

    @cached_property
    def _shifted(self) -> dict[str, SolveWorld]:
        """Worlds with the same words and other mazes: other generators, mazes with loops, smaller mazes.

        The same share of their mazes is held out. A world without problems (such as one in which no path has
        `env.least_moves` moves) is left out.
        """
        c = dataclasses.replace(self.config, file="")
        out = {}
        for name, change in SHIFTS.items():
            if change["generator"] != c.generator:
                with contextlib.suppress(InputError):
                    out[name] = SolveWorld(dataclasses.replace(c, **{"percolation": None, **change}))
        if min(c.rows, c.width) > 2:
            less = dataclasses.replace(c, least_moves=min(c.least_moves, c.rows + c.width - 4))
            source = Source(less, self.source.held_out, c.rows - 1, c.width - 1)
            with contextlib.suppress(InputError):
                source.check()
                out["smaller"] = SolveWorld(less, source)
        return out

    def damageable(self) -> int:
        return self.k - 1

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> SolveWorld:
        """The world of a reader who misses, invents and misreads passages of every prompt (`edits.misread`)."""
        check_damage(deleted, added, rewired, self.rows, self.columns)
        return Misread(self.config, self.source, (deleted, added, rewired, seed))

    def drawing(self, prompts: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays rows, columns; passages, bool [N, K, 4] (north, east, south, west); origin, target [N]; and
        cell_of_token [V], -1 for words that are not a cell."""
        parsed = parse(prompts, lengths, self.rows, self.columns)
        cell = np.full(len(self.vocabulary), -1, np.int32)
        cell[FIRST_CELL:] = np.arange(self.k)
        return {
            "rows": np.array(self.rows),
            "columns": np.array(self.columns),
            "passages": from_walls(parsed.open, self.rows, self.columns),
            "origin": parsed.origin,
            "target": parsed.target,
            "cell_of_token": cell,
        }

    # Identity, and texts for people

    def identity(self) -> dict[str, Any]:
        c, listed = self.config, self.listed
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
        if listed is not None:
            out["file"] = f"{len(listed)} lines, {int(hashed(hashed(listed.tokens.astype(np.uint64))[None])[0]):016x}"
        return out

    def summary(self, documents: int) -> str:
        c = self.config
        loops = f", walls opened with probability {c.open_share:g}" if c.open_share else ""
        text = (
            f"mazes of {self.rows} x {self.columns} cells, {c.generator}{loops}; prompts of at "
            f"most {counted(self.prompt_length, 'token')}"
        )
        text += f"; tested on the {counted(len(self.listed), 'maze')} of {Path(c.file).name}" if self.listed else ""
        return text + (f"; {counted(documents, 'maze')} for training" if documents else "")

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
    """The same prompts, read with mistakes: the states hold a maze other than the one that the prompt describes."""

    def __init__(self, config: SolveConfig, source: Source, damage: tuple[int, int, int, int]) -> None:
        super().__init__(config, source)
        self.damage = damage

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> SolveStates:
        parsed = parse(tokens, lengths, self.rows, self.columns)
        return self._begin(parsed, misread(parsed, *self.damage, self.rows, self.columns))

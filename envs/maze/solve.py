"""The world of mazes to be solved: each prompt tells a maze of its own, an origin and a target; what follows is a shortest path.

Shape letters: N rows, P prompt tokens, K cells, E walls, A actions (the cells, then the end).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Documents, States, World
from worldbench.envs.maze import text_format
from worldbench.envs.maze.edits import check_damage, misread, move_one
from worldbench.envs.maze.generators import TREES
from worldbench.envs.maze.grid import UNREACHED, distances, from_walls, neighbours, walls
from worldbench.envs.maze.problems import HeldOut, Source, hashed, packed, wall_at
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import END, FIRST_CELL, Prompts, entries_of, parse, prompt_tokens, put_paths, tell, vocabulary

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


@dataclass
class SolveStates(States):
    """open: int8 [N, E], which walls of each row's maze are passages; to_go: int16 [N, K], fewest moves from each cell to the target. origin, target, cell,
    moves (cells of the path so far): int64 [N]; status: int8 [N]. Before the first cell of the path, `cell` is the origin.
    """

    open: np.ndarray
    to_go: np.ndarray
    origin: np.ndarray
    target: np.ndarray
    cell: np.ndarray
    moves: np.ndarray
    status: np.ndarray


class SolveWorld(World[SolveStates]):
    """A new maze in every prompt (Ivanitskiy et al. 2023, arXiv 2309.10498; Nolte et al. 2024, arXiv 2412.05117).

    State: the maze as a set of passages, the cell, the target. Words: a prompt tells the passages in random order, each from a random side, then origin and
    target; then come the cells of a shortest path, each step even among those that come nearer, and the end. Only the path is predicted. Mazes are held out,
    by a salted hash of their passages. Ground truth: which passages there are, the exact law, distances. (Text format: `text_format.py`.)

    On 2 x 2 cells without a passage between (0,0) and (0,1), and without one between (1,0) and (1,1):
        <ADJLIST_START> (1,1) <--> (1,0) ; (0,0) <--> (1,0) ; (0,1) <--> (1,1) ; <ADJLIST_END> <ORIGIN_START> (0,0) <ORIGIN_END>
            <TARGET_START> (0,1) <TARGET_END> <PATH_START> (0,0) (1,0) (1,1) (0,1) <PATH_END>
        <ADJLIST_START> (0,1) <--> (0,0) ; (0,0) <--> (1,0) ; (1,1) <--> (0,1) ; <ADJLIST_END> <ORIGIN_START> (1,1) <ORIGIN_END>
            <TARGET_START> (0,0) <TARGET_END> <PATH_START> (1,1) (0,1) (0,0) <PATH_END>
    """

    name = "maze-solve"
    version = 1

    def __init__(self, config: SolveConfig | None = None, source: Source | None = None) -> None:
        """source: None draws the mazes that the options name."""
        self.config = c = config or SolveConfig()
        self.rows, self.columns, self.k = c.rows, c.width, c.cells
        self.n_walls = len(walls(c.rows, c.width))
        self.vocabulary = vocabulary(c.rows, c.width)
        self.listed = text_format.read(Path(c.file), c.rows, c.width) if c.file else None
        told = parse(self.listed.tokens, self.listed.prompt_length, c.rows, c.width).open if self.listed else np.zeros((0, self.n_walls), bool)
        self.source = source or Source(c, HeldOut.of(c.rows, c.width, c.held_out_share, told))
        most = self.k - 1 if c.generator in TREES else self.n_walls
        most = max(most, int(told.sum(axis=1).max(initial=0)))
        self.prompt_length, self.longest = int(prompt_tokens(most)), self.k + 1
        self.context = self.prompt_length + self.longest
        self._column = self.vocabulary.action_of_token
        self._wall_at = np.concatenate([wall_at(c.rows, c.width), np.full((1, 4), self.n_walls, np.int32)])
        self._next = np.concatenate([neighbours(c.rows, c.width), np.full((1, 4), self.k, np.int16)]).astype(np.int64)
        self._asked: tuple[int, np.ndarray, np.ndarray, int, int] | None = None  # seed, prompts and lengths found, blocks looked through, fruitless ones

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        if split == "test" and self.listed is not None:
            return self._from_file(start, count)
        parts = [self._drawn(seed, split, i, min(BLOCK, start + count - i)) for i in range(start, start + count, BLOCK)] or [self._drawn(seed, split, start, 0)]
        return Documents(*(np.concatenate([getattr(p, f) for p in parts]) for f in Documents.__dataclass_fields__))

    def _drawn(self, seed: int, split: str, start: int, count: int) -> Documents:
        p = self.source.draw(seed, split, start, count)
        uniform = streams.uniform(start, count, self.n_walls, "maze-solve telling", seed, split)
        tokens, lengths = self._told(entries_of(p.open, uniform), uniform, p.origin, p.target)
        return put_paths(tokens, lengths, p.path, p.cells)

    def _told(self, entries: np.ndarray, uniform: np.ndarray, origin: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Prompts [N, context] and their lengths; a wall's draw (uniform [N, E]) has ordered it by its first bits, and flips it by a later one."""
        later = np.concatenate([(uniform * 2.0**32).astype(np.int64) & 1, np.zeros((len(uniform), 1), np.int64)], axis=1)
        return tell(entries, np.take_along_axis(later, entries, axis=1), origin, target, self.rows, self.columns, self.context)

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
            rest = Documents(tokens[first:], whole.length[first:], whole.prompt_length[first:])
            tokens[first:] = self._retold(rest, streams.uniform(start + int(first), len(again), self.n_walls, "maze-solve file")).tokens
        return whole

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The prompts of the test documents of `seed`, each maze with its origin and target once."""
        found, lengths, block, fruitless = np.zeros((0, self.prompt_length), np.int32), np.zeros(0, np.int32), 0, 0
        if self._asked is not None and self._asked[0] == seed:
            _, found, lengths, block, fruitless = self._asked
        while len(found) < count and fruitless < FRUITLESS and (self.listed is None or block * PROMPT_BLOCK < len(self.listed)):
            more = self.sample(seed, "test", block * PROMPT_BLOCK, PROMPT_BLOCK)
            inside = np.arange(self.prompt_length)[None, :] < more.prompt_length[:, None]
            found = np.concatenate([found, np.where(inside, more.tokens[:, : self.prompt_length], 0)])
            lengths = np.concatenate([lengths, more.prompt_length])
            said = parse(found, lengths, self.rows, self.columns)
            asked = np.concatenate([packed(said.open), np.stack([said.origin, said.target], axis=1).astype(np.uint64)], axis=1)
            kept = np.sort(np.unique(asked, axis=0, return_index=True)[1])
            fruitless = fruitless + 1 if kept[-1] < len(found) - PROMPT_BLOCK else 0
            found, lengths, block = found[kept], lengths[kept], block + 1
        self._asked = (seed, found, lengths, block, fruitless)
        return found[:count], lengths[:count]

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        begins = tokens == text_format.PATH
        return np.where(begins.any(axis=1), begins.argmax(axis=1) + 1, tokens.shape[1] + 1)

    # The automaton

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> SolveStates:
        said = parse(tokens, lengths, self.rows, self.columns)
        return self._begin(said, said.open)

    def _begin(self, said: Prompts, open_: np.ndarray) -> SolveStates:
        to_go = distances(from_walls(open_, self.rows, self.columns), said.target, self.rows, self.columns)
        status = np.where(said.good, OPEN, ILLEGAL).astype(np.int8)
        return SolveStates(open_.astype(np.int8), to_go, said.origin, said.target, said.origin.copy(), np.zeros(len(status), np.int64), status)

    def _ways(self, states: SolveStates) -> tuple[np.ndarray, np.ndarray]:
        """Where one can go north, east, south, west from each cell: bool [N, 4], and the cells there [N, 4]."""
        wall = self._wall_at[states.cell]
        ways = (wall < self.n_walls) & (np.take_along_axis(states.open, np.minimum(wall, self.n_walls - 1), axis=1) > 0)
        return ways, self._next[states.cell]

    def _over_cells(self, mask: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """bool [N, A] with the masked ones of cells [N, 4] set."""
        out = np.zeros((len(mask), self.k + 1), bool)
        row, way = np.nonzero(mask)
        out[row, cells[row, way]] = True
        return out

    def step(self, states: SolveStates, tokens: np.ndarray) -> SolveStates:
        tokens = np.asarray(tokens)
        to = np.where((tokens >= FIRST_CELL) & (tokens < FIRST_CELL + self.k), tokens - FIRST_CELL, -1)
        going = states.status == OPEN
        ways, cells = self._ways(states)
        first = states.moves == 0
        moving = going & np.where(first, to == states.origin, (ways & (cells == to[:, None])).any(axis=1))
        status = np.where(going & ~moving, ILLEGAL, states.status)
        ending = going & ~first & (tokens == END)
        status = np.where(ending, np.where(states.cell == states.target, ARRIVED, MISPLACED_END), status).astype(np.int8)
        return dataclasses.replace(states, cell=np.where(moving, to, states.cell), moves=states.moves + moving, status=status)

    def legal(self, states: SolveStates) -> np.ndarray:
        """Before the path the origin; then through any passage, and at the target the end."""
        ways, cells = self._ways(states)
        first = states.moves == 0
        out = self._over_cells(ways & ~first[:, None], cells)
        out[first, states.origin[first]] = True
        out[:, -1] = ~first & (states.cell == states.target)
        return out & (states.status == OPEN)[:, None]

    def outcome(self, states: SolveStates) -> np.ndarray:
        return states.status

    def law(self, states: SolveStates) -> np.ndarray:
        """The next cell of a shortest path, even among those that come nearer; at the target the end."""
        n = len(states)
        ways, cells = self._ways(states)
        padded = np.concatenate([states.to_go, np.full((n, 1), UNREACHED, np.int16)], axis=1)
        there = np.where(ways, np.take_along_axis(padded, cells, axis=1), UNREACHED)
        nearest = there.min(axis=1, keepdims=True)
        nearer = ways & (there == nearest) & (nearest < UNREACHED)
        going, first = states.status == OPEN, states.moves == 0
        law = self._over_cells(nearer & (going & ~first)[:, None], cells)
        law[going & first, states.origin[going & first]] = True
        at_goal = going & ~first & (states.cell == states.target)
        law[at_goal] = False
        law[at_goal, -1] = True
        none = ~law.any(axis=1)
        if none.any():
            legal = self.legal(states.take(none))
            law[none] = np.where(legal.any(axis=1, keepdims=True), legal, True)
        return law / law.sum(axis=1, keepdims=True)

    def key(self, states: SolveStates) -> tuple[np.ndarray, np.ndarray]:
        """(passages, target, cell or the start before it, outcome), for both: how the cell was come to changes nothing."""
        place = np.where(states.moves == 0, states.cell, states.cell + self.k)
        rest = np.stack([states.target, place, states.status.astype(np.int64)], axis=1)
        both = np.concatenate([packed(states.open > 0).view(np.int64), rest], axis=1)
        return both, both

    def targets(self, states: SolveStates) -> dict[str, np.ndarray]:
        """The cell; its row and column; the moves still to go; which ways are open there."""
        n = len(states)
        place = np.stack(np.divmod(states.cell, self.columns), axis=1).astype(float)
        to_go = states.to_go[np.arange(n), states.cell].astype(float)[:, None]
        return {"cell": states.cell, "place": place, "moves_to_go": to_go, "ways": self._ways(states)[0].astype(float)}

    def classes(self, target: str) -> int:
        assert target == "cell"
        return self.k

    def distance(self, states: SolveStates) -> np.ndarray:
        """Tokens still needed before the end: moves, and the origin itself before the path begins; -1 where there is no way."""
        hops = states.to_go[np.arange(len(states)), states.cell].astype(np.int64)
        return np.where(hops < UNREACHED, hops + (states.moves == 0), -1)

    def within_budget(self, states: SolveStates) -> np.ndarray:
        ways, cells = self._ways(states)
        padded = np.concatenate([states.to_go, np.full((len(states), 1), UNREACHED, np.int16)], axis=1)
        near = np.take_along_axis(padded, cells, axis=1) <= (self.longest - 2 - states.moves)[:, None]
        return self._over_cells(ways & near & ((states.status == OPEN) & (states.moves > 0))[:, None], cells)

    # Prompts told again, changed, or of other mazes

    def retold(self, documents: Documents, seed: int) -> Documents:
        return self._retold(documents, streams.uniform(0, len(documents), self.n_walls, "maze-solve retold", seed))

    def _retold(self, documents: Documents, uniform: np.ndarray) -> Documents:
        said = parse(documents.tokens, documents.prompt_length, self.rows, self.columns)
        tokens, _ = self._told(entries_of(said.open, uniform), uniform, said.origin, said.target)
        width = max(documents.tokens.shape[1], int(documents.length.max(initial=0)))
        given = np.arange(width)[None, :] < documents.prompt_length[:, None]
        return dataclasses.replace(documents, tokens=np.where(given, np.pad(tokens, ((0, 0), (0, max(0, width - tokens.shape[1]))))[:, :width], documents.tokens))

    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        said = parse(prompts, lengths, self.rows, self.columns)
        entries, done = move_one(said, streams.uniform(0, len(prompts), 3, "maze-solve moved", seed), self.rows, self.columns)
        tokens, told = tell(entries, said.flip, said.origin, said.target, self.rows, self.columns, prompts.shape[1])
        return tokens, np.where(done, told, 0).astype(np.int32)

    def shifted(self) -> dict[str, World[SolveStates]]:
        return dict(self._shifted)

    @cached_property
    def _shifted(self) -> dict[str, SolveWorld]:
        """Mazes of other generators, with loops, and smaller ones, by the same words; held out as this world's are."""
        c = dataclasses.replace(self.config, file="")
        out = {}
        for name, change in SHIFTS.items():
            if change["generator"] != c.generator:
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
        """rows, columns; passages bool [N, K, 4] (north, east, south, west); origin, target [N]; cell_of_token [V], -1 for words that are no cell."""
        said = parse(prompts, lengths, self.rows, self.columns)
        cell = np.full(len(self.vocabulary), -1, np.int32)
        cell[FIRST_CELL:] = np.arange(self.k)
        return {
            "rows": np.array(self.rows), "columns": np.array(self.columns), "passages": from_walls(said.open, self.rows, self.columns),
            "origin": said.origin, "target": said.target, "cell_of_token": cell,
        }  # fmt: skip

    # What people read

    def identity(self) -> dict[str, Any]:
        c, told = self.config, self.listed
        out: dict[str, Any] = {
            "world": self.name, "version": self.version, "rows": self.rows, "columns": self.columns, "generator": c.generator,
            "percolation": c.open_share, "least_moves": c.least_moves, "held_out_share": c.held_out_share,
        }  # fmt: skip
        if told is not None:
            out["file"] = f"{len(told)} lines, {int(hashed(hashed(told.tokens.astype(np.uint64))[None])[0]):016x}"
        return out

    def summary(self, documents: int) -> str:
        c = self.config
        loops = f", walls opened with probability {c.open_share:g}" if c.open_share else ""
        told = f"mazes of {self.rows} x {self.columns} cells, {c.generator}{loops}; prompts of at most {self.prompt_length} tokens"
        told += f"; tested on the {len(self.listed):,} of {Path(c.file).name}" if self.listed else ""
        return told + (f"; {documents:,} mazes to learn from" if documents else "")

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
            "held_out": f"{c.held_out_share:.3g} of the mazes, by a salted hash of their passages" + (f", and those of {Path(c.file).name}" if c.file else ""),
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


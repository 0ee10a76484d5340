"""What a maze that a prompt tells allows: the state after every token, which tokens are legal, the exact law of
shortest paths.

Shape letters: N rows, P prompt tokens, K cells, E walls, A actions (the cells, then the end).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton, States
from worldbench.envs.maze import text_format
from worldbench.envs.maze.grid import UNREACHED, distances, from_walls, neighbours, walls
from worldbench.envs.maze.problems import packed, wall_at
from worldbench.envs.maze.text_format import END, FIRST_CELL, Prompts, parse, vocabulary


@dataclass
class SolveStates(States):
    """open: int8 [N, E], which walls of each row's maze are passages; to_go: int16 [N, K], fewest moves from each cell
    to the target. origin, target, cell, moves (cells of the path so far): int64 [N]; status: int8 [N]. Before the first
    cell of the path, `cell` is the origin.
    """

    open: np.ndarray
    to_go: np.ndarray
    origin: np.ndarray
    target: np.ndarray
    cell: np.ndarray
    moves: np.ndarray
    status: np.ndarray


class Solving(Automaton[SolveStates]):
    """The automaton of a grid of cells: which maze it is, the prompt says. (Documents: `solve.py`.)"""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns, self.k = rows, columns, rows * columns
        self.n_walls = len(walls(rows, columns))
        self.vocabulary = vocabulary(rows, columns)
        self.longest = self.k + 1
        self._wall_at = wall_at(rows, columns)
        self._next = neighbours(rows, columns).astype(np.int64)

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        begins = tokens == text_format.PATH
        return np.where(begins.any(axis=1), begins.argmax(axis=1) + 1, tokens.shape[1] + 1)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> SolveStates:
        said = parse(tokens, lengths, self.rows, self.columns)
        return self._begin(said, said.open)

    def _begin(self, said: Prompts, open_: np.ndarray) -> SolveStates:
        to_go = distances(from_walls(open_, self.rows, self.columns), said.target, self.rows, self.columns)
        status = np.where(said.good, OPEN, ILLEGAL).astype(np.int8)
        return SolveStates(
            open_.astype(np.int8),
            to_go,
            said.origin,
            said.target,
            said.origin.copy(),
            np.zeros(len(status), np.int64),
            status,
        )

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
        status = np.where(ending, np.where(states.cell == states.target, ARRIVED, MISPLACED_END), status).astype(
            np.int8
        )
        return dataclasses.replace(
            states, cell=np.where(moving, to, states.cell), moves=states.moves + moving, status=status
        )

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
        none = ~np.asarray(law.any(axis=1))
        if none.any():
            legal = self.legal(states.take(none))
            law[none] = np.where(legal.any(axis=1, keepdims=True), legal, True)
        return law / law.sum(axis=1, keepdims=True)

    def key(self, states: SolveStates) -> tuple[np.ndarray, np.ndarray]:
        """(passages, target, cell or the start before it, outcome), for both: how the cell was come to changes
        nothing."""
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
        """Tokens still needed before the end: moves, and the origin itself before the path begins; -1 where there is no
        way."""
        hops = states.to_go[np.arange(len(states)), states.cell].astype(np.int64)
        return np.where(hops < UNREACHED, hops + (states.moves == 0), -1)

    def within_budget(self, states: SolveStates) -> np.ndarray:
        ways, cells = self._ways(states)
        padded = np.concatenate([states.to_go, np.full((len(states), 1), UNREACHED, np.int16)], axis=1)
        near = np.take_along_axis(padded, cells, axis=1) <= (self.longest - 2 - states.moves)[:, None]
        return self._over_cells(ways & near & ((states.status == OPEN) & (states.moves > 0))[:, None], cells)

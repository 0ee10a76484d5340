"""The automaton of maze-solve: the state after every token, the legal tokens, and the exact law of shortest paths.

Shape letters: N rows, P prompt tokens, K cells, E walls, A actions (the cells, then the end).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton, States
from worldbench.envs.maze import text_format
from worldbench.envs.maze.grid import UNREACHED, distances, from_walls, neighbors, walls
from worldbench.envs.maze.problems import packed, wall_at
from worldbench.envs.maze.text_format import END, FIRST_CELL, Prompts, parse, vocabulary


@dataclass
class SolveStates(States):
    """open: int8 [N, E], 1 for the open walls (passages) of the maze of each row. to_go: int16 [N, K], smallest number
    of moves from each cell to the target. origin, target, cell, moves (number of path cells so far): int64 [N].
    status (the outcome): int8 [N]. Before the first cell of the path, `cell` is the origin.
    """

    open: np.ndarray
    to_go: np.ndarray
    origin: np.ndarray
    target: np.ndarray
    cell: np.ndarray
    moves: np.ndarray
    status: np.ndarray


class Solving(Automaton[SolveStates]):
    """The automaton for all mazes on a grid. The prompt describes the maze. (`solve.py` draws documents.)"""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns, self.k = rows, columns, rows * columns
        self.n_walls = len(walls(rows, columns))
        self.vocabulary = vocabulary(rows, columns)
        self.longest = self.k + 1
        self._wall_at = wall_at(rows, columns)
        self._next = neighbors(rows, columns).astype(np.int64)

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        begins = tokens == text_format.PATH
        return np.where(begins.any(axis=1), begins.argmax(axis=1) + 1, tokens.shape[1] + 1)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> SolveStates:
        prompts = parse(tokens, lengths, self.rows, self.columns)
        return self._begin(prompts, prompts.open)

    def _begin(self, prompts: Prompts, open_: np.ndarray) -> SolveStates:
        """The states after prompts, in mazes with the open walls bool [N, E]."""
        to_go = distances(from_walls(open_, self.rows, self.columns), prompts.target, self.rows, self.columns)
        status = np.where(prompts.good, OPEN, ILLEGAL).astype(np.int8)
        return SolveStates(
            open_.astype(np.int8),
            to_go,
            prompts.origin,
            prompts.target,
            prompts.origin.copy(),
            np.zeros(len(status), np.int64),
            status,
        )

    def _ways(self, states: SolveStates) -> tuple[np.ndarray, np.ndarray]:
        """Is there a passage north, east, south, west of the current cell: bool [N, 4]; and the cells there, [N, 4]."""
        wall = self._wall_at[states.cell]
        ways = (wall < self.n_walls) & (np.take_along_axis(states.open, np.minimum(wall, self.n_walls - 1), axis=1) > 0)
        return ways, self._next[states.cell]

    def _over_cells(self, mask: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """bool [N, A], True at those of the cells [N, 4] where mask [N, 4] is True."""
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
        """The first token of the path must be the origin. Then every passage is legal, and at the target the end."""
        ways, cells = self._ways(states)
        first = states.moves == 0
        out = self._over_cells(ways & ~first[:, None], cells)
        out[first, states.origin[first]] = True
        out[:, -1] = ~first & (states.cell == states.target)
        return out & (states.status == OPEN)[:, None]

    def outcome(self, states: SolveStates) -> np.ndarray:
        return states.status

    def law(self, states: SolveStates) -> np.ndarray:
        """The next cell of a shortest path, uniform among the cells nearer to the target; at the target the end."""
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
        """(passages, target, place, outcome), for the rule and for the law: the path so far does not matter.

        The origin before the path begins and the same cell on the path are two different places.
        """
        place = np.where(states.moves == 0, states.cell, states.cell + self.k)
        rest = np.stack([states.target, place, states.status.astype(np.int64)], axis=1)
        both = np.concatenate([packed(states.open > 0).view(np.int64), rest], axis=1)
        return both, both

    def targets(self, states: SolveStates) -> dict[str, np.ndarray]:
        """The cell; its row and column; the number of moves to the target; the passages around the cell."""
        n = len(states)
        place = np.stack(np.divmod(states.cell, self.columns), axis=1).astype(float)
        to_go = states.to_go[np.arange(n), states.cell].astype(float)[:, None]
        return {"cell": states.cell, "place": place, "moves_to_go": to_go, "ways": self._ways(states)[0].astype(float)}

    def classes(self, target: str) -> int:
        assert target == "cell"
        return self.k

    def distance(self, states: SolveStates) -> np.ndarray:
        """Smallest number of tokens before the end: the moves, and the origin if the path has not begun.

        int64 [N], -1 if no path leads to the target.
        """
        hops = states.to_go[np.arange(len(states)), states.cell].astype(np.int64)
        return np.where(hops < UNREACHED, hops + (states.moves == 0), -1)

    def within_budget(self, states: SolveStates) -> np.ndarray:
        ways, cells = self._ways(states)
        padded = np.concatenate([states.to_go, np.full((len(states), 1), UNREACHED, np.int16)], axis=1)
        near = np.take_along_axis(padded, cells, axis=1) <= (self.longest - 2 - states.moves)[:, None]
        return self._over_cells(ways & near & ((states.status == OPEN) & (states.moves > 0))[:, None], cells)

"""The target of a maze-solve state: which other targets documents could have, and the law of a reader who does not see
the target.

A document draws a uniform target, and a uniform origin among the cells that are at least `least_moves` away. Given the
maze and the origin, a target is therefore as likely as 1 / (number of origins that it could have had).

Shape letters: N rows, K cells, E walls.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldbench.core.world import ARRIVED, MISPLACED_END, OPEN
from worldbench.envs.maze.grid import UNREACHED, distances, from_walls, neighbors
from worldbench.envs.maze.solve_states import SolveStates, Solving
from worldbench.envs.maze.text_format import FIRST_CELL

AT_ONCE = 1 << 20
"""Entries of an array [N, K, K] that are computed together, to limit memory."""


class Goals(Solving):
    """The automaton with the ability HasGoals. least_moves: the smallest number of moves from origin to target."""

    goal: str = "target"
    least_moves: int

    def goals(self, states: SolveStates) -> np.ndarray:
        return states.target

    def with_goals(self, states: SolveStates, goals: np.ndarray) -> SolveStates:
        """An ended path arrives where its cell is the new target, and has a misplaced end elsewhere."""
        goals = np.asarray(goals, np.int64)
        passages = from_walls(states.open > 0, self.rows, self.columns)
        ended = (states.status == ARRIVED) | (states.status == MISPLACED_END)
        end = np.where(states.cell == goals, ARRIVED, MISPLACED_END)
        return dataclasses.replace(
            states,
            target=goals,
            to_go=distances(passages, goals, self.rows, self.columns),
            status=np.where(ended, end, states.status).astype(np.int8),
        )

    def prompts_with_goals(self, prompts: np.ndarray, lengths: np.ndarray, goals: np.ndarray) -> np.ndarray:
        out = prompts.copy()
        out[np.arange(len(out)), np.asarray(lengths) - 3] = goals + FIRST_CELL
        return out

    def other_goals(self, states: SolveStates, uniform: np.ndarray) -> np.ndarray:
        """Uniform over the other targets of which a shortest path leads from the origin to the cell, after as many
        moves."""
        out = np.full(len(states), -1, np.int64)
        for rows in self._blocks(states):
            part = states.take(rows)
            possible = self._possible(part, self._between(part))
            possible[np.arange(len(rows)), part.target] = False
            possible &= (part.status == OPEN)[:, None]
            count = np.cumsum(possible, axis=1)
            chosen = np.argmax(count > (uniform[rows] * count[:, -1]).astype(np.int64)[:, None], axis=1)
            out[rows] = np.where(count[:, -1] > 0, chosen, -1)
        return out

    def blind_law(self, states: SolveStates) -> np.ndarray:
        """The law averaged over targets, each weighted with its probability given the maze, the origin, the cell and
        the number of moves. (In a maze with loops, the path to the cell could say more.) Off every shortest path from
        the origin, uniform over the passages."""
        out = np.full((len(states), self.k + 1), 1 / (self.k + 1))
        going = np.flatnonzero(states.status == OPEN)
        begun = states.moves[going] > 0
        out[going[~begun]] = self.law(states.take(going[~begun]))
        on_way = states.take(going[begun])
        for rows in self._blocks(on_way):
            out[going[begun][rows]] = self._averaged(on_way.take(rows))
        return out

    def _averaged(self, states: SolveStates) -> np.ndarray:
        """The blind law of open states on a path."""
        n, row = len(states), np.arange(len(states))
        between = self._between(states)
        possible = self._possible(states, between)
        far = (between >= self.least_moves) & (between < UNREACHED)
        weight = np.where(possible, self._passes(states, between, possible) / np.maximum(far.sum(axis=1), 1), 0.0)
        ways, cells = self._ways(states)
        padded = np.concatenate([between, np.full((n, 1, self.k), UNREACHED, np.int16)], axis=1)
        nearer = ways[:, :, None] & (padded[row[:, None], cells] < between[row, states.cell][:, None, :])  # [N, 4, K]
        step = nearer / np.maximum(nearer.sum(axis=1, keepdims=True), 1)
        law = np.zeros((n, self.k + 1))
        at, way = np.nonzero(ways)
        law[at, cells[at, way]] = np.einsum("nk,nwk->nw", weight, step)[at, way]
        law[:, -1] = weight[row, states.cell]
        lost = law.sum(axis=1) == 0
        law[lost] = self._over_cells(ways, cells)[lost]
        alone = law.sum(axis=1) == 0  # a cell without passages
        law[alone] = 1
        return law / law.sum(axis=1, keepdims=True)

    def _blocks(self, states: SolveStates) -> list[np.ndarray]:
        """The rows, int [M], of parts of the states that are computed together."""
        size = max(1, AT_ONCE // self.k**2)
        return [np.arange(low, min(low + size, len(states))) for low in range(0, len(states), size)]

    def _between(self, states: SolveStates) -> np.ndarray:
        """The distance between any two cells of each maze: int16 [N, K, K]."""
        n, k = len(states), self.k
        passages = np.repeat(from_walls(states.open > 0, self.rows, self.columns), k, axis=0)
        return distances(passages, np.tile(np.arange(k), n), self.rows, self.columns).reshape(n, k, k)

    def _possible(self, states: SolveStates, between: np.ndarray) -> np.ndarray:
        """bool [N, K]: can a document with this target have come to the cell of the state, after as many moves?"""
        row = np.arange(len(states))
        made = np.maximum(states.moves - 1, 0)
        whole = between[row, states.origin].astype(np.int64)
        on_way = made[:, None] + between[row, states.cell] == whole
        direct = between[row, states.origin, states.cell] == made
        return on_way & direct[:, None] & (whole >= self.least_moves) & (whole < UNREACHED)

    def _passes(self, states: SolveStates, between: np.ndarray, possible: np.ndarray) -> np.ndarray:
        """The probability that the path from the origin to each target passes the cell of the state: float64 [N, K].
        It is 1 for every possible target in a maze without loops. Elsewhere, a recursion leads back from the cell to
        the origin."""
        out = possible.astype(float)
        parts = ((between < UNREACHED).argmax(axis=2) == np.arange(self.k)).sum(axis=1)
        rows = np.flatnonzero((states.open > 0).sum(axis=1) > self.k - parts)
        if not len(rows):
            return out
        n, table, to_goal = len(rows), neighbors(self.rows, self.columns).astype(np.int64), between[rows]
        passages = from_walls(states.open[rows] > 0, self.rows, self.columns)
        padded = np.concatenate([to_goal, np.full((n, 1, self.k), UNREACHED, np.int16)], axis=1)
        nearer = passages[:, :, :, None] & (padded[:, table] < to_goal[:, :, None, :])  # [N, K, 4, K]
        step = nearer / np.maximum(nearer.sum(axis=2, keepdims=True), 1)
        chance = np.zeros((n, self.k + 1, self.k))
        chance[np.arange(n), states.cell[rows]] = 1
        made = states.moves[rows] - 1
        for done in range(int(made.max())):
            on = np.flatnonzero(made > done)
            chance[on, :-1] = np.einsum("ncwg,ncwg->ncg", step[on], chance[on][:, table])
        out[rows] *= chance[np.arange(n), states.origin[rows]]
        return out

"""Small maze-solve worlds of three kinds: trees, mazes with loops, mazes with walled-in cells."""

from __future__ import annotations

from worldbench.envs.maze.solve_config import SolveConfig

CONFIGS = {
    "tree": SolveConfig(),
    "loops": SolveConfig(rows=4, columns=6, generator="depth-first-percolation", percolation=0.3),
    "holes": SolveConfig(rows=4, generator="percolation", least_moves=3),
}

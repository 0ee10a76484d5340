"""The options of the maze world."""

from __future__ import annotations

from dataclasses import dataclass

from worldbench.core.errors import InputError, nearest
from worldbench.core.text import counted
from worldbench.envs.maze.generators import GENERATORS
from worldbench.envs.rides.config import RideConfig

LARGEST = 50
"""Rows and columns."""
PERCOLATION = {"percolation": 0.65, "depth-first-percolation": 0.1}
"""The share of open walls, by generator that has one: above the threshold of a half at which parts of all sizes occur;
and a loop in ten walls."""


@dataclass(frozen=True, kw_only=True)
class MazeConfig(RideConfig):
    """Rides in one maze."""

    generator: str = "depth-first"
    """Trees (one way between any two cells): depth-first, wilson, kruskal, prim, division. A single walk:
    depth-first-no-forks. With loops: percolation, depth-first-percolation."""
    rows: int = 7
    """Cells from north to south."""
    columns: int = 7
    """Cells from west to east."""
    percolation: float | None = None
    """Share of walls that are open (percolation), or that are opened besides (depth-first-percolation); by default 0.65
    and 0.1. Not for the others."""
    seed: int = 0
    """Which maze."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generator not in GENERATORS:
            raise InputError(
                f"env.generator is one of {', '.join(GENERATORS)}, not "
                f"{self.generator!r}{nearest(self.generator, GENERATORS)}"
            )
        for name in ("rows", "columns"):
            if not 1 <= getattr(self, name) <= LARGEST:
                raise InputError(f"env.{name} must lie between 1 and {LARGEST}, not {getattr(self, name)}")
        if self.rows * self.columns < 3:
            raise InputError(
                f"env.rows and env.columns make {counted(self.rows * self.columns, 'cell')}; a maze has at least 3"
            )
        if self.percolation is not None:
            if self.generator not in PERCOLATION:
                raise InputError(
                    f"env.percolation does not apply to env.generator {self.generator!r}; it applies to "
                    f"{' and '.join(PERCOLATION)}"
                )
            if not 0 <= self.percolation <= 1:
                raise InputError(f"env.percolation is a share between 0 and 1, not {self.percolation}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"env.seed must lie between 0 and {2**31 - 1}, not {self.seed}")

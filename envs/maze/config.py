"""The options of the maze world."""

from __future__ import annotations

from dataclasses import dataclass

from worldbench.core.errors import InputError, not_among
from worldbench.core.text import counted
from worldbench.envs.maze.generators import GENERATORS
from worldbench.envs.rides.config import RideConfig

LARGEST = 50
"""Most rows, and most columns."""
PERCOLATION = {"percolation": 0.65, "depth-first-percolation": 0.1}
"""Default share of open walls, by generator. For percolation it is above one half, the percolation threshold, at which
a maze falls into parts of all sizes. For depth-first-percolation it opens one in ten walls, which makes loops."""


@dataclass(frozen=True, kw_only=True)
class MazeConfig(RideConfig):
    """Rides in one maze."""

    generator: str = "depth-first"
    """How the maze is made. Trees (exactly one path between any two cells): depth-first, wilson, kruskal, prim,
    division. A single corridor: depth-first-no-forks. With loops: percolation, depth-first-percolation."""
    rows: int = 7
    """Number of rows of cells."""
    columns: int = 7
    """Number of columns of cells."""
    percolation: float | None = None
    """For the generator percolation: probability that a wall is open (default 0.65). For depth-first-percolation:
    probability that a wall is opened in addition to the tree (default 0.1). Does not apply to other generators."""
    seed: int = 0
    """Seed of the maze."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generator not in GENERATORS:
            raise not_among("env.generator", self.generator, GENERATORS)
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
                raise InputError(f"env.percolation must lie between 0 and 1, not {self.percolation}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"env.seed must lie between 0 and {2**31 - 1}, not {self.seed}")

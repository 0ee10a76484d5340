"""The options of the world with a new maze in every prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldbench.core.errors import InputError, not_among
from worldbench.core.options import FILE

LOOPS = {"depth-first-percolation": 0.1, "percolation": 0.6}
"""Generators that open walls at random, and the default probability."""
MOST_CELLS = 1024
"""Most cells of a maze."""


@dataclass(frozen=True, kw_only=True)
class SolveConfig:
    """A new maze in every prompt."""

    rows: int = 5
    """Number of rows of a maze."""
    columns: int = 0
    """Number of columns of a maze. 0: as many columns as rows."""
    generator: str = "depth-first"
    """How mazes are made: depth-first, depth-first-no-forks, wilson, kruskal, prim, division, percolation, or
    depth-first-percolation (with loops)."""
    percolation: float | None = None
    """For the generator percolation: probability that a wall is open (default 0.6). For depth-first-percolation:
    probability that a wall is opened in addition to the tree (default 0.1). Does not apply to other generators."""
    least_moves: int = 1
    """Smallest number of moves from origin to target."""
    held_out_share: float = 0.2
    """Share of all mazes that is held out. A hash of the maze decides. Evaluation uses the held-out mazes, training
    never does."""
    file: str = field(default="", metadata=FILE)
    """A text file of mazes, one per line. Evaluation uses these mazes instead of generated mazes; training never does.
    Empty: no file."""

    def __post_init__(self) -> None:
        from worldbench.envs.maze.generators import GENERATORS

        if self.rows < 2:
            raise InputError(f"env.rows must be at least 2, not {self.rows}")
        if self.columns and self.columns < 2:
            raise InputError(f"env.columns must be at least 2, or 0 for as many as rows, not {self.columns}")
        if self.cells > MOST_CELLS:
            raise InputError(f"env.rows times env.columns must be at most {MOST_CELLS}, not {self.cells}")
        if self.generator not in GENERATORS:
            raise not_among("env.generator", self.generator, GENERATORS)
        if self.percolation is not None and self.generator not in LOOPS:
            raise InputError(
                f"env.percolation applies to the generators {' and '.join(LOOPS)}, not to {self.generator!r}"
            )
        if self.percolation is not None and not 0 <= self.percolation <= 1:
            raise InputError(f"env.percolation must be a probability between 0 and 1, not {self.percolation}")
        if not 1 <= self.least_moves < self.cells:
            raise InputError(
                f"env.least_moves must lie between 1 and {self.cells - 1} (the number of cells "
                f"minus 1), not {self.least_moves}"
            )
        if not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must be above 0 and below 1, not {self.held_out_share}")

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.columns or self.rows

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.width

    @property
    def open_share(self) -> float:
        """The probability with which the generator opens walls at random; 0 for a generator that does not."""
        return LOOPS.get(self.generator, 0.0) if self.percolation is None else self.percolation

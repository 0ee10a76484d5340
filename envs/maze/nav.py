"""The maze world: rides in one fixed maze, as in taxi. A model must learn the maze, which no prompt describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph, largest_component
from worldbench.envs.maze.config import PERCOLATION, MazeConfig
from worldbench.envs.maze.generators import generate
from worldbench.envs.maze.grid import DIRECTIONS, neighbors
from worldbench.envs.rides import words
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.world import RideWorld

CELL = 100.0
"""Distance between neighboring cells in meters: about a city block. The half mile of map reconstruction is then eight
cells."""
FEWEST_CELLS = 3


def maze_graph(
    passages: np.ndarray, rows: int, columns: int, name: str, report: dict[str, int | str] | None = None
) -> Graph:
    """The largest connected part of a maze as a map. passages: bool [K, 4], see `grid.py`.

    Places are named `(row,column)`, counted from the north-west corner. A passage gives two moves, one in each
    direction. Raises InputError if fewer than 3 cells are connected.
    """
    table = neighbors(rows, columns)
    source, way = np.nonzero(passages)
    inside = largest_component(rows * columns, source, table[source, way])
    if inside.sum() < FEWEST_CELLS:
        raise InputError(
            f"no {FEWEST_CELLS} cells of the maze {name} are connected; raise env.percolation, or "
            "choose another env.seed"
        )
    cell = np.flatnonzero(inside)
    new = np.full(rows * columns + 1, -1, np.int32)
    new[cell] = np.arange(len(cell))
    successor = np.where(passages[cell], new[table[cell]], -1).astype(np.int32)
    row, column = np.divmod(cell, columns)
    outside = rows * columns - len(cell)
    return Graph(
        name=name,
        places=tuple(f"({r},{c})" for r, c in zip(row, column)),
        directions=DIRECTIONS,
        metres=CELL * np.stack([column - (columns - 1) / 2, (rows - 1) / 2 - row], axis=1),
        lonlat=None,
        successor=successor,
        length=np.where(successor >= 0, CELL, np.nan),
        street=np.full(successor.shape, "", object),
        report={**(report or {}), "cells": rows * columns, "cells_outside_largest_part": outside},
    )


class MazeWorld(RideWorld[MazeConfig]):
    """Rides in one maze, which `env.generator` makes from `env.seed`. Everything else is as for street maps.

    State: (cell, destination, moves so far). Words: padding, `end`, N E S W, one word per cell, `(row,column)` from the
    north-west corner. If a maze falls into parts, only the largest is used; of equally large parts, the one with the
    first cell. Rides: see `rides/walker.py`. Ground truth: passages, the exact law (`rides/law.py`), distances, the
    maze.

    A move always changes the position by one cell in its direction. So counting the moves is enough to know the
    position (`counter_accuracy` in the card is 1), and a model must learn where the walls are, and how to reach a
    destination. `beeline_arrival` in the card says how far positions alone lead.

    Example: the maze of 2 rows and 3 columns that depth-first makes from seed 0 is one corridor, (0,2) (0,1) (0,0)
    (1,0) (1,1) (1,2). Two rides of 2 to 5 moves are
        (1,2) (0,0) W W N end      (three moves)
        (0,1) (0,1) E W W E end    (returns to its origin)
    """

    name, version = "maze", 1
    place_words = ("cell", "cells")
    dropped: ClassVar[dict[str, tuple[str, str]]] = {
        "cells_outside_largest_part": (
            "cell outside the largest connected part",
            "cells outside the largest connected part",
        ),
    }

    def __init__(
        self, config: MazeConfig | None = None, graph: Graph | None = None, held_out: HeldOut | None = None
    ) -> None:
        """graph: None makes the maze that the options name.

        held_out: None makes the rule from the options and the maze.
        """
        config, _ = self.settle(config or MazeConfig())
        super().__init__(config, graph or self._maze(config), held_out)

    @classmethod
    def in_words(cls, identity: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """The generator of the maze with its options, and the number of its cells."""
        return words.in_words(identity, card, cls.place_words)

    @classmethod
    def settle(cls, config: MazeConfig) -> tuple[MazeConfig, str]:
        """The options with `percolation` set to the default of the generator."""
        if config.percolation is None and config.generator in PERCOLATION:
            config = replace(config, percolation=PERCOLATION[config.generator])
        return config, ""

    @staticmethod
    def _maze(config: MazeConfig) -> Graph:
        """The maze that the options name."""
        share, items = config.percolation, np.array([config.seed])
        passages = generate(
            config.generator, config.rows, config.columns, items, ("maze",), 0.0 if share is None else share
        )[0]
        named = (
            f"{config.generator}{'' if share is None else f' {share:g}'} "
            f"{config.rows}x{config.columns}, seed {config.seed}"
        )
        report: dict[str, int | str] = {
            "generator": config.generator,
            "rows": config.rows,
            "columns": config.columns,
            "seed": config.seed,
        }
        report |= {} if share is None else {"percolation": f"{share:g}"}
        return maze_graph(passages, config.rows, config.columns, named, report)

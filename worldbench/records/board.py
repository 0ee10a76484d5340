"""The leaderboard as data: groups of rows that can be compared, rows of models, cells of scores.

Results of different worlds, versions of worlds or evaluations are never in one group. `leaderboard.py` makes a board
from records, and `board_text.py` prints it. A page is drawn by `figures/board_page.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worldbench.core.metric import Direction
from worldbench.records import versions
from worldbench.records.extremes import Extremes
from worldbench.records.runs import Result

MISSING = "missing"
SEEDS = "training seeds"
"""The units of an interval over several training runs."""


@dataclass(frozen=True)
class Column:
    """A score. name: `metric.score`. label: the name in the head of a table. better: which values are better. version:
    of the metric; None if no result of the group has the metric."""

    name: str
    label: str
    better: Direction
    version: int | None


@dataclass(frozen=True)
class Cell:
    """A score of a row.

    value: the mean over the seeds, infinite if a seed is infinite; None if the score is missing. reason: why it is
    missing, else "". interval: the 95% interval, None without one. n, over: the number of units of the interval and
    what the units are: "training seeds" for a row of several seeds, else the units of the score, such as "prompts".
    trials: the number of units in the first seed. extremes: in how many seeds the score is infinite.
    """

    value: float | None
    reason: str = ""
    interval: tuple[float, float] | None = None
    n: int = 0
    over: str = ""
    trials: int = 0
    extremes: Extremes | None = None


@dataclass(frozen=True)
class Row:
    """Results that differ only in their training seed.

    label: the name of the model, and the settings that distinguish the row from others. arm: "scarce", "stream", or ""
    for a model without training data. seeds: the training seeds; none for a model that does not depend on a seed.
    tuned: trials x seeds of tuning, "-" without tuning. reference: a model that is not trained. command: repeats the
    first run. cells: one for each column of the group, by its name. sources: the files of the results, and the results,
    in the order of the seeds.
    """

    label: str
    arm: str
    preset: str
    seeds: tuple[int, ...]
    tuned: str
    reference: bool
    command: str
    cells: dict[str, Cell]
    sources: tuple[tuple[Path, Result], ...]

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the metrics in the row."""
        return {name: metric.version for name, metric in self.sources[0][1].scores.items()}

    @property
    def missing(self) -> dict[str, str]:
        """Column -> why its score is missing."""
        return {name: cell.reason for name, cell in self.cells.items() if cell.value is None}


@dataclass(frozen=True)
class Group:
    """Rows of one world under one evaluation.

    world: the world in words. world_name: the name under which it is registered. world_key: eight hex digits of its
    identity. world_version: as the record states it; "" if it states none. evaluation: the identity of the evaluation.
    protocol: what distinguishes the evaluation from others of the same world on this board.
    """

    world: str
    world_name: str
    world_key: str
    world_version: str
    evaluation: str
    protocol: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def presets(self) -> tuple[str, ...]:
        """The presets of the trained models, or else of all rows."""
        trained = [row.preset for row in self.rows if not row.reference]
        return tuple(dict.fromkeys(trained or [row.preset for row in self.rows]))

    @property
    def caption(self) -> str:
        """The line above the table of the group."""
        version = f"version {self.world_version}, " if self.world_version else ""
        preset = f"preset {self.presets[0]}; " if len(self.presets) == 1 else ""
        protocol = f" ({', '.join(self.protocol)})" if self.protocol else ""
        return f"{self.world} ({version}{self.world_key}); {preset}evaluation {self.evaluation[:10]}{protocol}"


@dataclass(frozen=True)
class Board:
    """All groups, and a sentence for each file or result that was left out."""

    groups: tuple[Group, ...]
    left_out: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return (row for group in self.groups for row in group.rows)

    def notes(self) -> list[str]:
        """Sentences about the whole board."""
        return versions.sentence(_shown_versions(group, row) for group in self.groups for row in group.rows)


def _shown_versions(group: Group, row: Row) -> dict[str, int]:
    shown = {column.name.partition(".")[0] for column in group.columns}
    return {name: version for name, version in row.versions.items() if name in shown}

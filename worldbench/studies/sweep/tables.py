"""The tables of a sweep: leaderboards of the cells of its recipe, written below its output folder.

A command may run a part of the cells: some seeds, or some values of [vary]. Its tables show the other cells of the
recipe too, if the output folder has their results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldbench.core.errors import InputError, WorldbenchError, nearest
from worldbench.core.files import make_folder, read_regular, write_atomic
from worldbench.core.text import counted
from worldbench.records.board_building import build
from worldbench.records.board_text import render
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs.display import Display
from worldbench.settings.sweep import Sweep, Table
from worldbench.studies.sweep.plan import SweepCell, seeds_in_words, with_other_seeds

FOLDER = "tables"


def require_cells(recipe: Sweep, cells: Sequence[SweepCell]) -> None:
    """Raises InputError for a table that shows a world or a model that no cell of its file has."""
    for name, table in [(part.name, table) for part in recipe.parts for table in part.tables]:
        own = [cell.prepared.job for cell in cells if name in cell.parts]
        for key, named, there in (
            ("worlds", table.worlds, {job.world for job in own}),
            ("models", table.models, {job.model for job in own}),
        ):
            for value in named:
                if value not in there:
                    raise InputError(
                        f"{name}: the table {table.file} shows {key} {value!r}, but no run of the sweep has "
                        f"it{nearest(value, there)}"
                    )
        if own and not any(name in cell.parts and _shows(table, cell) for cell in cells):
            raise InputError(f"{name}: no run of the sweep has a world and a model that the table {table.file} shows")


class WrongColumns:
    """Says once, as soon as a result shows it, that a metric has no score of the name that a table has as a column.
    This is not an error: a later result may have this score."""

    def __init__(self, recipe: Sweep, display: Display) -> None:
        self.tables = [(part.name, table) for part in recipe.parts for table in part.tables]
        self.display, self.said = display, set[tuple[str, str]]()

    def look(self, cell: SweepCell) -> None:
        """Look at the result of a cell that is done. References lack some scores of trained models, so they do not
        count."""
        tables = [table for name, table in self.tables if name in cell.parts and _shows(table, cell)]
        if not tables or not cell.prepared.job.trained:
            return
        scores = read(cell.result, Result).scores
        for table in tables:
            for column in table.columns:
                metric, _, score = column.partition(".")
                if not score or metric not in scores or (table.file, column) in self.said:
                    continue
                if (there := scores[metric].scores) and score not in there:
                    self.said.add((table.file, column))
                    self.display.say(
                        f"the table {table.file} has the column {column}, but {cell.name} has no such "
                        f"score{nearest(score, there)}"
                    )


@dataclass
class Written:
    """The tables of a sweep. paths: of the files. failed: file -> why it cannot be written. shown: the cells of the
    files that depend on a seed, by their result files."""

    paths: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    shown: dict[Path, SweepCell] = field(default_factory=dict)

    def line(self, cells: Sequence[SweepCell], out: Path) -> str | None:
        """How many seeds the tables show, where they show more than the cells of the command; else None."""
        others = self.shown.keys() - {cell.result for cell in cells}
        if not others:
            return None
        seeds = sorted({cell.prepared.job.seed for cell in self.shown.values()})
        shown = f"{seeds_in_words(seeds)} ({counted(len(seeds), 'seed')})"
        held = f"{counted(len(others), 'result')} of other cells of the recipe, which {str(out)!r} holds"
        return f"the tables show {shown}, with {held}"


def write_tables(recipe: Sweep, cells: Sequence[SweepCell], out: Path, display: Display) -> Written:
    """Write each table, from the results that exist: those of `cells`, and those that differ from them in the seed
    alone. A file that would not change is left alone; a table without results is not written."""
    written, cells = Written(), with_other_seeds(cells, out)
    for name, table in [(part.name, table) for part in recipe.parts for table in part.tables]:
        found = [cell for cell in cells if name in cell.parts and _shows(table, cell) and cell.result.exists()]
        if not found:
            display.say(f"the table {table.file} is not written, because it has no result yet")
            continue
        path = out / FOLDER / table.file
        try:
            text = render(build([cell.result for cell in found], list(table.columns) or None), table.format) + "\n"
            make_folder(path.parent)
            if not path.exists() or read_regular(path) != text.encode():
                write_atomic(path, text)
        except WorldbenchError as error:
            written.failed[table.file] = str(error)
        else:
            written.paths.append(path)
            written.shown |= {cell.result: cell for cell in found if cell.prepared.job.seeded}
    return written


def _shows(table: Table, cell: SweepCell) -> bool:
    job = cell.prepared.job
    return (not table.worlds or job.world in table.worlds) and (not table.models or job.model in table.models)

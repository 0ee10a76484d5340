"""The tables of a sweep: leaderboards of its own cells, written below its output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldbench.core.errors import InputError, WorldbenchError, nearest
from worldbench.core.files import make_folder, read_regular, write_atomic
from worldbench.records.board_building import build
from worldbench.records.board_text import render
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs.display import Display
from worldbench.settings.sweep import Sweep, Table
from worldbench.studies.sweep.plan import SweepCell

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


def write_tables(
    recipe: Sweep, cells: Sequence[SweepCell], out: Path, display: Display
) -> tuple[list[Path], dict[str, str]]:
    """Write each table, from the results that exist. A file that would not change is left alone; a table without
    results is not written.

    Returns the paths of the files, and the reason for each file that cannot be written.
    """
    paths: list[Path] = []
    failed: dict[str, str] = {}
    for name, table in [(part.name, table) for part in recipe.parts for table in part.tables]:
        found = [cell.result for cell in cells if name in cell.parts and _shows(table, cell) and cell.result.exists()]
        if not found:
            display.say(f"the table {table.file} is not written, because it has no result yet")
            continue
        path = out / FOLDER / table.file
        try:
            text = render(build(found, list(table.columns) or None), table.format) + "\n"
            make_folder(path.parent)
            if not path.exists() or read_regular(path) != text.encode():
                write_atomic(path, text)
        except WorldbenchError as error:
            failed[table.file] = str(error)
        else:
            paths.append(path)
    return paths, failed


def _shows(table: Table, cell: SweepCell) -> bool:
    job = cell.prepared.job
    return (not table.worlds or job.world in table.worlds) and (not table.models or job.model in table.models)

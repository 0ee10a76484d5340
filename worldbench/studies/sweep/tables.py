"""The tables of a sweep: leaderboards of its own cells, written below its output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldbench.core.errors import WorldbenchError
from worldbench.core.files import make_folder, read_regular, write_atomic
from worldbench.records.board_building import build
from worldbench.records.board_text import render
from worldbench.runs.display import Display
from worldbench.settings.sweep import Sweep, Table
from worldbench.studies.sweep.plan import SweepCell

FOLDER = "tables"


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
            display.say(f"no table {table.file}: no result for it is there yet")
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

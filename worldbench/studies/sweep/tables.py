"""The tables of a sweep: leaderboards of its own cells, written below its output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldbench.core.files import make_folder, read_regular, write_atomic
from worldbench.records.board import render
from worldbench.records.leaderboard import build
from worldbench.runs.display import Display
from worldbench.settings.sweep import Table
from worldbench.studies.sweep.plan import SweepCell

FOLDER = "tables"


def write_tables(tables: Sequence[Table], cells: Sequence[SweepCell], out: Path, display: Display) -> list[Path]:
    """Write each table, from the results that exist. Returns the paths of the files. A file that would not change is
    left alone; a table without results is not written.

    Raises InputError for a column that no result has.
    """
    paths = []
    for table in tables:
        found = [cell.result for cell in cells if _shows(table, cell) and cell.result.exists()]
        if not found:
            display.say(f"no table {table.file}: no result for it is there yet")
            continue
        text = render(build(found, list(table.columns) or None, display.say), table.format) + "\n"
        path = make_folder(out / FOLDER) / table.file
        if not path.exists() or read_regular(path) != text.encode():
            write_atomic(path, text)
        paths.append(path)
    return paths


def _shows(table: Table, cell: SweepCell) -> bool:
    job = cell.prepared.job
    return (not table.worlds or job.world in table.worlds) and (not table.models or job.model in table.models)

"""`worldbench show RUN`: print the record of a run, or another record."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError
from worldbench.core.text import counted, visible

if TYPE_CHECKING:
    from worldbench.records.parts import Record

LINE = "print the record of a run: settings, learning curve, scores, and the metrics that do not apply"

STUDIES = (
    "tuning.json",
    "check.json",
    "faults.json",
    "reconstruction.json",
    "bench.json",
    "data.json",
    "speedrun.json",
)
"""The records of folders that are not run folders."""


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.add_argument(
        "path", type=Path, metavar="RUN",
        help="a run folder, or a record: a result, trace, tuning, check, faults, decoding, bench, reconstruction, data",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="print every score, and every point of the learning curve")
    parser.add_argument("--json", action="store_true", help="print the whole record as JSON, and nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Print the record. Raises InputError if there is none."""
    from worldbench.core import cells
    from worldbench.records.finding import own_result
    from worldbench.records.reading import content_of, read_any

    path = record_path(arguments.path)
    if arguments.json:
        print(cells.json(content_of(read_any(path))))
        return 0
    if path.name == "config.json" and (result := own_result(path.parent)) is not None:
        path = result
    if path.name == "config.json":
        show_unfinished(path, every=arguments.all)
        return 0
    show(path, read_any(path), every=arguments.all)
    if os.path.isdir(arguments.path):
        print(visible(f"file: {path}"))
        others = other_records(path)
        if others:
            print(visible(f"other records in this folder: {', '.join(others)}"))
    return 0


def record_path(path: Path) -> Path:
    """The file to show: `path` itself if it is a file. For a folder: its own result, else the record of a study, else
    config.json.

    Raises InputError for a path that does not exist, and for a folder without such a file.
    """
    from worldbench.records.finding import PATTERNS, own_result

    if not os.path.exists(path):
        raise InputError(f"there is no file or folder {str(path)!r}")
    if not os.path.isdir(path):
        return path
    if (result := own_result(path)) is not None:
        return result
    for name in (*STUDIES, "config.json"):
        if (path / name).exists():
            return path / name
    inside = {file.parent for file in path.rglob(PATTERNS["result"])}
    what = f"it holds {counted(len(inside), 'run folder')}; name one, or: worldbench leaderboard {path}"
    if not inside:
        what = "it has neither a result nor a config.json"
    raise InputError(f"{str(path)!r} is not a run folder: {what}")


def other_records(path: Path) -> list[str]:
    """The names of the other results, traces and decodings in the folder of a result."""
    from worldbench.records.finding import PATTERNS

    found = (file.name for kind in ("result", "trace", "decode") for file in path.parent.glob(PATTERNS[kind]))
    return sorted(name for name in found if name != path.name)


def show(path: Path, record: Record, *, every: bool) -> None:
    """Print a record in the form of the verb that made it, and whether its metrics had other versions. Raises
    InputError for a kind of record without a table.
    """
    from worldbench.records import versions
    from worldbench.records.bench import Bench
    from worldbench.records.bounds import bounds_beside
    from worldbench.records.check import Check
    from worldbench.records.data import Data
    from worldbench.records.decoding import Decoding
    from worldbench.records.doctor import Doctor
    from worldbench.records.faults import Faults
    from worldbench.records.forecast import Forecast
    from worldbench.records.reconstruction import Reconstruction
    from worldbench.records.runs import Result, Trace
    from worldbench.records.speedrun import Speedrun
    from worldbench.records.tuning import Tuning
    from worldbench.runs import printing

    match record:
        case Result():
            printing.print_result(record, bounds_beside(path, record), every=every)
        case Trace():
            from worldbench.runs.trace import show

            printing.print_head(record)
            show(path)
        case Decoding():
            from worldbench.studies.decode import show

            printing.print_head(record)
            show(path)
        case Tuning():
            from worldbench.studies.tune.report import show

            printing.print_facts({"command": record.command})
            show([path])
        case Faults():
            from worldbench.studies.faults.sight import show

            show(record)
        case Check():
            from worldbench.studies.check.report import show

            show(record)
        case Reconstruction():
            from worldbench.cli.reconstruct import show

            show(record)
        case Bench():
            from worldbench.studies.bench.report import render

            print(render(record, "table"))
        case Forecast():
            from worldbench.studies.forecast import show

            show(record)
        case Data():
            from worldbench.studies.data.report import show

            show(record)
        case Speedrun():
            from worldbench.records.speedrun_board import show

            show(record)
        case Doctor():
            from worldbench.studies.doctor.report import show

            show(record)
        case _:
            what = f"{str(path)!r} is a {record.kind} file, which has no table"
            raise InputError(f"{what}; name its run folder, or print the file with --json")
    printing.print_notes(versions.sentence([versions.of(record)]))


def show_unfinished(path: Path, *, every: bool) -> None:
    """Print a run that has no result yet: its settings, and its learning curve so far."""
    from worldbench.records.folder import Config
    from worldbench.records.lines import EvalLine, read_lines
    from worldbench.records.reading import read
    from worldbench.runs import printing

    printing.print_config(read(path, Config))
    if (lines := path.with_name("metrics.jsonl")).exists():
        printing.print_curve([line for line in read_lines(lines) if isinstance(line, EvalLine)], every=every)
    printing.print_facts({"scores": "none yet; repeat the command of the run to continue it"})

"""`worldbench validate PATH..`: read every record, and report those that cannot be read."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError
from worldbench.core.text import visible

LINE = "read all records in files and folders, and list the records that cannot be read"


def add_arguments(parser: Parser) -> None:
    """The verb has no options."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="records, or folders that hold them")


def run(arguments: argparse.Namespace) -> int:
    """Print one line per file. Raises InputError if a file cannot be read."""
    from worldbench.records.finding import everything
    from worldbench.records.reading import read_any
    from worldbench.records.summary import summary
    from worldbench.runs.display import Display

    wrong = 0
    found, without = everything(arguments.files)
    for path in found:
        try:
            print(visible(f"{path}: {summary(read_any(path))}", 500))
        except InputError as error:
            wrong += 1
            print(visible(str(error), 500))
    if without:
        places = ", ".join(repr(str(path)) for path in without)
        Display().say(visible(f"left out: there is no record in {places}", 500))
    if wrong:
        raise InputError(f"{wrong} of {len(found)} files cannot be read; the reasons are above")
    return 0

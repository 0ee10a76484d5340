"""`worldbench figures RUN..`: draw the figures of finished runs again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from worldbench.cli.parser import Parser
from worldbench.core.console import put_path
from worldbench.core.errors import InputError

LINE = "draw the figures of finished runs again"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument(
        "--together", type=Path, metavar="FOLDER",
        help="draw the traces of all runs in one figure, in FOLDER, instead of the figures of each run",
    )  # fmt: skip
    parser.add_argument(
        "--density", type=Path, metavar="FOLDER",
        help="draw the scores of all results below the folders against training rides per pair of places, in one "
        "figure, in FOLDER",
    )  # fmt: skip
    parser.add_argument(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py",
        help="a file that registers figures of your own; a plugin is run only if you name it",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Draw the figures, and print the path of every file."""
    from worldbench.core.files import lock
    from worldbench.core.plugins import load_plugins
    from worldbench.figures.run_figures import drawable, drawn

    load_plugins(arguments.plugin)
    if arguments.density is not None:
        return _density(arguments)
    if arguments.together is not None:
        from worldbench.runs.trace import draw_together

        for path in draw_together(arguments.runs, arguments.together):
            put_path(path)
        return 0
    for folder in arguments.runs:
        if not os.path.isdir(folder):
            what = f"{str(folder)!r} is not a run folder: there is no such folder"
            raise InputError(f"{what}; name a folder that worldbench run printed")
        nothing = True
        if drawable(folder):  # no lock file in a folder that worldbench did not make
            with lock(folder):
                for path in drawn(folder):
                    put_path(path)
                    nothing = False
        if nothing:
            what = f"{str(folder)!r} holds nothing to draw: neither metrics.jsonl nor evidence"
            raise InputError(f"{what}; name a run folder")
    return 0


def _density(arguments: argparse.Namespace) -> int:
    from worldbench.figures.density import draw_density
    from worldbench.runs.display import Display

    if arguments.together is not None:
        raise InputError("--density and --together draw different figures; name one of them")
    for path in draw_density(arguments.runs, arguments.density, Display().say):
        put_path(path)
    return 0

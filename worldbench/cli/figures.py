"""`worldbench figures RUN..`: draw the figures of finished runs again. `--paper FOLDER..`: the figures of a paper."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from worldbench.cli.parser import Parser
from worldbench.core.console import put_path
from worldbench.core.errors import InputError

LINE = "draw the figures of finished runs again, or the figures of a paper over many runs"
OUT = Path("paper")


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders")
    parser.add_argument(
        "--together", type=Path, metavar="FOLDER",
        help="draw one figure in FOLDER from the traces of all runs, instead of the figures of each run",
    )  # fmt: skip
    parser.add_argument(
        "--density", type=Path, metavar="FOLDER",
        help="draw one figure in FOLDER from all results below the run folders: the scores, plotted against the number "
        "of training rides per pair of places",
    )  # fmt: skip
    parser.add_argument(
        "--paper", nargs="+", type=Path, metavar="FOLDER",
        help="draw several models in one picture, from all records below these folders: maps, detours, structure, "
        "spectra, excess (excess loss), matched (at equal loss), density, variants, ahead, beliefs, decoding",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"with --paper: where the files go (default {OUT})")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="FIGURE", help="with --paper: the figures to draw (default: all)"
    )
    parser.add_argument(
        "--width", choices=("1col", "2col", "both"),
        help="with --paper: the width of one column (3.25 inches), of two columns (6.75 inches), or both (default)",
    )  # fmt: skip
    parser.add_argument(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py",
        help="a file that registers figures of your own; a plugin is run only if you name it",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Draw the figures, and print the path of every file."""
    from worldbench.core.plugins import load_plugins

    load_plugins(arguments.plugin)
    if arguments.paper is not None:
        return _paper(arguments)
    for name, value in (("--out", arguments.out), ("--only", arguments.only), ("--width", arguments.width)):
        if value:
            raise InputError(f"{name} belongs to --paper FOLDER; add --paper, or leave {name} out")
    if not arguments.runs:
        raise InputError("worldbench figures needs run folders, or --paper FOLDER; see worldbench figures --help")
    if arguments.density is not None:
        return _density(arguments)
    if arguments.together is not None:
        from worldbench.runs.trace import draw_together

        for path in draw_together(arguments.runs, arguments.together):
            put_path(path)
        return 0
    return _runs(arguments.runs)


def _paper(arguments: argparse.Namespace) -> int:
    from worldbench.figures.paper.draw import draw_paper
    from worldbench.figures.paper.plate import WIDTHS
    from worldbench.runs.display import Display

    if arguments.runs or arguments.together is not None or arguments.density is not None:
        what = "leave out the run folders before it, --together and --density"
        raise InputError(f"--paper draws the folders after it; {what}")
    widths = tuple(WIDTHS) if arguments.width in (None, "both") else (arguments.width,)
    lines: list[str] = []
    try:
        for path in draw_paper(
            arguments.paper, arguments.out or OUT, names=arguments.only, widths=widths, say=lines.append
        ):
            put_path(path)
    finally:
        for line in lines:
            Display().say(line)
    return 0


def _runs(folders: list[Path]) -> int:
    from worldbench.core.files import lock
    from worldbench.figures.run_figures import drawable, drawn

    for folder in folders:
        if not os.path.isdir(folder):
            why = "it is a file" if os.path.exists(folder) else "there is no such folder"
            what = f"{str(folder)!r} is not a run folder: {why}"
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

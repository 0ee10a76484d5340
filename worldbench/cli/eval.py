"""`worldbench eval RUN`: score a finished run again, under other evaluation options."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "score a finished run again, under other evaluation options"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. Options of other groups than eval only give the new path of a file that has moved."""
    parser.groups, parser.suggested = ("eval", "env", "data", "model", "train"), ("eval",)
    parser.usage = (
        "worldbench eval RUN [--as MODEL] [--workers N] [options below] [--plugin FILE.py] "
        "[--env.map FILE if the map has moved]"
    )
    jobs.add_reading(parser)
    jobs.add_scoring_workers(parser)
    jobs.add_common(parser, jobs.PLUGIN_OF_RUN)


def run(arguments: argparse.Namespace) -> int:
    """Score, write the result, print it."""
    folders = jobs.run_folders(arguments, evaluates=True)
    if not folders:
        return 0
    from worldbench.cli.ending import print_ending
    from worldbench.runs.display import Display
    from worldbench.runs.run import evaluate

    display = Display(quiet=arguments.quiet)
    words, reading = arguments.options, arguments.reading
    path = evaluate(folders[0], words, display, arguments.plugin, reading, arguments.workers)
    print_ending(path, display)
    return 0

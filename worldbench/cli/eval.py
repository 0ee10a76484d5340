"""`worldbench eval RUN..`: score finished runs again, under other evaluation options."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "score finished runs again, under other evaluation options"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. Options of other groups than eval only give the new path of a file that has moved."""
    parser.groups, parser.suggested = ("eval", "env", "data", "model", "train"), ("eval",)
    parser.takes = "run folders"
    parser.usage = (
        "worldbench eval RUN.. [--as MODEL] [--workers N] [options below] [--plugin FILE.py] "
        "[--env.map FILE if the map has moved]"
    )
    jobs.add_reading(parser)
    jobs.add_scoring_workers(parser)
    jobs.add_common(parser, jobs.PLUGIN_OF_RUN, "print this help")


def run(arguments: argparse.Namespace) -> int:
    """Score each run, write its result, print it."""
    folders = jobs.run_folders(arguments, evaluates=True)
    if not folders:
        return 0
    from worldbench.cli.ending import print_ending
    from worldbench.runs.display import Display
    from worldbench.runs.run import evaluate_all

    display, words, reading = Display(quiet=arguments.quiet), arguments.options, arguments.reading
    for path in evaluate_all(folders, words, display, arguments.plugin, reading, arguments.workers):
        print_ending(path, display)
    return 0

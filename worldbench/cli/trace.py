"""`worldbench trace RUN..`: score finished runs at every checkpoint that they keep."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.console import put_path

LINE = "score finished runs at every checkpoint that they keep"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. Options of other groups than eval only give the new path of a file that has moved."""
    parser.groups, parser.suggested = ("eval", "env", "data", "model", "train"), ("eval",)
    parser.takes = "run folders"
    parser.usage = (
        "worldbench trace RUN.. [--as MODEL] [--workers N] [options below] [--plugin FILE.py] "
        "[--env.map FILE if the map has moved]"
    )
    jobs.add_reading(parser)
    jobs.add_workers(parser, "number of runs")
    jobs.add_common(parser, jobs.PLUGIN_OF_RUN, "print this help")


def run(arguments: argparse.Namespace) -> int:
    """Score the checkpoints of each run, and print the path and the scores of each trace."""
    folders = jobs.run_folders(arguments, evaluates=True)
    if not folders:
        return 0
    from worldbench.runs.display import Display
    from worldbench.runs.trace import show, trace_all

    display, words, reading = Display(quiet=arguments.quiet), arguments.options, arguments.reading
    for path in trace_all(folders, words, display, arguments.plugin, reading, jobs.workers_of(arguments)):
        put_path(path)
        show(path)
    return 0

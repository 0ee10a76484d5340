"""`worldbench data WORLD`: describe and draw the documents of a world."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "describe and draw the documents of a world: lengths, words, and, on a map, which streets and pairs occur"


def add_arguments(parser: Parser) -> None:
    """The options of the verb: the world, and how many documents."""
    parser.groups = ("env", "data")
    parser.usage = (
        "worldbench data WORLD [--preset NAME] [--data.documents N] [--seed N] [--out FOLDER] [options below]"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the training documents (default 0)")
    parser.add_argument("--json", action="store_true", help="print the record as JSON, and nothing else")
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Count, draw, write the record, print it and the path of each figure."""
    job = jobs.job_of(arguments, None)
    if job is None:
        return 0
    from worldbench.core import cells
    from worldbench.core.console import put_path
    from worldbench.records.reading import content_of
    from worldbench.runs.display import Display
    from worldbench.studies.data.report import show
    from worldbench.studies.data.study import describe

    display = Display(quiet=arguments.quiet or arguments.json)
    record, path, paths = describe(job, arguments.out, display)
    if arguments.json:
        print(cells.json(content_of(record)))
        return 0
    show(record)
    display.say(f"record: {path}")
    for figure in paths:
        put_path(figure)
    return 0

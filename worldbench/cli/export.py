"""`worldbench export WORLD`: write documents of a world as a text file."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "write documents of a world as a text file, one document per line"


def add_arguments(parser: Parser) -> None:
    """The options of the verb: the world, and which documents."""
    parser.groups = ("env",)
    parser.usage = (
        "worldbench export WORLD [--documents N] [--split train|test] [--preset NAME] [--seed N] [--out FOLDER] "
        "[options below]"
    )
    add = parser.add_argument
    add("--documents", type=int, default=10_000, metavar="N", help="how many documents to write (default 10000)")
    add("--split", default="train", metavar="SPLIT", help="train, or test for held-out documents (default train)")
    add("--seed", type=int, metavar="N", help="seed of the documents (default 0)")
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the file and print its path."""
    job = jobs.job_of(arguments, None)
    if job is None:
        return 0
    from worldbench.core.console import put_path
    from worldbench.runs.display import Display
    from worldbench.runs.prepared import load_world
    from worldbench.studies.export import export, refuse

    refuse(arguments.split, arguments.documents)  # before a map is read, which may take long
    job, world = load_world(job, Display(quiet=arguments.quiet))
    put_path(export(job, world, arguments.split, arguments.documents, arguments.out))
    return 0

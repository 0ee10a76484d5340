"""`worldbench faults WORLD`: which metrics see which faults of wrong models."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "score wrong models of known kinds, and show which metric detects which fault"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.groups = ("env", "eval")
    parser.usage = "worldbench faults WORLD [--seeds N] [--workers N] [--preset NAME] [--out FOLDER] [options below]"
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="number of evaluations of each model (default 5)"
    )
    jobs.add_workers(parser, "number of models", default=None)
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score all wrong models, write the record, print the table. Raises RunError if a fault is told apart by none."""
    if arguments.help and not arguments.names:
        jobs.print_help(arguments)
        return 0
    from worldbench.core.files import write_atomic
    from worldbench.studies.faults.sight import markdown, require, show
    from worldbench.studies.faults.trying import FaultSettings, faults_in

    job = jobs.job_of(arguments, "oracle", small_evaluation=True)
    if job is None:
        return 0
    from worldbench.runs.display import Display
    from worldbench.runs.prepared import prepare

    settings = FaultSettings(job.groups["eval"], arguments.seeds)
    workers = jobs.workers_of(arguments)
    display = Display(quiet=arguments.quiet)
    world = prepare(job, display).world
    display.say(world.summary(0))
    record, folder = faults_in(arguments.out, world, settings, display, workers)
    write_atomic(folder / "faults.md", markdown(record) + "\n")
    show(record)
    display.say(f"record and table: {folder}")
    require(record, folder)
    return 0

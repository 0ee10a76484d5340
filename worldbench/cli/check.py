"""`worldbench check WORLD`: check the metrics on references and on damaged models."""

from __future__ import annotations

import argparse
from typing import Any

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "check every metric on reference models, and on exact models with damage of known kinds and sizes"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.groups = ("env", "eval")
    parser.usage = (
        "worldbench check WORLD [--corruptions N] [--severities N] [--workers N] [--preset NAME] [--out FOLDER] "
        "[options below]"
    )
    add = parser.add_argument
    add(
        "--corruptions",
        type=int,
        default=10,
        metavar="N",
        help="number of random draws for each kind and size of damage (default 10)",
    )
    add(
        "--severities",
        type=int,
        default=5,
        metavar="N",
        help="number of sizes of each kind of damage, 1 to 5 (default 5)",
    )
    jobs.add_workers(parser, "number of models", default=None)
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check, write the record, print it. Raises RunError if a statement that a metric declares is false."""
    if arguments.help and not arguments.names:
        jobs.print_help(arguments)
        return 0
    from worldbench.studies.check.checking import check_in
    from worldbench.studies.check.damage import CheckSettings
    from worldbench.studies.check.report import require, show

    job = jobs.job_of(arguments, "oracle", small_evaluation=True)
    if job is None:
        return 0
    from worldbench.runs.display import Display
    from worldbench.runs.prepared import prepare
    from worldbench.settings.resolve import group_types, preset_groups

    settings = CheckSettings(job.groups["eval"], arguments.corruptions, arguments.severities)
    workers = jobs.workers_of(arguments)
    display = Display(quiet=arguments.quiet)
    prepared = prepare(job, display)
    display.say(prepared.world.summary(0))

    def options(name: str) -> Any:
        return preset_groups(group_types(job.world, name), job.world, name, job.preset)["model"]

    record, folder = check_in(arguments.out, prepared.world, settings, display, options, workers)
    show(record)
    display.say(f"record, table and figure: {folder}")
    require(record, folder)
    return 0

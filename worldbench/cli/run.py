"""`worldbench run WORLD`: train a model in a world and score it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError
from worldbench.core.process import Launch

if TYPE_CHECKING:
    from worldbench.settings.job import Job

LINE = "train a model in a world, score the model and its references, and draw the figures"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.groups = ("env", "data", "model", "train", "eval")
    parser.usage = (
        "worldbench run [WORLD] [--model NAME] [--preset NAME] [--seed N] [--config RECIPE] [--out FOLDER] "
        "[--workers N] [options below]"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="the model to train; worldbench ls lists the models (default gpt)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the training (default 0)")
    jobs.add_settings(parser)
    parser.add_argument(
        "--tuned", metavar="BUDGET",
        help="how these settings were tuned: the value of `tuned` in the best.toml that worldbench tune wrote; the "
        "result records this value",
    )  # fmt: skip
    jobs.add_scoring_workers(parser)
    parser.add_argument("--print-config", action="store_true", help="print the value of every setting, and stop")
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the parts of the job that are not done yet, and print the scores."""
    launch = Launch.here()
    if launch.size > 1 and not arguments.help and not arguments.print_config:
        return _run_in_processes(arguments, launch)
    job = _job(arguments, launch)
    if job is None:
        return 0
    if arguments.print_config:
        from worldbench.settings.recipe import to_toml

        print(to_toml(job), end="")
        return 0
    from worldbench.cli.ending import print_ending
    from worldbench.runs.display import Display
    from worldbench.runs.run import run

    display = Display(quiet=arguments.quiet)
    path = run(job, arguments.out, display, arguments.workers)
    print_ending(path, display)
    return 0


def _run_in_processes(arguments: argparse.Namespace, launch: Launch) -> int:
    from worldbench.cli.ending import print_ending
    from worldbench.runs.display import Display
    from worldbench.runs.run import run_in_processes
    from worldbench.training.parallel import several

    if arguments.workers is not None and arguments.workers > 1:
        raise InputError("--workers is for a run in one process; leave it out where torchrun starts several")
    with several(launch) as together:
        job = _job(arguments, launch)
        assert job is not None
        display = Display(quiet=arguments.quiet or not launch.leads)
        path = run_in_processes(job, arguments.out, display, together)
    if path is not None:
        print_ending(path, display)
    return 0


def _job(arguments: argparse.Namespace, launch: Launch) -> Job | None:
    return jobs.job_of(arguments, arguments.model, processes=launch.size)

"""`worldbench forecast WORLD`: time the first training steps of a run, and extrapolate to its end."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

LINE = "time the first training steps of a run, and say when its training would end"


def add_arguments(parser: Parser) -> None:
    """The options of the verb: those of `run`, and how long to measure."""
    parser.groups = ("env", "data", "model", "train", "eval")
    parser.usage = (
        "worldbench forecast WORLD [--model NAME] [--preset NAME] [--seconds N] [--out FILE] [options of run]"
    )
    add = parser.add_argument
    add("--model", metavar="NAME", help="the model to train; worldbench ls lists the models (default gpt)")
    add("--seed", type=int, metavar="N", help="seed of the training (default 0)")
    add("--preset", metavar="NAME", help="a named set of settings (default: the first preset of the world)")
    add("--config", type=Path, metavar="RECIPE", help="a TOML file with settings, or a recipe that worldbench ls lists")
    add(
        "--seconds",
        type=float,
        default=60.0,
        metavar="N",
        help="for how many seconds to time training steps (default 60)",
    )
    add("--out", type=Path, metavar="FILE", help="also write the record to this file")
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Time steps, print the forecast, write the record."""
    if not 0 < arguments.seconds < float("inf"):
        raise InputError(f"--seconds must be a number above 0, not {arguments.seconds}")
    job = jobs.job_of(arguments, arguments.model)
    if job is None:
        return 0
    from worldbench.core.files import make_folder
    from worldbench.records.reading import write
    from worldbench.runs.display import Display
    from worldbench.studies.forecast import forecast, show

    display = Display(quiet=arguments.quiet)
    if arguments.out is not None:
        make_folder(arguments.out.parent)
    record = forecast(job, arguments.seconds, display)
    if arguments.out is not None:
        write(arguments.out, record)
        display.say(f"record: {arguments.out}")
    show(record)
    return 0

"""`worldbench score WORLD --callable FILE.py:NAME`: score a Python function in a world."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

LINE = "score your own model: a Python function from tokens to logits"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.groups = ("env", "eval")
    parser.usage = "worldbench score WORLD --callable FILE.py:FUNCTION [--batch-limit N] [--out FOLDER] [options below]"
    parser.add_argument(
        "--callable", metavar="FILE.py:NAME",
        help="a function from tokens [B, T] to logits [B, T, V], or an nn.Module; also MODULE:NAME",
    )  # fmt: skip
    parser.add_argument(
        "--batch-limit", type=int, metavar="N", help="largest number of rows in one call of the function"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of torch (default 1)")
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score the function, write the result, print it."""
    if not arguments.callable and not arguments.help:
        what = "--callable FILE.py:FUNCTION, a function from tokens [B, T] to logits [B, T, V]"
        raise InputError(f"worldbench score needs {what}")
    for option, value in {"--batch-limit": arguments.batch_limit, "--threads": arguments.threads}.items():
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1, not {value}")
    # The oracle is not trained, so only the options of the world and of the evaluation remain.
    job = jobs.job_of(arguments, "oracle")
    if job is None:
        return 0
    from worldbench.cli.ending import print_ending
    from worldbench.runs.display import Display
    from worldbench.runs.run import score_callable

    display, rows = Display(quiet=arguments.quiet), arguments.batch_limit
    path = score_callable(job, arguments.callable, arguments.out, display, rows=rows, threads=arguments.threads)
    print_ending(path, display)
    return 0

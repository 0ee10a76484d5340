"""`worldbench compare A B RUNS`: two models over shared seeds."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "compare two models over the seeds that both have: paired differences, intervals, verdicts"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add(
        "a", metavar="A",
        help="the name of a model. If the results contain this model with different settings, add its settings to the "
        "name: 'nextlat[horizon=4,lambda_kl=0.1]'",
    )  # fmt: skip
    add("b", metavar="B", help="the name of the other model, in the same form")
    add(
        "results", nargs="+", type=Path, metavar="RUNS",
        help="result files, or folders that contain result files; with --matched: trace files, or folders that contain "
        "trace files",
    )  # fmt: skip
    add(
        "--matched", metavar="LOSS|steps|tokens|compute",
        help="compare the models during training instead of at its end; the runs need traces (worldbench trace). LOSS "
        "is a score such as excess_loss.kl: the models are compared where they have the same loss, the lowest loss "
        "that both reach. steps, tokens or compute: the models are compared after the same number of training steps, "
        "tokens or operations, the largest number that both have",
    )  # fmt: skip
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="the scores to show. METRIC alone means its primary score (default: the primary score of every metric, "
        "and every outcome of whole runs, such as decisions.solved)",
    )  # fmt: skip
    add(
        "--margin",
        type=float,
        metavar="M",
        help="also test whether the models are equivalent: whether the test shows that their scores differ by less "
        "than M, in units of the score",
    )
    add(
        "--format", choices=("table", "markdown", "csv", "json"), default="table",
        help="the form of the output (default: table)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the differences, and the files that were left out."""
    from worldbench.records.compare import compare
    from worldbench.records.comparison import render
    from worldbench.runs.display import Display

    a, b, left_out = arguments.a, arguments.b, list[str]()
    columns, margin, matched = arguments.columns, arguments.margin, arguments.matched
    rows = compare(a, b, arguments.results, columns, margin, matched, left_out.append)
    print(render(rows, arguments.format))
    for line in left_out:
        Display().say(line)
    return 0

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
        help="the name of a model; where the results have the model with several settings, the name with its options: "
        "'nextlat[horizon=4,lambda_kl=0.1]'",
    )  # fmt: skip
    add("b", metavar="B", help="the name of another model, in the same form")
    add(
        "results", nargs="+", type=Path, metavar="RUNS",
        help="result files (with --matched: trace files), or folders that hold them",
    )  # fmt: skip
    add(
        "--matched", metavar="LOSS|steps|tokens|compute",
        help="compare both models at one point of their traces. LOSS, such as excess_loss.kl: where both have the same "
        "loss, the lowest that both reach. steps, tokens, compute: after the same number of training steps, tokens or "
        "operations, the largest that both have",
    )  # fmt: skip
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="the scores to show (default: the primary score of every metric)",
    )  # fmt: skip
    add(
        "--margin",
        type=float,
        metavar="M",
        help="also test whether the two models are equivalent: whether they differ by less than M",
    )
    add("--format", choices=("table", "markdown", "csv", "json"), default="table", help="how to print (default table)")


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

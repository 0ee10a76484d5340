"""`worldbench compare A B RUNS`: two models over shared seeds."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "compare two models over shared seeds: paired differences, intervals, verdicts"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add(
        "a", metavar="A",
        help="a model's name; where the results have it with several settings, with its options: "
        "'nextlat[horizon=4,lambda_kl=0.1]'",
    )  # fmt: skip
    add("b", metavar="B", help="another model's, likewise")
    add(
        "results", nargs="+", type=Path, metavar="RUNS",
        help="result files (with --matched: trace files), or folders that hold them",
    )  # fmt: skip
    add(
        "--matched", metavar="LOSS",
        help="compare at a loss that both models reach, such as excess_loss.kl, from their traces",
    )  # fmt: skip
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="which scores (default: the primary score of every metric)",
    )  # fmt: skip
    add("--margin", type=float, metavar="M", help="also ask whether they are equivalent to within M")
    add("--format", choices=("table", "markdown", "csv", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Print the differences, and which files were left out."""
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

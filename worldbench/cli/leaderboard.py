"""`worldbench leaderboard RUNS`: one table over many results."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "print one table of many results, with means and t intervals over seeds"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RUNS", help="result files, or folders that hold them")
    add(
        "--format",
        choices=("table", "markdown", "csv", "json", "latex"),
        default="table",
        help="how to print (default table)",
    )
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="the scores to show (default: the primary score of every metric)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and the files that were left out."""
    from worldbench.records.board_building import build
    from worldbench.records.board_text import render
    from worldbench.runs.display import Display

    board = build(arguments.results, arguments.columns)
    print(render(board, arguments.format))
    for line in board.left_out:
        Display().say(line)
    return 0

"""`worldbench headroom RUNS`: where models stand between floor and ceiling in every score."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "print which models lie clearly between floor and ceiling of each score, where the score can tell models apart"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RUNS", help="result files, or folders that contain result files")
    add(
        "--format",
        choices=("table", "markdown", "csv", "json"),
        default="table",
        help="the form of the output (default: table)",
    )
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="the scores to show. METRIC alone means the primary score of the metric, and the scores that tables show "
        "beside this score (default: these scores of every metric)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the scores with their room, and say which files were left out."""
    from worldbench.records.board_building import build
    from worldbench.records.headroom_text import render
    from worldbench.runs.display import Display

    board = build(arguments.results, arguments.columns)
    print(render(board, arguments.format))
    for line in board.left_out:
        Display().say(line)
    return 0

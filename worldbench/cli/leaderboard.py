"""`worldbench leaderboard RUNS`: one table over many results."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

LINE = "print tables of many results, with means and t intervals over seeds, or write them as an HTML page"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RUNS", help="result files, or folders that contain result files")
    add(
        "--format", choices=("table", "markdown", "csv", "json", "latex", "html"), default="table",
        help="the form of the output (default: table); html is one page, which works without a network; it needs --out",
    )  # fmt: skip
    add("--out", type=Path, metavar="FILE", help="write the tables to this file, and do not print them")
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="the scores to show. METRIC alone means the primary score of the metric, and the scores that tables show "
        "beside this score (default: these scores of every metric)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print or write the board, and say which files were left out."""
    from worldbench.core.console import put_path
    from worldbench.core.files import make_folder, write_atomic
    from worldbench.records.board_building import build
    from worldbench.records.board_text import render
    from worldbench.runs.display import Display

    if arguments.format == "html" and arguments.out is None:
        raise InputError("--format html writes a page; name its file with --out FILE.html")
    board = build(arguments.results, arguments.columns)
    if arguments.format == "html":
        from worldbench.figures.board_page import page

        text = page(board)
    else:
        text = render(board, arguments.format)
    if arguments.out is None:
        print(text)
    else:
        make_folder(arguments.out.parent, "choose another file with --out")
        write_atomic(arguments.out, text.rstrip("\n") + "\n")
        put_path(arguments.out)
    for line in board.left_out:
        Display().say(line)
    return 0

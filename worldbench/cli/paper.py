"""`worldbench paper FOLDER..`: LaTeX tables, a paragraph about the protocol, sources and figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "write LaTeX tables, the protocol, BibTeX entries and figures for a paper, from records alone"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="FOLDER", help="folders that hold results, or result files")
    add("--out", type=Path, metavar="DIR", default=Path("paper"), help="where the files go (default paper)")
    add(
        "--columns", nargs="+", metavar="METRIC[.SCORE]",
        help="the scores in the tables (default: the primary score of every metric, and those shown beside it)",
    )  # fmt: skip
    add("--no-figures", action="store_true", help="write no figures")
    add(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py",
        help="a file that registers what results name; a plugin is run only if you name it",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Write the files, and print the path of each."""
    from worldbench.core.console import put_path
    from worldbench.core.plugins import load_plugins
    from worldbench.runs.display import Display
    from worldbench.studies.paper.writing import write_paper

    load_plugins(arguments.plugin)
    lines: list[str] = []
    try:
        for path in write_paper(
            arguments.results,
            arguments.out,
            columns=arguments.columns,
            figures=not arguments.no_figures,
            say=lines.append,
        ):
            put_path(path)
    finally:
        for line in dict.fromkeys(lines):
            Display().say(line)
    return 0

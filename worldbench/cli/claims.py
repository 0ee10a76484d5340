"""`worldbench claims RUNS`: the claims of papers, with the verdict of the records on each."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "compare the claims of papers with the records of runs, and print one verdict for each claim"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add("results", nargs="*", type=Path, metavar="RUNS", help="result files, or folders that contain result files")
    add(
        "--list",
        action="store_true",
        help="print every claim with the command that makes its records; needs no RUNS",
    )
    add(
        "--claims",
        nargs="+",
        metavar="NAME",
        help="show only these claims (default: all). The p values are corrected for all claims with records, also for "
        "those that are not shown",
    )
    add(
        "--file", nargs="+", type=Path, metavar="FILE.toml",
        help="files with claims of your own. Only these claims are used, and not the claims that come with worldbench. "
        "docs/claims.md describes the format",
    )  # fmt: skip
    add(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py",
        help="a Python file that registers models and metrics of your own, which the claims in --file name. The file "
        "is run only if you name it",
    )  # fmt: skip
    add(
        "--format", choices=("table", "markdown", "latex", "csv", "json"), default="table",
        help="the form of the output (default: table)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the claims with their verdicts, and the files that were left out."""
    from worldbench.core.errors import InputError, nearest
    from worldbench.core.plugins import load_plugins
    from worldbench.records.claim_table import listed, render
    from worldbench.records.claim_verdicts import judge
    from worldbench.records.claims import load
    from worldbench.runs.display import Display

    load_plugins(arguments.plugin)
    claims = load(arguments.file)
    if arguments.claims is not None:
        names = [claim.name for claim in claims]
        for name in arguments.claims:
            if name not in names:
                if os.path.exists(name):
                    raise InputError(f"{name!r} is a file or folder, not the name of a claim; write it before --claims")
                raise InputError(f"no claim is named {name!r}{nearest(name, names)}")
    shown = [claim for claim in claims if arguments.claims is None or claim.name in arguments.claims]
    if arguments.list:
        if arguments.results:
            raise InputError("--list needs no result files; leave out --list to compare the claims with them")
        print(listed(shown, arguments.format))
        return 0
    if not arguments.results:
        raise InputError("name result files, or folders that hold them; --list prints the claims without any")
    left_out = list[str]()
    own = arguments.file is not None
    rows = judge(claims, arguments.results, left_out.append, own=own)  # the correction is over all, whatever is shown
    every = own or arguments.claims is not None
    print(render([row for row in rows if row.claim in shown], arguments.format, every))
    for line in left_out:
        Display().say(line)
    return 0

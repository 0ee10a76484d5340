"""`worldbench decode RUN`: measure how much faster a model decodes when it drafts tokens itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

LINE = "measure how much faster the model of a finished run decodes when it drafts several tokens ahead"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. --env.map gives the new path of a map that has moved."""
    parser.groups = ("env",)
    parser.usage = (
        "worldbench decode RUN [options] [--plugin FILE.py] [--env.map FILE if the map has moved]\n"
        "       worldbench decode --board FOLDER.. [--format markdown]"
    )
    add = parser.add_argument
    add("--prompts", type=int, default=32, metavar="N", help="held-out prompts to continue (default 32)")
    add("--batch", type=int, default=1, metavar="B", help="prompts continued together (default 1)")
    add(
        "--lengths", type=int, nargs="+", metavar="K",
        help="numbers of drafted tokens per round to measure (default 1 2 4 8 12, up to what the model can draft)",
    )  # fmt: skip
    add(
        "--adaptive", type=float, metavar="THRESHOLD",
        help="also measure decoding that stops drafting early: as soon as the estimated probability that the model "
        "accepts all drafted tokens falls below THRESHOLD. The drafter makes this estimate (default: computed from the "
        "measured costs; 0: do not measure this)",
    )  # fmt: skip
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument(
        "--greedy", action="store_true",
        help="take the most likely token (default); every token is compared with plain decoding",
    )  # fmt: skip
    rule.add_argument(
        "--sampled", action="store_true", help="sample from the distribution of the model, at temperature 1"
    )
    add("--tokens", type=int, metavar="N", help="longest continuation (default: the world's decode limit)")
    add(
        "--repeats", type=int, default=5, metavar="N",
        help="number of times that each way of decoding decodes every prompt; the ways alternate (default 5)",
    )  # fmt: skip
    add("--threads", type=int, metavar="N", help="CPU threads (default: as in training)")
    add(
        "--board", nargs="+", type=Path, metavar="FOLDER",
        help="print the measurements below these folders, with means over training seeds",
    )  # fmt: skip
    add("--format", choices=("table", "markdown"), help="with --board: how to print it (default table)")
    jobs.add_common(parser, jobs.PLUGIN_OF_RUN, "print this help")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the record, print it; or print the board."""
    if arguments.board is not None and not arguments.help:
        return print_board(arguments)
    if arguments.format is not None and not arguments.help:
        raise InputError("--format belongs to --board FOLDER; add --board, or leave --format out")
    folders = jobs.run_folders(arguments, evaluates=False)
    if not folders:
        return 0
    from worldbench.runs.display import Display
    from worldbench.studies.decode import DecodeOptions, decode, show

    display = Display(quiet=arguments.quiet)
    lengths = None if arguments.lengths is None else tuple(arguments.lengths)
    rule = "sampled" if arguments.sampled else "greedy"
    options = DecodeOptions(
        arguments.prompts, arguments.batch, lengths, arguments.adaptive, rule, arguments.tokens, arguments.repeats,
        arguments.threads,
    )  # fmt: skip
    path = decode(folders[0], options, display, arguments.options, arguments.plugin)
    show(path)
    display.say(f"record: {path}")
    return 0


def print_board(arguments: argparse.Namespace) -> int:
    """Print the board, and say which files were left out."""
    from worldbench.core.plugins import load_plugins

    arguments.parser.refuse_beside("--board", arguments, ["--format", "--plugin", "--quiet"])
    load_plugins(arguments.plugin)
    from worldbench.core.files import identity_hash
    from worldbench.records import budget
    from worldbench.records.decoding import Decoding
    from worldbench.records.decoding_board import board
    from worldbench.records.finding import find
    from worldbench.records.runs import Result
    from worldbench.runs.display import Display

    found = find(arguments.board, Result, Decoding)
    measured = [(path, record) for path, record in found.records if isinstance(record, Decoding)]
    if not measured:
        folders = " and ".join(map(str, arguments.board))
        raise InputError(f"there is no record of worldbench decode in {folders}; worldbench decode RUN makes one")
    for path, record in measured:
        budget.refuse_reporting(record, path)
    cards = {identity_hash(r.world): r.card for _, r in found.records if isinstance(r, Result)}
    said = list[str]()
    print(board(measured, cards, arguments.format or "table", said.append))
    Display(quiet=arguments.quiet).say(*said, *found.messages())
    return 0

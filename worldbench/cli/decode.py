"""`worldbench decode RUN`: measure how much faster a model decodes when it drafts tokens itself."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser

LINE = "measure how much faster the model of a finished run decodes when it drafts several tokens ahead"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. --env.map gives the new path of a map that has moved."""
    parser.groups = ("env",)
    parser.usage = "worldbench decode RUN [options] [--plugin FILE.py] [--env.map FILE if the map has moved]"
    add = parser.add_argument
    add("--prompts", type=int, default=32, metavar="N", help="held-out prompts to continue (default 32)")
    add("--batch", type=int, default=1, metavar="B", help="prompts continued together (default 1)")
    add(
        "--lengths", type=int, nargs="+", metavar="K",
        help="numbers of drafted tokens per round to measure (default 1 2 4 8 12, up to what the model can draft)",
    )  # fmt: skip
    add(
        "--adaptive", type=float, metavar="THRESHOLD",
        help="also measure a variant that stops drafting early: as soon as the drafter estimates that the model "
        "accepts all drafted tokens with a probability below this (default: computed from the measured costs; 0: not "
        "measured)",
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
        help="number of times that each variant decodes every prompt; the variants alternate (default 5)",
    )  # fmt: skip
    add("--threads", type=int, metavar="N", help="CPU threads (default: as in training)")
    jobs.add_common(parser, jobs.PLUGIN_OF_RUN)


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the record, print it."""
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

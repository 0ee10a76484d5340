"""`worldbench speedrun RECIPE`: processor seconds of training to a target score, and the board of all entries."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

LINE = "measure how many processor seconds of training reach a target score, or print the board of such measurements"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. Typed options win over the recipe."""
    parser.groups = ("env", "data", "model", "train", "eval")
    parser.usage = (
        "worldbench speedrun RECIPE [--runs N] [--model NAME] [--out FOLDER] [options of run, such as --train.steps "
        "1500]\n       worldbench speedrun --board FOLDER.. [--format markdown]"
    )
    add = parser.add_argument
    add("--runs", type=int, metavar="N", help="number of runs, with seeds 0 .. N - 1 (default: as the recipe says)")
    add("--model", metavar="NAME", help="the model to train (default: as the recipe says)")
    add(
        "--out", type=Path, default=Path("speedruns"), metavar="FOLDER",
        help="the folder that holds one folder per entry of the board (default speedruns)",
    )  # fmt: skip
    add("--board", nargs="+", type=Path, metavar="FOLDER", help="print the board of the entries below these folders")
    add("--format", choices=("table", "markdown"), help="with --board: how to print it (default table)")
    jobs.add_common(parser, help="print this help; if the command names a recipe, also print its options")


def run(arguments: argparse.Namespace) -> int:
    """Time the runs that are missing, and print the verdict; or print the board."""
    if arguments.help and not arguments.names:
        jobs.print_help(arguments)
        return 0
    if arguments.board is not None and not arguments.help:
        return print_board(arguments)
    if arguments.format is not None and not arguments.help:
        raise InputError("--format belongs to --board FOLDER; add --board, or leave --format out")
    if not arguments.names:
        raise InputError("which recipe? name a TOML file (docs/speedrun.md), or a speedrun that worldbench ls lists")
    from worldbench.records.reading import read
    from worldbench.records.speedrun import Speedrun
    from worldbench.records.speedrun_board import verdict
    from worldbench.runs.display import Display
    from worldbench.settings import shipped
    from worldbench.settings.choice import chosen
    from worldbench.settings.recipe import require_plugins
    from worldbench.settings.speedrun import load_speedrun, require_runs

    recipe = load_speedrun(shipped.find(Path(arguments.names[0]), "speedrun"))
    runs = recipe.runs if arguments.runs is None else require_runs("--runs", arguments.runs)
    require_plugins(recipe.path, recipe.recipe, arguments.plugin)
    choice = chosen(recipe.recipe, recipe.recipe["world"], plugins=arguments.plugin, options=arguments.options)
    model = choice.model(arguments.model)
    if arguments.help:
        jobs.print_choice_help(arguments, choice, model)
        return 0
    from worldbench.studies.speedrun import speedrun

    display = Display(quiet=arguments.quiet)
    path = speedrun(recipe, choice, model, arguments.options, runs, arguments.out, display)
    print(verdict(read(path, Speedrun)))
    display.say(f"record: {path}")
    return 0


def print_board(arguments: argparse.Namespace) -> int:
    """Print the board, and say which files were left out."""
    from worldbench.core.plugins import load_plugins

    arguments.parser.refuse_beside("--board", arguments, ["--format", "--plugin", "--quiet"])
    load_plugins(arguments.plugin)
    from worldbench.records.finding import find
    from worldbench.records.speedrun import Speedrun
    from worldbench.records.speedrun_board import board
    from worldbench.runs.display import Display

    found = find(arguments.board, Speedrun)
    print(board([record for _, record in found.records], arguments.format or "table"))
    Display(quiet=arguments.quiet).say(*found.messages())
    return 0

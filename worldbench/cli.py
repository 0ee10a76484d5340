"""The command line: verbs and names by argparse, then the typed options of the chosen world and model."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import worldbench
from worldbench.core.errors import InputError, WorldbenchError, nearest, unknown

VERBS = {
    "run": "train a model in a world, score it beside its references, draw its figures",
    "eval": "score a finished run again, under other evaluation options",
    "check": "hold every metric against its references and against damage",
    "score": "score a model of your own: a Python function from tokens to logits",
    "leaderboard": "one table over many results: means and t intervals over seeds",
    "figures": "draw the figures of finished runs again",
    "ls": "the worlds, models, metrics and presets there are",
    "validate": "check result files",
}


NAMED = ("run", "eval", "score", "check")
"""Verbs that take one name, and typed options."""


class Parser(argparse.ArgumentParser):
    """One sentence and exit code 2, instead of a usage screen."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The top parser, and one per verb."""
    top = Parser(prog="worldbench", description=worldbench.__doc__, epilog="worldbench VERB --help tells more.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"worldbench {worldbench.__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    added = {verb: verbs.add_parser(verb, help=line, description=line, allow_abbrev=False, add_help=verb not in NAMED) for verb, line in VERBS.items()}

    run, score, again, check = added["run"], added["score"], added["eval"], added["check"]
    # The name is taken before argparse sees the rest: among typed options it cannot tell a name from a value.
    run.usage = "worldbench run WORLD [--model NAME] [--preset NAME] [--seed N] [--config RECIPE.toml] [--out FOLDER] [options below]"
    score.usage = "worldbench score WORLD --callable MODULE:FUNCTION [--preset NAME] [--out FOLDER] [options below]"
    again.usage = "worldbench eval RUN [--eval options]"
    check.usage = "worldbench check WORLD [--corruptions N] [--rungs N] [--workers N] [--preset NAME] [--out FOLDER] [options below]"
    check.add_argument("--corruptions", type=int, default=10, metavar="N", help="of each kind and size (default 10)")
    check.add_argument("--rungs", type=int, default=5, metavar="N", help="sizes of each kind of damage, 1 .. 5 (default 5)")
    check.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default 2, or 1 on one core); changes no result")
    for p in (run, score, check):
        p.add_argument("--preset", metavar="NAME", help="quick (default), small, standard or paper")
        p.add_argument("--config", type=Path, metavar="RECIPE.toml", help="settings from a file; the command line wins")
    run.add_argument("--model", metavar="NAME", help="see worldbench ls (default gpt)")
    run.add_argument("--seed", type=int, metavar="N", help="of training (default 0)")
    run.add_argument("--print-config", action="store_true", help="print every setting, resolved, and stop")
    score.add_argument("--callable", required=False, metavar="MODULE:FUNCTION", help="tokens [B, T] -> logits [B, T, V]")
    for p in (run, score, again, check):
        p.add_argument("--quiet", action="store_true", help="print results only")
        p.add_argument("-h", "--help", action="store_true", help="this help, with the options of the chosen world and model")
    for p in (run, score, check):
        p.add_argument(
            "--plugin", type=Path, action="append", default=[], metavar="FILE.py", help="a file that registers worlds, models or metrics of your own"
        )
        p.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs are kept (default runs)")

    board = added["leaderboard"]
    board.add_argument("results", nargs="+", type=Path, metavar="RUNS", help="result files, or folders that hold them")
    board.add_argument("--format", choices=("table", "markdown", "csv", "json"), default="table")
    board.add_argument("--columns", nargs="+", metavar="METRIC[.SCORE]", help="which scores (default: the primary score of every metric)")
    added["figures"].add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    added["validate"].add_argument("files", nargs="+", type=Path, metavar="FILE", help="result files")
    return top, added


def flags(verb: str) -> list[str]:
    """The plain options of a verb."""
    return [option for action in parsers()[1][verb]._actions for option in action.option_strings]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code: 0 done, 1 the work failed, 2 the input is wrong, 130 stopped."""
    # libgomp's idle threads spin by default, which slows two threads four- to twentyfold beside another busy process. Read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except WorldbenchError as error:
        print(f"worldbench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("worldbench: stopped; the same command goes on from the last saved state", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        print(f"worldbench: the system refused{where}: {error.strerror or error}; what was saved before is intact", file=sys.stderr)
        return 1
    except MemoryError:
        print("worldbench: out of memory; a smaller --train.batch or --eval.trials needs less", file=sys.stderr)
        return 1


def _dispatch(argv: list[str]) -> int:
    top, _ = parsers()
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        raise unknown("verb", argv[0], VERBS)
    named = len(argv) > 1 and argv[0] in NAMED and not argv[1].startswith("-")
    arguments, rest = top.parse_known_args([argv[0], *argv[2:]] if named else argv)
    arguments.subject = argv[1] if named else None
    if not named and arguments.verb in NAMED and rest and not rest[0].startswith("-"):
        arguments.subject = rest.pop(0)
    if arguments.verb is None:
        top.print_help()
        return 0
    if rest and arguments.verb not in NAMED:
        raise InputError(f"unknown option {rest[0]}{nearest(rest[0], flags(arguments.verb))}")
    return {
        "run": _run, "eval": _eval, "score": _score, "check": _check, "leaderboard": _leaderboard, "figures": _figures, "ls": _ls, "validate": _validate,
    }[arguments.verb](arguments, rest)  # fmt: skip


def _help(verb: str, types_: dict[str, type], defaults: dict[str, Any]) -> int:
    parsers()[1][verb].print_help()
    if types_:
        from worldbench.configuration import print_option_help

        print_option_help(types_, defaults)
    return 0


def _check_flags(verb: str, rest: list[str], groups: list[str]) -> None:
    """Refuse a misspelt plain flag (`--sed`), or words that stand alone, before anything is loaded."""
    for word in rest:
        if word.startswith("--") and word.split(".", 1)[0] not in {f"--{g}" for g in groups}:
            close = nearest(word.split("=")[0], flags(verb))
            raise InputError(f"unknown option {word.split('=')[0]}{close if close.startswith('; did') else f'; see worldbench {verb} --help'}")
    if rest and not rest[0].startswith("-"):
        raise InputError(f"what is {rest[0]!r}? worldbench {verb} takes one name, then options; see worldbench {verb} --help")


def _job(arguments: argparse.Namespace, rest: list[str], model: str | None, base: dict[str, Any] | None = None) -> Any:
    """The job that the command line asks for. base: settings between the preset and the recipe."""
    from worldbench.configuration import load_recipe, resolve
    from worldbench.core.registry import load_plugin, models, worlds

    recipe = load_recipe(arguments.config) if arguments.config else {}
    for group, values in (base or {}).items():
        recipe[group] = {**values, **recipe.get(group, {})}
    plugins = [*arguments.plugin, *([arguments.config.parent / recipe["plugin"]] if "plugin" in recipe else [])]
    for plugin in plugins:
        load_plugin(plugin)
    world = arguments.subject or recipe.get("world")
    if world is None:
        raise InputError(f"which world? there are {', '.join(worlds.names())}")
    name = model or recipe.get("model", {}).get("name") or "gpt"
    _ = worlds[world], models[name]
    preset = arguments.preset or recipe.get("preset") or "quick"
    seed = getattr(arguments, "seed", None)
    seed = seed if seed is not None else recipe.get("seed", 0)
    if arguments.help:
        from worldbench.configuration import group_types, preset_groups

        types_ = group_types(world, name)
        raise _HelpWanted(types_, preset_groups(types_, world, name, preset))
    return resolve(world, name, preset=preset, seed=seed, recipe=recipe, options=rest, plugins=tuple(map(str, plugins)))


class _HelpWanted(Exception):
    def __init__(self, types_: dict[str, type], defaults: dict[str, Any]) -> None:
        self.types, self.defaults = types_, defaults


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags("run", rest, ["env", "data", "model", "train", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("run", {}, {})
    try:
        job = _job(arguments, rest, arguments.model)
    except _HelpWanted as wanted:
        return _help("run", wanted.types, wanted.defaults)
    if arguments.print_config:
        from worldbench.configuration import to_toml

        print(to_toml(job), end="")
        return 0
    from worldbench.display import Display, print_result
    from worldbench.result import load_result
    from worldbench.run import run

    display = Display(quiet=arguments.quiet)
    path = run(job, arguments.out, display)
    print_result(load_result(path))
    display.say(f"result: {path}\nfigures: {path.parent / 'figures'}")
    return 0


def _eval(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags("eval", rest, ["eval", "env", "data", "model", "train"])
    if arguments.help or arguments.subject is None:
        from worldbench.metrics.config import EvalConfig

        if not arguments.help:
            raise InputError("which run? worldbench eval takes a run folder")
        return _help("eval", {"eval": EvalConfig}, {"eval": EvalConfig()})
    from worldbench.display import Display, print_result
    from worldbench.result import load_result
    from worldbench.run import evaluate

    path = evaluate(Path(arguments.subject), rest, Display(quiet=arguments.quiet))
    print_result(load_result(path))
    return 0


def _score(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags("score", rest, ["env", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("score", {}, {})
    spec = arguments.callable or ""
    if not spec and not arguments.help:
        raise InputError("worldbench score needs --callable MODULE:FUNCTION, a function from tokens [B, T] to logits [B, T, V]")
    try:
        job = _job(arguments, rest, "oracle")  # a model that is not trained: the options are those of the world and the evaluation
    except _HelpWanted as wanted:
        return _help("score", wanted.types, wanted.defaults)
    from worldbench.display import Display, print_result
    from worldbench.result import load_result
    from worldbench.run import score_callable

    path = score_callable(job, spec, arguments.out, Display(quiet=arguments.quiet))
    print_result(load_result(path))
    return 0


def _check(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags("check", rest, ["env", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("check", {}, {})
    from worldbench.check import SMALLER, Plan, check, require, show, workers_by_default, write

    try:
        job = _job(arguments, rest, "oracle", {"eval": SMALLER})
    except _HelpWanted as wanted:
        return _help("check", wanted.types, wanted.defaults)
    from worldbench.configuration import group_types, preset_groups
    from worldbench.display import Display
    from worldbench.run import prepare

    plan = Plan(job.groups["eval"], arguments.corruptions, arguments.rungs)
    if arguments.workers < 0:
        raise InputError(f"--workers must be 1 or more, not {arguments.workers}")
    display = Display(quiet=arguments.quiet)
    prepared = prepare(job, display)
    display.say(prepared.world.summary(0))

    def options(name: str) -> Any:
        return preset_groups(group_types(job.world, name), job.world, name, job.preset)["model"]

    record = check(prepared.world, plan, display, options, arguments.workers or workers_by_default())
    folder = write(record, arguments.out)
    show(record)
    display.say(f"calibration: {folder}")
    require(record, folder)
    return 0


def _leaderboard(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.leaderboard import build, render

    print(render(build(arguments.results, arguments.columns), arguments.format))
    return 0


def _figures(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.display import Display
    from worldbench.run import draw

    for folder in arguments.runs:
        if not folder.is_dir():
            raise InputError(f"{str(folder)!r} is not a run folder")
        drawn = draw(folder, Display())
        if not drawn:
            raise InputError(f"{str(folder)!r} holds nothing to draw: neither metrics.jsonl nor evidence")
        for path in drawn:
            print(path)
    return 0


def _ls(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.core.registry import metrics, models, worlds
    from worldbench.presets import PRESETS

    for title, lines in {
        "worlds": {e.name: e.line for e in worlds},
        "models": {e.name: e.line for e in models},
        "metrics": {e.name: e.line for e in metrics},
        "presets": PRESETS,
    }.items():
        print(title)
        for name, line in lines.items():
            print(f"  {name:20} {line}")
    return 0


def _validate(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.result import find_results, load_result

    for path in find_results(arguments.files):
        record = load_result(path)
        print(f"{path}: schema {record['schema_version']}, {record['model']['name']} in {record['world']['world']}, {len(record['scores'])} metrics")
    return 0

"""The words of the command line: verbs, names and plain flags, by argparse. Typed options of the chosen parts:
`configuration.py`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import worldbench
from worldbench.core.errors import InputError, nearest

VERBS = {
    "run": "train a model in a world, score it beside its references, draw its figures",
    "eval": "score a finished run again, under other evaluation options",
    "tune": "tune several models alike: the same number of trials for each, on seeds of their own",
    "trace": "score finished runs at every checkpoint that they keep",
    "decode": "how much faster a finished run's model decodes by guessing several of its own next tokens",
    "check": "hold every metric against its references and against damage",
    "score": "score a model of your own: a Python function from tokens to logits",
    "bench": "what each objective costs to train, at one shape: time, memory, operations",
    "reconstruct": "the street map that a file of routes implies, scored and drawn",
    "compare": "two models over shared seeds: paired differences, intervals, verdicts",
    "leaderboard": "one table over many results: means and t intervals over seeds",
    "figures": "draw the figures of finished runs again",
    "ls": "the worlds, models, metrics, presets and recipes there are",
    "validate": "check result files",
}

NAMED = ("run", "eval", "score", "check", "tune", "decode")
"""Verbs that take one name, and typed options."""
FOLDERS = ("trace",)
"""Verbs that take several run folders, and typed options."""


class Finished(Exception):
    """All was said, by --help or --version. code: of the process."""

    def __init__(self, code: int) -> None:
        self.code = code


class Parser(argparse.ArgumentParser):
    """One sentence and exit code 2, instead of a usage screen."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Finished(status)  # and not SystemExit, which may as well be a plugin's

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The top parser, and one per verb."""
    top = Parser(
        prog="worldbench",
        description=worldbench.__doc__,
        epilog="worldbench VERB --help tells more.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"worldbench {worldbench.__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    typed = (*NAMED, *FOLDERS)
    added = {
        verb: verbs.add_parser(verb, help=line, description=line, allow_abbrev=False, add_help=verb not in typed)
        for verb, line in VERBS.items()
    }

    run, score, again, check, tune = added["run"], added["score"], added["eval"], added["check"], added["tune"]
    # The name is taken before argparse sees the rest: among typed options it cannot tell a name from a value.
    run.usage = (
        "worldbench run WORLD [--model NAME] [--preset NAME] [--seed N] [--config RECIPE] "
        "[--out FOLDER] [options below]"
    )
    score.usage = "worldbench score WORLD --callable FILE.py:FUNCTION [--batch-limit N] [--out FOLDER] [options below]"
    again.usage = "worldbench eval RUN [--eval options] [--plugin FILE.py] [--env.map FILE, where the map has moved]"
    added["trace"].usage = "worldbench trace RUN.. [--eval options] [--plugin FILE.py] [--env.map FILE]"
    added["decode"].usage = "worldbench decode RUN [options] [--plugin FILE.py] [--env.map FILE]"
    check.usage = (
        "worldbench check WORLD [--corruptions N] [--rungs N] [--workers N] [--preset NAME] "
        "[--out FOLDER] [options below]"
    )
    tune.usage = (
        "worldbench tune WORLD --models NAME.. [--trials N] [--seeds K] [--criterion SCORE] "
        "[--preset NAME] [--out FOLDER] [options below]"
    )
    tune.add_argument(
        "--models",
        nargs="+",
        metavar="NAME",
        help="those to tune, see worldbench ls; an option goes to all of them that have it",
    )
    tune.add_argument(
        "--trials",
        type=int,
        default=16,
        metavar="N",
        help="settings tried for each model, the preset's among them (default 16)",
    )
    tune.add_argument("--seeds", type=int, default=1, metavar="K", help="of training, for each trial (default 1)")
    tune.add_argument(
        "--criterion",
        metavar="METRIC[.SCORE]",
        help="what to choose by, or loss (default excess_loss.kl; loss where the law is not known)",
    )
    check.add_argument("--corruptions", type=int, default=10, metavar="N", help="of each kind and size (default 10)")
    check.add_argument(
        "--rungs", type=int, default=5, metavar="N", help="sizes of each kind of damage, 1 .. 5 (default 5)"
    )
    check.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes (default 2, or 1 on one core); changes no result"
    )
    for p in (run, score, check, tune):
        p.add_argument("--preset", metavar="NAME", help="a size of the world, see worldbench ls (default: its first)")
        p.add_argument(
            "--config",
            type=Path,
            metavar="RECIPE",
            help="settings from a TOML file, or a recipe of worldbench ls; the command line wins",
        )
    run.add_argument("--model", metavar="NAME", help="see worldbench ls (default gpt)")
    run.add_argument("--seed", type=int, metavar="N", help="of training (default 0)")
    run.add_argument(
        "--tuned",
        metavar="BUDGET",
        help="how these settings were tuned, as the recipe of worldbench tune says it; part of the result",
    )
    run.add_argument("--print-config", action="store_true", help="print every setting, resolved, and stop")
    score.add_argument(
        "--callable",
        metavar="FILE.py:NAME",
        help="a function from tokens [B, T] to logits [B, T, V], or an nn.Module; also MODULE:NAME",
    )
    score.add_argument("--batch-limit", type=int, metavar="N", help="the most rows that it is called with at once")
    score.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of torch (default 1)")
    again_too = (again, added["trace"], added["decode"])
    for p in (run, score, check, tune, *again_too):
        p.add_argument("--quiet", action="store_true", help="print results only")
        p.add_argument(
            "-h", "--help", action="store_true", help="this help, with the options of the chosen world and model"
        )
        whose = "a file that registers worlds, models or metrics of your own"
        if p in again_too:
            whose = "the plugin that the run was trained with, or one that registers metrics; no plugin is run unasked"
        p.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py", help=whose)
    for p in (run, score, check, tune):
        p.add_argument(
            "--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs are kept (default runs)"
        )

    from worldbench.cli import reconstruct
    from worldbench.studies.bench import report as bench

    reconstruct.add_arguments(added["reconstruct"])
    bench.add_arguments(added["bench"])
    _add_decode(added["decode"])
    two = added["compare"]
    two.add_argument(
        "a",
        metavar="A",
        help="a model's name, with training options where it comes with several: 'nextlat[horizon=4,lambda_kl=0.1]'",
    )
    two.add_argument("b", metavar="B", help="another's")
    two.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RUNS",
        help="result files (with --matched: trace files), or folders that hold them",
    )
    two.add_argument(
        "--matched", metavar="LOSS", help="compare at a loss that both reach, such as excess_loss.kl, from their traces"
    )
    two.add_argument(
        "--columns",
        nargs="+",
        metavar="METRIC[.SCORE]",
        help="which scores (default: the primary score of every metric)",
    )
    two.add_argument("--margin", type=float, metavar="M", help="also ask whether they are equivalent to within M")
    two.add_argument("--format", choices=("table", "markdown", "csv", "json"), default="table")
    board = added["leaderboard"]
    board.add_argument("results", nargs="+", type=Path, metavar="RUNS", help="result files, or folders that hold them")
    board.add_argument("--format", choices=("table", "markdown", "csv", "json"), default="table")
    board.add_argument(
        "--columns",
        nargs="+",
        metavar="METRIC[.SCORE]",
        help="which scores (default: the primary score of every metric)",
    )
    added["figures"].add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    added["figures"].add_argument(
        "--together",
        type=Path,
        metavar="FOLDER",
        help="draw the runs' traces in one figure, into FOLDER, instead of each run's own",
    )
    added["validate"].add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="result and trace files, or folders that hold them"
    )
    return top, added


def _add_decode(p: argparse.ArgumentParser) -> None:
    p.add_argument("--prompts", type=int, default=32, metavar="N", help="held-out prompts to continue (default 32)")
    p.add_argument("--batch", type=int, default=1, metavar="B", help="prompts continued together (default 1)")
    p.add_argument(
        "--lengths",
        type=int,
        nargs="+",
        metavar="K",
        help="drafts a round to try (default 1 2 4 8 12, up to what the model can)",
    )
    p.add_argument(
        "--adaptive",
        type=float,
        metavar="THRESHOLD",
        help=(
            "also: stop drafting where the drafter's chance that all drafts stay falls below this "
            "(default: what the measured costs suggest; 0: leave it out)"
        ),
    )
    rule = p.add_mutually_exclusive_group()
    rule.add_argument(
        "--greedy",
        action="store_true",
        help="the likeliest token (default); checked token by token against plain decoding",
    )
    rule.add_argument("--sampled", action="store_true", help="drawn from the model's law, temperature 1")
    p.add_argument("--tokens", type=int, metavar="N", help="longest continuation (default: the world's decode limit)")
    p.add_argument(
        "--repeats",
        type=int,
        default=5,
        metavar="N",
        help="times that every arm decodes every prompt, by turns (default 5)",
    )
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: as in training)")


def flags(verb: str) -> list[str]:
    """The plain options of a verb."""
    return [option for action in parsers()[1][verb]._actions for option in action.option_strings]


def unknown_flag(arguments: argparse.Namespace, word: str, groups: Sequence[str] = ()) -> InputError:
    """The error for an option that the verb does not have. groups: those whose typed options it takes
    (`--train.steps`)."""
    name = word.split("=")[0]
    close = nearest(name, [*flags(arguments.verb), *(typed_flags(arguments, groups) if groups else [])])
    return InputError(
        f"unknown option {name}{close if close.startswith('; did') else f'; see worldbench {arguments.verb} --help'}"
    )


def typed_flags(arguments: argparse.Namespace, groups: Sequence[str]) -> list[str]:
    """The typed options of the groups, for the chosen world and model as far as they are known."""
    from worldbench.metrics.config import EvalConfig
    from worldbench.settings.options import option_names
    from worldbench.settings.resolve import group_types
    from worldbench.settings.train import DataConfig, TrainConfig

    types_: dict[str, type] = {"data": DataConfig, "train": TrainConfig, "eval": EvalConfig}
    with contextlib.suppress(InputError):  # a world or a model that is not known is refused later
        chosen = (
            next(iter(getattr(arguments, "models", None) or []), None) or getattr(arguments, "model", None) or "gpt"
        )
        types_ = group_types(arguments.subject or "", chosen)
    return option_names({group: cls for group, cls in types_.items() if group in groups})

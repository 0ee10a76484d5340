"""`worldbench tune WORLD --models NAME..`: tune several models, each with the same number of trials."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

if TYPE_CHECKING:
    from worldbench.settings.choice import Choice
    from worldbench.settings.job import Job

LINE = "tune several models, with the same number of trials for each, on seeds that no reported result uses"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.groups = ("env", "data", "model", "train", "eval")
    parser.usage = (
        "worldbench tune WORLD --models NAME.. [--trials N] [--seeds K] [--halving K] [--further N] "
        "[--criterion SCORE] [--workers N] [--preset NAME] [--out FOLDER] [options below]"
    )
    add = parser.add_argument
    add(
        "--models", nargs="+", metavar="NAME",
        help="the models to tune; each option below applies to every model that has this option",
    )  # fmt: skip
    add(
        "--trials", type=int, default=16, metavar="N",
        help="number of settings to try for each model; the first trial uses the values of the preset (default 16)",
    )  # fmt: skip
    add(
        "--seeds",
        type=int,
        default=1,
        metavar="K",
        help="number of trainings for each trial, each with a seed of its own (default 1)",
    )
    add(
        "--halving", type=int, default=1, metavar="K",
        help="first train every trial with 1/K of the steps on one seed; then train 1/K of the trials (the preset and "
        "the best others) with all steps on all seeds (default 1: train every trial in full)",
    )  # fmt: skip
    add(
        "--further", type=int, default=0, metavar="N",
        help="then train N more trials of each model, with all steps on all seeds; their settings are drawn near the "
        "best trial of the model (default 0)",
    )  # fmt: skip
    add(
        "--criterion", metavar="METRIC[.SCORE]",
        help="the score that decides which trial is best; the word loss stands for the held-out loss (default: "
        "excess_loss.kl, or loss if the world does not define the exact law)",
    )  # fmt: skip
    jobs.add_workers(parser, "number of trainings")
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tune the models, print the table, and print the commands that train with the best settings."""
    if arguments.help and not arguments.names:
        jobs.print_help(arguments)
        return 0
    choice = jobs.choose(arguments)
    if "tuned" in choice.recipe:
        before = f"{str(arguments.config)!r} holds settings that were tuned already ({choice.recipe['tuned']})"
        raise InputError(f"the recipe {before}; name the recipe that the tuning started from")
    names = models_of(arguments, choice.recipe)
    if arguments.help:
        show_help(arguments, choice, names)
        return 0
    from worldbench.runs.display import Display
    from worldbench.studies.tune.report import TuningSettings, show
    from worldbench.studies.tune.tuning import tune

    settings = TuningSettings(
        arguments.trials, arguments.seeds, arguments.criterion, arguments.halving, arguments.further
    )
    display = Display(quiet=arguments.quiet)
    paths = tune(jobs_of(arguments, choice, names), settings, arguments.out, display, jobs.workers_of(arguments))
    show(paths)
    for path in paths:
        named = "".join(f" --plugin {shlex.quote(plugin.path)}" for plugin in choice.plugins)
        display.say(
            f"to train with the best settings: worldbench run --config {path.with_name('best.toml')} --seed 0{named}"
        )
    return 0


def models_of(arguments: argparse.Namespace, recipe: dict[str, Any]) -> list[str]:
    """The models to tune, each once. Raises InputError if there is none, and for a model that is not trained."""
    from worldbench.core.registry import models

    by_default = [recipe.get("model", {}).get("name"), "gpt" if arguments.help else None]
    names = list(dict.fromkeys(arguments.models or filter(None, by_default)))
    trained = ", ".join(e.name for e in models if e.trained)
    if not names:
        raise InputError(f"which models? name one or more after --models: {trained}")
    if untrained := [name for name in names if not models[name].trained]:
        raise InputError(
            f"{untrained[0]} is not trained, so it cannot be tuned; the models that are trained are {trained}"
        )
    return names


def jobs_of(arguments: argparse.Namespace, choice: Choice, names: list[str]) -> list[Job]:
    """One job per model. Of the options and of the recipe, each job has those that apply to its model."""
    from worldbench.settings.resolve import resolve
    from worldbench.settings.several import applying, applying_keys

    recipe, types_ = choice.recipe, [choice.defaults(name)[0] for name in names]
    keys = applying_keys(recipe.get("model", {}), [t["model"] for t in types_])
    seed = recipe.get("seed", 0)
    return [
        resolve(
            choice.world, name, preset=choice.preset, seed=seed, recipe={**recipe, "model": own}, options=options,
            plugins=choice.plugins,
        )
        for name, own, options in zip(names, keys, applying(arguments.options, types_))
    ]  # fmt: skip


def show_help(arguments: argparse.Namespace, choice: Choice, names: list[str]) -> None:
    """Print the options of the verb and of the first model, then the model options of each other model."""
    from worldbench.settings.option_help import print_option_help

    jobs.print_choice_help(arguments, choice, names[0])
    for name in names[1:]:
        types_, defaults = choice.defaults(name)
        print_option_help({"model": types_["model"]}, {"model": defaults["model"]}, f"{name}:")

"""What the verbs with typed options share: plain options, the choice of world and preset, the job, and the help."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

if TYPE_CHECKING:
    from worldbench.settings.choice import Choice
    from worldbench.settings.job import Job

PLUGIN = "a file that registers worlds, models, metrics or figures of your own"
PLUGIN_OF_RUN = (
    "the plugin with which the run was trained, or a plugin that registers only metrics or figures; a plugin is run "
    "only if you name it"
)
OF_RUN = "An option that you do not name keeps its value in the run. The defaults shown are the defaults of new runs."


HELP = "print this help; if the command names a world and a model, also print their options"


def add_common(parser: Parser, plugin: str = PLUGIN, help: str = HELP) -> None:
    """--quiet, --help and --plugin."""
    parser.add_argument("--quiet", action="store_true", help="print only the results")
    parser.add_argument("-h", "--help", action="store_true", help=help)
    parser.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py", help=plugin)


def add_reading(parser: Parser) -> None:
    """--as, of verbs that score finished runs."""
    parser.add_argument(
        "--as", dest="reading", metavar="MODEL",
        help="score another model that uses the weights of each run; for nextlat runs: nextlat-rnn",
    )  # fmt: skip


def add_workers(parser: Parser, what: str, default: int | None = 1) -> None:
    """--workers, of verbs whose work is a plan of cells. what: the pieces of work, in the plural. default: None for 2,
    or 1 on a machine with one core."""
    said = "2, or 1 if the machine has one core" if default is None else default
    parser.add_argument(
        "--workers", type=int, default=default, metavar="N",
        help=f"{what} at a time, each in a process of its own (default {said}); does not change the results",
    )  # fmt: skip


def add_scoring_workers(parser: Parser) -> None:
    """--workers, of verbs that score runs, one after the other."""
    parser.add_argument(
        "--workers", type=int, metavar="N",
        help="number of metrics that are scored at a time, each in a process of its own; with 2 or more, the "
        "references are scored in a further process (default: the number of cores, at most 4; 1 on a graphics card); "
        "does not change the results",
    )  # fmt: skip


def workers_of(arguments: argparse.Namespace) -> int:
    """The number of workers that the command line asks for. Raises InputError if it is below 1."""
    from worldbench.runs.processes import usable_cores

    workers = min(2, usable_cores()) if arguments.workers is None else arguments.workers
    if workers < 1:
        raise InputError(f"--workers must be 1 or more, not {workers}")
    return workers


def add_settings(parser: Parser) -> None:
    """--preset, --config and --out, of verbs that name a world."""
    add = parser.add_argument
    add(
        "--preset",
        metavar="NAME",
        help="a named set of settings; worldbench ls lists the presets (default: the first preset of the world)",
    )
    add(
        "--config", type=Path, metavar="RECIPE",
        help="a TOML file with settings, or a recipe that worldbench ls lists; options of the command line override it",
    )  # fmt: skip
    add(
        "--out",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="the folder in which the command makes its own folders (default runs)",
    )


def choose(arguments: argparse.Namespace) -> Choice:
    """The choice that the command line and its recipe make. Raises InputError as `settings.choice.choose` does."""
    from worldbench.settings.choice import choose

    name = arguments.names[0] if arguments.names else None
    return choose(
        name, preset=arguments.preset, config=arguments.config, plugins=arguments.plugin, options=arguments.options
    )


def job_of(
    arguments: argparse.Namespace, model: str | None, small_evaluation: bool = False, processes: int = 1
) -> Job | None:
    """The job that the command line asks for; None if it asks for help, which is then printed.

    model: the name of the model; None: the model of the recipe, or gpt. small_evaluation: use the small sizes that the
    metrics declare, unless the recipe gives other sizes. processes: the number of processes that train the job.
    """
    if arguments.help and not arguments.names:
        print_help(arguments)
        return None
    choice = choose(arguments)
    name = choice.model(model)
    if arguments.help:
        print_choice_help(arguments, choice, name)
        return None
    seed, tuned = getattr(arguments, "seed", None), getattr(arguments, "tuned", None)
    return choice.job(
        name, arguments.options, seed=seed, tuned=tuned, small_evaluation=small_evaluation, processes=processes
    )


def run_folders(arguments: argparse.Namespace, evaluates: bool) -> list[Path]:
    """The run folders that the command line names; [] if it asks for help, which is then printed.

    evaluates: the verb takes evaluation options; the help shows them, those of metrics of plugins as well. Raises
    InputError if no folder is named.
    """
    parser = arguments.parser
    if arguments.help:
        from worldbench.core.eval_config import eval_config_type
        from worldbench.core.plugins import load_plugins

        load_plugins(arguments.plugin)
        types_: dict[str, type] = {"eval": eval_config_type()} if evaluates else {}
        print_help(arguments, types_, {group: cls() for group, cls in types_.items()}, OF_RUN)
        return []
    if not arguments.names:
        one = parser.takes == "one name"
        what = f"{parser.prog} takes {'a run folder' if one else 'run folders'}, then options"
        raise InputError(f"which {'run' if one else 'runs'}? {what}")
    return [Path(name) for name in arguments.names]


def print_choice_help(arguments: argparse.Namespace, choice: Choice, model: str) -> None:
    """The help with the typed options of a chosen world and model. Options of metrics that say nothing in this world
    are left out."""
    from worldbench.core.eval_config import eval_config_type
    from worldbench.core.registry import worlds
    from worldbench.runs.named_metrics import fitting
    from worldbench.settings.option_help import OF_PRESET

    types_, defaults = choice.defaults(model)
    kind = eval_config_type(of=fitting(worlds[choice.world].load()))
    types_["eval"] = kind
    defaults["eval"] = kind(**{f.name: getattr(defaults["eval"], f.name) for f in dataclasses.fields(kind)})
    left_out = f"Options of metrics that do not apply in the world {choice.world} are left out."
    print_help(arguments, types_, defaults, f"{OF_PRESET}\n{left_out}")


def print_help(
    arguments: argparse.Namespace, types_: dict[str, type] | None = None, defaults: Any = None, first: str | None = None
) -> None:
    """The plain options of the verb, then the typed ones of some groups with their defaults. first: the sentence before
    the typed options; None: they are those of the chosen preset."""
    arguments.parser.print_help()
    if types_:
        from worldbench.settings.option_help import OF_PRESET, print_option_help

        print_option_help(types_, defaults, first or OF_PRESET)

"""What the verbs with typed options share: their common plain options, the chosen parts, the job, the help."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

if TYPE_CHECKING:
    from worldbench.core.plugins import Plugin
    from worldbench.settings.job import Job

PLUGIN = "a file that registers worlds, models, metrics or figures of your own"
PLUGIN_OF_RUN = (
    "the plugin that the run was trained with, or one that registers metrics or figures; no other plugin file is run"
)


def add_common(parser: Parser, plugin: str = PLUGIN) -> None:
    """--quiet, --help and --plugin."""
    parser.add_argument("--quiet", action="store_true", help="print results only")
    parser.add_argument(
        "-h", "--help", action="store_true", help="this help, with the options of the chosen world and model"
    )
    parser.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py", help=plugin)


def add_settings(parser: Parser) -> None:
    """--preset, --config and --out, of verbs that name a world."""
    add = parser.add_argument
    add("--preset", metavar="NAME", help="a size of the world, see worldbench ls (default: its first)")
    add(
        "--config", type=Path, metavar="RECIPE",
        help="settings from a TOML file, or a recipe of worldbench ls; options of the command line take precedence",
    )  # fmt: skip
    add("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs are kept (default runs)")


@dataclass(frozen=True)
class Choice:
    """What the command line and its recipe choose. The plugins are loaded."""

    recipe: dict[str, Any]
    world: str
    preset: str
    plugins: tuple[Plugin, ...]

    def defaults(self, model: str) -> tuple[dict[str, type], dict[str, Any]]:
        """The groups of typed options for a model of the world, and their values in the preset."""
        from worldbench.settings.resolve import group_types, preset_groups

        types_ = group_types(self.world, model)
        return types_, preset_groups(types_, self.world, model, self.preset)


def choose(arguments: argparse.Namespace) -> Choice:
    """Load the recipe and the plugins. Raises InputError where no world, or an unknown one, is named."""
    from worldbench.core.plugins import load_plugins
    from worldbench.core.registry import worlds
    from worldbench.settings import shipped
    from worldbench.settings.options import register_metrics
    from worldbench.settings.presets import default_preset
    from worldbench.settings.recipe import load_recipe, require_plugins

    config = shipped.find(arguments.config) if arguments.config else None
    recipe = load_recipe(config) if config else {}
    if config:
        require_plugins(config, recipe, arguments.plugin)
    plugins = load_plugins(arguments.plugin)
    register_metrics(arguments.options, recipe.get("eval", {}))
    world = arguments.names[0] if arguments.names else recipe.get("world")
    if world is None:
        raise InputError(f"which world? there are {', '.join(worlds.names())}")
    _ = worlds[world]
    return Choice(recipe, world, arguments.preset or recipe.get("preset") or default_preset(world), plugins)


def job_of(arguments: argparse.Namespace, model: str | None, small_evaluation: bool = False) -> Job | None:
    """The job that the command line asks for; None where it asked for help, which is printed.

    model: None: the recipe's, or gpt. small_evaluation: take the small sizes that metrics declare, where the recipe
    names no others.
    """
    from worldbench.core.eval_config import eval_config_type
    from worldbench.core.options import small_values
    from worldbench.core.registry import models
    from worldbench.settings.resolve import resolve

    if arguments.help and not arguments.names:
        print_help(arguments)
        return None
    choice = choose(arguments)
    recipe = {**choice.recipe}
    if small_evaluation:
        recipe["eval"] = {**small_values(eval_config_type()), **recipe.get("eval", {})}
    name = model if model is not None else recipe.get("model", {}).get("name", "gpt")
    _ = models[name]
    if arguments.help:
        print_help(arguments, *choice.defaults(name))
        return None
    seed = getattr(arguments, "seed", None)
    return resolve(
        choice.world, name, preset=choice.preset, seed=recipe.get("seed", 0) if seed is None else seed, recipe=recipe,
        options=arguments.options, plugins=choice.plugins, tuned=getattr(arguments, "tuned", None),
    )  # fmt: skip


def run_folders(arguments: argparse.Namespace, evaluates: bool) -> list[Path]:
    """The run folders named; [] where the command line asked for help, which is printed.

    evaluates: does the verb take evaluation options? Then the help shows them, those of the plugins' metrics as well.
    Raises InputError where no folder is named.
    """
    parser = arguments.parser
    if arguments.help:
        from worldbench.core.eval_config import eval_config_type
        from worldbench.core.plugins import load_plugins

        load_plugins(arguments.plugin)
        types_: dict[str, type] = {"eval": eval_config_type()} if evaluates else {}
        print_help(arguments, types_, {group: cls() for group, cls in types_.items()})
        return []
    if not arguments.names:
        one = parser.takes == "one name"
        what = f"{parser.prog} takes {'a run folder' if one else 'run folders'}, then options"
        raise InputError(f"which {'run' if one else 'runs'}? {what}")
    return [Path(name) for name in arguments.names]


def print_help(arguments: argparse.Namespace, types_: dict[str, type] | None = None, defaults: Any = None) -> None:
    """The plain options of the verb, then the typed ones of some groups with their defaults."""
    arguments.parser.print_help()
    if types_:
        from worldbench.settings.options import print_option_help

        print_option_help(types_, defaults)

"""Which world, preset, recipe and plugins are asked for, by the command line or from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config_type
from worldbench.core.options import small_values
from worldbench.core.plugins import Plugin, load_plugins
from worldbench.core.registry import models, worlds
from worldbench.core.text import counted
from worldbench.settings import shipped
from worldbench.settings.job import Job
from worldbench.settings.options import register_metrics
from worldbench.settings.presets import default_preset
from worldbench.settings.recipe import load_recipe, require_plugins
from worldbench.settings.resolve import group_types, preset_groups, resolve


@dataclass(frozen=True)
class Choice:
    """A world, a preset, the settings of a recipe ({} without one), and the plugins, which are loaded."""

    recipe: dict[str, Any]
    world: str
    preset: str
    plugins: tuple[Plugin, ...]

    def defaults(self, model: str) -> tuple[dict[str, type], dict[str, Any]]:
        """The groups of typed options for a model of the world, and their values in the preset."""
        types_ = group_types(self.world, model)
        return types_, preset_groups(types_, self.world, model, self.preset)

    def model(self, name: str | None = None) -> str:
        """The model that is named, else the recipe's, else gpt. Raises InputError for an unknown one."""
        chosen: str = name if name is not None else self.recipe.get("model", {}).get("name", "gpt")
        return models[chosen].name

    def job(
        self, model: str, options: list[str], *, seed: int | None = None, tuned: str | None = None,
        small_evaluation: bool = False, processes: int = 1,
    ) -> Job:  # fmt: skip
        """The job of a model. options: typed options, as words of a command line. seed: None: the recipe's, or 0.

        small_evaluation: take the small sizes that metrics declare, where the recipe names no others. processes: the
        number of processes that the command was started with. Raises InputError as `resolve` and `in_processes` do.
        """
        recipe = {**self.recipe}
        if small_evaluation:
            recipe["eval"] = {**small_values(eval_config_type()), **recipe.get("eval", {})}
        chosen: int = seed if seed is not None else recipe.get("seed", 0)
        job = resolve(
            self.world, model, preset=self.preset, seed=chosen, recipe=recipe, options=options, plugins=self.plugins,
            tuned=tuned,
        )  # fmt: skip
        return in_processes(job, processes)


def in_processes(job: Job, count: int) -> Job:
    """The job as `count` processes train it. Raises InputError if its settings ask for another number of processes, or
    if it is not trained and there are several."""
    if not job.trained:
        if count > 1:
            raise InputError(f"{job.model} is not trained, so several processes cannot share the work; run it alone")
        return job
    asked = job.value("train.processes")
    if asked not in (1, count):
        raise InputError(
            f"train.processes is {asked}, and this command was started with {counted(count, 'process', 'processes')}; "
            f"start it as: torchrun --nproc-per-node {asked} -m worldbench run .."
        )
    return job.changed({"train.processes": count})


def choose(
    world: str | None, *, preset: str | None = None, config: Path | None = None, plugins: Sequence[Path] = (),
    options: Sequence[str] = (),
) -> Choice:  # fmt: skip
    """Load the recipe and the plugin files. What is None is the recipe's, and the preset else the world's first.

    config: a recipe file, or the name of a recipe that comes with worldbench. options: typed options as words, whose
    metrics are looked for in installed packages too. Raises InputError where no world is
    named, and for what is unknown or cannot be read.
    """
    file = shipped.find(config) if config else None
    recipe = load_recipe(file) if file else {}
    if file:
        require_plugins(file, recipe, list(plugins))
    return chosen(recipe, world, preset=preset, plugins=plugins, options=options)


def chosen(
    recipe: dict[str, Any], world: str | None = None, *, preset: str | None = None, plugins: Sequence[Path] = (),
    options: Sequence[str] = (),
) -> Choice:  # fmt: skip
    """`choose`, with the settings of a recipe that was read already."""
    loaded = load_plugins(plugins)
    register_metrics(list(options), recipe.get("eval", {}))
    world = world if world is not None else recipe.get("world")
    if world is None:
        raise InputError(f"which world? name it before the options; there are {', '.join(worlds.names())}")
    _ = worlds[world]
    return Choice(recipe, world, preset or recipe.get("preset") or default_preset(world), loaded)

"""The jobs of a sweep: one for each combination of a grid's values, seed by seed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.core.budget import refuse_seed
from worldbench.core.errors import InputError
from worldbench.core.plugins import Plugin, load_plugins
from worldbench.core.registry import metrics, models, worlds
from worldbench.settings import shipped
from worldbench.settings.job import Job
from worldbench.settings.options import register_metrics
from worldbench.settings.presets import default_preset
from worldbench.settings.recipe import LARGEST, load_recipe, require_plugins
from worldbench.settings.renamed import hint
from worldbench.settings.resolve import group_types, resolve
from worldbench.settings.several import applying, name_of, option_parts
from worldbench.settings.sweep import Grid, Part, Sweep

Options = dict[str, dict[str, Any]]
"""Option group -> option -> value."""


@dataclass(frozen=True)
class SweepJob:
    """A job of a sweep. part: the name of the file whose grids hold it."""

    job: Job
    part: str


@dataclass(frozen=True)
class _Point:
    """A combination of a grid, without the seed. options: with those that the grid varies."""

    world: str
    preset: str
    model: str
    recipe: dict[str, Any]
    options: Options
    part: str


def jobs_of(
    sweep: Sweep, plugins: Sequence[Path] = (), words: Sequence[str] = (), seeds: Sequence[int] | None = None
) -> list[SweepJob]:
    """The jobs of a sweep: all grids with their first seeds, then all grids with their second seeds, and so on. A sweep
    that is stopped has then whole comparisons.

    plugins: plugin files named on the command line. words: typed options of the command line, which win over the
    recipe. seeds: None: those of the recipe. An option applies to every world or model of the grid that has this
    option. Raises InputError for an option that none of them has, and as `resolve` does.
    """
    for part in sweep.parts:
        require_plugins(part.path, {"plugin": list(part.plugins)}, list(plugins))
    loaded = load_plugins(plugins)
    register_metrics(list(words), {})
    numbered: list[tuple[int, int, _Point]] = []
    for column in (column for part in sweep.parts for table in part.tables for column in table.columns):
        _ = metrics[column.partition(".")[0]]  # raises for an unknown metric
    for part in sweep.parts:
        expanded = [list(_points(grid, part, plugins)) for grid in part.grids]
        for grid, points in zip(part.grids, expanded):
            everywhere = [name for name in grid.named() if name not in grid.own]
            _require_known(everywhere, [point for points in expanded for point in points], "sweep")
            _require_known(sorted(grid.own), points, "grid")
            numbered += [(i, seed, point) for i, seed in enumerate(seeds or grid.seeds) for point in points]
    numbered.sort(key=lambda entry: entry[0])
    types_ = {(point.world, point.model): group_types(point.world, point.model) for _, _, point in numbered}
    options = dict(zip(types_, applying(list(words), list(types_.values()))))
    resolved: dict[int, Job] = {}  # a job depends on its seed in nothing but the seed
    out = []
    for _, seed, point in numbered:
        if id(point) not in resolved:
            resolved[id(point)] = _job(point, seed, loaded, options[point.world, point.model])
        if not 0 <= seed < LARGEST:
            raise InputError(f"seeds must be from 0 to below 2^63, not {seed}")
        refuse_seed("seed", seed)
        out.append(SweepJob(dataclasses.replace(resolved[id(point)], seed=seed), point.part))
    for part in sweep.parts:
        _require_scored(part, [job.job for job in out if job.part == part.name])
    return out


def whole_recipe(
    sweep: Sweep, jobs: list[SweepJob], plugins: Sequence[Path], words: Sequence[str], seeds: Sequence[int] | None
) -> list[SweepJob]:
    """All jobs of a recipe of which the typed words chose some values of [vary]: those of every value. `jobs`, where
    the words do not choose among the values of the recipe. The arguments are those of `jobs_of`, and its jobs."""
    varied = {f"--{name}" for part in sweep.parts for grid in part.grids for name in grid.vary}
    others = [word for part in option_parts(list(words)) if name_of(part) not in varied for word in part]
    if others == list(words):
        return jobs
    whole = jobs_of(sweep, plugins, others, seeds)
    return whole if all(job in whole for job in jobs) else jobs


def _require_scored(part: Part, jobs: list[Job]) -> None:
    """Raises InputError for a column of a table whose metric no job of the file measures."""
    named = [job.groups["eval"].metrics for job in jobs]
    if not named or not all(named):  # no names: every metric
        return
    measured = {name for names in named for name in names}
    for table in part.tables:
        for column in table.columns:
            if (name := column.partition(".")[0]) not in measured:
                raise InputError(
                    f"{part.path}: the table {table.file} shows {column}, but no run of the sweep measures it; add "
                    f"{name} to eval.metrics, or leave the column out"
                )


def _job(point: _Point, seed: int, plugins: tuple[Plugin, ...], words: list[str]) -> Job:
    serving = tuple(plugin for plugin in plugins if plugin.serves(point.world, point.model))
    return resolve(
        point.world, point.model, preset=point.preset, seed=seed, recipe=point.recipe, plugins=serving, options=words,
        changes=point.options,
    )  # fmt: skip


def _points(grid: Grid, part: Part, plugins: Sequence[Path]) -> Iterator[_Point]:
    """The combinations of a grid: models change fastest, then the options that vary, presets, worlds."""
    recipes = [_recipe(config, part.path.parent, plugins) for config in grid.configs] or [{}]
    for table in ({}, *recipes):
        register_metrics([], {**table.get("eval", {}), **grid.options.get("eval", {})})
    several: list[tuple[str, str, str, dict[str, Any]]] = []
    for recipe in recipes:
        named = recipe.get("model", {}).get("name")
        ours = _chosen("model", named, grid.models) or ("gpt",)
        theirs = _chosen("world", recipe.get("world"), grid.worlds)
        if not theirs:
            raise InputError(f"which worlds? write worlds = [..] into the sweep; there are {', '.join(worlds.names())}")
        for world in theirs:
            _ = worlds[world]
            presets = _chosen("preset", recipe.get("preset"), grid.presets) or (default_preset(world),)
            several += [(world, preset, models[model].name, recipe) for preset in presets for model in ours]
    types_ = {(world, model): group_types(world, model) for world, _, model, _ in several}
    axes = [[(name, value) for value in values] for name, values in grid.vary.items()]
    places = dict.fromkeys((world, preset) for world, preset, _, _ in several)
    for place, chosen in itertools.product(places, itertools.product(*axes)):
        for world, preset, model, recipe in several:
            if (world, preset) == place:
                options = {group: dict(values) for group, values in grid.options.items()}
                for name, value in chosen:
                    options.setdefault(name.partition(".")[0], {})[name.partition(".")[2]] = value
                yield _Point(world, preset, model, recipe, _applying(options, types_[world, model]), part.name)


def _recipe(config: str, folder: Path, plugins: Sequence[Path]) -> dict[str, Any]:
    """A recipe that comes with worldbench, or a file beside the sweep recipe."""
    path = Path(config)
    path = shipped.find(path if config in shipped.names() or not path.suffix else folder / path)
    recipe = load_recipe(path)
    require_plugins(path, recipe, list(plugins))
    return recipe


def _chosen(what: str, named: str | None, several: tuple[str, ...]) -> tuple[str, ...]:
    """What a grid combines: its own names, or the one that a recipe names. Raises InputError if they differ."""
    if named is not None and several and several != (named,):
        raise InputError(
            f"a recipe in configs names the {what} {named}, and {what}s of the grid are {', '.join(several)}; give the "
            f"recipe a [[grid]] of its own, and name {what}s in the other grids, not at the top of the file"
        )
    return (named,) if named is not None else several


def _require_known(names: Sequence[str], points: Sequence[_Point], where: str) -> None:
    """Raises InputError for an option that no combination has. where: what the combinations are of."""
    types_ = {(point.world, point.model): group_types(point.world, point.model) for point in points}
    for group, _, option in (name.partition(".") for name in names):
        known = {f.name for each in types_.values() if group in each for f in dataclasses.fields(each[group])}
        if not known:
            raise InputError(
                f"{group}.{option} does not apply: no world and no model of the {where} has options of that kind"
            )
        if option not in known:
            raise InputError(f"unknown option {group}.{option}{hint(option, known, group)}")


def _applying(options: Options, types_: dict[str, type]) -> Options:
    """The options that a world and a model have."""
    return {
        group: {name: value for name, value in values.items() if name in {f.name for f in dataclasses.fields(kind)}}
        for group, kind in types_.items()
        if (values := options.get(group))
    }

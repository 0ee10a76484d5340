"""Puts a job together. Settings come from, in this order: defaults, preset, recipe (a TOML file), command line; later
ones win. Every setting that is accepted is used, and every unknown one is refused.

The options of each part (world, model, evaluation) are a frozen dataclass beside that part. A field is part of the
identity of a run, with two exceptions: a field marked *execution* has no effect on the result, and a field marked
*later*, which was added after results were published, is left out while it has its default.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from worldbench.core.budget import Budget, refuse_seed
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config_type, require_used
from worldbench.core.options import identity_fields
from worldbench.core.plugins import Plugin
from worldbench.core.registry import models, worlds
from worldbench.settings.job import Job
from worldbench.settings.options import parse_options, register_metrics
from worldbench.settings.recipe import LARGEST, _overlay
from worldbench.settings.renamed import hint
from worldbench.settings.train import FREE, DataConfig, TrainConfig, chosen_step, used_rates


def group_types(world: str, model: str) -> dict[str, type]:
    """Option group -> dataclass, for the chosen world and model: only what applies. Raises InputError for a model that
    has no run of its own."""
    world_entry, model_entry = worlds[world], models[model]
    if lender := model_entry.reads:
        raise InputError(
            f"{model} has no run of its own, because it reads the weights of a {lender} run: train one with "
            f"`worldbench run {world} --model {lender}`, and score it with `worldbench eval RUN --as {model}`"
        )
    groups: dict[str, type] = {}
    if world_entry.config is not None:
        groups["env"] = world_entry.load_config()
    if model_entry.trained:
        groups["data"] = DataConfig
    if model_entry.config is not None:
        groups["model"] = model_entry.load_config()
    if model_entry.trained:
        groups["train"] = TrainConfig
    groups["eval"] = eval_config_type()
    return groups


def resolve(
    world: str,
    model: str,
    *,
    preset: str,
    seed: int,
    recipe: dict[str, Any] | None = None,
    options: list[str] | None = None,
    plugins: tuple[Plugin, ...] = (),
    tuned: str | None = None,
    changes: dict[str, dict[str, Any]] | None = None,
) -> Job:
    """Put a job together.

    recipe: as `load_recipe` returns it. changes: option group -> option -> value, of a sweep; they win over the recipe.
    options: words of the command line, which win over both. tuned: the budget with which the settings
    were tuned, from the command line. Raises InputError for unknown options, and for values out of range.
    """
    recipe, changes = recipe or {}, changes or {}
    register_metrics(options or [], {**recipe.get("eval", {}), **changes.get("eval", {})})
    types_ = group_types(world, model)
    base = preset_groups(types_, world, model, preset)
    merged = {group: _overlay(group, base[group], recipe.get(group, {})) for group in types_}
    swept = {group: _overlay(group, merged[group], changes.get(group, {})) for group in types_}
    final = parse_options(types_, swept, options or [], f"worldbench run {world} --model {model}")
    require_used(final["eval"], [*(options or []), *(f"--eval.{name}" for name in changes.get("eval", {}))])
    if "train" in final:
        final["train"] = used_rates(final["train"], base["train"])
    given = {
        f"{group}.{f.name}": getattr(final[group], f.name)
        for group in types_
        for f in dataclasses.fields(final[group])
        if getattr(final[group], f.name) != getattr(base[group], f.name) and not f.metadata.get("execution")
    }
    if "train" in final:
        final["train"] = chosen_step(final["train"], final["data"])
        if require_rows := getattr(final.get("model"), "require_used", None):
            require_rows(final["train"].row_tokens)
    if seed < 0:
        raise InputError(f"seed must be 0 or more, not {seed}")
    _refuse_impossible(
        {"seed": seed} | {f"{g}.{f.name}": getattr(c, f.name) for g, c in final.items() for f in dataclasses.fields(c)}
    )
    refuse_seed("seed", seed)
    refuse_seed("eval.seed", final["eval"].seed)
    if tuned is not None and "train" not in types_:
        raise InputError(f"{model} is not trained, so no settings of it were tuned")
    if "train" in types_ and "tuned" in recipe and tuned in (None, recipe["tuned"]):
        _as_tuned(recipe, world, model, preset, merged, final)
        tuned = recipe["tuned"]
    return Job(world, model, preset, seed, final, given, plugins, None if tuned is None else Budget.parse(tuned))


def _refuse_impossible(settings: dict[str, Any]) -> None:
    """Raises InputError for whole numbers beyond 2^63, and for numbers that are infinite or no number."""
    for name, value in settings.items():
        if isinstance(value, int) and not -LARGEST < value < LARGEST:
            raise InputError(f"{name} must be a whole number below 2^63, not a number of {value.bit_length()} bits")
        for x in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(x, float) and not math.isfinite(x):
                raise InputError(f"{name} must be a finite number, not {x}")


def _as_tuned(
    recipe: dict[str, Any], world: str, model: str, preset: str, merged: dict[str, Any], final: dict[str, Any]
) -> None:
    """Raises InputError if a recipe says that its settings are tuned, and the final settings differ from them."""
    there = {
        "world": (recipe.get("world", world), world),
        "model": (recipe.get("model", {}).get("name", model), model),
        "preset": (recipe.get("preset", preset), preset),
    }
    merged = {**merged, "train": chosen_step(merged["train"], merged["data"])}
    free = set(FREE)
    if final["train"].scored_step != "last":
        free -= {"checkpoints", "curve_documents"}  # they decide which weights are scored
    for group in ("env", "data", "model", "train"):
        if group in final:
            old, new = identity_fields(merged[group]), identity_fields(final[group])
            there |= {f"{group}.{name}": (old.get(name), new.get(name)) for name in {**old, **new} if name not in free}
    for name, (old, new) in there.items():
        if old != new:
            raise InputError(
                f"the recipe was tuned with {name} {old}, not {new}; leave {name} as it is, or take "
                "the line `tuned` out of the recipe"
            )


def preset_groups(types_: dict[str, type], world: str, model: str, preset: str) -> dict[str, Any]:
    """Option group -> the options in a preset. A model without a transformer ignores the shape that the preset sets.

    Raises InputError for a preset that the world does not have, and for a preset that sets unknown options.
    """
    from worldbench.settings.presets import known_options, preset_values

    values, out = preset_values(world, model, preset), {}
    for group, kind in types_.items():
        names, known = [f.name for f in dataclasses.fields(kind)], known_options(group, kind)
        for name in values[group]:
            if name not in known:
                raise InputError(
                    f"the preset {preset!r} of the world {world!r} sets an unknown option "
                    f"{group}.{name}{hint(name, known, group)}"
                )
        out[group] = _overlay(group, kind(), {name: value for name, value in values[group].items() if name in names})
    return out

"""Settings: defaults < preset < recipe (TOML) < command line. Every accepted one is used, every unknown one refused.

Each part's options are a frozen dataclass beside the part itself (world, model, evaluation); those of the data stream and of training stand here.
A field is *identity* (it has an effect on the result) unless its metadata says *execution* (it has none); one that came *later* enters the identity where it
is not at its default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import os
import re
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worldbench.budget import FREE
from worldbench.core.budget import Budget, refuse_seed
from worldbench.core.errors import InputError, nearest
from worldbench.core.options import EXECUTION, LATER, identity_fields, named_files
from worldbench.core.plugins import Plugin
from worldbench.core.registry import models, worlds
from worldbench.records.parts import INFINITE


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What training draws from the world."""

    rides: int = 0
    """Size of the fixed training set, gone through in a new order each epoch (the `scarce` arm); 0: every document is new (`stream`)."""

    def __post_init__(self) -> None:
        if self.rides < 0:
            raise InputError(f"data.rides must be 0 (unlimited) or more, not {self.rides}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How any objective is trained."""

    steps: int = 3000
    """Optimiser steps."""
    batch: int = 128
    """Rows a step."""
    row_tokens: int = 0
    """Tokens of a row that documents are packed into (restarted positions, block-diagonal attention); 0: one document a row."""
    accumulate: int = 1
    """Parts that a batch is split into, one after the other: the same gradient in less memory."""
    optimiser: Literal["adamw", "sgd"] = field(default="adamw", metadata=LATER)
    """AdamW (betas .9, .95, eps 1e-8), or plain stochastic gradient descent without momentum."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """After the warm-up: constant, or falling to a hundredth of the peak at the last step."""
    warmup: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """On every tensor of two or more dimensions; of AdamW beside the gradient, of sgd added to it."""
    clip: float = 1.0
    """Largest gradient norm; 0: none."""
    checkpoints: int = 12
    """Weights kept at this many log-spaced steps, each scored by held-out loss and exact excess loss (comparison at matched loss)."""
    curve_documents: int = 512
    """Held-out documents behind each point of the learning curve."""
    threads: int = 1
    """CPU threads: weights differ in their last bits between 1 and 2, so it is part of a run's identity."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes; `auto` is cuda where there is one."""
    log_every: int = field(default=10, metadata=EXECUTION)
    """Steps between training records in metrics.jsonl."""
    save_every: float = field(default=30.0, metadata=EXECUTION)
    """Seconds between saves of the whole training state, from which a killed run goes on."""

    def __post_init__(self) -> None:
        for name, low in {
            "steps": 1, "batch": 1, "accumulate": 1, "checkpoints": 1, "curve_documents": 1, "threads": 1, "log_every": 1, "row_tokens": 0, "warmup": 0,
            "weight_decay": 0, "clip": 0, "save_every": 0,
        }.items():  # fmt: skip
            if not getattr(self, name) >= low:
                raise InputError(f"train.{name} must be at least {low}, not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise InputError(f"train.learning_rate must be above 0, not {self.learning_rate}")
        if self.accumulate > self.batch:
            raise InputError(f"train.accumulate ({self.accumulate}) cannot exceed train.batch ({self.batch})")
        if self.device == "mps":
            raise InputError("train.device 'mps' is refused: nobody has tested it yet; use cpu")
        for name in ("optimiser", "schedule", "device"):
            allowed = typing.get_args(typing.get_type_hints(TrainConfig)[name])
            if getattr(self, name) not in allowed:
                raise InputError(f"train.{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}{nearest(getattr(self, name), allowed)}")


@dataclass(frozen=True)
class Job:
    """A world, a model and every setting, resolved.

    given: the settings that differ from the preset, as passed. groups: option group -> dataclass. tuned: how the settings were chosen, if by tuning.
    """

    world: str
    model: str
    preset: str
    seed: int
    groups: dict[str, Any]
    given: dict[str, Any]
    plugins: tuple[Plugin, ...] = ()
    tuned: Budget | None = None

    def replace(self, group: str, **values: Any) -> Job:
        return dataclasses.replace(self, groups={**self.groups, group: dataclasses.replace(self.groups[group], **values)})

    def value(self, option: str) -> Any:
        """Of `group.field`."""
        group, _, name = option.partition(".")
        return getattr(self.groups[group], name)

    def changed(self, settings: dict[str, Any]) -> Job:
        """The job with other values of some `group.field`, as if they had been passed."""
        job, new = self, {option: value for option, value in settings.items() if value != self.value(option)}
        for option, value in new.items():
            group, _, name = option.partition(".")
            job = job.replace(group, **{name: value})
        return dataclasses.replace(job, given={**self.given, **new})

    @property
    def trained(self) -> bool:
        return "train" in self.groups

    @property
    def threads(self) -> int:
        """Threads that torch computes with."""
        return self.groups["train"].threads if self.trained else 1

    @property
    def seeded(self) -> bool:
        """Does the model depend on the seed?"""
        return self.trained or (self.model in models.names() and models[self.model].seeded)

    def command(self) -> str:
        """The command that repeats this job (files by their names alone)."""
        own = ":" in self.model
        words = ["worldbench", *(("score", self.world, "--callable") if own else ("run", self.world, "--model")), self.model, "--preset", self.preset]
        words += ["--seed", str(self.seed)] if self.seeded else []
        words += ["--tuned", _shell(self.tuned)] if self.tuned is not None else []
        return " ".join([*words, *self.options()])

    def options(self) -> list[str]:
        """The words that pass what differs from the preset (files by their names alone)."""
        words: list[str] = []
        for plugin in self.plugins:
            words += ["--plugin", _shell(plugin.name)]
        files = {f"{group}.{name}": path.name for group, config in self.groups.items() for name, path in named_files(config).items()}
        for key, value in sorted(self.given.items()):
            value = files.get(key, value)
            words += [f"--{key}", *map(_shell, value if isinstance(value, (list, tuple)) else [value])]
        return words


def _shell(value: Any) -> str:
    import shlex

    return shlex.quote(str(value))


def group_types(world: str, model: str) -> dict[str, type]:
    """Option group -> dataclass, for the chosen world and model: only what applies."""
    from worldbench.metrics.config import EvalConfig

    world_entry, model_entry = worlds[world], models[model]
    groups: dict[str, type] = {}
    if world_entry.config is not None:
        groups["env"] = world_entry.load_config()
    if model_entry.trained:
        groups["data"] = DataConfig
    if model_entry.config is not None:
        groups["model"] = model_entry.load_config()
    if model_entry.trained:
        groups["train"] = TrainConfig
    groups["eval"] = EvalConfig
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
) -> Job:
    """Put a job together. tuned: the budget behind its settings, as said on the command line. Raises InputError for anything unknown or out of range."""
    types_, recipe = group_types(world, model), recipe or {}
    base = preset_groups(types_, world, model, preset)
    merged = {group: _overlay(group, base[group], recipe.get(group, {})) for group in types_}
    final = parse_options(types_, merged, options or [], f"worldbench run {world} --model {model}")
    given = {
        f"{group}.{f.name}": getattr(final[group], f.name)
        for group in types_
        for f in dataclasses.fields(final[group])
        if getattr(final[group], f.name) != getattr(base[group], f.name) and not f.metadata.get("execution")
    }
    if seed < 0:
        raise InputError(f"seed must be 0 or more, not {seed}")
    refuse_seed("seed", seed)
    refuse_seed("eval.seed", final["eval"].seed)
    if tuned is not None and "train" not in types_:
        raise InputError(f"{model} is not trained, so no settings of it were tuned")
    if "train" in types_ and "tuned" in recipe and tuned in (None, recipe["tuned"]):
        _as_tuned(recipe, world, model, merged, final)
        tuned = recipe["tuned"]
    return Job(world, model, preset, seed, final, given, plugins, None if tuned is None else Budget.parse(tuned))


def _as_tuned(recipe: dict[str, Any], world: str, model: str, merged: dict[str, Any], final: dict[str, Any]) -> None:
    """Refuse to call settings tuned that are not those of the recipe."""
    there = {"world": (recipe.get("world", world), world), "model": (recipe.get("model", {}).get("name", model), model)}
    for group in ("env", "data", "model", "train"):
        if group in final:
            old, new = identity_fields(merged[group]), identity_fields(final[group])
            there |= {f"{group}.{name}": (old.get(name), new.get(name)) for name in {**old, **new} if name not in FREE}
    for name, (old, new) in there.items():
        if old != new:
            raise InputError(f"the recipe was tuned with {name} {old}, not {new}; leave {name} as it is, or take the line `tuned` out of the recipe")


def preset_groups(types_: dict[str, type], world: str, model: str, preset: str) -> dict[str, Any]:
    """Each group's options as the preset has them. A model without a transformer has no use for the preset's shape.

    Raises InputError for a preset that the world does not have, and for one of a plugin that sets unknown options.
    """
    from worldbench.presets import known_options, preset_values

    values, out = preset_values(world, model, preset), {}
    for group, kind in types_.items():
        names, known = [f.name for f in dataclasses.fields(kind)], known_options(group, kind)
        for name in values[group]:
            if name not in known:
                raise InputError(f"the preset {preset!r} of the world {world!r} sets an unknown option {group}.{name}{nearest(name, known)}")
        out[group] = _overlay(group, kind(), {name: value for name, value in values[group].items() if name in names})
    return out


# Recipes


def load_recipe(path: Path) -> dict[str, Any]:
    """A TOML recipe: `world`, `preset`, `seed`, `plugin`, `tuned` at the top; [model] with its `name`; [env], [data], [train], [eval]. Strict."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the recipe {str(path)!r} ({getattr(error, 'strerror', None) or error})") from error
    try:
        recipe = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the recipe {str(path)!r} is not TOML: {error}") from error
    top: dict[str, Any] = {"world": str, "preset": str, "seed": int, "plugin": (str, list), "tuned": str}
    top |= dict.fromkeys(("env", "data", "model", "train", "eval"), dict)
    for key, value in recipe.items():
        if key not in top:
            raise InputError(f"{path}: unknown key {key!r}{nearest(key, top)}")
        if not isinstance(value, top[key]) or isinstance(value, bool) or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            wanted = "a table" if top[key] is dict else "a file or a list of files" if key == "plugin" else f"of type {top[key].__name__}"
            raise InputError(f"{path}: {key} must be {wanted}, not {value!r}")
    return recipe


def require_plugins(path: Path, recipe: dict[str, Any], named: list[Path]) -> None:
    """Raises InputError where a recipe needs a plugin that the command line does not name: no file makes code run."""
    needed = recipe.get("plugin", [])
    for plugin in [needed] if isinstance(needed, str) else needed:
        if Path(plugin).name not in {file.name for file in named}:
            raise InputError(
                f"the recipe {str(path)!r} needs the plugin {Path(plugin).name}, and the code that a recipe names is not "
                f"run unasked; name the file if you trust it: --plugin {_shell(os.path.normpath(path.parent / plugin))}"
            )


def _overlay(group: str, base: Any, values: dict[str, Any]) -> Any:
    """`base` with the recipe's values, each checked against its field's type."""
    hints = typing.get_type_hints(type(base))
    names = [f.name for f in dataclasses.fields(base)]
    checked = {}
    for key, value in values.items():
        if group == "model" and key == "name":
            continue
        if key not in names:
            raise InputError(f"unknown key {key!r} in [{group}]{nearest(key, names)}")
        checked[key] = _coerce(f"{group}.{key}", value, hints[key])
    return dataclasses.replace(base, **checked)


def from_json(group: str, cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """The options of a group in a config.json, each checked as in a recipe; one that is not there has its default.

    Raises InputError for an option that the group does not have, and for a value that it cannot take.
    """
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            raise InputError(f"unknown option {group}.{key}{nearest(key, names)}")
    out = {}
    for f in dataclasses.fields(cls):
        if f.name in values:
            out[f.name] = _coerce(f"{group}.{f.name}", values[f.name], hints[f.name])
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise InputError(f"{group}.{f.name} is not there")
        else:
            out[f.name] = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
    return out


def _coerce(where: str, value: Any, hint: Any) -> Any:
    """A TOML or JSON value as the field's type wants it; a whole number may stand for a float, and null for None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        others = [a for a in arguments if a is not type(None)]
        return None if value is None and len(others) < len(arguments) else _coerce(where, value, others[0])
    if origin is Literal:
        if isinstance(value, (str, int, float)) and value in arguments:
            return value
        close = nearest(str(value), map(str, arguments))
        raise InputError(f"{where} must be one of {', '.join(map(str, arguments))}, not {value!r}{close}")
    if origin in (tuple, list):
        if isinstance(value, (list, tuple)):
            return origin(_coerce(where, v, arguments[0]) for v in value)
        raise InputError(f"{where} must be a list, not {value!r}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and value in INFINITE:  # as JSON writes it
        return INFINITE[value]
    if type(value) is hint:
        return value
    raise InputError(f"{where} must be of type {getattr(hint, '__name__', hint)}, not {value!r}")


# Command line


def option_names(types_: dict[str, type]) -> list[str]:
    return [f"--{group}.{f.name}" for group, cls in types_.items() for f in dataclasses.fields(cls)]


def parse_options(types_: dict[str, type], defaults: dict[str, Any], options: list[str], program: str) -> dict[str, Any]:
    """Typed options over the defaults, parsed by tyro; its refusals become one sentence."""
    import tyro

    if not options:
        return defaults
    known = [*option_names(types_), "--help"]
    switches = {f"--{group}.{f.name}" for group, cls in types_.items() for f in dataclasses.fields(cls) if f.type in (bool, "bool")}
    options = [o.capitalize() if before in switches and o in ("true", "false") else o for before, o in zip(["", *options], options)]  # as in recipes
    for option in options:
        name = option.split("=", 1)[0]
        if name.startswith("--") and name not in known:
            raise InputError(unknown_option(name, types_, known))
    container = dataclasses.make_dataclass("Options", list(types_.items()), frozen=True, kw_only=True)
    container.__doc__ = f"Options of `{program}`; the defaults shown are those of the chosen preset."
    if "--help" in options:
        tyro.cli(container, args=["--help"], default=container(**defaults), prog=program, use_underscores=True, config=(tyro.conf.FlagConversionOff,))
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            parsed = tyro.cli(container, args=options, default=container(**defaults), prog=program, use_underscores=True, config=(tyro.conf.FlagConversionOff,))
    except SystemExit as stop:
        raise InputError(_one_sentence(told.getvalue())) from stop
    return {group: getattr(parsed, group) for group in types_}


def unknown_option(name: str, types_: dict[str, type], known: list[str]) -> str:
    """The sentence for an option that is not among those known."""
    group = name[2:].split(".", 1)[0]
    if group in ("data", "model", "train") and group not in types_:
        return f"option {name} does not apply: the chosen model has no such options"
    return f"unknown option {name}{nearest(name, known)}" if nearest(name, known).startswith("; did") else f"unknown option {name}; see --help"


def _one_sentence(box: str) -> str:
    """tyro's boxed message as one line: what stands between its title and its help."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [re.sub(r"^[│╭╰─╮╯\s]+|[│╭╰─╮╯\s]+$", "", line) for line in text.splitlines()]
    lines = [line for line in lines if line.strip("-")]
    told = itertools.takewhile(lambda line: not line.lower().startswith(("for full helptext", "argument helptext", "usage")), lines[1:])
    return " ".join(told).strip() or "the options cannot be read; see --help"


def print_option_help(types_: dict[str, type], defaults: dict[str, Any]) -> None:
    """The typed options with their help, by tyro."""
    import tyro

    container = dataclasses.make_dataclass("Options", list(types_.items()), frozen=True, kw_only=True)
    container.__doc__ = "The defaults shown are those of the chosen preset."
    told = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(told):
        tyro.cli(container, args=["--help"], default=container(**defaults), prog="", use_underscores=True, config=(tyro.conf.FlagConversionOff,))
    text = told.getvalue()
    print(text[text.index("╭") :] if "╭" in text else text)


def to_toml(job: Job, folder: Path = Path()) -> str:
    """A job as a recipe: every setting, resolved. folder: where the recipe will lie, which its plugins are named from."""
    import json

    def value(v: Any) -> str:
        if isinstance(v, (list, tuple)):
            return "[" + ", ".join(map(value, v)) + "]"
        return json.dumps(v) if isinstance(v, (str, bool)) else repr(v)

    lines = [f"world = {value(job.world)}", f"preset = {value(job.preset)}", f"seed = {job.seed}"]
    lines += [f"tuned = {value(str(job.tuned))}"] if job.tuned is not None else []
    plugins = [os.path.relpath(plugin.path, folder) for plugin in job.plugins]
    lines += [f"plugin = {value(plugins[0] if len(plugins) == 1 else plugins)}"] if plugins else []
    tables = dict(job.groups)
    for group, config in {"model": None, **tables}.items():
        lines += ["", f"[{group}]"]
        lines += [f"name = {value(job.model)}"] if group == "model" else []
        for f in dataclasses.fields(config) if config is not None else ():
            v = getattr(config, f.name)
            lines.append(f"{f.name} = {value(v)}" if v is not None else f"# {f.name} is decided by the world")
    return "\n".join(lines) + "\n"

"""Recipes: settings in a TOML file, read strictly, and written with every setting."""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Literal

from worldbench.core.content import quoted, require_bounded
from worldbench.core.errors import InputError, nearest
from worldbench.core.files import INFINITE, read_text
from worldbench.core.options import later_defaults, types_of
from worldbench.settings.job import Job, _shell
from worldbench.settings.renamed import hint

LIMIT = 1 << 20
"""Largest recipe in bytes: 1 MiB."""
LARGEST = 1 << 63
"""Whole numbers in settings are smaller than this, because records and random streams cannot hold larger ones."""
TABLES = ("env", "data", "model", "train", "eval")
KEYS: dict[str, tuple[type, ...]] = {
    "world": (str,),
    "preset": (str,),
    "seed": (int,),
    "plugin": (str, list),
    "tuned": (str,),
    **dict.fromkeys(TABLES, (dict,)),
}


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file of settings. Raises InputError for what is not TOML, is nested too deeply, or holds a
    number that is too large."""
    text = read_text(path, LIMIT)
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"the recipe {str(path)!r} is not TOML: its lists and tables are nested too deeply") from error
    except ValueError as error:
        what = str(error) if "digits" not in str(error) else "a number has too many digits"
        raise InputError(f"the recipe {str(path)!r} is not TOML: {what}") from error
    try:
        require_bounded(content, "recipe")
    except ValueError as error:
        raise InputError(f"the recipe {str(path)!r} cannot be used: {error}") from error
    return content


def load_recipe(path: Path) -> dict[str, Any]:
    """Read a TOML recipe, and check its keys and the types of its values.

    At the top: `world`, `preset`, `seed`, `plugin`, `tuned`. Tables: [model], with the model's `name`, and [env],
    [data], [train], [eval], whose values `resolve` checks. Raises InputError with the key and the value.
    """
    return checked(path, read_toml(path))


def checked(path: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """The content of a recipe, as `load_recipe` checks it. path: the file, for errors."""
    for key, value in recipe.items():
        if key not in KEYS:
            raise InputError(f"{path}: unknown key {key!r}{nearest(key, KEYS)}")
        strings = isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not isinstance(value, KEYS[key]) or isinstance(value, bool) or (isinstance(value, list) and not strings):
            plain = {"plugin": "a file or a list of files", "seed": "a whole number"}
            wanted = "a table" if key in TABLES else plain.get(key, "text")
            raise InputError(f"{path}: {key} must be {wanted}, not {quoted(value)}")
    name = recipe.get("model", {}).get("name", "")
    if not isinstance(name, str):
        raise InputError(f"{path}: model.name must be text, not {quoted(name)}")
    return recipe


def require_plugins(path: Path, recipe: dict[str, Any], named: list[Path]) -> None:
    """Raises InputError if a recipe needs a plugin that the command line does not name: code that only a file names is
    never run."""
    needed = recipe.get("plugin", [])
    for plugin in [needed] if isinstance(needed, str) else needed:
        if Path(plugin).name not in {file.name for file in named}:
            raise InputError(
                f"the recipe {str(path)!r} needs the plugin {Path(plugin).name}, "
                "and the code that a recipe names is not "
                f"run unasked; name the file if you trust it: --plugin {_shell(os.path.normpath(path.parent / plugin))}"
            )


def _overlay(group: str, base: Any, values: dict[str, Any]) -> Any:
    """`base` with the values of a recipe, after a check of each value against the type of its field."""
    hints = types_of(type(base))
    names = [f.name for f in dataclasses.fields(base)]
    checked = {}
    for key, value in values.items():
        if group == "model" and key == "name":
            continue
        if key not in names:
            raise InputError(f"unknown key {key!r} in [{group}]{hint(key, names, group)}")
        checked[key] = _coerce(f"{group}.{key}", value, hints[key])
    return dataclasses.replace(base, **checked)


def from_json(group: str, cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """The options of a group in a config.json, checked as those of a recipe. A missing option has its default,
    or, if it was added later, the value that means the earlier behavior.

    Raises InputError for an unknown option, for a value of the wrong type, and for a missing option without a default.
    """
    hints = types_of(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            raise InputError(f"unknown option {group}.{key}{hint(key, names, group)}")
    out, earlier = {}, later_defaults(cls)
    for f in dataclasses.fields(cls):
        if f.name in values:
            out[f.name] = _coerce(f"{group}.{f.name}", values[f.name], hints[f.name])
        elif f.name in earlier:
            out[f.name] = earlier[f.name]
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise InputError(f"the option {group}.{f.name} is missing")
        else:
            out[f.name] = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
    return out


def _coerce(where: str, value: Any, hint: Any) -> Any:
    """A TOML or JSON value, converted to the type of its field. A whole number is accepted for a float, null for
    None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        others = [a for a in arguments if a is not type(None)]
        return None if value is None and len(others) < len(arguments) else _coerce(where, value, others[0])
    if origin is Literal:
        if isinstance(value, (str, int, float)) and value in arguments:
            return value
        close = nearest(str(value)[:100], map(str, arguments))
        raise InputError(f"{where} must be one of {', '.join(map(str, arguments))}, not {quoted(value)}{close}")
    if origin in (tuple, list):
        if isinstance(value, (list, tuple)):
            return origin(_coerce(where, v, arguments[0]) for v in value)
        raise InputError(f"{where} must be a list, not {quoted(value)}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST:
        return float(value)
    if hint is float and isinstance(value, str) and value in INFINITE:  # "inf", as records write it
        return INFINITE[value]
    if type(value) is hint:
        return value
    raise InputError(f"{where} must be of type {getattr(hint, '__name__', hint)}, not {quoted(value)}")


def to_toml(job: Job, folder: Path = Path()) -> str:
    """A job as a recipe with every setting. folder: the folder of the recipe, from which plugin paths are relative."""
    import json

    def value(v: Any) -> str:
        if isinstance(v, (list, tuple)):
            return "[" + ", ".join(map(value, v)) + "]"
        return json.dumps(v).replace("\x7f", "\\u007f") if isinstance(v, (str, bool)) else repr(v)

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

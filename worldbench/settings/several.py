"""Options for several models at once: each model gets the options that it has."""

from __future__ import annotations

import dataclasses
from typing import Any

from worldbench.core.errors import InputError
from worldbench.settings.options import option_names, unknown_option
from worldbench.settings.renamed import hint


def option_parts(words: list[str]) -> list[list[str]]:
    """Typed words, cut where options begin: each part is an option with its values."""
    starts = [i for i, word in enumerate(words) if word.startswith("--")]
    return [words[i:j] for i, j in zip(starts, [*starts[1:], len(words)])]


def name_of(part: list[str]) -> str:
    """The name of the option of a part, such as `--train.steps`."""
    return part[0].split("=", 1)[0]


def applying(options: list[str], types_: list[dict[str, type]]) -> list[list[str]]:
    """The words of the options that each model has. Raises InputError for an option that no model has."""
    names = [option_names(t) for t in types_]
    known = [*dict.fromkeys(name for each in names for name in each)]
    parts = option_parts(options)
    for name in map(name_of, parts):
        if name not in known:
            raise InputError(unknown_option(name, {g: c for t in types_ for g, c in t.items()}, known))
    return [[word for part in parts if name_of(part) in each for word in part] for each in names]


def applying_keys(table: dict[str, Any], types_: list[type]) -> list[dict[str, Any]]:
    """The keys of a recipe's [model] that each model has. Raises InputError for a key that no model has."""
    names = [[f.name for f in dataclasses.fields(t)] for t in types_]
    known = {name for each in names for name in each}
    for key in table:
        if key != "name" and key not in known:
            raise InputError(f"unknown key {key!r} in [model]{hint(key, known, 'model')}")
    return [{key: value for key, value in table.items() if key in each} for each in names]

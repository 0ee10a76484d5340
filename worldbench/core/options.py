"""The metadata of option fields, and which options belong to the identity of a run."""

from __future__ import annotations

import dataclasses
import functools
import glob
import typing
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError

EXECUTION = {"execution": True}
"""The option does not change the result."""
LATER = {"later": True}
"""The option was added after results were published. Its default keeps the earlier behavior, and a default value is
left out of the identity of a run."""
FILE = {"file": True}
"""The option may name a file. The content of the file belongs to the identity of a run. The path does not."""
FILES = {"file": True, "pattern": True}
"""As FILE, for an option that may also name a folder, or several files by a pattern such as `data/*.txt`."""


def later(before: Any) -> dict[str, Any]:
    """Metadata of an option that was added after results were published, and whose default is not the earlier behavior.

    before: the value that means the earlier behavior. It is left out of the identity of a run, and it is the value of
    runs whose files lack the option.
    """
    return {"later": True, "before": before}


@functools.cache
def types_of(config: type) -> dict[str, Any]:
    """The types of the options of a config dataclass, by name. Do not change it: it is made once."""
    return typing.get_type_hints(config)


def small(value: Any) -> dict[str, Any]:
    """Metadata of an option that sets the size of an evaluation: its value where many models are scored (`worldbench
    check`)."""
    return {"small": value}


def small_values(config: type) -> dict[str, Any]:
    """The small sizes that a config dataclass declares, by option name."""
    return {f.name: f.metadata["small"] for f in dataclasses.fields(config) if "small" in f.metadata}


def require_at_least(config: Any, group: str, low: int, *names: str) -> None:
    """Raises InputError for the first of these options that is below `low`."""
    for name in names:
        if getattr(config, name) < low:
            raise InputError(f"{group}.{name} must be at least {low}, not {getattr(config, name)}")


def identity_fields(config: Any) -> dict[str, Any]:
    """The fields of a config dataclass that belong to the identity of a run. Left out: EXECUTION options, and options
    that were added later and mean the earlier behavior."""
    kept = (f.name for f in dataclasses.fields(config) if not f.metadata.get("execution"))
    earlier = later_defaults(type(config))
    return {
        name: getattr(config, name) for name in kept if name not in earlier or earlier[name] != getattr(config, name)
    }


def later_defaults(config: type) -> dict[str, Any]:
    """The options of a config dataclass that were added later, and the values that mean the earlier behavior."""
    return {f.name: f.metadata.get("before", f.default) for f in dataclasses.fields(config) if f.metadata.get("later")}


def file_options(config: Any) -> list[str]:
    """The fields of a config dataclass, or of an instance, that may name a file."""
    return [f.name for f in dataclasses.fields(config) if f.metadata.get("file")]


def named_files(config: Any) -> dict[str, Path]:
    """The existing files that fields of a config dataclass name, by field. A pattern that matches a file stands for its
    files."""
    values = {name: getattr(config, name) for name in file_options(config)}
    return {name: Path(value) for name, value in values.items() if value and names_file(config, name, value)}


def names_file(config: Any, name: str, value: str) -> bool:
    """True if `value` of the field `name` of a config dataclass names a file that exists. For FILES: also if it names a
    folder, or a pattern that a file matches."""
    (field,) = [f for f in dataclasses.fields(config) if f.name == name]
    if not field.metadata.get("pattern"):
        return is_file(value)
    try:
        return next(glob.iglob(value, recursive=True), None) is not None
    except (OSError, ValueError):
        return False


def is_file(name: str) -> bool:
    """True if a file of that name exists. False for text that no file name can be (such as a long mixture of
    processes)."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False

"""What the metadata of an option's field says of it, and which options make up a run's identity."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError

EXECUTION = {"execution": True}
"""It has no effect on the result."""
LATER = {"later": True}
"""It came after results had been published: its default does what was done before it, and is left out of a run's
identity."""
FILE = {"file": True}
"""It may name a file. What is in the file enters a run's identity, and where the file lies does not."""


def small(value: Any) -> dict[str, Any]:
    """The metadata of an option that sets the size of an evaluation: its value where many models are scored
    (`worldbench check`)."""
    return {"small": value}


def small_values(config: type) -> dict[str, Any]:
    """The small sizes that a config dataclass declares, by option."""
    return {f.name: f.metadata["small"] for f in dataclasses.fields(config) if "small" in f.metadata}


def require_at_least(config: Any, group: str, low: int, *names: str) -> None:
    """Raises InputError for the first of these options that is below `low`."""
    for name in names:
        if getattr(config, name) < low:
            raise InputError(f"{group}.{name} must be at least {low}, not {getattr(config, name)}")


def identity_fields(config: Any) -> dict[str, Any]:
    """The fields of a config dataclass that enter a run's identity: not those of execution, nor later additions at
    their default."""
    kept = (f for f in dataclasses.fields(config) if not f.metadata.get("execution"))
    return {
        f.name: getattr(config, f.name)
        for f in kept
        if not (f.metadata.get("later") and getattr(config, f.name) == f.default)
    }


def later_defaults(config: type) -> dict[str, Any]:
    """The later additions among a config dataclass's fields, and their defaults."""
    return {f.name: f.default for f in dataclasses.fields(config) if f.metadata.get("later")}


def file_options(config: Any) -> list[str]:
    """The fields of a config dataclass, or of one of its values, that may name a file."""
    return [f.name for f in dataclasses.fields(config) if f.metadata.get("file")]


def named_files(config: Any) -> dict[str, Path]:
    """The files that the fields of a config dataclass name, by field: those that are there."""
    values = {name: getattr(config, name) for name in file_options(config)}
    return {name: Path(value) for name, value in values.items() if value and is_file(value)}


def is_file(name: str) -> bool:
    """Is there a file of that name? What no file can be called (a long mixture of processes, say) names none."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False

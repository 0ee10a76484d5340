"""What the metadata of an option's field says of it, and which options make up a run's identity."""

from __future__ import annotations

import dataclasses
from typing import Any

EXECUTION = {"execution": True}
"""It has no effect on the result."""
LATER = {"later": True}
"""It came after results had been published: its default does what was done before it, and is left out of a run's identity."""


def identity_fields(config: Any) -> dict[str, Any]:
    """The fields of a config dataclass that enter a run's identity: not those of execution, nor later additions at their default."""
    kept = (f for f in dataclasses.fields(config) if not f.metadata.get("execution"))
    return {f.name: getattr(config, f.name) for f in kept if not (f.metadata.get("later") and getattr(config, f.name) == f.default)}


def later_defaults(config: type) -> dict[str, Any]:
    """The later additions among a config dataclass's fields, and their defaults."""
    return {f.name: f.default for f in dataclasses.fields(config) if f.metadata.get("later")}

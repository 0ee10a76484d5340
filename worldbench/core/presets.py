"""Presets: named sizes of a world's runs. They are declared beside the world and registered with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
"""Option -> value."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values of the options of a run, by group. Other options keep their defaults.

    line: what the preset is for.
    model: values for every model that has the option.
    sizes: a row of `worldbench.settings.presets` with values for the options of single objectives. "": their defaults.
    """

    line: str
    env: Values = field(default_factory=dict)
    data: Values = field(default_factory=dict)
    model: Values = field(default_factory=dict)
    train: Values = field(default_factory=dict)
    eval: Values = field(default_factory=dict)
    sizes: str = ""


NONE = {"default": Preset(line="every option at its own default")}
"""The presets of a world that declares none."""

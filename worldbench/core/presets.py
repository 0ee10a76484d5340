"""Presets: named sizes of a world's runs, declared beside the world and registered with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
"""Option -> value."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values of a run's options, by group; an option that is not named stays at its own default.

    line: what the preset is for. model: for every model that has the option. sizes: the row of
    `worldbench.settings.presets` that the objectives' own options are taken from; "" leaves them at their defaults.
    """

    line: str
    env: Values = field(default_factory=dict)
    data: Values = field(default_factory=dict)
    model: Values = field(default_factory=dict)
    train: Values = field(default_factory=dict)
    eval: Values = field(default_factory=dict)
    sizes: str = ""


NONE = {"default": Preset(line="every option at its own default")}
"""Of a world that declares no presets."""

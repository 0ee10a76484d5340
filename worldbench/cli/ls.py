"""`worldbench ls`: list the worlds, models, metrics, figures, presets, recipes, sweeps and speedruns."""

from __future__ import annotations

import argparse

from worldbench.cli.parser import Parser
from worldbench.core.text import visible

LINE = "list the worlds, models, metrics, figures, presets, recipes, sweeps and speedruns"


def add_arguments(parser: Parser) -> None:
    """The verb has no options."""


def run(arguments: argparse.Namespace) -> int:
    """Print each name with its one-line description."""
    from worldbench.core.registry import figures, metrics, models, worlds
    from worldbench.settings import shipped
    from worldbench.settings.presets import presets_of

    for title, lines in {
        "worlds": {e.name: e.line for e in worlds},
        "models": {e.name: e.line for e in models},
        "metrics": {e.name: e.line for e in metrics},
        "figures": {e.name: e.line for e in figures},
        "presets": {f"{e.name} {name}": preset.line for e in worlds for name, preset in presets_of(e.name).items()},
        "recipes": {name: shipped.line(name) for name in shipped.names()},
        "sweeps": {name: shipped.line(name, "sweep") for name in shipped.names("sweep")},
        "speedruns": {name: shipped.line(name, "speedrun") for name in shipped.names("speedrun")},
    }.items():
        print(title)
        wide = min(max(20, *map(len, lines)), 40)
        for name, line in lines.items():
            print(f"  {visible(name, 200):{wide}} {visible(line, 500)}")
    return 0

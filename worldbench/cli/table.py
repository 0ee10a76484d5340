"""The verbs of the command line, each with its module."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

from worldbench.cli.parser import Parser

VERBS = {
    "run": "worldbench.cli.run",
    "eval": "worldbench.cli.eval",
    "show": "worldbench.cli.show",
    "sweep": "worldbench.cli.sweep",
    "speedrun": "worldbench.cli.speedrun",
    "tune": "worldbench.cli.tune",
    "trace": "worldbench.cli.trace",
    "decode": "worldbench.cli.decode",
    "check": "worldbench.cli.check",
    "faults": "worldbench.cli.faults",
    "score": "worldbench.cli.score",
    "bench": "worldbench.cli.bench",
    "forecast": "worldbench.cli.forecast",
    "reconstruct": "worldbench.cli.reconstruct",
    "map": "worldbench.cli.map",
    "compare": "worldbench.cli.compare",
    "claims": "worldbench.cli.claims",
    "leaderboard": "worldbench.cli.leaderboard",
    "headroom": "worldbench.cli.headroom",
    "figures": "worldbench.cli.figures",
    "paper": "worldbench.cli.paper",
    "data": "worldbench.cli.data",
    "push": "worldbench.cli.push",
    "export": "worldbench.cli.export",
    "ls": "worldbench.cli.ls",
    "doctor": "worldbench.cli.doctor",
    "validate": "worldbench.cli.validate",
}
"""Verb -> its module, in the order of the help. A module is imported only when it is needed; `worldbench --help` needs
all of them."""


class Verb(Protocol):
    """What the module of a verb defines. `run` imports the heavy modules, and returns the exit code of the process."""

    LINE: str

    def add_arguments(self, parser: Parser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def load(name: str) -> Verb:
    """The module of a verb."""
    return cast("Verb", importlib.import_module(VERBS[name]))

"""Speedrun recipes: TOML files with a target score, and settings that reach it. docs/speedrun.md describes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.core.content import quoted
from worldbench.core.errors import InputError, nearest
from worldbench.core.statistics import finite_square
from worldbench.settings.recipe import checked, read_toml
from worldbench.settings.shipped import FOLDERS

RUNS = 10
"""Number of runs of a recipe that does not say how many."""
MOST_RUNS = 1000
TARGET = ("score", "value")
"""The keys of the table [target]."""


@dataclass(frozen=True)
class SpeedrunRecipe:
    """A speedrun. recipe: the settings, as `load_recipe` returns them; they score only the metric of the target.
    score: METRIC or METRIC.SCORE. value: what its mean must reach. runs: how many runs measure an entry."""

    path: Path
    recipe: dict[str, Any]
    score: str
    value: float
    runs: int

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def shipped(self) -> bool:
        """Whether the recipe comes with worldbench."""
        return self.path.parent == FOLDERS["speedrun"]

    @property
    def metric(self) -> str:
        return self.score.partition(".")[0]


def load_speedrun(path: Path) -> SpeedrunRecipe:
    """Read a speedrun recipe. Raises InputError with the key and the value."""
    content = read_toml(path)
    target, runs = content.pop("target", None), content.pop("runs", RUNS)
    if not isinstance(target, dict):
        raise InputError(
            f'{path}: a speedrun needs a table [target], such as score = "decisions.accuracy", value = .95'
        )
    for key in target:
        if key not in TARGET:
            raise InputError(f"{path}: unknown key {key!r} in [target]{nearest(key, TARGET)}")
    score, value = (target.get(key) for key in TARGET)
    if not isinstance(score, str) or not score:
        raise InputError(f"{path}: target.score must name a score, such as decisions.accuracy, not {quoted(score)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not finite_square(value):
        raise InputError(f"{path}: target.value must be a number, not {quoted(value)}")
    for key, why in {"seed": "seeds are 0, 1, 2 ..", "tuned": "a speedrun states no tuning budget"}.items():
        if key in content:
            raise InputError(f"{path}: a speedrun has no key {key!r}, because {why}; take it out")
    recipe = checked(path, content)
    if "world" not in recipe:
        raise InputError(f'{path}: which world? write world = "taxi", or another world that worldbench ls lists')
    if "metrics" in recipe.get("eval", {}):
        raise InputError(f"{path}: a speedrun scores only the metric of its target; take eval.metrics out")
    out = SpeedrunRecipe(path, recipe, score, float(value), require_runs(f"{path}: runs", runs))
    recipe["eval"] = {**recipe.get("eval", {}), "metrics": [out.metric]}
    return out


def require_runs(name: str, runs: Any) -> int:
    """A number of runs. Raises InputError for another value. name: of the setting."""
    if type(runs) is not int or not 2 <= runs <= MOST_RUNS:
        raise InputError(f"{name} must be a whole number from 2 to {MOST_RUNS}, not {quoted(runs)}")
    return runs

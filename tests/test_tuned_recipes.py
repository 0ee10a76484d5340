"""The tuned recipes that come with worldbench: each is the best trial of a record under results/, and the models of a
family had the same budget."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from worldbench.cli.main import main
from worldbench.core.budget import Budget
from worldbench.records.reading import read
from worldbench.records.tuning import Tuning
from worldbench.settings import shipped
from worldbench.settings.recipe import load_recipe
from worldbench.studies.tune.report import at_edge

RESULTS = Path(__file__).parents[1] / "results" / "tuning"
NAMES = [name for name in shipped.names() if name.startswith(shipped.TUNED)]
FREE = {("train", "checkpoints"), ("train", "device"), ("train", "products"), ("eval", "seed"), ("eval", "metrics")}
"""Settings in which a trial differs from a reported run, or that the machine decides."""


@cache
def records() -> dict[str, Tuning]:
    """By the digest that a budget states."""
    files = sorted(RESULTS.rglob("tuning.json"))
    return {hashlib.sha256(path.read_bytes()).hexdigest()[:16]: read(path, Tuning) for path in files}


def recipe_of(name: str) -> dict[str, Any]:
    return load_recipe(shipped.find(Path(name)))


def record_of(name: str) -> Tuning:
    return records()[Budget.parse(recipe_of(name)["tuned"]).record]


def family(name: str) -> str:
    return name.removesuffix(f"-{recipe_of(name)['model']['name']}")


def test_there_are_some() -> None:
    assert {recipe_of(name)["model"]["name"] for name in NAMES} >= {"gpt", "nextlat"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_best_trial_of_its_record(name: str) -> None:
    recipe, record = recipe_of(name), record_of(name)
    assert record.best is not None
    assert (recipe["world"], recipe["preset"], recipe["model"]["name"]) == (
        record.world["world"], record.preset, record.model.name,
    )  # fmt: skip
    budget = Budget.parse(recipe["tuned"])
    assert (budget.trials, budget.seeds, budget.halving, budget.further) == (
        record.budget.trials, record.budget.seeds, record.budget.halving, record.budget.further,
    )  # fmt: skip
    for group, values in record.config.items():
        for option, value in values.items():
            if (group, option) not in FREE and option in recipe.get(group, {}):
                want = record.best.settings.get(f"{group}.{option}", value)
                assert recipe[group][option] == (list(want) if isinstance(want, tuple) else want), (group, option)
    assert all(recipe[o.partition(".")[0]][o.partition(".")[2]] == v for o, v in record.best.settings.items())


@pytest.mark.parametrize("members", [list(g) for _, g in groupby(NAMES, family)], ids=lambda g: family(g[0]))
def test_the_models_of_a_family_were_tuned_alike(members: list[str]) -> None:
    found = [record_of(name) for name in members]
    first = found[0]
    assert len({record.model.name for record in found}) == len(members) > 1
    for record in found:
        assert (record.world, record.preset, record.budget, record.seeds) == (
            first.world, first.preset, first.budget, first.seeds,
        )  # fmt: skip
        assert record.criterion == first.criterion
        for option, bounds in record.space.items():
            if option in first.space:
                assert bounds == first.space[option]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_by_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", name, "--print-config"]) == 0
    assert f'tuned = "{recipe_of(name)["tuned"]}"' in capsys.readouterr().out
    assert main(["run", "--config", name, "--train.learning_rate", "0.7", "--print-config"]) == 2
    assert "take the line `tuned` out of the recipe" in capsys.readouterr().err
    assert main(["run", "--config", name, "--preset", recipe_of(name)["preset"], "--print-config"]) == 0
    capsys.readouterr()
    assert main(["run", "--config", name, "--preset", "standard", "--print-config"]) == 2
    assert "tuned with preset small, not standard; leave preset as it is, or" in capsys.readouterr().err
    assert main(["run", "--config", f"{name}x", "--print-config"]) == 2
    assert f"did you mean '{name}'" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_best_value_at_an_edge_is_told_in_the_first_line(name: str) -> None:
    """So that a reader of the recipe knows that a better value may lie outside the range."""
    told = [o.partition(".")[2] for o in at_edge(record_of(name))]
    assert all(option in shipped.line(name) for option in told)

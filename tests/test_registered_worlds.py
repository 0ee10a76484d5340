"""Every registered world: each option has an effect, each preset resolves, every metric answers or says why not."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_jobs import NEEDS_PACKAGE, another
from tiny_runs import SIZES, tiny_env

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core.abilities import HasLaw
from worldbench.core.eval_config import eval_config
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, worlds
from worldbench.core.world import World
from worldbench.envs.maze import text_format
from worldbench.runs.scoring import score
from worldbench.settings.presets import presets_of
from worldbench.settings.resolve import resolve

WORLDS = worlds.names()
COSTLY = ("maze", "maze-solve", "othello", "path-star", "taxi")
"""Worlds whose metrics take a second or more each; they are scored in slow tests."""
FIELDS = [(world, field) for world in WORLDS for field in dataclasses.fields(worlds[world].load_config())]


def made(name: str, config: Any) -> World:
    return worlds[name].load()(config)


def text(world: World) -> list[str]:
    """What 200 documents to train on and 200 held-out ones say."""
    rows = [row for split in ("train", "test") for row in world.sample(0, split, 0, 200).tokens]
    return [world.vocabulary.text(row) for row in rows]


def file_of_mazes(folder: Path) -> str:
    """Mazes that the small world trains on; once they are in its file, the world no longer does."""
    config = tiny_env("maze-solve")
    text_format.write(
        folder / "mazes.txt", made("maze-solve", config).sample(0, "train", 0, 40), config.rows, config.width
    )
    return str(folder / "mazes.txt")


def texts(folder: Path) -> str:
    """A folder of texts."""
    for k in range(3):
        (folder / f"{k}.txt").write_text(f"text number {k}, which is longer than a window of it " * 4)
    return str(folder / "*.txt")


FILES = {"maze-solve.file": file_of_mazes, "text.files": texts}
"""Options that name a file, and what writes one. (An option that need not be a file has a value in tiny_jobs.)"""


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=lambda value: getattr(value, "name", value))
def test_every_option_changes_the_identity_and_the_documents(
    name: str, field: dataclasses.Field, tmp_path: Path
) -> None:
    if (package := NEEDS_PACKAGE.get(f"{name}.{field.name}")) is not None:
        pytest.importorskip(package, reason=f"needs the package {package}")
    base = tiny_env(name)
    write = FILES.get(f"{name}.{field.name}")
    changes = {field.name: write(tmp_path)} if write else another(name, base, field)
    one, two = made(name, base), made(name, dataclasses.replace(base, **changes))
    execution = bool(field.metadata.get("execution"))
    assert (one.identity() == two.identity()) == execution
    assert (text(one) == text(two)) == execution


@pytest.mark.parametrize("name", WORLDS)
def test_every_preset_resolves_and_is_used(name: str) -> None:
    for preset in presets_of(name):
        for model in ("gpt", "nextlat"):
            job = resolve(name, model, preset=preset, seed=0, options=[])
            assert (job.world, job.preset) == (name, preset)


def answers_of(world: World, model: SequenceModel) -> None:
    result = score(world, model, eval_config(**SIZES), None)
    assert result.scores.keys() | result.not_applicable.keys() == set(metrics.names())
    assert not result.scores.keys() & result.not_applicable.keys()
    assert all(world.name in reason or model.name in reason for reason in result.not_applicable.values())
    assert all(np.isfinite(s.n) for answered in result.scores.values() for s in answered.scores.values())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in COSTLY else name for name in WORLDS]
)
def test_every_metric_answers_or_says_why_not(name: str) -> None:
    world = made(name, tiny_env(name))
    world.sample = functools.cache(world.sample)  # type: ignore[method-assign]  # both models read the same documents
    answers_of(world, make_untrained(world, GPTConfig(layers=1, heads=1, width=16)))
    if isinstance(world, HasLaw):
        answers_of(world, Oracle(world))


@pytest.mark.parametrize("name", [*WORLDS, "taxi shortest"])
def test_every_exception_names_a_statement(name: str) -> None:
    chosen = {metric: metrics[metric].load() for metric in metrics.names()}
    name, *kind = name.split()
    env = dataclasses.replace(tiny_env(name), rides=kind[0]) if kind else tiny_env(name)
    for key in made(name, env).exceptions:
        statement, subject = key.split(" ")
        metric, score = statement.split(".", 1)
        about = {d.score for d in chosen[metric].damage if d.effect(subject) != "any"}
        about |= {e.score for e in chosen[metric].expects.get(subject, ())}
        assert score in about or (subject, score) == ("references", chosen[metric].primary), key

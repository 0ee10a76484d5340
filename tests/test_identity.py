"""Every identity field has an effect on the result; no execution field has one. Over everything that is registered."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import typing
from pathlib import Path

import pytest
from tiny_jobs import BASE_ENV, BASE_TRAIN, BESIDE, LONG_PROMPTS, NEEDS_HARDWARE, another, job

from worldbench.baselines.trained import TrainedModel
from worldbench.core.eval_config import CommonOptions, eval_config
from worldbench.core.options import identity_fields, later_defaults
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.world import World
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.settings.job import Job
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training.trainer import Trainer


def trained(j: Job, folder: Path, other: World | None = None) -> tuple[str, str]:
    """(training identity, digest of the weights and the curve)."""
    world = other or TaxiWorld(j.groups["env"])
    prepared = identify(j, world)
    objective = build(prepared)
    folder.mkdir()
    Trainer(world, objective, j.groups["data"], j.groups["train"], j.seed, folder).train()
    digest = hashlib.sha256()
    for name, tensor in objective.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    curve = [line for line in (folder / "metrics.jsonl").read_text().splitlines() if '"eval"' in line]
    digest.update("\n".join(curve).encode())
    return prepared.training, digest.hexdigest()


def fields_of(group: str, config: object) -> list[tuple[str, dataclasses.Field]]:
    return [(group, f) for f in dataclasses.fields(config) if f"{group}.{f.name}" not in NEEDS_HARDWARE]  # type: ignore[arg-type]


TRAINED = [e.name for e in models if e.trained]
TRAINING_FIELDS = [
    pytest.param(model, group, field, id=f"{model}-{group}.{field.name}")
    for model in TRAINED
    for group, config in job(model).groups.items()
    if group != "eval" and (model == TRAINED[0] or group == "model")
    for group, field in fields_of(group, config)
]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    return {model: trained(job(model), tmp_path_factory.mktemp(model) / "run") for model in TRAINED}


@pytest.mark.parametrize(("model", "group", "field"), TRAINING_FIELDS)
def test_training_fields(
    model: str, group: str, field: dataclasses.Field, baseline: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    option = f"{group}.{field.name}"
    beside = BESIDE.get(option, {})
    value = another("taxi" if group == "env" else group, job(model).groups[group], field)
    changed = job(model, changes={group: beside | value})
    other = SolveWorld(SolveConfig(rows=3)) if option in LONG_PROMPTS else None
    base = job(model, changes={group: beside})
    before = trained(base, tmp_path / "base", other) if other or beside else baseline[model]
    identity, digest = trained(changed, tmp_path / "run", other)
    if field.metadata.get("execution"):
        assert (identity, digest) == before
    else:
        assert identity != before[0]
        assert digest != before[1]


@pytest.mark.parametrize("model", TRAINED)
def test_same_job_same_bits_and_the_seed_matters(
    model: str, baseline: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    assert trained(job(model), tmp_path / "again") == baseline[model]
    other = trained(job(model, seed=1), tmp_path / "other")
    assert other[0] != baseline[model][0]
    assert other[1] != baseline[model][1]


def test_every_option_of_every_registered_thing_is_a_field_with_help() -> None:
    """Options are frozen dataclasses whose every field has a type and a line of help under it."""
    import ast
    import inspect

    configs = [e.load_config() for e in [*worlds, *models] if e.config is not None] + [
        DataConfig,
        TrainConfig,
        CommonOptions,
        *(e.load_config() for e in metrics if e.config is not None),
    ]
    for config in configs:
        assert config.__dataclass_params__.frozen
        hints = typing.get_type_hints(config)
        documented = set()
        for cls in config.__mro__[:-1]:
            body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
            for statement, after in itertools.pairwise(body):
                if (
                    isinstance(statement, ast.AnnAssign)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    documented.add(statement.target.id)  # type: ignore[union-attr]
        assert {f.name for f in dataclasses.fields(config)} == documented & set(hints)
        assert identity_fields(config()) or later_defaults(config)


def test_evaluation_leaves_training_alone(tmp_path: Path) -> None:
    """Scoring in the middle of training changes no bit of what follows."""
    world = TaxiWorld(BASE_ENV)
    ends = []
    for scored in (False, True):
        prepared = identify(job("gpt"), world)
        objective = build(prepared)
        folder = tmp_path / str(scored)
        folder.mkdir()
        trainer = Trainer(world, objective, DataConfig(), BASE_TRAIN, 0, folder)
        for step in range(4):
            trainer.step(step)
            if scored:
                trainer.evaluate(step)
                Evaluation(world, TrainedModel(objective), eval_config(trials=30)).rides("sampled", 20)
        ends.append(b"".join(p.detach().numpy().tobytes() for p in objective.parameters()))
    assert ends[0] == ends[1]

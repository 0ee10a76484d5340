"""Every identity field has an effect on the result; no execution field has one. Over everything that is registered."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import typing
from pathlib import Path

import numpy as np
import pytest

from worldbench.baselines.from_states import Exact
from worldbench.baselines.references import Oracle
from worldbench.baselines.trained import TrainedModel
from worldbench.core.eval_config import CommonOptions, eval_config, eval_config_type
from worldbench.core.options import identity_fields
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.world import States, World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.config import MazeConfig
from worldbench.envs.maze.nav import MazeWorld
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation
from worldbench.runs.prepared import identify
from worldbench.runs.scoring import score
from worldbench.runs.weights import build
from worldbench.settings.job import Job
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training.trainer import Trainer

BASE_ENV = TaxiConfig(map="city:24", min_moves=2, max_moves=9)
BASE_TRAIN = TrainConfig(
    steps=4,
    batch=6,
    row_tokens=30,
    accumulate=1,
    warmup=1,
    checkpoints=2,
    curve_documents=20,
    learning_rate=3e-3,
    weight_decay=0.05,
    device="cpu",
)

OTHER = {
    "env.map": {"map": "city:30"},
    "env.region": {"region": "14@0,0"},
    "env.held_out": {"held_out": "states"},
    "env.held_out_share": {"held_out_share": 0.35},
    "data.documents": {"documents": 5},
    "model.heads": {"heads": 2},
    "model.width": {"width": 32},
    "model.head_width": {"head_width": 8},
    "model.mlp_width": {"mlp_width": 96},
    "model.pairs": {"pairs": 0.4},
    "train.optimizer": {"optimizer": "sgd"},
    "model.dynamics_factor": {"dynamics_factor": 20.0},
    "model.mask": {"mask": "landing"},
    "model.state": {"state": "residual"},
    "model.control": {"control": "shuffled"},
    "train.row_tokens": {"row_tokens": 40},
    "train.accumulate": {"accumulate": 3},
    "train.schedule": {"schedule": "constant"},
    "train.clip": {"clip": 0.05},
    "eval.metrics": {"metrics": ("next_token",)},
    "eval.detours": {"detours": (0.3,)},
    "eval.detour_kinds": {"detour_kinds": ("second",)},
    "eval.reconstruction_decoding": {"reconstruction_decoding": "greedy"},
    "eval.reconstruction_distance": {"reconstruction_distance": 150.0},
    "eval.reconstruction_degree": {"reconstruction_degree": 1},
}
"""Another valid value, where the rule of `another` below would not do."""
LONG_PROMPTS = ("model.mask_prompts",)
"""Tried in a world whose prompts are long enough to be landed on."""
NEEDS_HARDWARE = {
    "train.threads": "changes the last bits only, and not on every machine",
    "train.device": "needs a GPU",
}


def another(group: str, config: object, field: dataclasses.Field) -> dict[str, object]:
    if f"{group}.{field.name}" in OTHER:
        return OTHER[f"{group}.{field.name}"]
    value = getattr(config, field.name)
    if isinstance(value, bool):
        return {field.name: not value}
    if isinstance(value, int):
        return {field.name: value + 1}
    if isinstance(value, float):
        return {field.name: value * 1.5 + 0.1 if value else 0.5}
    raise AssertionError(f"say in OTHER what another value of {group}.{field.name} is")


def job(model: str, seed: int = 0, changes: dict[str, dict[str, object]] | None = None) -> Job:
    kind = models[model].load_config()
    config = kind(
        **{
            k: v
            for k, v in {"layers": 1, "heads": 1, "width": 16}.items()
            if k in {f.name for f in dataclasses.fields(kind)}
        }
    )
    groups = {"env": BASE_ENV, "data": DataConfig(), "model": config, "train": BASE_TRAIN, "eval": eval_config()}
    for group, values in (changes or {}).items():
        groups[group] = dataclasses.replace(groups[group], **values)
    return Job("taxi", model, "quick", seed, groups, {})


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
    changed = job(model, changes={group: another(group, job(model).groups[group], field)})
    other = SolveWorld(SolveConfig(rows=3)) if f"{group}.{field.name}" in LONG_PROMPTS else None
    before = trained(job(model), tmp_path / "base", other) if other else baseline[model]
    identity, digest = trained(changed, tmp_path / "run", other)
    if field.metadata.get("execution"):
        assert (identity, digest) == before
    else:
        assert identity != before[0]
        assert digest != before[1]


BASE_MAZE = MazeConfig(
    generator="depth-first-percolation", rows=4, columns=4, percolation=0.2, min_moves=2, max_moves=9
)
OTHER_MAZE: dict[str, dict[str, object]] = {
    "generator": {"generator": "wilson", "percolation": None},
    "held_out": {"held_out": "states"},
    "held_out_share": {"held_out_share": 0.35},
}


@pytest.mark.parametrize("field", dataclasses.fields(MazeConfig), ids=lambda f: f.name)
def test_maze_fields(field: dataclasses.Field) -> None:
    """Each option changes the world's identity, and what is drawn from it."""
    other = dataclasses.replace(BASE_MAZE, **OTHER_MAZE.get(field.name) or another("env", BASE_MAZE, field))
    one, two = MazeWorld(BASE_MAZE), MazeWorld(other)
    assert one.identity() != two.identity()
    assert [one.vocabulary.text(t) for t in one.sample(0, "train", 0, 200).tokens] != [
        two.vocabulary.text(t) for t in two.sample(0, "train", 0, 200).tokens
    ]


@pytest.mark.parametrize("model", TRAINED)
def test_same_job_same_bits_and_the_seed_matters(
    model: str, baseline: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    assert trained(job(model), tmp_path / "again") == baseline[model]
    other = trained(job(model, seed=1), tmp_path / "other")
    assert other[0] != baseline[model][0]
    assert other[1] != baseline[model][1]


class Clumsy(Exact):
    """The exact law, mixed with any direction at all: it drives legally most of the time, and invents streets."""

    name = "clumsy"

    def answer_law(self, states: States) -> np.ndarray:
        law = self.world.law(states)
        assert law is not None
        any_turn = np.full_like(law, 1 / (law.shape[1] - 1))
        any_turn[:, -1] = 0
        return 0.93 * law + 0.07 * any_turn


LEARNED = ("state_probe", "transition_consistency", "state_swap", "effective_rank")
"""Metrics that must also be asked of a network: what they fit is already known of the exact state."""
TOLD = ("solved_paths", "out_of_distribution")
"""Metrics of worlds whose prompts tell a rule of their own."""
BASE_EVAL = eval_config(
    trials=30,
    documents=30,
    detours=(0.5,),
    structure_trials=30,
    shift_trials=10,
    suffixes=4,
    recall_depth=2,
    pairs=20,
    suffix_tokens=3,
    suffix_limit=20,
    probe_documents=30,
    dynamics_documents=20,
    dynamics_steps=5,
    horizon=3,
    swap_pairs=20,
    swap_tokens=2,
    reconstruction_rides=60,
    reconstruction_decoding="sampled",
    reconstruction_orders=2,
    rank_tokens=50,
)


def scores(settings: CommonOptions) -> str:
    world = TaxiWorld(TaxiConfig(map="city:60", min_moves=3, max_moves=15))
    network = build(identify(job("nextlat"), world))
    learned = dataclasses.replace(settings, metrics=tuple(n for n in LEARNED if n in settings.metrics) or LEARNED)
    hidden, mazes = HMM(HMMConfig(length=6)), SolveWorld(SolveConfig(rows=3))
    beliefs = dataclasses.replace(settings, metrics=("belief_probe",))
    told = dataclasses.replace(settings, metrics=tuple(n for n in TOLD if n in settings.metrics) or TOLD)
    parts = [
        score(world, Clumsy(world), settings, None), score(world, TrainedModel(network), learned, None),
        score(hidden, Oracle(hidden), beliefs, None), score(mazes, Clumsy(mazes), told, None),
    ]  # fmt: skip
    return repr(parts)


@pytest.mark.parametrize("changes", [{"process": "mess3"}, {"process": "rrxor(p1=0.4)"}, {"length": 9}])
def test_fields_of_the_hidden_markov_world(changes: dict[str, object]) -> None:
    assert {f.name for f in dataclasses.fields(HMMConfig)} == {"process", "length"}
    base, other = HMM(HMMConfig()), HMM(dataclasses.replace(HMMConfig(), **changes))  # type: ignore[arg-type]
    assert base.identity() != other.identity()
    a, b = (w.sample(0, "train", 0, 200).tokens for w in (base, other))
    assert a.shape != b.shape or (a != b).any()


def test_evaluation_fields() -> None:
    base, bland = scores(BASE_EVAL), []
    assert scores(BASE_EVAL) == base
    for field in dataclasses.fields(eval_config_type()):
        changed = scores(dataclasses.replace(BASE_EVAL, **another("eval", BASE_EVAL, field)))
        if bool(field.metadata.get("execution")) != (changed == base):
            bland.append(field.name)
    assert not bland, f"without the effect they should have: {bland}"


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
        assert identity_fields(config())


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
                Evaluation(world, TrainedModel(objective), BASE_EVAL).rides("sampled", 20)
        ends.append(b"".join(p.detach().numpy().tobytes() for p in objective.parameters()))
    assert ends[0] == ends[1]

"""Each option of an evaluation changes what the metrics that declare it report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from some_cases import others_slow
from tiny_jobs import another
from tiny_runs import tiny_env, tiny_model

from worldbench.baselines.from_states import Exact
from worldbench.baselines.untrained import make_untrained
from worldbench.core.abilities import HasLaw
from worldbench.core.eval_config import CommonOptions, eval_config
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.world import States, World
from worldbench.runs.scoring import score


class Clumsy(Exact):
    """The exact law, mixed with any direction at all: it drives legally most of the time, and invents streets."""

    name = "clumsy"

    def answer_law(self, states: States) -> np.ndarray:
        law = self.world.law(states)
        assert law is not None
        any_turn = np.full_like(law, 1 / (law.shape[1] - 1))
        any_turn[:, -1] = 0
        return 0.93 * law + 0.07 * any_turn


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
    ahead=5,
    ahead_documents=20,
)


TAXI = {"map": "city:60", "min_moves": 3, "max_moves": 15}
"""A city in which rides are long enough for detours and histories."""


def models_of(world: World) -> Iterator[SequenceModel]:
    """Exact models that err, from the state alone and from the prefix, and a network: what some metrics fit is already
    known of the exact state."""
    if isinstance(world, HasLaw):
        yield Clumsy(world)
        corrupted = models["corrupted"]
        yield corrupted.load()(world, corrupted.load_config()(rewired=0, noise=1.0), 0)
    yield make_untrained(world, tiny_model("nextlat"))


@cache
def asked() -> list[tuple[World, SequenceModel]]:
    """Every registered world with its models."""
    configs = {name: tiny_env(name) for name in worlds.names()}
    configs["taxi"] = dataclasses.replace(configs["taxi"], **TAXI)
    made = [worlds[name].load()(config) for name, config in configs.items()]
    return [(world, model) for world in made for model in models_of(world)]


def answer(metric: str, place: int, settings: Any) -> str:
    """What the metric reports of a world and a model; "" where it does not apply."""
    world, model = asked()[place]
    if metrics[metric].load().not_applicable(world, model) is not None:
        return ""
    return repr(score(world, model, dataclasses.replace(settings, metrics=(metric,)), None))


@cache
def usual(metric: str, place: int) -> str:
    return answer(metric, place, BASE_EVAL)


def changes_something(metric: str, field: dataclasses.Field) -> bool:
    other = dataclasses.replace(BASE_EVAL, **another("eval", BASE_EVAL, field))
    return any(answer(metric, k, other) != usual(metric, k) for k in range(len(asked())))


COSTLY = ("ahead", "ahead_documents", "board_documents", "curve_gain")
"""Options whose second value takes a second to score."""

DECLARED = [
    (entry.name, field)
    for entry in metrics
    if entry.config is not None
    for field in dataclasses.fields(entry.load_config())
    if field.name not in {f.name for f in dataclasses.fields(CommonOptions)}
]


@pytest.mark.parametrize(
    ("metric", "field"),
    others_slow(DECLARED, *(case for case in DECLARED if case[1].name not in COSTLY)),
    ids=lambda value: getattr(value, "name", value),
)
def test_an_option_changes_what_its_metric_reports(metric: str, field: dataclasses.Field) -> None:
    assert changes_something(metric, field) != bool(field.metadata.get("execution"))


COMMON = {"trials": "valid_trajectories", "documents": "next_token", "seed": "valid_trajectories"}
"""Options of every evaluation, and a metric that uses each."""


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(CommonOptions) if f.name != "metrics"])
def test_a_common_option_changes_what_metrics_report(name: str) -> None:
    (field,) = (f for f in dataclasses.fields(CommonOptions) if f.name == name)
    assert changes_something(COMMON.get(name, "valid_trajectories"), field) != bool(field.metadata.get("execution"))


def test_the_metrics_that_are_named_are_scored() -> None:
    world, model = asked()[0]
    settings = dataclasses.replace(BASE_EVAL, metrics=("next_token", "excess_loss"))
    assert set(score(world, model, settings, None).scores) == {"next_token", "excess_loss"}


@pytest.mark.parametrize("metric", metrics.names())
def test_every_metric_applies_somewhere_and_reports_the_same_twice(metric: str) -> None:
    place, first = next((k, text) for k in range(len(asked())) if (text := usual(metric, k)))
    assert answer(metric, place, BASE_EVAL) == first

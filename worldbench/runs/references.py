"""The references of a job: the models that its metrics name as floor and ceiling. Each reference has its own run, in
a folder beside the folder of the job, with the same evaluation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from worldbench.core.metric import Metric
from worldbench.core.registry import metrics, models
from worldbench.core.world import World
from worldbench.records.bounds import BOTH
from worldbench.records.scores import Which
from worldbench.runs.prepared import Prepared, identify
from worldbench.settings.resolve import group_types, preset_groups


@dataclass(frozen=True)
class References:
    """The references of a job.

    by_metric: by_metric[metric][floor or ceiling] is the name of the reference.
    runs: the run of each reference, by its name.
    impossible: for each reference that cannot be built in the world, the reason.
    """

    by_metric: dict[str, dict[Which, str]]
    runs: dict[str, Prepared]
    impossible: dict[str, str]


def references(prepared: Prepared) -> References:
    """The references of the chosen metrics that apply in the loaded world. A job that is itself a reference without
    a seed has no references."""
    job, world = prepared.job, prepared.world
    if job.model in models.names() and not job.seeded:
        return References({}, {}, {})
    named: dict[str, dict[Which, str]] = {}
    for name in job.groups["eval"].metrics or metrics.names():
        metric: Metric = metrics[name].load()
        if metric.not_in(world) is None:
            named[name] = {which: model for which in BOTH if (model := getattr(metric, which)) is not None}
    reasons = {model: _impossible(model, world) for both in named.values() for model in both.values()}
    impossible = {model: reason for model, reason in sorted(reasons.items()) if reason is not None}
    runs = {model: _run(prepared, model) for model in sorted(reasons) if model not in impossible}
    by_metric: dict[str, dict[Which, str]] = {
        name: {which: model for which, model in both.items() if model in runs} for name, both in named.items()
    }
    return References(by_metric, runs, impossible)


def _impossible(model: str, world: World) -> str | None:
    """Why a reference cannot be built in a world. None if it can."""
    entry = models[model]
    if not entry.reference:
        return "a reference is a model that needs no training"
    return getattr(entry.load(), "impossible", lambda _: None)(world)


def _run(prepared: Prepared, model: str) -> Prepared:
    """The run of a reference: with the world, evaluation and seed of the job, and with the options of the preset."""
    job = prepared.job
    groups = {k: v for k, v in job.groups.items() if k in ("env", "eval")}
    if models[model].config is not None:
        groups["model"] = preset_groups(group_types(job.world, model), job.world, model, job.preset)["model"]
    given = {k: v for k, v in job.given.items() if k.split(".")[0] in ("env", "eval")}
    plugins = tuple(plugin for plugin in job.plugins if plugin.serves(job.world, model))
    job = dataclasses.replace(job, model=model, groups=groups, given=given, tuned=None, plugins=plugins)
    return identify(job, prepared.world)

"""Small trainings in a real world, for the checks of a device."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldbench.core.registry import worlds
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.settings.job import Job
from worldbench.settings.resolve import group_types, preset_groups
from worldbench.training.trainer import Trainer

WORLD = {"map": "city:24", "region": "all", "min_moves": 2, "max_moves": 9}
"""Rides in a generated city of 24 intersections, which needs no map and no network."""
TRAIN = {"batch": 8, "row_tokens": 32, "warmup": 1, "checkpoints": 2, "curve_documents": 16}
SHAPE = {"layers": 2, "heads": 2, "width": 32}


def job(model: str, device: str, steps: int, **train: Any) -> Job:
    """The job of a tiny network of a model. train: further options of training."""
    groups = preset_groups(group_types("taxi", model), "taxi", model, "small")
    known = {f.name for f in dataclasses.fields(groups["model"])}
    groups["env"] = dataclasses.replace(groups["env"], **WORLD)
    groups["model"] = dataclasses.replace(groups["model"], **{k: v for k, v in SHAPE.items() if k in known})
    groups["train"] = dataclasses.replace(groups["train"], **TRAIN, device=device, steps=steps, **train)
    return Job("taxi", model, "small", 0, groups, {})


def trainer(job: Job, folder: Path, report: Any = None) -> Trainer:
    """A trainer of a job, at its first step. folder: the run folder."""
    groups = job.groups
    world = worlds[job.world].load()(groups["env"])
    objective = build(identify(job, world))
    return Trainer(world, objective, groups["data"], groups["train"], job.seed, folder, report=report)

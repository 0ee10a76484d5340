"""What a training costs, without building its network.

The operations of a step are counted on tensors that have shapes and no numbers, for a network of one and of two layers;
more layers lie on the line through both. The speed of this machine comes from a small network, or from trainings whose
first steps were timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.objective import Objective
from worldbench.core.registry import models
from worldbench.core.streams import generator
from worldbench.core.world import Documents, World
from worldbench.runs.prepared import Prepared, make_objective
from worldbench.settings.job import Job
from worldbench.settings.train import TrainConfig
from worldbench.studies.bench.operations import CountedOperators
from worldbench.training.arithmetic import set_up
from worldbench.training.curve import log_spaced
from worldbench.training.precision import computing
from worldbench.training.stream import BLOCK, mean_inputs

ROWS = 2
"""Rows of which the operations are counted; a row costs about the same as any other."""
FEW, MORE = 1, 2
"""Numbers of layers of the networks whose operations are counted."""


@dataclass(frozen=True)
class Cost:
    """step: operations of one training step, without those of the optimizer. steps: number of steps. curve: operations
    of the learning curve. first: seconds until the documents of the first step are drawn."""

    step: float
    steps: int
    curve: float
    first: float

    @property
    def total(self) -> float:
        return self.step * self.steps + self.curve


def cost(prepared: Prepared) -> Cost:
    """The operations of a training, forward and backward."""
    job, world = prepared.job, prepared.world
    data, train = job.groups["data"], job.groups["train"]
    per_row = math.ceil(train.row_tokens / mean_inputs(world, data, job.seed)) + 1 if train.row_tokens else 1
    started = time.perf_counter()
    documents = world.sample(job.seed, "train", 0, ROWS * per_row)
    drawn = (time.perf_counter() - started) / len(documents)
    rows = pack(documents, ROWS, train.row_tokens or world.input_length)
    held_out = pack(documents.take(np.arange(ROWS)), ROWS, world.input_length)
    step = _at_all_layers(job, lambda layers: _step(job, world, layers, rows))
    point = _at_all_layers(job, lambda layers: _forward(job, world, layers, held_out))
    points = len(log_spaced(train.steps, train.checkpoints)) * (1 + (train.scored_step == "least_loss"))
    return Cost(
        step=step * train.batch / ROWS,
        steps=train.steps,
        curve=point * train.curve_documents / ROWS * points,
        first=drawn * (data.documents or max(BLOCK, train.batch * per_row)),
    )


def _at_all_layers(job: Job, count: Callable[[int | None], int]) -> float:
    layers = getattr(job.groups["model"], "layers", None)
    if not isinstance(layers, int) or layers <= MORE:
        return count(None)
    few, more = count(FEW), count(MORE)
    return few + (more - few) * (layers - FEW) / (MORE - FEW)


def _without_numbers(job: Job, world: World, layers: int | None) -> Objective:
    """The objective of a job on tensors without numbers. layers: how many instead of its own; None: its own."""
    with torch.device("meta"):
        return make_objective(job if layers is None else job.replace("model", layers=layers), world)


def _step(job: Job, world: World, layers: int | None, rows: Batch) -> int:
    objective = _without_numbers(job, world, layers)
    totals = objective.prepare(rows)
    with CountedOperators() as counted:
        objective.backward(rows.to("meta"), totals)
    return counted.total


def _forward(job: Job, world: World, layers: int | None, rows: Batch) -> int:
    objective, tokens = _without_numbers(job, world, layers), rows.tokens.to("meta")
    with torch.no_grad(), CountedOperators() as counted:
        objective.head(objective.encode(tokens), tokens)
    return counted.total


@dataclass
class Speeds:
    """How fast this machine trains: trainings that were timed. Each is (operations of a step, operations per second).
    A step of few operations spends more of its time on other things than these, so the speed of a training is that of
    the timed one whose step has the nearest number of operations. known: by what a speed depends on besides."""

    known: dict[Any, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, train: TrainConfig, step: float, seconds: float) -> None:
        """A step of `step` operations took `seconds`."""
        self.known.setdefault(_hardware(train), []).append((step, step / seconds))

    def seconds(self, train: TrainConfig, cost: Cost, timed_for: float) -> float:
        """How long a training of this cost may take. The first call times a small network for `timed_for` seconds."""
        if _hardware(train) not in self.known:
            self.add(train, *_small_network(train, timed_for))
        speeds = self.known[_hardware(train)]
        return cost.total / min(speeds, key=lambda speed: abs(math.log(speed[0] / cost.step)))[1]


def _hardware(train: TrainConfig) -> tuple[Any, ...]:
    return train.device, train.threads, train.precision


def _small_network(train: TrainConfig, seconds: float) -> tuple[float, float]:
    """The operations of one step of a small GPT, and its time in seconds: the median of those timed."""
    set_up(train.threads)
    entry = models["gpt"]
    config = entry.load_config()(layers=2, heads=4, width=256)
    objective: Objective = entry.load()(config, 64, 128, 0, 0).to(train.device)
    count = 8 if train.device == "cpu" else 256
    tokens = generator("tokens of a small network", 0).integers(1, 64, (count, 129)).astype(np.int32)
    rows = pack(Documents(tokens, np.full(count, 129), np.ones(count, np.int64)), count, 128)
    totals, there = objective.prepare(rows), rows.to(train.device)

    def step() -> None:
        with computing(train.precision, train.device):
            objective.backward(there, totals)
        if train.device == "cuda":
            torch.cuda.synchronize()

    with CountedOperators() as counted:
        step()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return float(counted.total), float(np.median(times))

"""The times that `bench` takes: of a piece of work, of the steps of a model, of a bare matrix product."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from worldbench.baselines.objective import Objective
from worldbench.records import bench as records
from worldbench.studies.bench.operations import Operations
from worldbench.studies.bench.ways import Way
from worldbench.training.compiled import Compiled


@dataclass
class Times:
    """Seconds of each round: wall-clock time, and processor time of this process (all its threads)."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def take(self, work: Callable[[], Any], device: str, keep: bool) -> None:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter(), time.process_time()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if keep:
            self.wall.append(time.perf_counter() - start[0])
            self.processor.append(time.process_time() - start[1])

    def record(self) -> records.Seconds:
        return records.Seconds(wall=self.wall, processor=self.processor)


@dataclass
class StepTimes:
    """The times of a step: loss and gradient, and the update of the weights."""

    forward_backward: Times = field(default_factory=Times)
    update: Times = field(default_factory=Times)

    def parts(self) -> records.Parts:
        return records.Parts(forward_backward=self.forward_backward.record(), optimizer=self.update.record())


@dataclass
class Entrant:
    """A model, its optimizer, and its times in each way of computing a step. The first way is that of the table."""

    label: str
    objective: Objective
    optimizer: torch.optim.Optimizer
    times: dict[Way, StepTimes]
    compiled: dict[Way, Compiled]
    operations: Operations | None = None

    def seconds(self, clock: str, way: Way | None = None) -> np.ndarray:
        """Seconds of a step in each round. way: None is the first."""
        times = self.times[way or self.ways[0]]
        return np.add(getattr(times.forward_backward, clock), getattr(times.update, clock))

    @property
    def ways(self) -> list[Way]:
        return list(self.times)


@dataclass(frozen=True)
class Product:
    """A matrix product [n, k] x [k, m] of a linear layer: its output, or a gradient."""

    name: str
    size: tuple[int, int, int]
    work: Callable[[], Any]
    times: Times = field(default_factory=Times)

    def rate(self, clock: str) -> float:
        """Operations per second."""
        return 2 * math.prod(self.size) / float(np.median(getattr(self.times, clock)))

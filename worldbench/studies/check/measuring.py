"""One measurement: the scores of chosen metrics for one model, kept in a file until the study is done."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec

from worldbench.core.eval_config import CommonOptions
from worldbench.core.files import identity_hash
from worldbench.core.metric import Metric
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, models
from worldbench.core.world import World
from worldbench.metrics.evaluation import Evaluation
from worldbench.records.check import Measurement
from worldbench.records.reading import read, write
from worldbench.runs.display import Display
from worldbench.runs.pool import Cell, Pool
from worldbench.studies.check.damage import damaged
from worldbench.training.environment import environment


class Measurable(Protocol):
    """What a cell measures: a dataclass that is equal to another one if both make the same model. name: unique in a
    study, for people."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def name(self) -> str: ...

    def model(self, world: World) -> SequenceModel: ...


@dataclass(frozen=True)
class Subject:
    """The model that one cell measures: a reference with its options, or a damaged oracle (kind of damage, size,
    number of the corruption)."""

    kind: str
    size: float | None = None
    corruption: int = 0
    options: Any = None

    @property
    def name(self) -> str:
        return self.kind if self.size is None else f"{self.kind} {self.size:g}, corruption {self.corruption}"

    def model(self, world: World) -> SequenceModel:
        if self.size is not None:
            return damaged(world, self.kind, self.size, self.corruption)
        entry = models[self.kind]
        return entry.load()(world, self.options, 0) if entry.seeded else entry.load()(world)


def measured(
    world: World, subject: Measurable, settings: CommonOptions, chosen: tuple[str, ...], kept: Path | None
) -> Measurement:
    """The scores of the chosen metrics for one subject. kept: the folder in which measurements are stored and found,
    or None."""
    asked = [
        world.identity(), dataclasses.asdict(subject), dataclasses.asdict(settings), msgspec.to_builtins(environment()),
        [[name, metrics[name].load().version, metrics[name].plugin] for name in chosen],
    ]  # fmt: skip
    question = identity_hash(asked)
    path = None if kept is None else kept / f"measured-{question}.json"
    if path is not None and path.exists():
        return read(path, Measurement)
    model, reasons, scores = subject.model(world), {}, {}
    evaluation = Evaluation(world, model, settings)
    for name in chosen:
        metric: Metric = metrics[name].load()
        if (reason := metric.not_applicable(world, model)) is not None:
            reasons[metric.name] = reason
        else:
            values = {key: float(score.value) for key, score in metric.measure(evaluation).scores.items()}
            scores[metric.name] = {key: None if math.isnan(value) else value for key, value in values.items()}
    out = Measurement(question=question, subject=subject.name, scores=scores, not_applicable=reasons)
    if path is not None:
        write(path, out)
    return out


def numbers(measurement: Measurement) -> dict[str, dict[str, float]]:
    """{metric: {score: value}}. NaN for a score without a value."""
    return {
        name: {key: math.nan if value is None else float(value) for key, value in scores.items()}
        for name, scores in measurement.scores.items()
    }


def measure_all(
    pool: Pool,
    world: World,
    asked: Sequence[tuple[Measurable, tuple[str, ...]]],
    settings: CommonOptions,
    kept: Path | None,
    display: Display,
) -> list[Measurement]:
    """One measurement for each subject and its metrics, in the given order."""
    cells = [Cell(subject.name, measured, (world, subject, settings, names, kept)) for subject, names in asked]
    found: dict[str, Measurement] = {}
    with display.task("measuring", lines=False) as announce:
        for cell, measurement in pool.finished(cells):
            found[cell.name] = measurement
            announce(f"{cell.name} ({len(found)} of {len(cells)})")
    return [found[cell.name] for cell in cells]

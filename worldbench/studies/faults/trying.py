"""`worldbench faults WORLD`: the primary score of every metric for each wrong model and for the exact one.

All models are scored under the same evaluation seeds, so that they can be compared in pairs. One measurement is one
model under one seed. What a stopped study has measured is kept in its folder until the study is done.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import msgspec

from worldbench.core.errors import InputError
from worldbench.core.eval_config import CommonOptions
from worldbench.core.files import identity_hash, lock, make_folder, remove
from worldbench.core.metric import Metric
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, models
from worldbench.core.world import World
from worldbench.records.check import Measurement
from worldbench.records.faults import EXACT, Faults, TriedMetric
from worldbench.records.reading import write
from worldbench.runs.display import Display
from worldbench.runs.named_metrics import require_fit
from worldbench.runs.pool import Pool
from worldbench.runs.processes import pool_of
from worldbench.studies.check.measuring import measure_all
from worldbench.studies.faults.models import FAULTS, left_out


@dataclass(frozen=True)
class FaultSettings:
    """settings: the options of the evaluation. seeds: number of evaluations of each model, from the seed of the options
    on."""

    settings: CommonOptions
    seeds: int = 5

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise InputError(f"--seeds must be at least 2, not {self.seeds}: an interval needs two")


@dataclass(frozen=True)
class Tried:
    """A wrong model, or the exact one, by name."""

    fault: str

    @property
    def name(self) -> str:
        return self.fault

    def model(self, world: World) -> SequenceModel:
        if self.fault == EXACT:
            return models[EXACT].load()(world)
        return next(fault for fault in FAULTS if fault.name == self.fault).make(world)


def faults_in(
    out: Path, world: World, settings: FaultSettings, display: Display, workers: int = 1
) -> tuple[Faults, Path]:
    """Tries every wrong model of the world, and writes `faults.json` to `<out>/faults-<world>-<identity>/`. Returns the
    record and the folder. A stopped study continues."""
    require_fit(world, settings.settings.metrics)
    chosen = {name: metrics[name].load() for name in settings.settings.metrics or metrics.names()}
    about = {m.name: TriedMetric(version=m.version, primary=m.primary, direction=m.direction) for m in chosen.values()}
    content = [
        world.identity(), dataclasses.asdict(settings.settings), settings.seeds, msgspec.to_builtins(about),
        [fault.name for fault in FAULTS],
    ]  # fmt: skip
    folder = make_folder(make_folder(out) / f"faults-{world.name}-{identity_hash(content)[:10]}")
    with lock(folder):
        record = tried(world, settings, chosen, about, display, pool_of(workers), folder)
        write(folder / "faults.json", record)
        for path in folder.glob("measured-*.json"):
            remove(path)
    return record, folder


def tried(
    world: World,
    settings: FaultSettings,
    chosen: dict[str, Metric],
    about: dict[str, TriedMetric],
    display: Display,
    pool: Pool,
    kept: Path | None = None,
) -> Faults:
    """The record of all wrong models. kept: the folder in which measurements are stored, or None."""
    if (reason := models[EXACT].load().impossible(world)) is not None:
        raise InputError(f"no wrong models can be made: {reason}")
    without = left_out(world)
    for name, reason in without.items():
        display.say(f"no {name}: {reason}")
    names = [EXACT, *(fault.name for fault in FAULTS if fault.name not in without)]
    first = settings.settings.seed
    seeds = list(range(first, first + settings.seeds))
    found: dict[str, list[Measurement]] = {name: [] for name in names}
    for seed in seeds:
        display.say(f"seed {seed}: {len(names)} models")
        asked = [(Tried(name), tuple(chosen)) for name in names]
        these = dataclasses.replace(settings.settings, seed=seed)
        for name, measurement in zip(names, measure_all(pool, world, asked, these, kept, display)):
            found[name].append(measurement)
    scores: dict[str, dict[str, list[float | None]]] = {name: {} for name in names}
    not_applicable: dict[str, dict[str, str]] = {}
    for name, measurements in found.items():
        for metric, described in about.items():
            if (reason := measurements[0].not_applicable.get(metric)) is not None:
                not_applicable.setdefault(metric, {})[name] = reason
            else:
                scores[name][metric] = [m.scores[metric].get(described.primary) for m in measurements]
    return Faults(
        world=world.identity(),
        settings=dataclasses.asdict(settings.settings),
        seeds=seeds,
        metrics=about,
        faults={fault.name: fault.line for fault in FAULTS if fault.name not in without},
        left_out=without,
        scores=scores,
        not_applicable=not_applicable,
    )

"""`worldbench check WORLD`: every metric against every reference and against ladders of damage, each statement of a
metric compared with measurements.

A ladder takes one kind of damage through growing sizes; each size is measured on several corruptions, which share the
evaluation's prompts and draws (common random numbers) and of which the larger contains the smaller. Results depend on
the settings alone, not on how many workers did the work.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from worldbench.core import tables
from worldbench.core.abilities import Able, HasDamage
from worldbench.core.errors import InputError, RunError
from worldbench.core.eval_config import CommonOptions
from worldbench.core.files import identity_hash, make_folder, write_atomic
from worldbench.core.metric import Damage, Metric
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, models
from worldbench.core.text import counted
from worldbench.core.world import World
from worldbench.metrics.evaluation import Evaluation, truth
from worldbench.records import check as records
from worldbench.records.check import Check, CheckedMetric, Verdict
from worldbench.runs.display import Display
from worldbench.studies.check.calibration import Rung, judge

SHARES = (1 / 75, 2 / 75, 4 / 75, 8 / 75, 15 / 75)
"""Edges damaged, as shares of the map's (1, 2, 4, 8, 15 of the 75 edges of a small map)."""
NOISE = (0.1, 0.2, 0.3, 0.5, 1.0)
BLUR = (0.1, 0.3, 1.0, 3.0, 10.0)
DRIFT = (0.01, 0.03, 0.1, 0.3, 1.0)
MAP_KINDS = ("deleted", "added", "rewired")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured: the evaluation, how many corruptions a rung has, and how many rungs a ladder has (the largest
    ones first to stay)."""

    settings: CommonOptions
    corruptions: int = 10
    rungs: int = 5

    def __post_init__(self) -> None:
        if self.corruptions < 2:
            raise InputError(f"--corruptions must be at least 2, not {self.corruptions}: an interval needs two")
        if not 1 <= self.rungs <= len(SHARES):
            raise InputError(f"--rungs must be 1 .. {len(SHARES)}, not {self.rungs}")

    def sizes(self, kind: str, world: World) -> list[float]:
        """The sizes of a kind of damage, ascending, without the undamaged end; for maps at least one edge more a
        rung."""
        chosen = (
            [round(i * (len(SHARES) - 1) / max(self.rungs - 1, 1)) for i in range(self.rungs)]
            if self.rungs > 1
            else [len(SHARES) - 1]
        )
        if kind == "noise":
            return [NOISE[i] for i in chosen]
        if kind in ("blur", "drift"):
            return [(BLUR if kind == "blur" else DRIFT)[i] for i in chosen]
        damageable = world.damageable() if isinstance(world, HasDamage) else 0
        out: list[float] = []
        for i in chosen:
            out.append(max(round(SHARES[i] * damageable), (int(out[-1]) if out else 0) + 1))
        return out


def kinds(world: World) -> list[str]:
    """The damage that can be done in a world. Noise on logits does nothing to a law that leaves no choice."""
    of_map = MAP_KINDS if isinstance(world, HasDamage) else ()
    return [*of_map, *(("noise",) if leaves_choice(world) else ()), "blur", "drift"]


def leaves_choice(world: Able) -> bool:
    """Does the exact law anywhere give more than one token a chance? (Judged on 200 documents.)"""
    known = truth(world, world.sample(0, "test", 0, 200))
    return known.law is None or bool((known.law[known.scored].max(axis=1) < 1).any())


def damaged(world: World, kind: str, size: float, corruption: int) -> SequenceModel:
    from worldbench.baselines.corrupted import Blurred, Corrupted, CorruptedConfig

    if kind in ("blur", "drift"):
        return Blurred(world, size, corruption, made=kind == "drift")
    options: dict[str, Any] = {"rewired": 0, kind: size if kind == "noise" else int(size)}
    return Corrupted(world, CorruptedConfig(**options), corruption)


def measure(
    world: World, model: SequenceModel, settings: CommonOptions, chosen: list[Metric]
) -> dict[str, dict[str, float]]:
    """{metric: {score: value}} of the metrics that apply."""
    evaluation, out = Evaluation(world, model, settings), {}
    for metric in chosen:
        if metric.not_applicable(world, model) is None:
            out[metric.name] = {k: s.value for k, s in metric.measure(evaluation).scores.items()}
    return out


def _claimed(chosen: list[Metric], kind: str) -> list[Metric]:
    """The metrics that say something about that kind of damage."""
    return [m for m in chosen if any(getattr(d, kind) != "any" for d in m.damage)]


def _claims(metric: Metric) -> list[str]:
    """The kinds of damage that its primary score claims something about."""
    kinds_ = [f.name for f in dataclasses.fields(Damage) if f.name in (*MAP_KINDS, "noise", "blur", "drift")]
    return [k for k in kinds_ if any(d.score == metric.primary and getattr(d, k) != "any" for d in metric.damage)]


_shared: tuple[World, Plan, list[Metric]] | None = None
"""What worker processes inherit."""


def _one(task: tuple[str, float, int]) -> dict[str, dict[str, float]]:
    assert _shared is not None
    world, plan, chosen = _shared
    kind, size, corruption = task
    return measure(world, damaged(world, kind, size, corruption), plan.settings, _claimed(chosen, kind))


def _map(function: Callable[[Any], Any], tasks: list[Any], workers: int) -> Iterator[Any]:
    if workers <= 1:
        yield from map(function, tasks)
        return
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(function, tasks)


def check(world: World, plan: Plan, display: Display, groups: Callable[[str], Any], workers: int = 1) -> Check:
    """The whole calibration of a world. groups: the options of a reference model that has any, by its name."""
    names = plan.settings.metrics or metrics.names()
    chosen = [metrics[n].load() for n in names]
    by_reference: dict[str, dict[str, dict[str, float]]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for entry in models:
        if entry.trained or entry.name == "corrupted":  # the ladders below are the corrupted ones
            continue
        display.say(f"references: {entry.name}")
        make = entry.load()
        if (reason := getattr(make, "impossible", lambda _: None)(world)) is not None:
            display.say(f"no {entry.name} here: {reason}")
            continue
        model = make(world, groups(entry.name), 0) if entry.seeded else make(world)
        for metric in chosen:
            if (reason := metric.not_applicable(world, model)) is not None:
                reasons.setdefault(metric.name, {})[entry.name] = reason
        for name, scores in measure(world, model, plan.settings, chosen).items():
            by_reference.setdefault(name, {})[entry.name] = scores
    ladders: dict[str, list[Rung]] = {}
    measured = {name for scores in by_reference.values() for name in scores}
    if "oracle" in measured or (not measured and models["oracle"].load().impossible(world) is None):
        ladders = _ladders(world, plan, chosen, display, workers)
    verdicts = judge(chosen, by_reference, ladders)
    return Check(
        world=world.identity(),
        card=world.card(0),
        settings=dataclasses.asdict(plan.settings),
        corruptions=plan.corruptions,
        rungs=plan.rungs,
        metrics={
            m.name: CheckedMetric(version=m.version, primary=m.primary, direction=m.direction, claims=_claims(m))
            for m in chosen
        },
        references=by_reference,
        not_applicable=reasons,
        ladders={
            kind: [records.Rung(size=rung.size, values=rung.values) for rung in ladder]
            for kind, ladder in ladders.items()
        },
        verdicts=verdicts,
    )


def _ladders(world: World, plan: Plan, chosen: list[Metric], display: Display, workers: int) -> dict[str, list[Rung]]:
    global _shared
    out: dict[str, list[Rung]] = {}
    _shared = (world, plan, chosen)
    try:
        if "noise" not in kinds(world):
            display.say(
                "no ladder of noise: the exact law leaves no choice, so noise on the logits of "
                "possible tokens changes nothing"
            )
        for kind in kinds(world):
            if not _claimed(chosen, kind):
                continue
            sizes = [0.0, *plan.sizes(kind, world)]
            try:
                damaged(world, kind, sizes[-1], 0)
            except InputError as error:
                display.say(f"no ladder of {kind} edges: {error}")
                continue
            display.say(
                f"damage: {kind} ({', '.join(f'{s:g}' for s in sizes[1:])}), "
                f"{counted(plan.corruptions, 'corruption')} each"
            )
            tasks = [(kind, size, c) for size in sizes for c in range(plan.corruptions if size else 1)]
            ladder = {size: Rung(size) for size in sizes}
            for (_, size, _), scores in zip(tasks, _map(_one, tasks, workers)):
                copies = 1 if size else plan.corruptions  # the undamaged are all the same
                for name, values in scores.items():
                    for score, value in values.items():
                        ladder[size].values.setdefault(name, {}).setdefault(score, []).extend([value] * copies)
            out[kind] = list(ladder.values())
    finally:
        _shared = None
    return out


def write(record: Check, out: Path) -> Path:
    """`<out>/check-<world>-<identity>/`: check.json and calibration.csv, and the figures."""
    from worldbench.figures import calibration
    from worldbench.records import reading

    metrics_ = msgspec.to_builtins(record.metrics)
    name = identity_hash([record.world, record.settings, record.corruptions, record.rungs, metrics_])[:10]
    folder = make_folder(make_folder(out) / f"check-{record.world['world']}-{name}")
    reading.write(folder / "check.json", record)
    rows: list[list[Any]] = []
    for metric, by_model in record.references.items():
        for model, scores in by_model.items():
            rows += [[metric, score, model, "", "", value] for score, value in scores.items()]
    for kind, ladder in record.ladders.items():
        for rung in ladder:
            for metric, scores in rung.values.items():
                for score, values in scores.items():
                    rows += [[metric, score, kind, f"{rung.size:g}", c, v] for c, v in enumerate(values)]
    head = ["metric", "score", "model", "size", "corruption", "value"]
    write_atomic(folder / "calibration.csv", tables.csv(head, rows) + "\n")
    calibration.draw(folder / "check.json", folder / "calibration")
    return folder


def show(record: Check) -> None:
    """The calibration table: each metric's primary score by reference and at the largest damage; then every statement
    that failed.
    """
    references = list(dict.fromkeys(m for scores in record.references.values() for m in scores))
    largest = {kind: f"{kind} {ladder[-1].size:g}" for kind, ladder in record.ladders.items()}
    body = []
    for name, metric in record.metrics.items():
        mine = [v for v in record.verdicts if v.metric == name]
        cells = [record.references.get(name, {}).get(r, {}).get(metric.primary) for r in references]
        for ladder in record.ladders.values():
            values = [v for v in ladder[-1].values.get(name, {}).get(metric.primary, []) if v is not None]
            cells.append(sum(values) / len(values) if values else None)
        judged = [v.holds for v in mine if v.holds is not None]
        held = f"{sum(judged)} of {len(judged)}" if judged else "none"
        held += f" ({len(mine) - len(judged)} not judged)" if len(mine) > len(judged) else ""
        numbers = ("-" if c is None else f"{c:.3f}" for c in cells)
        body.append([f"{name}.{metric.primary}", metric.direction, held, *numbers])
    head = ["metric", "better", "statements hold", *references, *largest.values()]
    print(tables.terminal(head, body, 1, title=f"calibration of {record.world['world']}"))
    for v in record.verdicts:
        if v.holds is not True:
            outcome = "fails" if v.holds is False else "not judged"
            print(tables.note(f"{outcome}: {v.metric}: {v.statement}; measured {v.measured}"))


def failures(record: Check) -> list[Verdict]:
    return [v for v in record.verdicts if v.holds is False]


def require(record: Check, folder: Path) -> None:
    """Raises RunError where a metric is blind or a statement of it fails."""
    failed = failures(record)
    if failed:
        names = ", ".join(dict.fromkeys(v.metric for v in failed))
        share = f"{len(failed)} of {len(record.verdicts)} statements fail"
        raise RunError(f"{share}, of {names}; all of them are in {folder / 'check.json'}")


def workers_by_default() -> int:
    return min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

"""`worldbench check WORLD`: measures every metric on every reference and on ladders of damage, and compares each
statement of a metric with these measurements.

Each measurement of a reference, and of one corruption of one severity, is a cell. Results depend on the settings alone,
not on how many workers did the work. What a stopped check has measured is kept in its folder until the check is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import lock, remove
from worldbench.core.metric import DAMAGE, Metric
from worldbench.core.registry import metrics, models
from worldbench.core.text import counted
from worldbench.core.world import World
from worldbench.records import check as records
from worldbench.records.check import Check, CheckedMetric
from worldbench.runs.display import Display
from worldbench.runs.named_metrics import require_fit
from worldbench.runs.pool import Pool
from worldbench.runs.processes import pool_of
from worldbench.studies.check import report
from worldbench.studies.check.calibration import Severity, judge
from worldbench.studies.check.damage import (
    WITHOUT_CHANCE,
    CheckSettings,
    damaged,
    kinds,
    like_undamaged,
    undamaged,
)
from worldbench.studies.check.measuring import Subject, measure_all, numbers


def _claimed(chosen: dict[str, Metric], kind: str) -> tuple[str, ...]:
    """The metrics that claim something about a kind of damage."""
    return tuple(name for name, m in chosen.items() if any(d.effect(kind) != "any" for d in m.damage))


def _claims(metric: Metric) -> list[str]:
    """The kinds of damage about which a metric claims something for its primary score."""
    return [k for k in DAMAGE if any(d.score == metric.primary and d.effect(k) != "any" for d in metric.damage)]


def check_in(
    out: Path, world: World, settings: CheckSettings, display: Display, groups: Callable[[str], Any], workers: int
) -> tuple[Check, Path]:
    """Runs `check` and writes its files below `out`. Returns the record and its folder. A stopped check continues."""
    options = dataclasses.asdict(settings.settings)
    require_fit(world, settings.settings.metrics)
    about = _about(_chosen(settings))
    folder = report.folder_of(out, world.identity(), options, settings.corruptions, settings.severities, about)
    with lock(folder):
        record = check(world, settings, display, groups, workers, folder)
        report.write(record, out)
        for path in folder.glob("measured-*.json"):
            remove(path)
    return record, folder


def check(
    world: World,
    settings: CheckSettings,
    display: Display,
    groups: Callable[[str], Any],
    workers: int = 1,
    kept: Path | None = None,
) -> Check:
    """The calibration of a world.

    groups: gives the options of a reference model by its name. kept: the folder in which single measurements are
    stored, or None.
    """
    pool, chosen = pool_of(workers), _chosen(settings)
    by_reference: dict[str, dict[str, dict[str, float]]] = {}
    reasons: dict[str, dict[str, str]] = {}
    subjects = []
    for entry in models:
        if not entry.reference or entry.name == "corrupted":  # corrupted models are measured in the ladders below
            continue
        if (reason := getattr(entry.load(), "impossible", lambda _: None)(world)) is not None:
            display.say(f"no {entry.name} here: {reason}")
            continue
        subjects.append(Subject(entry.name, options=groups(entry.name) if entry.seeded else None))
    display.say(f"references: {', '.join(subject.kind for subject in subjects)}")
    names = tuple(chosen)
    found = measure_all(pool, world, [(subject, names) for subject in subjects], settings.settings, kept, display)
    for subject, measurement in zip(subjects, found):
        for name, reason in measurement.not_applicable.items():
            reasons.setdefault(name, {})[subject.kind] = reason
        for name, scores in numbers(measurement).items():
            by_reference.setdefault(name, {})[subject.kind] = scores
    ladders: dict[str, list[Severity]] = {}
    able = {name for scores in by_reference.values() for name in scores}
    if "oracle" in able or (not able and models["oracle"].load().impossible(world) is None):
        ladders = _ladders(pool, world, settings, chosen, kept, display)
    return Check(
        world=world.identity(),
        card=world.card(0),
        settings=dataclasses.asdict(settings.settings),
        corruptions=settings.corruptions,
        severities=settings.severities,
        metrics=_about(chosen),
        references=by_reference,
        not_applicable=reasons,
        ladders={
            kind: [records.Severity(size=severity.size, values=severity.values) for severity in ladder]
            for kind, ladder in ladders.items()
        },
        verdicts=judge(chosen.values(), by_reference, ladders, world.exceptions),
    )


def _chosen(settings: CheckSettings) -> dict[str, Metric]:
    """The chosen metrics by their registered names."""
    return {name: metrics[name].load() for name in settings.settings.metrics or metrics.names()}


def _about(chosen: dict[str, Metric]) -> dict[str, CheckedMetric]:
    return {
        m.name: CheckedMetric(version=m.version, primary=m.primary, direction=m.direction, claims=_claims(m))
        for m in chosen.values()
    }


def _ladders(
    pool: Pool, world: World, settings: CheckSettings, chosen: dict[str, Metric], kept: Path | None, display: Display
) -> dict[str, list[Severity]]:
    """The ladders of every kind of damage that the world allows and that a chosen metric speaks of, from none to the
    largest size. What is the same for several corruptions or kinds is measured once."""
    wanted: dict[Subject, dict[str, None]] = {}
    places: list[tuple[str, float, Subject, int]] = []  # kind, size, what is measured, for how many corruptions
    for kind, reason in kinds(world).items():
        names = _claimed(chosen, kind)
        if not names:
            continue
        if reason is not None:
            display.say(f"no ladder of {kind}: {reason}")
            continue
        sizes = settings.sizes(kind, world)
        try:
            damaged(world, kind, sizes[-1], 0)
        except InputError as error:
            display.say(f"no ladder of {kind}: {error}")
            continue
        drawn = 1 if kind in WITHOUT_CHANCE else settings.corruptions
        display.say(f"damage: {kind} ({', '.join(f'{s:g}' for s in sizes)}), {counted(drawn, 'corruption')} each")
        first = Subject(like_undamaged(kind), undamaged(like_undamaged(kind)))
        places.append((kind, undamaged(kind), first, settings.corruptions))
        for size in sizes:
            places += [(kind, size, Subject(kind, size, c), settings.corruptions // drawn) for c in range(drawn)]
        for subject in [place[2] for place in places if place[0] == kind]:
            wanted.setdefault(subject, {}).update(dict.fromkeys(names))
    asked = [(subject, tuple(n for n in chosen if n in names)) for subject, names in wanted.items()]
    found = dict(zip(wanted, measure_all(pool, world, asked, settings.settings, kept, display)))
    ladders: dict[str, dict[float, Severity]] = {}
    for kind, size, subject, copies in places:
        severity = ladders.setdefault(kind, {}).setdefault(size, Severity(size))
        names = _claimed(chosen, kind)
        for name, values in numbers(found[subject]).items():
            if name in names:
                for score, value in values.items():
                    severity.values.setdefault(name, {}).setdefault(score, []).extend([value] * copies)
    return {kind: list(ladder.values()) for kind, ladder in ladders.items()}

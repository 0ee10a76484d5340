"""One table over many results: a row per world, settings and model; means over training seeds with t intervals.

Results that differ in world, version, data, evaluation, metric version or the budget of tuning never share a row; what a row lacks is shown as missing.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worldbench import budget, tables
from worldbench.configuration import TrainConfig
from worldbench.core import cells
from worldbench.core.errors import InputError, nearest
from worldbench.core.files import identity_hash
from worldbench.core.options import later_defaults
from worldbench.core.registry import models
from worldbench.core.statistics import Mean, mean_interval
from worldbench.result import find_results, load_result


@dataclass(frozen=True)
class Row:
    """label: what a person calls it. seeds: of training. cells: by column; None where missing. command: repeats one of its runs. tuned: trials x seeds."""

    world: str
    arm: str
    label: str
    seeds: tuple[int, ...]
    cells: dict[str, Mean | None]
    n: dict[str, int]
    command: str
    tuned: str = "-"


def build(paths: list[Path], columns: list[str] | None = None) -> list[Row]:
    """Group results that differ only in their training seed. A seed that comes twice in a row is refused."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in find_results(paths):
        record = load_result(path)
        budget.refuse_reporting(record)
        groups[settings_key(record)].append(record)
    everything = [record for records in groups.values() for record in records]
    wanted = [whole_name(everything, c) for c in columns] if columns else primary_scores(everything)
    rows = []
    for records in groups.values():
        records.sort(key=lambda r: (r["seed"] is None, r["seed"] or 0))
        seeds = [r["seed"] for r in records if r["seed"] is not None]
        if len(set(seeds)) != len(records) and seeds:
            raise InputError(f"{records[0]['command']}: seed {max(seeds, key=seeds.count)} comes more than once; name each result once")
        rows.append(_row(records[: None if seeds else 1], tuple(seeds), wanted))
    rows = _told_apart(rows, [records[0] for records in groups.values()])
    order = {"uniform": 0, "random-legal": 1, "ngram": 2, "untrained": 3, "corrupted": 8, "oracle": 9}
    return sorted(rows, key=lambda r: (r.world, r.arm, order.get(r.label.partition(" ")[0], 5), r.label, r.tuned))


def settings_key(record: dict[str, Any]) -> str:
    """Equal for results that differ in nothing but their training seed."""
    versions = {name: m["version"] for name, m in record["scores"].items()}
    spent = budget.spent(record)
    name, settings = record["model"]["name"], training_settings(record)
    later = {"train": later_defaults(TrainConfig), "model": _later_of(name)}
    settings = {group: {k: v for k, v in values.items() if later.get(group, {}).get(k, k) != v} for group, values in settings.items()}
    return identity_hash([record["world"], name, settings, record["identity"]["evaluation"], versions, spent])


@functools.cache
def _later_of(model: str) -> dict[str, Any]:
    """Of a model's options, those that came later, and their defaults: a result from before they were there is one at their default."""
    try:
        entry = models[model]
    except InputError:  # of a plugin that is not loaded
        return {}
    return later_defaults(entry.load_config()) if entry.config is not None else {}


def training_settings(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record["config"].items() if k in ("data", "model", "train")}


def primary_scores(records: list[dict[str, Any]]) -> list[str]:
    """`metric.score` of every metric in any of the results, in their order."""
    seen: dict[str, None] = {}
    for record in records:
        for name, metric in record["scores"].items():
            seen.setdefault(f"{name}.{metric['primary']}")
    return list(seen)


def whole_name(records: list[dict[str, Any]], column: str) -> str:
    """`metric.score` for a column asked for as `metric`; refused where no result has the metric, or none of them the score (a reference may lack it)."""
    name, _, score = column.partition(".")
    having = [r["scores"][name] for r in records if name in r["scores"]]
    if not having:
        raise InputError(f"no result has the metric {name!r}{nearest(name, {n for r in records for n in r['scores']})}")
    key = score or having[0]["primary"]
    if not any(key in m["scores"] for m in having):
        raise InputError(f"the metric {name} has no score {key!r}{nearest(key, {k for m in having for k in m['scores']})}")
    return f"{name}.{key}"


def place(record: dict[str, Any]) -> tuple[str, str]:
    """What a person calls the world and the data: (world and preset, "scarce", "stream" or nothing for a model that has no data)."""
    world, rides = record["world"], record["config"].get("data", {}).get("rides")
    where = f"{world['world']} {world.get('map_digest', identity_hash(world))[:8]} {record['preset']}"
    return where, "" if rides is None else ("stream" if rides == 0 else "scarce")


def _told_apart(rows: list[Row], records: list[dict[str, Any]]) -> list[Row]:
    """Rows of one name in one place with the settings they differ in after the name."""
    out = []
    for row, record in zip(rows, records):
        settings = _flat(record)
        others = [_flat(r) for other, r in zip(rows, records) if (other.world, other.arm, other.label) == (row.world, row.arm, row.label)]
        differs = [k for k in settings if any(k in o and o[k] != settings[k] for o in others)]  # a result from before an option was there says nothing of it
        out.append(replace(row, label=" ".join([row.label, *(f"{k}={plain(settings[k])}" for k in differs)])))
    return out


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    chosen_by = {name: value for name, value in budget.spent(record).items() if name == "criterion"}  # the rest is a column of its own
    groups = training_settings(record) | {"eval": record["config"].get("eval", {}), "tuning": chosen_by}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


def plain(value: Any) -> str:
    return ",".join(map(plain, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)


def _row(records: list[dict[str, Any]], seeds: tuple[int, ...], columns: list[str]) -> Row:
    first = records[0]
    cells: dict[str, Mean | None] = {}
    trials: dict[str, int] = {}
    for column in columns:
        values = [v for v in (score_of(r, column) for r in records) if v is not None]
        cells[column] = mean_interval([v["value"] for v in values]) if len(values) == len(records) and all(v["value"] is not None for v in values) else None
        trials[column] = values[0]["n"] if values else 0
    return Row(*place(first), first["model"]["name"], seeds, cells, trials, first["command"], budget.cell(first))


def score_of(record: dict[str, Any], column: str) -> dict[str, Any] | None:
    """The score that a column names; None where the result lacks it."""
    name, _, score = column.partition(".")
    return record["scores"].get(name, {}).get("scores", {}).get(score)


def cell(mean: Mean | None) -> str:
    if mean is None:
        return "missing"
    digits = 3 if abs(mean.value) < 10 else 1
    text = f"{mean.value:.{digits}f}"
    if mean.interval is not None:
        text += f" ±{mean.interval[1] - mean.value:.{digits}f}"
    return text


def render(rows: list[Row], form: str) -> str:
    """The board as a terminal table, Markdown, CSV or JSON."""
    if not rows:
        raise InputError("there are no results to show")
    columns, any_tuned = list(rows[0].cells), any(r.tuned != "-" for r in rows)
    if form == "json":
        return cells.json(
            [
                {
                    "world": r.world, "arm": r.arm, "model": r.label, "seeds": r.seeds, **({"tuned": r.tuned} if any_tuned else {}), "command": r.command,
                    "scores": {c: None if m is None else {"mean": m.value, "seeds": m.n, "interval": m.interval, "trials": r.n[c]} for c, m in r.cells.items()},
                }
                for r in rows
            ]
        )  # fmt: skip
    names = ["world", "arm", "model", "seeds", *(["tuned"] if any_tuned else [])]
    head = [*names, *(c.partition(".")[2] or c for c in columns)]
    body = [
        [r.world, r.arm, r.label, str(len(r.seeds)) if r.seeds else "-", *([r.tuned] if any_tuned else []), *(cell(r.cells[c]) for c in columns)] for r in rows
    ]
    if form == "markdown":
        return tables.markdown(head, body)
    if form == "csv":
        lines = []
        for r, row in zip(rows, body):
            numbers: list[Any] = []
            for c in columns:
                m = r.cells[c]
                numbers += ["", "", ""] if m is None else [m.value, *(m.interval or ("", ""))]
            lines.append([*row[: len(names)], *numbers, r.command])
        parts = [f"{h} {part}" for h in head[len(names) :] for part in ("mean", "low", "high")]
        return tables.csv([*names, *parts, "command"], lines)
    return tables.terminal(head, body, len(names))

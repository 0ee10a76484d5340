"""One table over many results: a row per world, settings and model; means over training seeds with t intervals.

Results that differ in world, version, data, evaluation or metric version never share a row; what a row lacks is shown as missing.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, nearest
from worldbench.core.files import identity_hash, to_json
from worldbench.core.statistics import Mean, mean_interval
from worldbench.result import find_results, load_result


@dataclass(frozen=True)
class Row:
    """label: what a person calls it. seeds: of training. cells: by column; None where missing. command: repeats one of its runs."""

    world: str
    arm: str
    label: str
    seeds: tuple[int, ...]
    cells: dict[str, Mean | None]
    n: dict[str, int]
    command: str


def build(paths: list[Path], columns: list[str] | None = None) -> list[Row]:
    """Group results that differ only in their training seed. A seed that comes twice in a row is refused."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in find_results(paths):
        record = load_result(path)
        groups[_key(record)].append(record)
    wanted = [_whole_name(groups, c) for c in columns] if columns else _primaries(groups)
    rows = []
    for records in groups.values():
        records.sort(key=lambda r: (r["seed"] is None, r["seed"] or 0))
        seeds = [r["seed"] for r in records if r["seed"] is not None]
        if len(set(seeds)) != len(records) and seeds:
            raise InputError(f"{records[0]['command']}: seed {max(seeds, key=seeds.count)} comes more than once; name each result once")
        rows.append(_row(records[: None if seeds else 1], tuple(seeds), wanted))
    order = {"uniform": 0, "random-legal": 1, "ngram": 2, "untrained": 3, "corrupted": 8, "oracle": 9}
    return sorted(rows, key=lambda r: (r.world, r.arm, order.get(r.label.split()[0], 5), r.label))


def _key(record: dict[str, Any]) -> str:
    config = {k: v for k, v in record["config"].items() if k in ("data", "model", "train")}
    versions = {name: m["version"] for name, m in record["scores"].items()}
    return identity_hash([record["world"], record["model"]["name"], config, record["identity"]["evaluation"], versions])


def _primaries(groups: dict[str, list[dict[str, Any]]]) -> list[str]:
    seen: dict[str, None] = {}
    for records in groups.values():
        for name, metric in records[0]["scores"].items():
            seen.setdefault(f"{name}.{metric['primary']}")
    return list(seen)


def _whole_name(groups: dict[str, list[dict[str, Any]]], column: str) -> str:
    """`metric.score` for a column asked for as `metric`; refused where no result has the metric."""
    name, _, score = column.partition(".")
    for records in groups.values():
        if name in records[0]["scores"]:
            return f"{name}.{score or records[0]['scores'][name]['primary']}"
    raise InputError(f"no result has the metric {name!r}{nearest(name, {n for rs in groups.values() for n in rs[0]['scores']})}")


def _row(records: list[dict[str, Any]], seeds: tuple[int, ...], columns: list[str]) -> Row:
    first = records[0]
    cells: dict[str, Mean | None] = {}
    trials: dict[str, int] = {}
    for column in columns:
        values = [v for v in (_value(r, column) for r in records) if v is not None]
        cells[column] = mean_interval([v["value"] for v in values]) if len(values) == len(records) and all(v["value"] is not None for v in values) else None
        trials[column] = values[0]["n"] if values else 0
    world = first["world"]
    where = f"{world['world']} {world.get('map_digest', identity_hash(world))[:8]}"
    rides = first["config"].get("data", {}).get("rides")
    arm = "" if rides is None else ("stream" if rides == 0 else "scarce")
    return Row(f"{where} {first['preset']}", arm, first["model"]["name"], seeds, cells, trials, first["command"])


def _value(record: dict[str, Any], column: str) -> dict[str, Any] | None:
    name, _, score = column.partition(".")
    metric = record["scores"].get(name)
    if metric is None:
        return None
    key = score or metric["primary"]
    if key not in metric["scores"]:
        raise InputError(f"the metric {name} has no score {key!r}{nearest(key, metric['scores'])}")
    return metric["scores"][key]


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
    columns = list(rows[0].cells)
    if form == "json":
        return to_json(
            [
                {
                    "world": r.world, "arm": r.arm, "model": r.label, "seeds": r.seeds, "command": r.command,
                    "scores": {c: None if m is None else {"mean": m.value, "seeds": m.n, "interval": m.interval, "trials": r.n[c]} for c, m in r.cells.items()},
                }
                for r in rows
            ]
        )  # fmt: skip
    head = ["world", "arm", "model", "seeds", *(c.partition(".")[2] or c for c in columns)]
    body = [[r.world, r.arm, r.label, str(len(r.seeds)) if r.seeds else "-", *(cell(r.cells[c]) for c in columns)] for r in rows]
    if form == "markdown":
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in body)]
        return "\n".join(lines)
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*head[:4], *(f"{h} {part}" for h in head[4:] for part in ("mean", "low", "high")), "command"])
        for r, row in zip(rows, body):
            numbers: list[Any] = []
            for c in columns:
                m = r.cells[c]
                numbers += ["", "", ""] if m is None else [m.value, *(m.interval or ("", ""))]
            writer.writerow([*row[:4], *numbers, r.command])
        return out.getvalue().rstrip("\n")
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for h in head:
        table.add_column(h)
    for row in body:
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=180).print(table)
    return out.getvalue().rstrip("\n")

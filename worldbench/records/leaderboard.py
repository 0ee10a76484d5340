"""The leaderboard: a table with a row for each world, model and settings, with means and t intervals over training
seeds.

Results that differ in world, version, data, evaluation, metric version or budget of tuning never share a row. A score
that a row does not have is missing, with the reason. `board.py` prints the rows.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, nearest
from worldbench.core.files import identity_hash
from worldbench.core.options import later_defaults
from worldbench.core.registry import models
from worldbench.core.statistics import Mean, mean_interval
from worldbench.records import budget
from worldbench.records.differences import differing, plain
from worldbench.records.extremes import Extremes
from worldbench.records.finding import find
from worldbench.records.missing import score_of, why
from worldbench.records.runs import Result
from worldbench.settings.renamed import hint
from worldbench.settings.train import TrainConfig


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard.

    label: name of the model, and settings that distinguish the row. seeds: training seeds. cells: column -> mean; None
    if a score is missing in a seed. n: column -> number of trials. command: repeats one of the runs. tuned: trials x
    seeds. missing: column -> why its score is missing. extremes: column -> how many seeds have an infinite score.
    versions: metric -> its version.
    """

    world: str
    arm: str
    label: str
    seeds: tuple[int, ...]
    cells: dict[str, Mean | None]
    n: dict[str, int]
    command: str
    tuned: str = "-"
    missing: dict[str, str] = field(default_factory=dict)
    extremes: dict[str, Extremes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)


def build(
    paths: list[Path], columns: list[str] | None = None, say: Callable[[str], None] = lambda line: None
) -> list[Row]:
    """The rows over result files and folders. Results that differ only in their training seed share a row.

    columns: `metric` (its primary score, and the scores beside it) or `metric.score`; None: every metric. say: called
    with a line for each file below a folder that could not be read and was left out. Raises InputError for a seed that
    occurs twice in a row.
    """
    found = find(paths, Result)
    groups: dict[str, list[Result]] = defaultdict(list)
    for _, record in found.records:
        budget.refuse_reporting(record)
        groups[settings_key(record)].append(record)
    everything = [record for _, record in found.records]
    wanted = shown_scores(everything, columns)
    rows = []
    for records in groups.values():
        records.sort(key=lambda r: (r.seed is None, r.seed or 0))
        seeds = [r.seed for r in records if r.seed is not None]
        if len(set(seeds)) != len(records) and seeds:
            raise InputError(f"{records[0].command}: seed {twice(seeds)} comes more than once; name each result once")
        rows.append(_row(records[: None if seeds else 1], tuple(seeds), wanted))
    rows = _with_distinct_labels(rows, [records[0] for records in groups.values()])
    for line in found.messages():
        say(line)
    order = {"uniform": 0, "random-legal": 1, "ngram": 2, "untrained": 3, "corrupted": 8, "oracle": 9}
    return sorted(rows, key=lambda r: (r.world, r.arm, order.get(r.label.partition(" ")[0], 5), r.label, r.tuned))


def twice(seeds: list[int]) -> int:
    """The seed that occurs most often."""
    return Counter(seeds).most_common(1)[0][0]


def settings_key(record: Result) -> str:
    """A key that is equal for results that differ in their training seed alone."""
    versions = {name: m.version for name, m in record.scores.items()}
    name, settings = record.model.name, record.training_settings()
    later = {"train": later_defaults(TrainConfig), "model": _later_of(name)}
    settings = {
        group: {k: v for k, v in values.items() if later.get(group, {}).get(k, k) != v}
        for group, values in settings.items()
    }
    return identity_hash([record.world, name, settings, record.identity.evaluation, versions, budget.spent(record)])


@functools.cache
def _later_of(model: str) -> dict[str, Any]:
    """Options of a model that were added later, with their defaults: a result from before an option existed counts as a
    result with its default.
    """
    try:
        entry = models[models[model].reads or model]
    except InputError:  # of a plugin that is not loaded
        return {}
    return later_defaults(entry.load_config()) if entry.config is not None else {}


def primary_scores(records: list[Result]) -> list[str]:
    """`metric.score`, the primary score, for every metric in the results, in their order."""
    seen: dict[str, None] = {}
    for record in records:
        for name, metric in record.scores.items():
            seen.setdefault(f"{name}.{metric.primary}")
    return list(seen)


def shown_scores(records: list[Result], columns: list[str] | None = None) -> list[str]:
    """`metric.score` for the columns of a table: for a column `metric`, its primary score and the scores beside it.
    None: for every metric in the results, in their order. Raises InputError as `whole_name` does."""
    names = dict.fromkeys(columns or (name for record in records for name in record.scores))
    seen: dict[str, None] = {}
    for name in names:
        if columns:
            seen.setdefault(whole_name(records, name))
        for metric in (r.scores[name] for r in records if name in r.scores):
            seen |= dict.fromkeys(f"{name}.{score}" for score in metric.shown)
    return list(seen)


def whole_name(records: list[Result], column: str) -> str:
    """`metric.score` for a column `metric` (its primary score) or `metric.score`.

    Raises InputError if no result has the metric or the score.
    """
    name, _, score = column.partition(".")
    having = [r.scores[name] for r in records if name in r.scores]
    if not having:
        raise InputError(f"no result has the metric {name!r}{nearest(name, {n for r in records for n in r.scores})}")
    key = score or having[0].primary
    if not any(key in m.scores for m in having):
        close = hint(key, {k for m in having for k in m.scores})
        raise InputError(f"the metric {name} has no score {key!r}{close}")
    return f"{name}.{key}"


def place(record: Result) -> tuple[str, str]:
    """The columns `world` and `arm` of a result: world and preset; "scarce", "stream", or "" for a model without
    training data."""
    world, documents = record.world, record.number("data", "documents")
    where = f"{record.world_name} {world.get('map_digest', identity_hash(world))[:8]} {record.preset}"
    return where, "" if documents is None else ("stream" if documents == 0 else "scarce")


def _with_distinct_labels(rows: list[Row], records: list[Result]) -> list[Row]:
    """Rows whose labels were equal, with the settings or the evaluation in which they differ added to the label."""
    labels = [row.label for row in rows]
    for words_of in (distinct_settings, distinct_evaluations):
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, row in enumerate(rows):
            alike[row.world, row.arm, labels[i], "" if words_of is distinct_settings else row.tuned].append(i)
        for places in alike.values():
            for i, words in zip(places, words_of([records[i] for i in places])):
                labels[i] = " ".join([labels[i], *words])
    return [replace(row, label=label) for row, label in zip(rows, labels)]


def distinct_settings(records: list[Result]) -> list[list[str]]:
    """For each result, `group.field=value` for the settings in which the results differ."""
    return _words([_settings(record) for record in records])


def distinct_evaluations(records: list[Result]) -> list[list[str]]:
    """For each result, what distinguishes its evaluation: options, versions of metrics, or else its identity."""
    if len({record.identity.evaluation for record in records}) == 1:
        return [[] for _ in records]
    options = [{f"eval.{name}": v for name, v in record.config.get("eval", {}).items()} for record in records]
    versions = [{f"{name}.version": metric.version for name, metric in record.scores.items()} for record in records]
    words = _words([o | v for o, v in zip(options, versions)])
    times = Counter(map(tuple, words))
    return [
        [*mine, f"evaluation={record.identity.evaluation[:10]}"] if times[tuple(mine)] > 1 or not mine else mine
        for mine, record in zip(words, records)
    ]


def _words(options: list[dict[str, Any]]) -> list[list[str]]:
    return [[f"{name}={plain(mine[name])}" for name in names] for names, mine in zip(differing(options), options)]


def _settings(record: Result) -> dict[str, Any]:
    chosen_by = {name: v for name, v in budget.spent(record).items() if name == "criterion"}  # the rest is a column
    groups = record.training_settings() | {"eval": record.config.get("eval", {}), "tuning": chosen_by}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


def _row(records: list[Result], seeds: tuple[int, ...], columns: list[str]) -> Row:
    first = records[0]
    cells: dict[str, Mean | None] = {}
    trials: dict[str, int] = {}
    reasons: dict[str, str] = {}
    extremes: dict[str, Extremes] = {}
    for column in columns:
        scores = [score_of(r, column) for r in records]
        trials[column] = next((s.n for s in scores if s is not None), 0)
        known = [s.value for s in scores if s is not None and s.value is not None]
        mean = mean_interval(known) if len(known) == len(records) else None
        cells[column] = None if mean is None or math.isnan(mean.value) else mean
        if cells[column] is None:
            both = len(known) == len(records)
            reasons[column] = "it is infinite in both directions" if both else why(records, column)
        elif (extreme := Extremes.of(known)).count:
            extremes[column] = extreme
    named = {column.partition(".")[0] for column in columns}
    versions = {name: metric.version for name, metric in first.scores.items() if name in named}
    budgets = budget.cell(first)
    return Row(
        *place(first), first.model.name, seeds, cells, trials, first.command, budgets, reasons, extremes, versions
    )

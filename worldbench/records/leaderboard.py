"""Which results share a row of the leaderboard, what the columns are, and how rows are told apart.

Results that differ in world, version, data, evaluation, metric version or budget of tuning never share a row. The types
of a board are in `board.py`; `board_building.py` makes one, and `board_text.py` prints it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from worldbench.core.errors import InputError, nearest
from worldbench.core.files import identity_hash
from worldbench.core.options import later_defaults
from worldbench.core.registry import models
from worldbench.records import budget
from worldbench.records.differences import differing, plain
from worldbench.records.parts import Head, Settings
from worldbench.records.runs import Result, Trace
from worldbench.records.world_words import world_key
from worldbench.settings.renamed import hint
from worldbench.settings.train import TrainConfig


def twice(seeds: list[int]) -> int:
    """The seed that occurs most often."""
    return Counter(seeds).most_common(1)[0][0]


def settings_key(record: Result) -> str:
    """A key that is equal for results that differ in their training seed alone."""
    versions = {name: m.version for name, m in record.scores.items()}
    name, settings = record.model.name, training_key(record)
    return identity_hash([record.world, name, settings, record.identity.evaluation, versions, budget.spent(record)])


def training_key(record: Head) -> Settings:
    """The training options of a record, without those that were added later and have their defaults. They are equal for
    two runs of a model that were trained in the same way."""
    later = {"train": later_defaults(TrainConfig), "model": _later_of(record.model.name)}
    return {
        group: {k: v for k, v in values.items() if later.get(group, {}).get(k, k) != v}
        for group, values in record.training_settings().items()
    }


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


def whole_name(records: Sequence[Result | Trace], column: str) -> str:
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


def place(record: Head) -> tuple[str, str]:
    """What results share that are compared: a key of world and preset (`world_words.places_in_words` has their words);
    and the arm, "scarce", "stream", or "" for a model without training data."""
    documents = record.number("data", "documents")
    where = f"{record.world_name} {world_key(record)} {record.preset}"
    if documents is None:
        return where, ""
    # The rides of a file come again in every epoch, also with data.documents 0.
    return where, "scarce" if documents or record.world.get("ride_file") else "stream"


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
    def text(name: str, value: Any) -> str:
        return "all" if name == "eval.metrics" and not value else plain(value)

    return [[f"{name}={text(name, mine[name])}" for name in names] for names, mine in zip(differing(options), options)]


def _settings(record: Result) -> dict[str, Any]:
    chosen_by = {name: v for name, v in budget.spent(record).items() if name == "criterion"}  # the rest is a column
    groups = record.training_settings() | {"eval": record.config.get("eval", {}), "tuning": chosen_by}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}

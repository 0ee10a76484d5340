"""Makes the leaderboard from results: `board_of` is a pure function over records, and `build` reads them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.files import identity_hash
from worldbench.core.registry import models
from worldbench.core.statistics import mean_interval
from worldbench.records import budget, versions
from worldbench.records.board import SEEDS, Board, Cell, Column, Group, Row
from worldbench.records.directions import direction_of
from worldbench.records.extremes import Extremes
from worldbench.records.finding import find
from worldbench.records.leaderboard import (
    distinct_evaluations,
    distinct_settings,
    place,
    settings_key,
    shown_scores,
    twice,
)
from worldbench.records.missing import score_of, why
from worldbench.records.runs import Result
from worldbench.records.strangers import accepted
from worldbench.records.world_words import distinct_words, world_key

Source = tuple[Path, Result]
ORDER = {"uniform": 0, "random-legal": 1, "ngram": 2, "untrained": 3, "corrupted": 8, "oracle": 9}
"""The order of rows: floors, then models that are not listed here, then ceilings."""
OTHERS = 5


def build(paths: list[Path], columns: list[str] | None = None) -> Board:
    """The board over result files and folders. Files below a folder that cannot be read or shown are left out, with a
    sentence each.

    columns: `metric` (its primary score, and the scores beside it) or `metric.score`; None: every metric of a group.
    Raises InputError for such a file that was named itself, for paths without results, and for an unknown column.
    """
    found = find(paths, Result)
    records, refused = accepted(found)
    if not records:
        raise InputError(f"no result there can be shown: {refused[0]}")
    return board_of(records, columns, [*found.messages(), *(f"left out: {reason}" for reason in refused)])


def board_of(records: Sequence[Source], columns: list[str] | None = None, left_out: Iterable[str] = ()) -> Board:
    """The board over results. Results that differ only in their training seed share a row.

    records: each result with its file. columns: as of `build`. Raises InputError for a seed that occurs twice in a row,
    and for an unknown column.
    """
    wanted = None if columns is None else shown_scores([record for _, record in records], columns)
    parts = _same_evaluation(records)
    groups = [
        _group(part, world, protocol, wanted)
        for part, world, protocol in zip(parts, _words_of_worlds(parts), _protocols(parts))
    ]
    shown = [group for group in groups if group.columns]
    shown.sort(key=lambda group: (group.world, group.world_key, group.protocol, group.evaluation))
    return Board(tuple(shown), tuple(left_out))


def _same_evaluation(records: Sequence[Source]) -> list[list[Source]]:
    """The results of each world and evaluation. Those of one evaluation in which a metric has several versions, which
    no worldbench writes, are parted by version."""
    by_identity: dict[tuple[str, str], list[Source]] = defaultdict(list)
    for source in records:
        by_identity[identity_hash(source[1].world), source[1].identity.evaluation].append(source)
    out: dict[tuple[str, ...], list[Source]] = defaultdict(list)
    for key, sources in by_identity.items():
        mixed = versions.mixed(versions.of(record) for _, record in sources)
        for source in sources:
            of = versions.of(source[1])
            out[*key, *(f"{name} {of[name]}" for name in mixed if name in of)].append(source)
    return list(out.values())


def _protocols(parts: list[list[Source]]) -> list[list[str]]:
    """For each part, what distinguishes its evaluation from the others of its world: options, and versions of metrics.
    Empty if nothing but the identity does, which every caption has."""
    out: list[list[str]] = [[] for _ in parts]
    worlds: dict[str, list[int]] = defaultdict(list)
    for i, part in enumerate(parts):
        worlds[identity_hash(part[0][1].world)].append(i)
    for alike in worlds.values():
        firsts = [parts[i][0][1] for i in alike]
        for i, words in zip(alike, distinct_evaluations(firsts)):
            out[i] = [word for word in words if not word.startswith("evaluation=")]
        mixed = versions.mixed(map(versions.of, firsts))
        if len({record.identity.evaluation for record in firsts}) == 1:
            for i, record in zip(alike, firsts):
                out[i] = [f"{name}.version={v}" for name, v in versions.of(record).items() if name in mixed]
    return out


def _words_of_worlds(parts: list[list[Source]]) -> list[str]:
    """The world of each part in words; different worlds have different words."""
    keys = [identity_hash(part[0][1].world) for part in parts]
    firsts = {key: part[0][1] for key, part in reversed(list(zip(keys, parts)))}
    words = dict(zip(firsts, distinct_words(list(firsts.values()))))
    return [words[key] for key in keys]


def _group(sources: list[Source], world: str, protocol: list[str], wanted: list[str] | None) -> Group:
    records = [record for _, record in sources]
    names = shown_scores(records) if wanted is None else wanted
    known = {name for record in records for name in (*record.scores, *record.not_applicable)}
    columns = _columns([name for name in names if name.partition(".")[0] in known], records)
    by_settings: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        by_settings[settings_key(source[1])].append(source)
    rows = [_row(alike, columns) for alike in by_settings.values()]
    first = records[0]
    return Group(
        world, first.world_name, world_key(first), str(first.world.get("version", "")), first.identity.evaluation,
        tuple(protocol), columns, tuple(sorted(_with_distinct_labels(rows), key=_order)),
    )  # fmt: skip


def _columns(names: list[str], records: list[Result]) -> tuple[Column, ...]:
    short = [name.partition(".")[2] or name for name in names]
    out = []
    for name, label in zip(names, short):
        metric = next((r.scores[m] for r in records if (m := name.partition(".")[0]) in r.scores), None)
        better = "none" if metric is None else direction_of(name, metric)
        version = None if metric is None else metric.version
        out.append(Column(name, label if short.count(label) == 1 else name, better, version))
    return tuple(out)


def _row(sources: list[Source], columns: tuple[Column, ...]) -> Row:
    sources.sort(key=lambda source: (source[1].seed is None, source[1].seed or 0))
    seeds = tuple(record.seed for _, record in sources if record.seed is not None)
    if len(set(seeds)) != len(sources) and seeds:
        again = twice(list(seeds))
        raise InputError(f"{sources[0][1].command}: seed {again} comes more than once; name each result once")
    sources = sources if seeds else sources[:1]
    records, first = [record for _, record in sources], sources[0][1]
    cells = {column.name: _cell(records, column.name) for column in columns}
    return Row(
        first.model.name, place(first)[1], first.preset, seeds, budget.cell(first), _is_reference(first), first.command,
        cells, tuple(sources),
    )  # fmt: skip


def _cell(records: list[Result], column: str) -> Cell:
    scores = [score_of(record, column) for record in records]
    known = [score.value for score in scores if score is not None and score.value is not None]
    first = next((score for score in scores if score is not None), None)
    trials = 0 if first is None else first.n
    if first is None or len(known) < len(records):
        return Cell(None, why(records, column), trials=trials)
    mean = mean_interval(known)
    if math.isnan(mean.value):
        return Cell(None, "it is infinite in both directions", trials=trials)
    extremes = Extremes.of(known)
    extreme = extremes if extremes.count else None
    if len(records) > 1:
        return Cell(mean.value, "", mean.interval, mean.n, SEEDS, trials, extreme)
    return Cell(mean.value, "", first.interval, first.n, first.over or "trials", trials, extreme)


def _is_reference(record: Result) -> bool:
    """Whether the model is registered as one that is not trained."""
    entry = models.find(record.model.name)
    return entry is not None and entry.reference


def _with_distinct_labels(rows: list[Row]) -> list[Row]:
    """Rows whose labels were equal, with the settings in which they differ added to the label."""
    alike: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        alike["" if row.reference else row.preset, row.arm, row.label].append(i)
    out = list(rows)
    for places in alike.values():
        for i, words in zip(places, distinct_settings([rows[i].sources[0][1] for i in places])):
            out[i] = replace(rows[i], label=" ".join([rows[i].label, *words]))
    return out


def _order(row: Row) -> tuple[bool, str, str, int, str, str]:
    model, preset = row.label.partition(" ")[0], "" if row.reference else row.preset
    return not row.reference, preset, row.arm, ORDER.get(model, OTHERS), row.label, row.tuned

"""Which records share a picture: results and traces by world, preset, training data and evaluation, and within these
the seeds of each model.

References (models that are not trained) belong to every group of their world and evaluation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from worldbench.core.files import identity_hash
from worldbench.core.registry import models
from worldbench.core.statistics import Mean, mean_interval
from worldbench.core.text import counted
from worldbench.records import budget, leaderboard
from worldbench.records.decoding import Decoding
from worldbench.records.finding import find
from worldbench.records.parts import Head
from worldbench.records.runs import Result, Scored, Trace
from worldbench.records.scores import value_of
from worldbench.records.variant import distinct_labels, rank_of
from worldbench.records.world_words import words_of

S = TypeVar("S", Result, Trace)


@dataclass(frozen=True)
class Series(Generic[S]):
    """The runs of one model that differ in their seed alone. runs: (file, record), in the order of the seeds.
    reference: whether the model is a reference."""

    label: str
    reference: bool
    runs: tuple[tuple[Path, S], ...]

    @property
    def first(self) -> S:
        return self.runs[0][1]

    def values(self, column: str) -> list[float]:
        """The values of `metric.score` in the seeds that have one."""
        found = (value_of(record.scores, column) for _, record in self.runs)
        return [value for value in found if value is not None]

    def mean(self, column: str) -> Mean | None:
        """The mean over seeds with its t interval; None if a seed has no value."""
        values = self.values(column)
        return mean_interval(values) if values and len(values) == len(self.runs) else None

    def middle(self, column: str, having: Callable[[Path], bool]) -> tuple[Path, S] | None:
        """The run with the median value of a score (the lower one of two), among the runs of which `having(file)` is
        true; runs without a value come first. None without such runs."""
        runs = [(value_of(record.scores, column), i) for i, (path, record) in enumerate(self.runs) if having(path)]
        ordered = sorted((value is not None, value or 0.0, i) for value, i in runs)
        return self.runs[ordered[(len(ordered) - 1) // 2][2]] if ordered else None


@dataclass(frozen=True)
class Group(Generic[S]):
    """Records that may share a picture. words: world, preset and training data, different for each group. slug: a short
    form of them for names of files. world: world, preset and training data for captions. series: models in the order of
    the registry, then references."""

    words: str
    slug: str
    world: str
    series: tuple[Series[S], ...]

    def having(self, metric: str) -> list[Series[S]]:
        """The models whose records all have a metric."""
        return [s for s in self.series if all(metric in record.scores for _, record in s.runs)]


@dataclass
class Material:
    """Everything that figures are drawn from. decodings: (file, record) of `worldbench decode`, not yet grouped. cards:
    facts about worlds, by the hash of their identity. left_out: a sentence for each file that is not used."""

    results: list[Group[Result]]
    traces: list[Group[Trace]]
    decodings: list[tuple[Path, Decoding]]
    cards: dict[str, dict[str, Any]]
    left_out: list[str] = field(default_factory=list)

    @property
    def models(self) -> dict[str, str]:
        """Label -> name of the model, of the models that are no references, in the order of the registry."""
        groups: Iterable[Group] = (*self.results, *self.traces)
        found = {s.label: s.first.model.name for g in groups for s in g.series if not s.reference}
        return dict(sorted(found.items(), key=lambda item: (rank_of(item[1]), item[0])))


def gather(folders: list[Path]) -> Material:
    """The records below folders, in groups.

    Raises InputError as `records.finding.find` does, and for results made with a seed of tuning.
    """
    found = find(folders, Result, Trace, Decoding)
    results = [(path, record) for path, record in found.records if isinstance(record, Result)]
    traces = [(path, record) for path, record in found.records if isinstance(record, Trace)]
    decodings = [(path, record) for path, record in found.records if isinstance(record, Decoding)]
    for path, record in (*results, *decodings):
        budget.refuse_reporting(record, path)
    left_out = found.messages()
    cards = {identity_hash(record.world): record.card for _, record in results}
    groups = _grouped(results, cards, left_out.append), _grouped(traces, cards, left_out.append)
    return Material(*groups, decodings, cards, left_out)


def is_reference(name: str) -> bool:
    """Whether a model is registered as a reference."""
    return name in models.names() and models[name].reference


def _grouped(
    found: list[tuple[Path, S]], cards: dict[str, dict[str, Any]], say: Callable[[str], None]
) -> list[Group[S]]:
    """One group for each world, preset, data and evaluation of models that are no references."""
    by_key: dict[str, list[tuple[Path, S]]] = defaultdict(list)
    references: dict[str, list[tuple[Path, S]]] = defaultdict(list)
    for path, record in _once(found, say):
        world = identity_hash([record.world, record.identity.evaluation])
        if is_reference(record.model.name):
            references[world].append((path, record))
        else:
            by_key[identity_hash([world, record.preset, record.config.get("data")])].append((path, record))
    groups: list[tuple[list[str], tuple[Series[S], ...]]] = []
    for key, runs in by_key.items():
        first = runs[0][1]
        theirs = references[identity_hash([first.world, first.identity.evaluation])]
        series = (*_series(runs, reference=False), *_series(theirs, reference=True))
        groups.append(([*words_of_group(first), f"evaluation {first.identity.evaluation[:6]}", key[:6]], series))
    names = distinct_names([words for words, _ in groups])
    captions = [caption_of(series[0].first, cards) for _, series in groups]
    out = {}
    for name, caption, (_, series) in zip(names, captions, groups):
        words = caption if captions.count(caption) == 1 else f"{caption} ({name})"
        out[name] = Group(words, slug_of(name), caption, series)
    return [out[name] for name in sorted(out)]


def caption_of(record: Head, cards: dict[str, dict[str, Any]]) -> str:
    """The world, the preset and the training data of a record. cards: facts by the identity of the world; results alone
    hold them."""
    documents = record.number("data", "documents")
    data = "" if documents is None else counted(documents, "document") if documents else "new documents"
    world = words_of(record.world_name, record.world, cards.get(identity_hash(record.world), {}))
    return ", ".join(filter(None, (world, f"preset {record.preset}", data)))


MOST_LETTERS = 80
"""Most letters of a slug."""


def slug_of(words: str) -> str:
    """Words as a part of a file name. Words that are cut end in digits of their hash, so they stay different."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")
    return slug if len(slug) <= MOST_LETTERS else f"{slug[: MOST_LETTERS - 7]}-{identity_hash(words)[:6]}"


def place_of(record: Head) -> str:
    """World and preset of a record, for names of files."""
    return leaderboard.place(record)[0]


def words_of_group(record: Head) -> list[str]:
    """What distinguishes a group from others, the plainest first: the world, preset and arm; the number of
    documents."""
    where, arm = leaderboard.place(record)
    documents = record.number("data", "documents")
    more = [] if documents is None else [f"{documents} documents" if documents else "new documents"]
    return [" ".join(filter(None, (where, arm))), *more]


def distinct_names(words: list[list[str]]) -> list[str]:
    """A different name for each list of words: the first words, and of the others those in which lists with equal names
    differ."""
    names = [mine[0] for mine in words]
    for depth in range(1, max(map(len, words), default=0)):
        alike: dict[str, list[int]] = defaultdict(list)
        for i, name in enumerate(names):
            alike[name].append(i)
        for name, places in alike.items():
            parts = {i: words[i][depth] if depth < len(words[i]) else "" for i in places}
            if len(set(parts.values())) > 1:
                for i in places:
                    names[i] = f"{name} {parts[i]}".strip()
    return names


def _once(found: list[tuple[Path, S]], say: Callable[[str], None]) -> list[tuple[Path, S]]:
    """The records, without a second one of the same run, or of the same seed of the same settings."""
    seen: dict[str, Path] = {}
    out = []
    for path, record in found:
        key = identity_hash([leaderboard.settings_key(_as_result(record)), record.seed])
        if key in seen:
            say(f"left out: {str(path)!r} has the settings and the seed of {str(seen[key])!r}")
            continue
        seen[key] = path
        out.append((path, record))
    return out


def _series(runs: list[tuple[Path, S]], *, reference: bool) -> list[Series[S]]:
    by_settings: dict[str, list[tuple[Path, S]]] = defaultdict(list)
    for path, record in runs:
        key = record.model.name if reference else leaderboard.settings_key(_as_result(record))
        by_settings[key].append((path, record))
    labels = distinct_labels([mine[0][1] for mine in by_settings.values()])
    out = [
        Series(
            mine[0][1].model.name if reference else label,
            reference,
            tuple(sorted(mine, key=lambda run: run[1].seed or 0)),
        )
        for label, mine in zip(labels, by_settings.values())
    ]
    return sorted(out, key=lambda s: (rank_of(s.first.model.name), s.label))


def _as_result(record: Scored) -> Result:
    return record if isinstance(record, Result) else record.at(record.scores)

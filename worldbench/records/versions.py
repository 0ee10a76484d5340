"""Versions of metrics. Scores of different versions of one metric cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worldbench.core.registry import metrics
from worldbench.records.check import Check
from worldbench.records.faults import Faults
from worldbench.records.parts import Record
from worldbench.records.reconstruction import Reconstruction
from worldbench.records.runs import Result, Trace


def of_this_worldbench(name: str) -> int | None:
    """The version of a metric in this worldbench; None for a metric of a plugin that is not loaded."""
    entry = metrics.find(name)
    return None if entry is None else entry.load().version


def of(record: Record) -> dict[str, int]:
    """Metric -> the version under which the record was made. Empty for a record without scores of metrics."""
    match record:
        case Result() | Trace():
            return {name: metric.version for name, metric in record.scores.items()}
        case Check() | Faults():
            return {name: metric.version for name, metric in record.metrics.items()}
        case Reconstruction():
            return {"map_reconstruction": record.version}
    return {}


def other(versions: Mapping[str, int]) -> list[str]:
    """For each metric whose recorded version is not the version of this worldbench: "next_token 1 (now 2)"."""
    now = {name: of_this_worldbench(name) for name in versions}
    return [f"{name} {v} (now {now[name]})" for name, v in versions.items() if now[name] not in (None, v)]


def sentence(versions: Iterable[Mapping[str, int]]) -> list[str]:
    """A sentence for people, if some of the recorded versions (metric -> version) are not those of this worldbench."""
    found = list(dict.fromkeys(words for mine in versions for words in other(mine)))
    if not found:
        return []
    return [f"scored under other versions of metrics than this worldbench has: {', '.join(found)}"]


def mixed(versions: Iterable[Mapping[str, int]]) -> dict[str, list[int]]:
    """The metrics that were scored under several versions, and these versions."""
    out: dict[str, set[int]] = {}
    for mine in versions:
        for name, version in mine.items():
            out.setdefault(name, set()).add(version)
    return {name: sorted(found) for name, found in out.items() if len(found) > 1}

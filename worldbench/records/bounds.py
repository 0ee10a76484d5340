"""The floors and ceilings of a result: scores of reference models on the same prompts, read from the references' own
results.

A result names its references and holds none of their scores. Two results belong together where they agree in the world
and in the evaluation identity; a reference that depends on a seed must have the seed of the result. A reference with
options, such as the width of `untrained`, must have those of the result's preset, because a run makes it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.records.parts import Values
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.records.scores import Metric, Score, Which

BOTH: tuple[Which, Which] = ("floor", "ceiling")


@dataclass(frozen=True)
class Bounds:
    """scores[metric][reference]: what the reference scored by the metric. missing: the references that have no result
    here, and whose scores were not recorded either. other: those whose results here have another preset or options.
    """

    scores: dict[str, dict[str, Values]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    def value(self, name: str, metric: Metric, which: Which, score: str) -> float | None:
        """What the floor or the ceiling of the metric called `name` has for a score; None where it has nothing."""
        return self.scores.get(name, {}).get(metric.reference(which) or "", {}).get(score)

    def messages(self) -> list[str]:
        """A sentence for each reference that is missing."""
        return [
            f"no {name} beside the scores: there is no result of {name} in the same world under the same evaluation"
            f"{' with the options of the preset' if name in self.other else ''}"
            for name in self.missing
        ]


def untrained(metric: Metric, score: str) -> Score | None:
    """The floor where no reference is one: the same score of an untrained network, which some metrics measure beside
    the model. None without it, and where neither direction is better."""
    return None if metric.floor is not None or metric.direction == "none" else metric.scores.get(f"{score}_untrained")


def bounds(record: Result, others: Iterable[Result] = ()) -> Bounds:
    """The bounds of a result from the results of its references among `others`.

    Where a reference has no result there, what a file from before schema 3 recorded of it is used. `others` are read no
    further than until every reference is found.
    """
    wanted = references(record)
    found: dict[str, Result] = {}
    with_other_options: set[str] = set()
    if wanted:
        for other in others:
            name = other.model.name
            if name in wanted - found.keys() and _bounds(other, record):
                if _of_preset(other, record):
                    found[name] = other
                else:
                    with_other_options.add(name)
            if wanted == found.keys():
                break
    scores: dict[str, dict[str, Values]] = {}
    missing: set[str] = set()
    for name, metric in record.scores.items():
        for reference in {model for which in BOTH if (model := metric.reference(which)) is not None}:
            if reference in found:
                measured = found[reference].scores.get(name)
                values: Values = {} if measured is None else {k: s.value for k, s in measured.scores.items()}
            elif reference in metric.bounds_as_recorded:
                values = metric.bounds_as_recorded[reference]
            else:
                missing.add(reference)
                continue
            scores.setdefault(name, {})[reference] = values
    return Bounds(scores, tuple(sorted(missing)), tuple(sorted(missing & with_other_options)))


def bounds_beside(path: Path, record: Result) -> Bounds:
    """The bounds of the result at `path`, from the run folders beside its own."""
    return bounds(record, _beside(path, record))


def references(record: Result) -> set[str]:
    """The reference models that a result names."""
    return {name for metric in record.scores.values() for which in BOTH if (name := metric.reference(which))}


def _bounds(other: Result, record: Result) -> bool:
    same = other.world == record.world and other.identity.evaluation == record.identity.evaluation
    return same and other.tuning is None and other.seed in (None, record.seed)


def _of_preset(other: Result, record: Result) -> bool:
    """Whether a reference is the one that the run of the record makes: without options, or with those of its preset.
    The command of a record names every option that differs from the preset, as the preset was when it was made."""
    if not other.config.get("model"):
        return True
    return other.preset == record.preset and re.search(r"(^|\s)--model\.", other.command) is None


def _beside(path: Path, record: Result) -> Iterator[Result]:
    """The results in the folders beside, those that could hold a reference of the record first. What cannot be read is
    the reference of nothing."""
    runs = path.absolute().parent.parent
    wanted = references(record)
    names = (f"result-{record.identity.evaluation[:10]}.json", "result.json")
    files = [file for name in names for file in sorted(runs.glob(f"*/{name}"))]
    for file in sorted(files, key=lambda f: not any(f"-{name}-" in f.parent.name for name in wanted)):
        try:
            yield read(file, Result)
        except InputError:
            continue

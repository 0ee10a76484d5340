"""`faults.json`: the primary score of every metric for wrong models of known kinds, beside the exact model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from worldbench.core.metric import Direction
from worldbench.records.parts import Count, Part, Real, Record, check_world

EXACT = "oracle"
"""The name of the exact model among the models of the record."""


class TriedMetric(Part, frozen=True, kw_only=True):
    """A metric that wrong models were tried on."""

    version: Count
    primary: str
    direction: Direction


class Faults(Record, frozen=True, kw_only=True):
    """The wrong models of a world. seeds: the seeds of the evaluations, at least 2. faults: name -> what is wrong.
    left_out[fault]: the reason why the world has no such model. scores[model][metric]: the primary score under each
    seed, None where it is missing. not_applicable[metric][model]: the reason.
    """

    kind: ClassVar[str] = "faults"
    marks: ClassVar[tuple[str, ...]] = ("faults", "seeds")
    remedy: ClassVar[str] = "delete the file and run worldbench faults again"

    world: dict[str, Any]
    settings: dict[str, Any]
    seeds: list[Count]
    metrics: dict[str, TriedMetric]
    faults: dict[str, str]
    left_out: dict[str, str]
    scores: Mapping[str, Mapping[str, Sequence[Real | None]]]
    not_applicable: dict[str, dict[str, str]]

    def __post_init__(self) -> None:
        check_world(self.world)
        if EXACT not in self.scores:
            raise ValueError(f"the scores of the model {EXACT!r} are missing")
        for model, scores in self.scores.items():
            for metric, values in scores.items():
                if metric not in self.metrics:
                    raise ValueError(f"the metric {metric!r} of the model {model!r} is not described")
                if len(values) != len(self.seeds) or len(values) < 2:
                    raise ValueError(
                        f"{model!r} has {len(values)} scores of {metric!r}, the record {len(self.seeds)} seeds; "
                        "both must be the same number, at least 2"
                    )

"""`result-<evaluation>.json`, every score of a run; `trace-<evaluation>.json`, its scores at every kept checkpoint. No
clock in them.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from worldbench.records.lines import EvalLine
from worldbench.records.parts import Count, Head, Part, Record
from worldbench.records.scores import Scores


class Training(Part, frozen=True, kw_only=True):
    """curve: the held-out losses, in the order of their steps."""

    curve: list[EvalLine]


class Result(Record, Head, frozen=True, kw_only=True):
    """training: None for a model that trains no weights of its own. card: facts of the world, for people.
    not_applicable: metric -> reason.
    """

    kind: ClassVar[str] = "result"
    marks: ClassVar[tuple[str, ...]] = ("identity", "scores")
    versioned: ClassVar[bool] = True
    remedy: ClassVar[str] = "leave the file out, or delete it and repeat its run"

    training: Training | None = None
    card: dict[str, Any]
    scores: Scores
    not_applicable: dict[str, str]


class Point(Part, frozen=True, kw_only=True):
    """The scores at a training step."""

    step: Count
    scores: Scores
    not_applicable: dict[str, str]


class Trace(Record, Head, frozen=True, kw_only=True):
    """trace: the kept checkpoints, in the order of their steps, all scored by the same metrics in the same versions."""

    kind: ClassVar[str] = "trace"
    marks: ClassVar[tuple[str, ...]] = ("trace",)
    versioned: ClassVar[bool] = True
    remedy: ClassVar[str] = "delete the file and trace the run again"

    trace_command: str
    trace: list[Point]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.trace:
            raise ValueError("`trace` holds no checkpoint")
        if any(p.step >= q.step for p, q in itertools.pairwise(self.trace)):
            raise ValueError("the steps of `trace` do not go up")
        if len({tuple((name, m.version, m.primary) for name, m in p.scores.items()) for p in self.trace}) > 1:
            raise ValueError("the checkpoints of `trace` were not all scored by the same metrics")

    @property
    def scores(self) -> Scores:
        """Those of the last checkpoint."""
        return self.trace[-1].scores

    def at(self, scores: Scores) -> Result:
        """The run with scores of any step, as a result."""
        head = {name: getattr(self, name) for name in Head.__struct_fields__}
        return Result(**head, card={}, scores=scores, not_applicable={})


Scored = Result | Trace


def same_identity(record: Scored, other: Head) -> bool:
    """Do two records answer the same question about the same run?"""
    return (record.identity, record.tuning) == (other.identity, other.tuning)

"""`result-<evaluation>.json` with all scores of a run, and `trace-<evaluation>.json` with its scores at every kept
checkpoint. They hold no times, so that a repeated run gives the same files.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from worldbench.records.lines import EvalLine
from worldbench.records.parts import Count, Head, Part, Record
from worldbench.records.scores import Scores


class Training(Part, frozen=True, kw_only=True):
    """The training of a run. curve: the learning curve, in the order of its steps. scored_step: the step whose weights
    were scored; None for the last one.
    """

    curve: list[EvalLine]
    scored_step: Count | None = None


class Result(Record, Head, frozen=True, kw_only=True):
    """All scores of a run under one evaluation. training: None for a model that is not trained. card: facts about the
    world, for people. not_applicable: metric -> reason.
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
    """The scores after a training step."""

    step: Count
    scores: Scores
    not_applicable: dict[str, str]


class Trace(Record, Head, frozen=True, kw_only=True):
    """The scores of a run at its kept checkpoints. trace: in the order of the steps, all with the same metrics in the
    same versions."""

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
        """The scores of the last checkpoint."""
        return self.trace[-1].scores

    def at(self, scores: Scores) -> Result:
        """A result with the head of this trace and other scores."""
        head = {name: getattr(self, name) for name in Head.__struct_fields__}
        return Result(**head, card={}, scores=scores, not_applicable={})


Scored = Result | Trace


def same_identity(record: Scored, other: Head) -> bool:
    """Whether two records have the same identities and budget of tuning."""
    return (record.identity, record.tuning) == (other.identity, other.tuning)

"""The evidence of the runs in a picture. A damaged file costs its picture, and no other one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worldbench.core.errors import InputError
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.records.finding import evidence_folder
from worldbench.records.runs import Result

T = TypeVar("T")


def middle_run(series: Series[Result], metric: str, score: str) -> tuple[Path, Result] | None:
    """The run with the median score among those with evidence of the metric; None without one."""
    return series.middle(f"{metric}.{score}", lambda path: file_of(path, metric).exists())


def file_of(result: Path, metric: str) -> Path:
    """Where the evidence of a metric lies."""
    return evidence_folder(result) / f"{metric}.npz"


def evidence_of(
    material: Material, run: tuple[Path, Result] | None, metric: str, load: Callable[[Path], T]
) -> T | None:
    """What `load` makes of the evidence of a run; None without evidence. A file that cannot be used is named in
    `material.left_out`."""
    if run is None:
        return None
    path = file_of(run[0], metric)
    if not path.exists():
        return None
    try:
        return load(path)
    except InputError as error:
        material.left_out.append(f"left out: {error}")
        return None


def without(name: str, group: Group[Result], absent: list[str]) -> list[str]:
    """A sentence about models that have the scores but no usable evidence, and so are not in a picture."""
    if not absent:
        return []
    return [f"{name}: {group.words}: drawn without {', '.join(absent)}, whose evidence is not beside the records"]


def no_evidence(name: str, metric: str, having: list[Series[Result]]) -> str:
    """Why a figure that needs evidence is not drawn."""
    if not having:
        return f"{name}: not drawn, because no record has the metric {metric}"
    runs = f"{having[0].runs[0][0].parent}"
    what = f"the records with the metric {metric} have no usable evidence ({metric}.npz) beside them"
    return f"{name}: not drawn, because {what}; worldbench eval {runs} makes it again"

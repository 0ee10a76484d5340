"""The budget of tuning behind a record, for tables and for the grouping of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldbench.core.budget import TUNING_SEEDS
from worldbench.core.errors import InputError
from worldbench.records.parts import Head


def cell(record: Head) -> str:
    """Trials x seeds with which the settings of a result were tuned; "-" if they were not tuned."""
    return "-" if record.tuning is None else record.tuning.cell


def spent(record: Head) -> dict[str, Any]:
    """The parts of the budget that must agree for two results to share a row. The file with the trials may differ.
    `halving` and `further` are named only where there were some: the keys of other results are those of older
    versions."""
    tuning = record.tuning
    if tuning is None:
        return {}
    named = {"trials": tuning.trials, "seeds": tuning.seeds, "criterion": tuning.criterion}
    named |= {"halving": tuning.halving} if tuning.halving > 1 else {}
    return named | ({"further": tuning.further} if tuning.further else {})


def refuse_reporting(record: Head, path: Path | None = None) -> None:
    """Raises InputError for a result that was trained or scored on a seed of tuning. path: its file, for the error."""
    for name, seed in (("seed", record.seed), ("eval.seed", record.number("eval", "seed"))):
        if seed is not None and seed in TUNING_SEEDS:
            kept = f"{name} {seed} is one of tuning's, and its results are never reported"
            what = record.command if path is None else str(path)
            raise InputError(f"{what}: {kept}; leave out this file")

"""What a record says of the tuning behind it."""

from __future__ import annotations

from typing import Any

import msgspec

from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import InputError

FREE = ("accumulate", "threads", "device", "checkpoints", "curve_documents")
"""Training options that leave what is trained the same, so that tuned settings stay tuned under others."""


def told(budget: Budget | None) -> dict[str, Any]:
    """What a record says of it: nothing where nothing was tuned."""
    return {} if budget is None else {"tuning": msgspec.structs.asdict(budget)}


def cell(record: dict[str, Any]) -> str:
    """Trials x seeds behind a result's settings; "-" where they were not tuned."""
    tuning = record.get("tuning")
    return f"{tuning['trials']}x{tuning['seeds']}" if tuning else "-"


def spent(record: dict[str, Any]) -> dict[str, Any]:
    """What must agree for two results to share a row: which record holds the trials need not."""
    return {name: value for name, value in record.get("tuning", {}).items() if name != "record"}


def refuse_reporting(record: dict[str, Any]) -> None:
    """Raises InputError for a result that was trained or scored on a seed of tuning."""
    for name, seed in (("seed", record["seed"]), ("eval.seed", record["config"].get("eval", {}).get("seed"))):
        if seed is not None and seed in TUNING_SEEDS:
            raise InputError(f"{record['command']}: {name} {seed} is one of tuning's, and its results are never reported; leave out this file")

"""What stands behind tuned settings, as a result tells it: how many were tried, by which score. And the seeds that tuning keeps to itself."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from worldbench.core.errors import InputError

TUNING_SEEDS = range(1_000_000, 1_001_000)
"""Seeds of training and of evaluation that tuning uses; nothing that is reported may."""
FREE = ("accumulate", "threads", "device", "checkpoints", "curve_documents")
"""Training options that leave what is trained the same, so that tuned settings stay tuned under others."""


@dataclass(frozen=True)
class Budget:
    """How settings were chosen.

    trials: settings tried, the preset's among them. seeds: of training, each trial on all of them. criterion: the score that they were chosen by. record: the
    first 16 hex digits of the SHA-256 of the `tuning.json` that tells every trial.
    """

    trials: int
    seeds: int
    criterion: str
    record: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`16x2,excess_loss.kl,0123456789abcdef`: trials x seeds, criterion, record."""
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*),([^\s,]+),([0-9a-f]{16})", text)
        if found is None:
            example = "16x2,excess_loss.kl,0123456789abcdef"
            raise InputError(f"{text!r} is no budget of tuning: it is TRIALSxSEEDS,CRITERION,RECORD such as {example}, as `worldbench tune` writes it")
        return cls(int(found[1]), int(found[2]), found[3], found[4])

    def __str__(self) -> str:
        return f"{self.trials}x{self.seeds},{self.criterion},{self.record}"


def told(budget: Budget | None) -> dict[str, Any]:
    """What a record says of it: nothing where nothing was tuned."""
    return {} if budget is None else {"tuning": asdict(budget)}


def cell(record: dict[str, Any]) -> str:
    """Trials x seeds behind a result's settings; "-" where they were not tuned."""
    tuning = record.get("tuning")
    return f"{tuning['trials']}x{tuning['seeds']}" if tuning else "-"


def spent(record: dict[str, Any]) -> dict[str, Any]:
    """What must agree for two results to share a row: which record holds the trials need not."""
    return {name: value for name, value in record.get("tuning", {}).items() if name != "record"}


def refuse_seed(name: str, seed: int | None) -> None:
    """Raises InputError for a seed that tuning keeps to itself."""
    if seed is not None and seed in TUNING_SEEDS:
        raise InputError(f"{name} {seed} is one that tuning keeps to itself ({TUNING_SEEDS[0]} .. {TUNING_SEEDS[-1]}), so it is never reported; choose another")


def refuse_reporting(record: dict[str, Any]) -> None:
    """Raises InputError for a result that was trained or scored on a seed of tuning."""
    for name, seed in (("seed", record["seed"]), ("eval.seed", record["config"].get("eval", {}).get("seed"))):
        if seed is not None and seed in TUNING_SEEDS:
            raise InputError(f"{record['command']}: {name} {seed} is one of tuning's, and its results are never reported; leave out this file")

"""Weights of the same training in another folder.

A run whose settings were tuned has a folder of its own, but its training may be that of a run beside it: where the best
trial is the preset, or where two tunings chose the same settings. A run that scores the last weights has the training
of a run that scores those of least loss. Such a training is not repeated.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import clean, write_atomic
from worldbench.runs.config_file import saved_config
from worldbench.runs.prepared import Prepared
from worldbench.runs.weights import complete
from worldbench.training import checkpoint


def take_weights(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> None:
    """Before training: copies the weights, and the log, of a finished run beside `folder` that had the same training
    under another tuning budget or under none, or that scores other weights of it. Does nothing if the folder holds
    weights or a saved state."""
    if checkpoint.kept_steps(folder) or checkpoint.state_path(folder).exists():
        return
    job = prepared.job
    for other in sorted(folder.parent.glob(glob.escape(f"{job.world}-{job.model}-{job.preset}-s{job.seed}-") + "*")):
        if other != folder and _same(prepared, other):
            say(f"the same training is finished in {str(other)!r}: its weights are copied")
            _copy(other, folder)
            return


def _same(prepared: Prepared, other: Path) -> bool:
    try:
        saved = saved_config(other)
        alike = saved.identity.training == prepared.training
        if not alike and prepared.job.groups["train"].scored_step == "last":
            # The other run also measured the loss that chooses its weights. The reverse lacks it, and trains.
            alike = _any_step(saved.training) == _any_step(clean(prepared.content))
        return alike and complete(prepared, other)
    except InputError:  # not a run folder, or a damaged one
        return False


def _any_step(training: dict[str, Any] | None) -> dict[str, Any] | None:
    """The content of a training identity without the rule that chooses the weights that are scored."""
    train = (training or {}).get("train")
    if training is None or not isinstance(train, dict):
        return training
    return training | {"train": {name: value for name, value in train.items() if name != "scored_step"}}


def _copy(other: Path, folder: Path) -> None:
    """The last weights are copied last, because they say that a training is finished."""
    weights = [checkpoint.weights_path(other, step) for step in checkpoint.kept_steps(other)]
    beside = [path for path in (weights[0].with_name("arithmetic.json"), other / "metrics.jsonl") if path.exists()]
    (folder / weights[0].parent.name).mkdir(exist_ok=True)
    for path in (*beside, *weights):
        write_atomic(folder / path.relative_to(other), path.read_bytes())

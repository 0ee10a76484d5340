"""Weights of the same training in another folder.

A run whose settings were tuned has a folder of its own, but its training may be that of a run beside it: where the best
trial is the preset, or where two tunings chose the same settings. Such a training is not repeated.
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.files import write_atomic
from worldbench.runs.config_file import saved_config
from worldbench.runs.prepared import Prepared
from worldbench.runs.weights import complete
from worldbench.training import checkpoint


def take_weights(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> None:
    """Before training: copies the weights, and the log, of a finished run beside `folder` that had the same training
    under another tuning budget or under none. Does nothing if the folder holds weights or a saved state."""
    if checkpoint.kept_steps(folder) or checkpoint.state_path(folder).exists():
        return
    untuned = dataclasses.replace(prepared, job=dataclasses.replace(prepared.job, tuned=None))
    for other in sorted(folder.parent.glob(f"{glob.escape(untuned.folder(folder.parent).name)}*")):
        if other != folder and _same(prepared, other):
            say(f"the same training is finished in {str(other)!r}: its weights are copied")
            _copy(other, folder)
            return


def _same(prepared: Prepared, other: Path) -> bool:
    try:
        return saved_config(other).identity.training == prepared.training and complete(prepared, other)
    except InputError:  # not a run folder, or a damaged one
        return False


def _copy(other: Path, folder: Path) -> None:
    """The last weights are copied last, because they say that a training is finished."""
    weights = [checkpoint.weights_path(other, step) for step in checkpoint.kept_steps(other)]
    beside = [path for path in (weights[0].with_name("arithmetic.json"), other / "metrics.jsonl") if path.exists()]
    (folder / weights[0].parent.name).mkdir(exist_ok=True)
    for path in (*beside, *weights):
        write_atomic(folder / path.relative_to(other), path.read_bytes())

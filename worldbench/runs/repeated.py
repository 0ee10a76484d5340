"""A training that is repeated in a folder whose results were scored with weights that are no longer there.

Training begins an empty `metrics.jsonl`. The earlier one is kept until the new one holds the same bytes: the last
digits of weights depend on the processor, and the results in the folder belong to the earlier training.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular, remove, write_atomic
from worldbench.records.finding import PATTERNS
from worldbench.records.lines import EvalLine
from worldbench.training import checkpoint
from worldbench.training.training_log import LIMIT, digest_of, lines

KEPT = "metrics-before.jsonl"


def keep_log(folder: Path, say: Callable[[str], None]) -> None:
    """Before training: if it starts from the first step, and the folder holds results, keep the earlier log."""
    if checkpoint.state_path(folder).exists() or not any(folder.glob(PATTERNS["result"])):
        return
    if not checkpoint.kept_steps(folder):
        say("this folder has results, but not their weights: training again; the results stay")
    with suppress(InputError):  # there is no log, or nothing that could be read
        if not (folder / KEPT).exists():
            write_atomic(folder / KEPT, read_regular(folder / "metrics.jsonl", LIMIT))


def compare_logs(folder: Path, say: Callable[[str], None]) -> None:
    """After training: remove the earlier log if the new one is the same; else say in what they differ."""
    if not (folder / KEPT).exists():
        return
    before, now = (read_regular(folder / name, LIMIT) for name in (KEPT, "metrics.jsonl"))
    if before == now:
        remove(folder / KEPT)
    elif _curve(before) == _curve(now):
        say(f"the learning curve is the same as before; the earlier losses are kept in {str(folder / KEPT)!r}")
    else:
        say(
            f"this training differs from the earlier one in {str(folder)!r}, whose learning curve is kept in {KEPT}; "
            "another processor may be the reason. The results that were there before are scores of the earlier weights"
        )


def _curve(log: bytes) -> str:
    return digest_of([raw for raw, line in lines(log) if isinstance(line, EvalLine)])

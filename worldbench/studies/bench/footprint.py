"""Peak memory of training a model, measured in a new process: `python -m worldbench.studies.bench.footprint` with a
plan on standard input.

On the CPU: the largest resident set during STEPS complete steps (weights, gradients, the optimizer's moments,
activations), minus the resident set just before the model is built. On CUDA: the peak of torch's allocator.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

STEPS = 2
"""Two steps: only the second holds activations and the optimizer's moments at the same time."""
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    from worldbench.core.plugins import read_plugin
    from worldbench.studies.bench.plan import BenchPlan

    job = json.load(sys.stdin)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in job["plan"].items()}
    plan = BenchPlan(**given)
    for path, sha256 in plan.plugins:
        read_plugin(Path(path), sha256).run()
    print(json.dumps(peak(plan, job["label"])))


def peak(plan: Any, label: str) -> dict[str, Any]:
    """The peak memory in bytes (None where it is not known), and how it was measured."""
    import torch

    from worldbench.studies.bench.timing import build, rows_of
    from worldbench.training.arithmetic import resolve_device, set_up
    from worldbench.training.optimizer import apply_gradients, make_optimizer

    device = resolve_device(plan.device, "--device")
    rows = rows_of(plan)
    set_up(plan.threads)
    batch = rows.batch.to(device)
    torch.mm(torch.ones(256, 256), torch.ones(256, 256))  # allocates the buffers of the matrix library first
    before = _resident("VmRSS")
    objective = build(plan, label, rows).to(device)
    optimizer = make_optimizer(objective, rows.train)
    with contextlib.suppress(OSError):
        RESET.write_text("5", encoding="ascii")  # resets the peak, which still includes loading
    for _ in range(STEPS):
        objective.backward(batch, objective.counts(batch))
        apply_gradients(objective, optimizer, rows.train)
    if device == "cuda":
        return {"bytes": torch.cuda.max_memory_allocated(), "what": "the most that torch's CUDA allocator held"}
    if before is None:
        return {"bytes": None, "what": "not known: this system has no /proc/self/status"}
    after = _resident("VmHWM")
    assert after is not None
    return {
        "bytes": after - before,
        "what": f"largest resident set during {STEPS} steps, minus that before the model is built, in a new process",
    }


def _resident(name: str) -> int | None:
    """Bytes in a line of /proc/self/status: VmRSS, or its peak VmHWM. (`ru_maxrss` would include memory of the
    parent process.)"""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


if __name__ == "__main__":
    main()

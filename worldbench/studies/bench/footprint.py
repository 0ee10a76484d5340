"""The memory that training a model takes, measured in a process of its own: `python -m worldbench.footprint`, a plan on
standard input.

On the CPU: the largest resident set while STEPS whole steps run (weights, gradients, the optimizer's moments,
activations), less the resident set before the model is built, torch and rows loaded. On CUDA: what torch's allocator
held at most.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

STEPS = 2
"""The second has the optimizer's moments beside its activations."""
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    from worldbench.core.plugins import read_plugin
    from worldbench.studies.bench.plan import Plan

    job = json.load(sys.stdin)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in job["plan"].items()}
    plan = Plan(**given)
    for path, sha256 in plan.plugins:
        read_plugin(Path(path), sha256).run()
    print(json.dumps(peak(plan, job["label"])))


def peak(plan: Any, label: str) -> dict[str, Any]:
    import torch

    from worldbench.studies.bench.timing import build, rows_of
    from worldbench.training.arithmetic import resolve_device, set_up
    from worldbench.training.trainer import apply_gradients, make_optimizer

    device = resolve_device(plan.device, "--device")
    rows = rows_of(plan)
    set_up(plan.threads)
    batch = rows.batch.to(device)
    torch.mm(torch.ones(256, 256), torch.ones(256, 256))  # the product library's own buffers
    before = _resident("VmRSS")
    objective = build(plan, label, rows).to(device)
    optimizer = make_optimizer(objective, rows.train)
    with contextlib.suppress(OSError):
        RESET.write_text("5", encoding="ascii")  # what loading took at most is not training's
    for _ in range(STEPS):
        objective.backward(batch, objective.counts(batch))
        apply_gradients(objective, optimizer, rows.train)
    if device == "cuda":
        return {"bytes": torch.cuda.max_memory_allocated(), "what": "the most that torch's CUDA allocator held"}
    if before is None:
        return {"bytes": None, "what": "not known here: it is read off /proc/self/status"}
    after = _resident("VmHWM")
    assert after is not None
    return {
        "bytes": after - before,
        "what": f"largest resident set during {STEPS} steps, above that before the model is built, in a fresh process",
    }


def _resident(name: str) -> int | None:
    """Bytes of a line of /proc/self/status: VmRSS, or VmHWM, its highest. (`ru_maxrss` would count what the parent
    process held.)"""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


if __name__ == "__main__":
    main()

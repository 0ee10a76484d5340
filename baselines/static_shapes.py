"""Whether a training step of an objective reads the device: a check that needs no device.

On a graphics card, the process only starts operations, and runs ahead of them. An operation whose result has a shape
that depends on numbers on the device (`x[mask]`, `torch.nonzero`), and `.item()`, `int(x)` or `if x:`, stop the process
until the device has done everything. The check runs a step with tensors that have shapes and no numbers, on which such
operations are impossible.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from worldbench.baselines.batch import Batch
from worldbench.baselines.objective import Objective
from worldbench.core.errors import RunError


def check_static_shapes(objective: Objective, batch: Batch) -> dict[str, Tensor]:
    """A step (`counts` and `backward`) of an objective on a batch, both on the CPU, in which `backward` gets tensors
    without numbers. Neither the objective nor the batch changes.

    Returns the terms of the loss, tensors without numbers. Raises RunError, which names the line, if `backward` reads a
    number of a tensor, or uses a tensor of another device than the batch's.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode()

    def empty(x: Tensor) -> Tensor:
        return mode.from_tensor(x.detach().to("meta"))

    totals = objective.prepare(batch)
    shadow = without_numbers(objective, empty)
    rows = batch.each(empty)
    try:
        with mode:
            terms = shadow.backward(rows, totals)
    except Exception as error:
        raise RunError(
            f"a step of the objective {objective.name!r} reads the device or mixes devices at {_place(error)} "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}); choose elements "
            "by indices that `Batch.derived` computes in `counts`, or by masks that keep the shape"
        ) from error
    for name, term in terms.items():
        if term.shape != () or term.device.type != "meta":
            raise RunError(
                f"the term {name!r} of the objective {objective.name!r} has shape {list(term.shape)} on "
                f"{term.device.type!r}; return one number on the device of the batch"
            )
    return terms


def without_numbers(objective: Objective, empty: Callable[[Tensor], Tensor]) -> Objective:
    """A copy of the objective whose parameters and buffers are `empty` of its own. No number is copied."""
    made: dict[int, Any] = {id(b): empty(b) for b in objective.buffers()}
    made |= {id(p): nn.Parameter(empty(p), p.requires_grad) for p in objective.parameters()}
    return copy.deepcopy(objective, made)


def _place(error: BaseException) -> str:
    """The file and line of the last step of a traceback that is not torch's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename.replace("\\", "/")]
    return f"{frames[-1].filename}:{frames[-1].lineno}"

"""Training with compiled parts (`train.compile`): `torch.compile` of the modules that an objective names.

All modules of one class share one compiled function, so the time of compiling does not grow with the number of layers.
The functions replace `forward` only while a step computes its gradients. Names of weights stay, and scores, decoding
and the learning curve use the modules as they are.

The compiler chooses how to compute from the sizes that it sees first. So training compiles on the batch of its first
step, also where a saved state is continued: then every process runs the same code.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from worldbench.baselines.attention import Pieces
from worldbench.baselines.objective import Objective
from worldbench.core.errors import InputError, RunError

WITHOUT = "use --train.compile False"
_ISOLATED: dict[str, Any] = (
    {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}
)
"""torch 2.11 and older lack this option. There, the functions compiled from one `forward` in one process count together
towards the limit of recompilations."""


class Compiled:
    """The compiled parts of an objective on a device, `cpu` or `cuda`.

    Raises InputError if the objective names no part, or if the device needs a compiler that is not installed.
    """

    def __init__(self, objective: Objective, device: str) -> None:
        parts = objective.compiled_parts()
        if not parts:
            raise InputError(
                f"train.compile: the objective {objective.name!r} names no module that torch.compile could speed up "
                f"(`compiled_parts`); {WITHOUT}"
            )
        require_compiler(device)
        made: dict[tuple[type, bool], Callable[..., Any]] = {}
        self._forwards: list[tuple[nn.Module, Callable[..., Any]]] = []
        for module, varies in parts:
            key = type(module), varies
            if key not in made:
                made[key] = torch.compile(
                    type(module).forward,
                    fullgraph=True,
                    dynamic=varies,
                    **_ISOLATED,
                    # A cached graph may have been compiled by another run that saw other sizes first.
                    options={"fx_graph_cache": not varies},
                )
            self._forwards.append((module, functools.partial(_call, made[key], module)))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """In the block, the parts compute by their compiled functions. Raises RunError if they cannot be compiled."""
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
        from torch._inductor.exc import InductorError

        for module, forward in self._forwards:
            module.forward = forward  # type: ignore[method-assign]
        try:
            yield
        except FailOnRecompileLimitHit as error:
            raise RunError(
                f"the rows of this training have so many different sizes that torch.compile gave up; {WITHOUT}"
            ) from error
        except (TorchDynamoException, InductorError) as error:
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise RunError(f"torch.compile failed ({first[:300]}); {WITHOUT}") from error
        finally:
            for module, _ in self._forwards:
                module.__dict__.pop("forward", None)


def _call(compiled: Callable[..., Any], module: nn.Module, *inputs: Any) -> Any:
    for pieces in inputs:
        if isinstance(pieces, Pieces):  # The number of documents in the rows varies from step to step.
            torch._dynamo.maybe_mark_dynamic(pieces.starts, 0)
    return compiled(module, *inputs)


def require_compiler(device: str) -> None:
    """Raises InputError if torch.compile lacks the programs that it needs for a device."""
    if device == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise InputError(f"train.compile needs Triton for CUDA devices, which is not installed; {WITHOUT}")
        if not any(map(shutil.which, ("cc", "gcc", "clang"))):
            raise InputError(f"train.compile needs a C compiler, and found no gcc or clang; install one, or {WITHOUT}")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError) as error:
        raise InputError(
            "train.compile needs a C++ compiler, and found none; install g++ (on Debian: apt-get install g++), name "
            f"one in the environment variable CXX, or {WITHOUT}"
        ) from error


def toolchain(device: str) -> str:
    """The compiler behind torch.compile and the instructions that it compiles for, on which the last digits depend."""
    if device == "cuda":
        import triton  # pyright: ignore[reportMissingImports]

        return f"triton {triton.__version__} {torch.cuda.get_device_capability()}"
    from torch._inductor.cpp_builder import get_compiler_version_info, get_cpp_compiler
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    return f"{get_compiler_version_info(get_cpp_compiler())} {pick_vec_isa()}"

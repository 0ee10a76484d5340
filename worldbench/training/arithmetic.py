"""Settings of the process that the last digits of every number depend on: device, threads, deterministic operators,
instruction set.

`set_up` is called before anything is computed. `guard` refuses to continue a training on a machine whose arithmetic
gives other digits.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worldbench.baselines.products import ONEDNN, TORCH, has_onednn, product_of
from worldbench.core import streams
from worldbench.core.errors import InputError, RunError
from worldbench.records.folder import Arithmetic
from worldbench.records.reading import read, write
from worldbench.training.environment import amd, processor
from worldbench.training.precision import computing

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Constants of malloc.h in glibc."""
ROWS, TOKENS, WIDTH = 4, 37, 64
"""Size of the batch that `fingerprint` uses."""


def resolve_device(name: str, option: str = "--train.device") -> str:
    """The device, `cpu` or `cuda`, for `cpu`, `cuda` or `auto` (cuda if torch has a CUDA device).

    option: the option that named the device, for the error. Raises InputError for cuda without a CUDA device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"{option} cuda was asked for, but torch sees no CUDA device; use {option} cpu or a CUDA build of torch"
        )
    return name


def resolve_products(name: str, device: str, precision: str = "fp32") -> str:
    """What computes matrix products, `torch` or `onednn`, for `torch`, `onednn` or `auto`: onednn on the CPU of an AMD
    processor (if this build of torch has it), else torch. device: `cpu` or `cuda`.

    A rule and no timing, so that a machine always chooses the same. Raises InputError for onednn with another precision
    than fp32.
    """
    if name == ONEDNN and precision != "fp32":
        raise InputError(
            f"train.products onednn is for train.precision fp32, not {precision}; use --train.products torch, which in "
            "bf16 is oneDNN on the CPU"
        )
    if name == "auto":
        return ONEDNN if device == "cpu" and precision == "fp32" and amd() and has_onednn() else TORCH
    return name


def set_up(threads: int = 1) -> None:
    """Prepare this process for computing: threads, deterministic operators, reuse of memory.

    threads: number of threads of torch. BLAS, which numpy uses for matrix products and least squares, always gets one
    thread: the last digits of a sum depend on the number of threads, and scores depend on such sums.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    # cuBLAS gives equal digits only with a workspace of fixed size, which it reads before the first CUDA operation.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms(True), without the import of the compiler (0.8 s). With "warn", CUDA's
    # memory-efficient attention would add up gradients in an order that varies.
    torch.set_deterministic_debug_mode("error")
    # torch lets recurrent layers round to tf32 on CUDA, unless this is off.
    torch.backends.cudnn.allow_tf32 = False
    # None of our code reads memory before it writes to it, so that filling new memory only takes time.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    limit_blas()


def limit_blas() -> None:
    """Give every BLAS library of this process one thread, whatever environment variables such as OPENBLAS_NUM_THREADS
    say."""
    import scipy.linalg  # noqa: F401 brings a BLAS of its own, which can be limited once it is loaded
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")


def keep_freed_memory() -> bool:
    """Let glibc reuse large blocks of memory, as each step needs blocks of the same sizes. No result changes.

    Otherwise the kernel provides and clears new pages in every step. Blocks up to 1 GiB are reused, and up to 2 GiB are
    kept while unused. Returns whether this was set: older versions of glibc refuse, and other C libraries are left
    alone.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if platform.libc_ver()[0] == "glibc":
            return bool(libc.mallopt(M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))
    return False


def fingerprint(device: str, products: str = TORCH, precision: str = "fp32", compiler: str = "") -> str:
    """16 hex digits: a digest of the weights of a tiny transformer after two fixed steps, with the present threads, and
    of the name of the compiler, if there is one (`train.compile`).

    Equal fingerprints mean that matrix products, attention, norms, exponentials, gradients and Adam round alike.
    """
    rng, linear = streams.generator("arithmetic"), product_of(products)

    def draw(*shape: int) -> Tensor:
        # Copied, because torch aligns its own tensors for vector instructions, and alignment can change the digits.
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).clone().to(device)

    weights = [draw(WIDTH, WIDTH).mul_(0.1).requires_grad_() for _ in range(5)]
    q, k, v, up, head = weights
    x, target = draw(ROWS, TOKENS, WIDTH), torch.from_numpy(rng.integers(0, WIDTH, ROWS * TOKENS)).to(device)
    optimizer = torch.optim.AdamW(weights, lr=1e-2, fused=True)
    for _ in range(2):
        with computing(precision, device):
            h = F.rms_norm(x, (WIDTH,))
            query, key, value = (linear(h, w)[:, None] for w in (q, k, v))
            h = F.scaled_dot_product_attention(query, key, value, is_causal=True)[:, 0]
            h = h + F.silu(linear(h, up))
            F.cross_entropy(linear(h, head).flatten(0, 1), target).backward()
        torch.nn.utils.clip_grad_norm_(weights, 0.5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    raw = b"".join(w.detach().cpu().numpy().tobytes() for w in weights)
    return hashlib.sha256(raw + compiler.encode()).hexdigest()[:16]


def arithmetic(device: str, products: str = TORCH, precision: str = "fp32", compiler: str = "") -> Arithmetic:
    """The hardware behind `device`, its instruction set, and the fingerprint of its arithmetic in this process."""
    cuda = device == "cuda"
    return Arithmetic(
        device=torch.cuda.get_device_name() if cuda else processor(),
        instructions=None if cuda else torch.backends.cpu.get_cpu_capability(),
        fingerprint=fingerprint(device, products, precision, compiler),
    )


def guard(
    folder: Path, device: str, goes_on: bool, products: str = TORCH, precision: str = "fp32", compiler: str = ""
) -> None:
    """Record the arithmetic at the start of a training; when a training is continued, compare it with the record.

    folder: the run folder; the record is `checkpoint/arithmetic.json`. goes_on: whether a saved state is continued.
    precision: `train.precision`. compiler: what `compiled.toolchain` names, with `train.compile`. Raises RunError if
    the arithmetic differs: the weights would then be those of neither machine.
    """
    path, here = folder / "checkpoint" / "arithmetic.json", arithmetic(device, products, precision, compiler)
    if not goes_on:
        write(path, here)
        return
    if not path.exists():  # the training began with a version that kept no such record
        return
    began = read(path, Arithmetic)
    if (began.instructions, began.fingerprint) == (here.instructions, here.fingerprint):
        return
    if began.instructions and began.instructions != here.instructions:
        way = f"set ATEN_CPU_CAPABILITY={began.instructions.lower()} on a processor that has these instructions"
    elif began.device == here.device:
        way = "set the environment variables of the math libraries (MKL_.., ONEDNN_..) as they were"
        way += ", and use the compiler of that time" if compiler else ""
    else:
        way = "go on there"
    raise RunError(
        f"the training in {str(folder)!r} began on {_named(began)}; this is {_named(here)}, whose results differ in "
        f"the last digits, so the weights would be a mixture; {way}, or train again in another folder (--out)"
    )


def _named(record: Arithmetic) -> str:
    return record.device + (f" with {record.instructions} instructions" if record.instructions else "")

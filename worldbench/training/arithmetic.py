"""What the last digits of every number depend on beside versions: the device, threads, deterministic operators, the
instruction set.

`set_up` is called before anything is computed. `guard` keeps a training from going on where arithmetic gives other
digits.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worldbench.core import streams
from worldbench.core.errors import InputError, RunError
from worldbench.records.folder import Arithmetic
from worldbench.records.reading import read, write
from worldbench.training.environment import processor

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
ROWS, TOKENS, WIDTH = 4, 37, 64
"""Of the batch that `fingerprint` computes with."""


def resolve_device(name: str, option: str = "--train.device") -> str:
    """`cpu` or `cuda`, where `auto` is cuda if there is one.

    option: the option that named the device, for the error.
    Raises InputError for cuda where torch sees none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"{option} cuda was asked for, but torch sees no CUDA device; use {option} cpu or a CUDA build of torch"
        )
    return name


def set_up(threads: int = 1) -> None:
    """Set what computing needs in this process: threads, operators that always give the same bits, memory that stays.

    threads: of torch. BLAS, which numpy's matrix products and least squares use, always has one thread: sums over
    several threads differ in their last digits, and scores are made of them.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # our kernels read nothing that they did not write
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    limit_blas()


def limit_blas() -> None:
    """Give every BLAS of this process one thread, whatever OPENBLAS_NUM_THREADS and its like say."""
    import scipy.linalg  # noqa: F401 brings a BLAS of its own, which can be limited once it is loaded
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")


def keep_freed_memory() -> bool:
    """Let glibc reuse large blocks, of which each step asks for the same again. No result changes.

    Otherwise the kernel clears new pages at every step. Blocks up to 1 GiB are reused, up to 2 GiB kept when nothing
    uses them. Returns whether that was set: older versions refuse, and other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if platform.libc_ver()[0] == "glibc":
            return bool(libc.mallopt(M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))
    return False


def fingerprint(device: str) -> str:
    """Sixteen hex digits of the weights after two steps of a tiny transformer, from fixed draws, with the present
    threads.

    Where they are equal, matrix products, attention, norms, exponentials, gradients and Adam round alike.
    """
    rng = streams.generator("arithmetic")

    def draw(*shape: int) -> Tensor:
        # copied, as torch lays its own tensors where vector instructions start: the place alone can change the digits
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).clone().to(device)

    weights = [draw(WIDTH, WIDTH).mul_(0.1).requires_grad_() for _ in range(5)]
    q, k, v, up, head = weights
    x, target = draw(ROWS, TOKENS, WIDTH), torch.from_numpy(rng.integers(0, WIDTH, ROWS * TOKENS)).to(device)
    optimizer = torch.optim.AdamW(weights, lr=1e-2, fused=True)
    for _ in range(2):
        h = F.rms_norm(x, (WIDTH,))
        query, key, value = (F.linear(h, w)[:, None] for w in (q, k, v))
        h = F.scaled_dot_product_attention(query, key, value, is_causal=True)[:, 0]
        h = h + F.silu(F.linear(h, up))
        F.cross_entropy(F.linear(h, head).flatten(0, 1), target).backward()
        torch.nn.utils.clip_grad_norm_(weights, 0.5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    raw = b"".join(w.detach().cpu().numpy().tobytes() for w in weights)
    return hashlib.sha256(raw).hexdigest()[:16]


def arithmetic(device: str) -> Arithmetic:
    """What computes on that device in this process, and the fingerprint of its digits."""
    cuda = device == "cuda"
    return Arithmetic(
        device=torch.cuda.get_device_name() if cuda else processor(),
        instructions=None if cuda else torch.backends.cpu.get_cpu_capability(),
        fingerprint=fingerprint(device),
    )


def guard(folder: Path, device: str, goes_on: bool) -> None:
    """Write down the arithmetic that a training begins with, or hold it against the one that the training began with.

    folder: of the run; the record is `checkpoint/arithmetic.json`. goes_on: is there a saved state to go on from?
    Raises RunError where the arithmetic differs: the weights would be those of neither machine.
    """
    path, here = folder / "checkpoint" / "arithmetic.json", arithmetic(device)
    if not goes_on:
        write(path, here)
        return
    if not path.exists():  # begun by a version that kept no such record
        return
    began = read(path, Arithmetic)
    if (began.instructions, began.fingerprint) == (here.instructions, here.fingerprint):
        return
    if began.instructions and began.instructions != here.instructions:
        way = f"set ATEN_CPU_CAPABILITY={began.instructions.lower()} on a processor that has these instructions"
    elif began.device == here.device:
        way = "set the environment variables of the math libraries (MKL_.., ONEDNN_..) as they were"
    else:
        way = "go on there"
    raise RunError(
        f"the training in {str(folder)!r} began on {_told(began)}; this is {_told(here)}, "
        "and its results differ in the "
        f"last digits, so the weights would be those of neither; {way}, or train anew in another folder (--out)"
    )


def _told(record: Arithmetic) -> str:
    return record.device + (f" with {record.instructions} instructions" if record.instructions else "")

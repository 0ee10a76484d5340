"""Checks of the arithmetic of a device: matrix products, bf16, tf32, and the compiler."""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from worldbench.core.errors import RunError
from worldbench.studies.doctor.checks import Check, Device, Outcome, reason_of

SIZE = {"cpu": (1024, 256, 1024), "cuda": (4096, 1024, 4096)}
"""n, k and m of the product [n, k] x [k, m] that is timed on each device."""
ROUNDS = 7
WORST = {"fp32": 1e-5, "bf16": 2e-2, "tf32": 2e-3}
"""Largest error of a product, relative to the largest value of the exact product."""
COMPILER = {
    "cpu": "install a C++ compiler (Debian and Ubuntu: apt install g++)",
    "cuda": "install triton, which comes with the CUDA builds of torch, and a C compiler (apt install gcc python3-dev)",
}


def checks(device: Device) -> list[Check]:
    """The checks of products. Everything but fp32 is optional: no default setting uses it."""
    out = [
        Check(device, "products", functools.partial(products, device), "install the torch of constraints.txt"),
        Check(device, "bf16", functools.partial(bf16, device), optional=True),
    ]
    return out if device == "cpu" else [*out, Check(device, "tf32", functools.partial(tf32, device), optional=True)]


def compiler(device: Device) -> Check:
    """The check of the compiler."""
    work = functools.partial(compiled, device)
    return Check(device, "compile", work, COMPILER[device], optional=True, limit=120)


def products(device: Device) -> Outcome:
    """fp32 matrix products: their error, their speed, and on the CPU the libraries that can compute them."""
    import torch

    from worldbench.baselines.products import has_onednn
    from worldbench.training.arithmetic import amd, resolve_products

    _set_up(device)
    rates = {"fp32": _rate(device, torch.mm)}
    _require("fp32", _error(device, torch.mm))
    if device == "cuda":
        values = {"operations_per_second": rates}
        return Outcome(f"cuBLAS, {_teraflops(rates['fp32'])} in fp32", values=values)
    mkl, onednn = torch.backends.mkl.is_available(), has_onednn()
    rates["onednn"] = _rate(device, _by_onednn) if onednn else 0.0
    used = resolve_products("auto", device)
    why = "the processor is from AMD" if amd() else "the processor is not from AMD"
    if amd() and not onednn:
        why = "this torch has no oneDNN"
    library = "MKL" if mkl else "a BLAS other than MKL"
    other = _gigaflops(rates["onednn"]) if onednn else "not available"
    text = (
        f"train.products auto is {used} here, because {why}; one thread, torch ({library}): "
        f"{_gigaflops(rates['fp32'])}, onednn: {other}"
    )
    return Outcome(text, values={"products": used, "mkl": mkl, "onednn": onednn, "operations_per_second": rates})


def bf16(device: Device) -> Outcome:
    """Matrix products under autocast to bf16."""
    import torch

    _set_up(device)

    def product(a: Any, b: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return torch.mm(a, b)

    _require("bf16", _error(device, product))
    rates = {"fp32": _rate(device, torch.mm), "bf16": _rate(device, lambda a, b: torch.mm(a.bfloat16(), b.bfloat16()))}
    ratio = rates["bf16"] / rates["fp32"]
    text = f"products in bf16 are {ratio:.1f} times as fast as in fp32"
    values = {"operations_per_second": rates}
    if device == "cuda":
        return Outcome(f"{text} ({_teraflops(rates['bf16'])})", values=values)
    units = [
        name
        for name, there in (
            ("AMX", getattr(torch.cpu, "_is_amx_tile_supported", bool)()),
            ("AVX512_BF16", getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()),
        )
        if there
    ]
    return Outcome(f"{text} ({' and '.join(units) or 'no instructions of its own'})", values=values | {"units": units})


def tf32(device: Device) -> Outcome:
    """Matrix products in tf32, which only cards of compute capability 8.0 and above have."""
    import torch

    _set_up(device)
    fp32, exact = _rate(device, torch.mm), _error(device, torch.mm)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        error, rate = _error(device, torch.mm), _rate(device, torch.mm)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    _require("tf32", error)
    values = {"operations_per_second": {"fp32": fp32, "tf32": rate}}
    if error <= 2 * exact:
        return Outcome("this card has no tf32: products stay in fp32", "absent", "", values)
    return Outcome(f"products in tf32 are {rate / fp32:.1f} times as fast as in fp32", values=values)


def compiled(device: Device) -> Outcome:
    """A function of a few operations, compiled by `torch.compile` in a fresh cache. Raises RunError if
    the compiled function gives other numbers."""
    import torch
    from torch.nn import functional as F

    _set_up(device)

    def work(x: Any, w: Any) -> Any:
        return F.silu(F.rms_norm(x, (64,)) @ w).square().mean(-1)

    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(size, generator=generator).to(device) for size in ((32, 64), (64, 64)))
    with tempfile.TemporaryDirectory(prefix="worldbench-doctor-") as folder:
        # A kept cache would hide that no compiler is there.
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": folder}
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        started = time.monotonic()
        try:
            got = torch.compile(work, fullgraph=True)(x, w)
        except Exception as error:  # the compiler raises many types
            return Outcome(f"torch.compile fails ({reason_of(error)})", "absent", COMPILER[device])
        seconds = time.monotonic() - started
    if not torch.allclose(got, work(x, w), rtol=1e-3, atol=1e-4):
        raise RunError("a compiled function gives other numbers than the function itself")
    return Outcome(
        f"train.compile can be used: torch.compile works ({seconds:.1f} s for a small function)",
        values={"compile_seconds": seconds},
    )


def _set_up(device: Device) -> None:
    from worldbench.training.arithmetic import set_up

    set_up(1)


def _factors(device: Device) -> tuple[Any, Any]:
    import torch

    n, k, m = SIZE[device]
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(size, generator=generator).to(device) for size in ((n, k), (k, m)))  # type: ignore[return-value]


def _error(device: Device, product: Callable[[Any, Any], Any]) -> float:
    """The largest error of a product of the first 256 rows, relative to the largest value."""
    a, b = _factors(device)
    a = a[:256].contiguous()
    exact = a.double().cpu() @ b.double().cpu()
    return float((product(a, b).double().cpu() - exact).abs().max() / exact.abs().max())


def _require(precision: str, error: float) -> None:
    if not error <= WORST[precision]:
        raise RunError(f"a product in {precision} has a relative error of {error:.1g}, more than {WORST[precision]:g}")


def _rate(device: Device, product: Callable[[Any, Any], Any]) -> float:
    """Operations per second of a product with random factors: the median of some rounds after two others."""
    from worldbench.studies.bench.times import Times

    factors, times = _factors(device), Times()
    for i in range(ROUNDS + 2):
        times.take(lambda: product(*factors), device, keep=i > 1)
    n, k, m = SIZE[device]
    return 2 * n * k * m / statistics.median(times.wall)


def _by_onednn(a: Any, b: Any) -> Any:
    from worldbench.baselines.products import ONEDNN, product_of

    return product_of(ONEDNN)(a, b.t())


def _gigaflops(rate: float) -> str:
    return f"{rate / 1e9:.0f} billion operations per second"


def _teraflops(rate: float) -> str:
    return f"{rate / 1e12:.1f} trillion operations per second"

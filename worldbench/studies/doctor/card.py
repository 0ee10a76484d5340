"""Checks of a graphics card: is there a CUDA device that torch can use, and if not, why not?"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from worldbench.studies.doctor.checks import Check, Outcome, reason_of

DRIVER = Path("/proc/driver/nvidia/version")
WITH_CUDA = "install a CUDA build of torch (docs/installing.md), or train with --train.device cpu"


NO_CARD = "use a machine with a graphics card of NVIDIA, or train with --train.device cpu"


def checks() -> list[Check]:
    """The check of CUDA. Without a CUDA device, everything works on the CPU. A device that is there and does not work
    is a failure, because training would choose it."""
    return [Check("machine", "cuda", cuda, "look at the output of nvidia-smi, or train with --train.device cpu")]


def cuda() -> Outcome:
    """The CUDA device that torch uses; or why torch uses none."""
    import torch

    driver = driver_version()
    values: dict[str, Any] = {"available": False, "driver": driver, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        return _device(driver)
    text, remedy = why_not(driver)
    return Outcome(f"not used: {text}", "absent", remedy, values)


def why_not(driver: str | None) -> tuple[str, str]:
    """Why torch uses no CUDA device, and what to do. driver: the version of the installed driver."""
    import torch

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and driver is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every card", "unset CUDA_VISIBLE_DEVICES"
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None:
        if driver is None:
            return f"no driver of NVIDIA is installed, and {build} is a build without CUDA", NO_CARD
        return f"{build} is a build without CUDA, although the driver {driver} is installed", WITH_CUDA
    try:
        torch.cuda.init()
        reason = "torch.cuda.is_available() is false"
    except Exception as error:  # torch raises many types here, by its version
        reason = reason_of(error)
    if "too old" in reason or "insufficient" in reason:
        remedy = f"install a driver for CUDA {torch.version.cuda}, or a torch for an older CUDA"
        return f"the driver {driver or ''} is too old for {build} ({reason})", remedy
    if driver is None:
        return f"no driver of NVIDIA is installed ({reason})", "install the driver if this machine has a card of NVIDIA"
    return f"{reason} (driver {driver}, {build})", "look at the output of nvidia-smi; a restart may be needed"


def _device(driver: str | None) -> Outcome:
    import torch

    p = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    count, capability = torch.cuda.device_count(), f"{p.major}.{p.minor}"
    values = {
        "available": True, "driver": driver, "cuda": torch.version.cuda, "name": p.name, "count": count,
        "capability": capability, "bytes": total, "free_bytes": free, "kernels": torch.cuda.get_arch_list(),
    }  # fmt: skip
    more = f", the first of {count} cards" if count > 1 else ""
    text = f"{p.name}{more}, compute capability {capability}, {total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"
    return Outcome(f"{text}; CUDA {torch.version.cuda}, driver {driver or 'unknown'}", values=values)


def driver_version() -> str | None:
    """The version of NVIDIA's driver; None without a driver."""
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=15)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0 and done.stdout.strip():
            return done.stdout.split()[0]
    try:
        words = DRIVER.read_text(encoding="utf-8", errors="replace").split("\n")[0].split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), "of unknown version")

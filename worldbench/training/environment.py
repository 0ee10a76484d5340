"""The versions and the hardware that the last digits of a result depend on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from worldbench.core.version import __version__
from worldbench.records.parts import Environment


def environment() -> Environment:
    """The versions and the hardware of this process."""
    import numpy
    import torch

    return Environment(
        worldbench=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        numpy=numpy.__version__,
        processor=processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        **commit(),
    )


def processor() -> str:
    """The name of this machine's processor."""
    return _of_processor("model name") or platform.processor() or platform.machine()


def amd() -> bool:
    """True if AMD made this machine's processor."""
    return "AuthenticAMD" in (_of_processor("vendor_id") or platform.processor())


def _of_processor(name: str) -> str:
    """A value in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def commit() -> dict[str, Any]:
    """Fields of `Environment` for the git checkout that worldbench runs from; none for an installed package."""
    import subprocess

    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {}

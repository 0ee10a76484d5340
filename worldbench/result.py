"""The result file: what was run, on what, how, and every score. Written last and whole; no clock in it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import read_json

SCHEMA_VERSION = 1


def environment() -> dict[str, Any]:
    """Versions and hardware that the last bits of a result depend on."""
    import numpy
    import torch

    import worldbench

    return {
        "worldbench": worldbench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "processor": _processor(),
        **commit(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> dict[str, Any]:
    """The commit of the checkout that worldbench runs from; nothing for an installed wheel."""
    import subprocess

    import worldbench

    root = Path(worldbench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def load_result(path: Path) -> dict[str, Any]:
    """A result file of any schema version that was ever published, as a record of the present one."""
    record = read_json(path)
    if not isinstance(record, dict) or "schema_version" not in record:
        raise InputError(f"{str(path)!r} is not a result file: it has no schema_version")
    if record["schema_version"] > SCHEMA_VERSION:
        raise InputError(f"{str(path)!r} was written by a newer worldbench (schema {record['schema_version']}, this one reads up to {SCHEMA_VERSION}); upgrade")
    missing = [k for k in ("world", "model", "config", "identity", "scores") if k not in record]
    if missing:
        raise InputError(f"{str(path)!r} is not a whole result file: it lacks {', '.join(missing)}")
    return record


def find_results(paths: list[Path]) -> list[Path]:
    """Result files named, or found below the folders named."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("result*.json"))
            if not inside:
                raise InputError(f"there is no result file below {str(path)!r}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"there is no file or folder {str(path)!r}")
    return found

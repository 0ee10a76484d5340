"""The result file: what was run, on what, how, and every score; the trace: the same at every kept checkpoint. Written last and whole; no clock in them."""

from __future__ import annotations

import itertools
import platform
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import read_json

SCHEMA_VERSION = 1
TRACE_VERSION = 1


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
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        **commit(),
    }


def processor() -> str:
    """The name of this machine's processor."""
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
    return _load(path, "result", SCHEMA_VERSION, ("world", "model", "config", "identity", "scores"))


def load_trace(path: Path) -> dict[str, Any]:
    """A trace file: the record of a run, with `trace` (by kept checkpoint: step and scores) and, so that it reads like a result, the last one's `scores`.

    Raises InputError unless its steps go up and every one of them has the same metrics in the same versions.
    """
    record = _load(path, "trace", TRACE_VERSION, ("world", "model", "config", "identity", "trace"))
    points = record["trace"]
    if not points or any("step" not in p or "scores" not in p for p in points):
        raise InputError(f"{str(path)!r} is not a whole trace file: it lacks the scores of its checkpoints")
    if any(p["step"] >= q["step"] for p, q in itertools.pairwise(points)):
        raise InputError(f"{str(path)!r} is damaged: its steps do not go up")
    if len({tuple((name, m["version"], m["primary"]) for name, m in p["scores"].items()) for p in points}) > 1:
        raise InputError(f"{str(path)!r} is damaged: its checkpoints were not all scored by the same metrics")
    for name, m in points[0]["scores"].items():
        if any(m["primary"] not in p["scores"][name]["scores"] for p in points):
            raise InputError(f"{str(path)!r} is damaged: {name} lacks its score {m['primary']}")
    return record | {"scores": points[-1]["scores"]}


def _load(path: Path, kind: str, newest: int, needed: tuple[str, ...]) -> dict[str, Any]:
    record = read_json(path)
    if not isinstance(record, dict) or "schema_version" not in record:
        raise InputError(f"{str(path)!r} is not a {kind} file: it has no schema_version")
    if record["schema_version"] > newest:
        raise InputError(f"{str(path)!r} was written by a newer worldbench (schema {record['schema_version']}, this one reads up to {newest}); upgrade")
    missing = [k for k in needed if k not in record]
    if missing:
        raise InputError(f"{str(path)!r} is not a whole {kind} file: it lacks {', '.join(missing)}")
    return record


def find_results(paths: list[Path]) -> list[Path]:
    """Result files named, or found below the folders named."""
    return _find(paths, ("result",))


def find_records(paths: list[Path]) -> list[Path]:
    """Result and trace files named, or found below the folders named."""
    return _find(paths, ("result", "trace"))


def is_trace(path: Path) -> bool:
    record = read_json(path)
    return isinstance(record, dict) and "trace" in record


def _find(paths: list[Path], kinds: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for kind in kinds for file in path.rglob(f"{kind}*.json"))
            if not inside:
                raise InputError(f"there is no {' or '.join(kinds)} file below {str(path)!r}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"there is no file or folder {str(path)!r}")
    return found

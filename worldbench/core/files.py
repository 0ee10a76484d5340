"""Files that are whole or absent: atomic writes, canonical JSON, digests, a lock per folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, RunError


def clean(value: Any) -> Any:
    """`value` with tuples as lists and numbers that JSON lacks (nan, inf) as None."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, np.ndarray):
        return clean(value.tolist())
    return value


def to_json(value: Any, indent: int | None = 1) -> str:
    """JSON in one form: keys in the order given, no nan, floats by repr."""
    return json.dumps(clean(value), indent=indent, ensure_ascii=False, allow_nan=False)


def identity_hash(value: Any) -> str:
    """Sixteen hex digits of the sorted JSON of `value`."""
    text = json.dumps(clean(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> Path:
    """Create a folder, or say in one sentence why that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write to the folder {str(path)!r} ({error.strerror}); choose another with --out") from error
    return path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file beside its place, flush it to the disk, move it there. The old file stays until then."""
    raw = data.encode() if isinstance(data, str) else data
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise RunError(f"cannot write {str(path)!r} ({error.strerror}); what was saved before is intact, make room and run the same command again") from error


def read_json(path: Path) -> Any:
    """A JSON file, or one sentence on what is wrong with it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON ({error})") from error


@contextlib.contextmanager
def lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `folder` for this process (or wait until another lets go of it); the kernel lets go when the process ends, however it ends."""
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise RunError(f"another process is working in {str(folder)!r}; wait for it, or choose another seed or --out") from error
        yield
    finally:
        os.close(handle)

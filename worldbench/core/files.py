"""Files that are whole or absent: atomic writes, canonical JSON, digests, a lock per folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, RunError

LIMIT = 1 << 30
"""The most bytes of a file that are read, where the caller does not say: 1 GiB."""
JSON_LIMIT = 1 << 26
"""Of a JSON file: 64 MiB. The objects that Python makes of it take up to some twenty times as much memory."""
PIECE = 1 << 24
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


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


def read_regular(path: Path, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file, or of the regular file that a link leads to. A FIFO or a device is refused and never waited for.

    limit: the most bytes that the file may hold.
    Raises InputError for a path that is absent, unreadable, no regular file, or larger than `limit`.
    """
    try:
        _check_regular(path, os.stat(path).st_mode)  # before it is opened, as opening alone moves some devices
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _check_regular(path, os.fstat(handle).st_mode)  # it may have been replaced since
            pieces, size = [], 0
            while size <= limit and (piece := os.read(handle, min(PIECE, limit + 1 - size))):
                pieces.append(piece)
                size += len(piece)
        finally:
            os.close(handle)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({error.strerror})") from error
    except ValueError as error:  # a name that no file can have: it holds a NUL or half a character
        raise InputError(f"cannot read {str(path)!r} ({error})") from error
    if size > limit:
        raise InputError(f"{str(path)!r} holds more than {limit:,} bytes, the most that is read of such a file; check that it is the right one")
    return b"".join(pieces)


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "a special file")
        raise InputError(f"{str(path)!r} is {kind}, not a regular file; name a regular file")


def read_text(path: Path, limit: int = LIMIT) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark; every line end as a newline.

    Raises InputError as `read_regular` does, and for bytes that are not UTF-8.
    """
    try:
        text = read_regular(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:
    """A JSON file, or one sentence on what is wrong with it.

    Raises InputError as `read_text` does, and for what is not JSON.
    """
    text = read_text(path, limit)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON ({error})") from error
    except RecursionError as error:
        raise InputError(f"{str(path)!r} is not JSON that can be read (its lists and objects are nested too deeply)") from error


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

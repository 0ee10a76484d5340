"""Files that are whole or absent: atomic writes, canonical JSON, digests, a lock per folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import itertools
import json
import logging
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, RunError
from worldbench.core.text import encodable

LIMIT = 1 << 30
"""The most bytes of a file that are read, where the caller does not say: 1 GiB."""
JSON_LIMIT = 1 << 26
"""Of a JSON file: 64 MiB. The objects that Python makes of it take up to some twenty times as much memory."""
PIECE = 1 << 24
HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""One of two escapes that are one character together: alone, no text can hold it."""
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What file systems answer that have no locks, or cannot flush a folder."""
LOG = logging.getLogger("worldbench")
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


INFINITE = {"inf": math.inf, "-inf": -math.inf}
"""How records write numbers that JSON lacks."""


def clean(value: Any) -> Any:
    """`value` with tuples as lists, numbers that JSON lacks (nan, inf) as None, and text that UTF-8 can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(k)): clean(v) for k, v in value.items()}
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
    """Of a regular file of any size."""
    with _opened(path) as handle, os.fdopen(handle, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path, way: str = "choose another with --out") -> Path:
    """Create a folder and those above it. way: what to do where that cannot be, for the error.

    Raises InputError.
    """
    try:
        absent = list(itertools.takewhile(lambda folder: not folder.is_dir(), (path, *path.parents)))
        path.mkdir(parents=True, exist_ok=True)
        for folder in absent:
            sync_folder(folder.parent)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write to the folder {str(path)!r} ({reason(error)}); {way}") from error
    return path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file beside its place, flush it to the disk, move it there. The old file stays until then.

    After a kill, `.NAME.part` may be left beside it. The next write of the same file, or the next `lock` of the folder,
    removes that one.
    Links are never followed: neither one in the place of the file, which is replaced, nor one in the place of the part.
    Raises RunError; the old file is then as it was.
    """
    raw = data.encode() if isinstance(data, str) else data
    part = path.with_name(f".{path.name}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            write_all(handle, raw)
            os.fsync(handle)
            if not _is(part, handle):
                raise RunError(
                    f"another process writes {str(path)!r} at the same time; wait for it and run the same command again"
                )
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                if _is(part, handle):
                    part.unlink()
            raise
        finally:
            os.close(handle)
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from error


def _is(path: Path, handle: int) -> bool:
    """Is the file at `path` still the one that is open?"""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def write_all(handle: int, data: bytes) -> None:
    """All of `data`, however few bytes the system takes at once."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut: files that were made, moved or removed there."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it can be written to, but not listed
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, so that it is gone after a power cut too. Nothing where there is none."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"cannot remove {str(path)!r} ({reason(error)}); remove it and run the same command again"
        ) from error


def reason(error: OSError | ValueError) -> str:
    """What the system says of an error, in its own words."""
    return str(getattr(error, "strerror", None) or error)


def cannot_write(path: Path, error: OSError | ValueError) -> RunError:
    """The error of a write that failed."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    way = "make room" if full else "make it possible to write there"
    return RunError(
        f"cannot write {str(path)!r} ({reason(error)}); what was saved before is intact, "
        f"{way} and run the same command again"
    )


def read_regular(path: Path, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file, or of the regular file that a link leads to. A FIFO or a device is never waited for.

    limit: the most bytes that the file may hold.
    Raises InputError for a path that is absent, unreadable, no regular file, or larger than `limit`.
    """
    raw = read_start(path, limit + 1)
    if len(raw) > limit:
        most = f"{limit:,} bytes, the most that is read of such a file"
        raise InputError(f"{str(path)!r} holds more than {most}; check that it is the right one")
    return raw


def read_start(path: Path, count: int) -> bytes:
    """The first `count` bytes of a regular file, or all of a shorter one.

    Raises InputError as `read_regular` does, but for no size.
    """
    pieces, left = [], count
    with _opened(path) as handle:
        while left and (piece := os.read(handle, min(PIECE, left))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A regular file, open to be read. Errors within are the file's too."""
    try:
        _check_regular(path, os.stat(path).st_mode)  # before it is opened, as opening alone moves some devices
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _check_regular(path, os.fstat(handle).st_mode)  # it may have been replaced since
            yield handle
        finally:
            os.close(handle)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a ValueError: a name with a NUL or half a character, which no file has
        raise InputError(f"cannot read {str(path)!r} ({reason(error)})") from error


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
        raise InputError(
            f"{str(path)!r} is not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start}); "
            "save it as UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:
    """A JSON file, or one sentence on what is wrong with it.

    Raises InputError as `read_text` does, and for what is not JSON.
    """
    text = read_text(path, limit)
    try:
        value = json.loads(text)
        if HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise InputError(
            f"{str(path)!r} is not JSON that can be read (a string holds half a character, {half})"
        ) from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON ({error})") from error
    except RecursionError as error:
        raise InputError(
            f"{str(path)!r} is not JSON that can be read (its lists and objects are nested too deeply)"
        ) from error


@contextlib.contextmanager
def lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `folder` for this process. The kernel lets go of it when the process ends, however it ends.

    wait: until another process lets go, instead of raising.

    What a killed process left half written in the folder is removed. Where the file system has no locks, the work goes
    on without one, and a warning says so.
    Raises RunError where another process holds the folder, or where it cannot be locked for another reason.
    """
    path = folder / ".lock"
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else reason(error)
        raise RunError(
            f"cannot open the lock {str(path)!r} ({why}); remove it if it is there, or choose another folder with --out"
        ) from error
    try:
        if _take(handle, folder, wait):
            _remove_parts(folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path, wait: bool) -> bool:
    """Whether the lock was taken; False where the file system has none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise RunError(
            f"another process is working in {str(folder)!r}; wait for it, or choose another seed or --out"
        ) from error
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise RunError(
                f"cannot lock {str(folder)!r} ({reason(error)}); see to its disk, or choose another folder with --out"
            ) from error
        _warn_unlocked(reason(error))
        return False
    return True


@functools.cache
def _warn_unlocked(why: str) -> None:
    """Once a process."""
    LOG.warning("the file system has no locks (%s): let no two commands work in one folder at the same time", why)


def _remove_parts(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".part"):
                remove(Path(parent, name))

"""Files that are complete or absent: atomic writes, canonical JSON, digests, one lock per folder."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, RunError
from worldbench.core.text import encodable

LIMIT = 1 << 30
"""The largest file that is read, in bytes, if the caller gives no limit: 1 GiB."""
JSON_LIMIT = 1 << 26
"""The largest JSON file that is read, in bytes: 64 MiB. The parsed objects take up to about twenty times as much
memory."""
PIECE = 1 << 24
HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""One escape of a surrogate pair. A lone surrogate cannot be part of any text."""
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""Errors of file systems that have no locks, or that cannot flush a folder."""
LOG = logging.getLogger("worldbench")
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


INFINITE = {"inf": math.inf, "-inf": -math.inf}
"""How records write infinite numbers, which JSON lacks."""


def clean(value: Any) -> Any:
    """`value` ready for JSON: tuples as lists, NaN and infinity as None, text that UTF-8 can encode."""
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
    """Canonical JSON: keys in the given order, NaN as null, floats as `repr` writes them."""
    return json.dumps(clean(value), indent=indent, ensure_ascii=False, allow_nan=False)


def identity_hash(value: Any) -> str:
    """The first sixteen hex digits of the SHA-256 of `value` as JSON with sorted keys."""
    text = json.dumps(clean(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file of any size, in hex digits."""
    with _opened(path) as handle, os.fdopen(handle, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path, way: str = "choose another with --out") -> Path:
    """Creates a folder and its parents. `way`: what the user can do if that fails, for the error message.

    Raises InputError if the folder cannot be created or written to.
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
    """Writes a complete file under a temporary name, flushes it to the disk, and moves it to `path`. Until then the
    old file stays.

    A killed process may leave `.NAME.part` in the folder. The next write of the same file removes it, and so does
    the next `lock` of the folder. Links are never followed: a link at `path` is replaced, and a link in place of the
    part is removed. Raises RunError if the write fails. The old file is then unchanged.
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
    """True if the file at `path` is still the open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def write_all(handle: int, data: bytes) -> None:
    """Writes all of `data`, also where the system takes only some bytes at once."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def sync_folder(folder: Path) -> None:
    """Makes changes of names in a folder survive a power cut: files that were created, moved or removed."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # the folder can be written to, but not listed
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Removes a file so that it stays removed after a power cut. Does nothing if there is no file.

    Raises RunError if the file cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"cannot remove {str(path)!r} ({reason(error)}); remove it and run the same command again"
        ) from error


def reason(error: OSError | ValueError) -> str:
    """The description that the system gives of an error."""
    return str(getattr(error, "strerror", None) or error)


def cannot_write(path: Path, error: OSError | ValueError) -> RunError:
    """The RunError for a failed write."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    way = "make room" if full else "make it possible to write there"
    return RunError(
        f"cannot write {str(path)!r} ({reason(error)}); what was saved before is intact, "
        f"{way} and run the same command again"
    )


def read_regular(path: Path, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file, or of the regular file that a link points to. Never waits for a FIFO or a device.

    limit: the largest accepted size in bytes.

    Raises InputError for a path that is absent, unreadable, not a regular file, or larger than `limit`.
    """
    raw = read_start(path, limit + 1)
    if len(raw) > limit:
        most = f"{limit:,} bytes, the limit for such a file"
        raise InputError(f"{str(path)!r} holds more than {most}; check that it is the right file")
    return raw


def read_start(path: Path, count: int) -> bytes:
    """The first `count` bytes of a regular file, or all bytes of a shorter file.

    Raises InputError as `read_regular` does. Any size is accepted.
    """
    pieces, left = [], count
    with _opened(path) as handle:
        while left and (piece := os.read(handle, min(PIECE, left))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A regular file, opened for reading. OSErrors inside the context become an InputError about the file."""
    try:
        _check_regular(path, os.stat(path).st_mode)  # before opening: some devices act when they are opened
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _check_regular(path, os.fstat(handle).st_mode)  # again: the file may have been replaced
            yield handle
        finally:
            os.close(handle)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with NUL or a lone surrogate
        raise InputError(f"cannot read {str(path)!r} ({reason(error)})") from error


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "a special file")
        raise InputError(f"{str(path)!r} is {kind}, not a regular file; name a regular file")


def read_text(path: Path, limit: int = LIMIT) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark. Every line end becomes a newline.

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
    """The content of a JSON file.

    Raises InputError as `read_text` does, and for text that is not JSON.
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
            f"{str(path)!r} is not JSON that can be read (a string holds half a character: {half})"
        ) from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON ({error})") from error
    except RecursionError as error:
        raise InputError(
            f"{str(path)!r} is not JSON that can be read (its lists and objects are nested too deeply)"
        ) from error


@contextlib.contextmanager
def lock(folder: Path, *, wait: bool = False, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Locks `folder` for this process. The kernel releases the lock when the process ends, for whatever reason.

    wait: waits until another process releases the lock, instead of raising. say: is told so before the wait.

    Partly written files of killed processes are removed from the folder. If the file system has no locks, the work
    continues without a lock, and a warning says so. Raises RunError if another process holds the lock, or if locking
    fails.
    """
    path = folder / ".lock"
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else reason(error)
        raise RunError(
            f"cannot open the lock {str(path)!r} ({why}); remove it if it exists, or choose another folder with --out"
        ) from error
    try:
        if _take(handle, folder, say if wait else None):
            _remove_parts(folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path, waits: Callable[[str], None] | None) -> bool:
    """True if the lock was taken. False if the file system has no locks. waits: is told that this process waits for
    another one; None: raise instead."""
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            busy = f"another process is working in {str(folder)!r}"
            if waits is None:
                raise RunError(f"{busy}; wait for it, or choose another seed or --out") from error
            waits(f"{busy}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise RunError(
                f"cannot lock {str(folder)!r} ({reason(error)}); check its disk, or choose another folder with --out"
            ) from error
        _warn_unlocked(reason(error))
        return False
    return True


@functools.cache
def _warn_unlocked(why: str) -> None:
    """Warns once per process."""
    LOG.warning("the file system has no locks (%s): let no two commands work in one folder at the same time", why)


def _remove_parts(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".part"):
                remove(Path(parent, name))

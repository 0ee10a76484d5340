"""metrics.jsonl, which holds a line for each logged training loss and each point of the learning curve.

The file is flushed to the disk before a checkpoint is saved. A saved state holds the length and the digest of the file
at that time (`Prefix`). Training continues from the state only if the file still begins with these bytes, and cuts off
the rest. So the file is the same however often training was stopped.

Weights hold the digest of the learning curve alone, because they do not depend on how many losses are logged.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from worldbench.core.errors import InputError, RunError
from worldbench.core.files import cannot_write, read_start, to_json, write_all, write_atomic
from worldbench.records.lines import EvalLine, Line
from worldbench.records.parts import decoded, marked

LIMIT = 1 << 30
"""Largest metrics.jsonl in bytes that is read: 1 GiB."""


class Prefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The length and the SHA-256 of the first bytes of a file."""

    length: int
    sha256: str

    @classmethod
    def of(cls, raw: bytes) -> Prefix:
        return cls(len(raw), hashlib.sha256(raw).hexdigest())

    def read(self, path: Path) -> bytes | None:
        """These bytes of the file; None if the file no longer begins with them.

        Raises InputError for a file that cannot be read.
        """
        raw = read_start(path, min(max(self.length, 0), LIMIT))
        return raw if Prefix.of(raw) == self else None


class TrainingLog:
    """The file while training writes to it. Opened by `started` or `resumed`."""

    def __init__(self, path: Path, handle: int, written: bytes) -> None:
        self.path, self.handle = path, handle
        self.length, self.digest = len(written), hashlib.sha256(written)
        self.points = [raw for raw, line in lines(written) if isinstance(line, EvalLine)]

    def write(self, line: Line) -> None:
        """Append a line. Raises RunError if it cannot be written."""
        raw = f"{to_json(marked(msgspec.to_builtins(line)), indent=None)}\n".encode()
        try:
            write_all(self.handle, raw)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.length += len(raw)
        self.digest.update(raw)
        if isinstance(line, EvalLine):
            self.points.append(raw)

    def flush(self) -> Prefix:
        """Flush all lines to the disk, and return their length and digest."""
        try:
            os.fsync(self.handle)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return Prefix(self.length, self.digest.hexdigest())

    @property
    def curve(self) -> str:
        """The digest of the points of the learning curve so far."""
        return digest_of(self.points)


class Unwritten(TrainingLog):
    """The log of a process that writes no files: lines are dropped."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), -1, b"")

    def write(self, line: Line) -> None:
        """Drop a line."""

    def flush(self) -> Prefix:
        """Nothing is written."""
        return Prefix.of(b"")


def lines(raw: bytes) -> Iterator[tuple[bytes, Line]]:
    """The lines of a metrics.jsonl, as bytes and decoded, up to the first line that cannot be decoded.

    A killed process may leave its last line unfinished.
    """
    decoder = msgspec.json.Decoder(Line, dec_hook=decoded)
    for line in raw.splitlines(keepends=True):
        try:
            found = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        yield line, found


def digest_of(points: list[bytes]) -> str:
    """The SHA-256 of the lines of a learning curve."""
    return hashlib.sha256(b"".join(points)).hexdigest()


@contextlib.contextmanager
def started(path: Path) -> Iterator[TrainingLog]:
    """Begin an empty file, in place of an existing one."""
    write_atomic(path, b"")
    with _appending(path, b"") as log:
        yield log


@contextlib.contextmanager
def resumed(path: Path, prefix: Prefix, state: Path) -> Iterator[TrainingLog]:
    """Continue the file as it was when `state` was saved; lines that were written later are cut off.

    Raises RunError if the file no longer begins with `prefix`: the training losses in it cannot be computed again.
    """
    try:
        raw = prefix.read(path)
        why = "it was cut or changed"
    except InputError as error:
        raw, why = None, str(error)
    if raw is None:
        raise RunError(
            f"{str(path)!r} is not what training had written when it saved {str(state)!r} ({why}); put the file back, "
            "or delete the saved state and run the same command again, which then trains from the first step on"
        )
    with _appending(path, raw) as log:
        try:
            os.ftruncate(log.handle, len(raw))
            os.fsync(log.handle)
        except OSError as error:
            raise cannot_write(path, error) from error
        yield log


@contextlib.contextmanager
def _appending(path: Path, written: bytes) -> Iterator[TrainingLog]:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield TrainingLog(path, handle, written)
    finally:
        os.close(handle)

"""metrics.jsonl: training losses and the points of the learning curve, a line each; and its tie to the checkpoints.

Before a checkpoint is saved, the file is flushed to the disk. A saved state holds the file's length and digest
(`Prefix`). Training goes on from the state only where the file still begins with these bytes; what comes after them is
cut off. So the file is the same, however often training was stopped.
Kept weights hold the digest of the curve's points alone: weights do not depend on how many training losses are written.
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
from worldbench.records.parts import decoded

LIMIT = 1 << 30
"""The most bytes of a metrics.jsonl that are read."""


class Prefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first `length` bytes of a file, which have this SHA-256."""

    length: int
    sha256: str

    @classmethod
    def of(cls, raw: bytes) -> Prefix:
        return cls(len(raw), hashlib.sha256(raw).hexdigest())

    def read(self, path: Path) -> bytes | None:
        """These bytes of the file; None where it no longer begins with them.

        Raises InputError for a file that cannot be read.
        """
        raw = read_start(path, min(max(self.length, 0), LIMIT))
        return raw if Prefix.of(raw) == self else None


class TrainingLog:
    """The file while training writes it. Made by `started` or `resumed`."""

    def __init__(self, path: Path, handle: int, written: bytes) -> None:
        self.path, self.handle = path, handle
        self.length, self.digest = len(written), hashlib.sha256(written)
        self.points = [raw for raw, line in lines(written) if isinstance(line, EvalLine)]

    def write(self, line: Line) -> None:
        """Append a line. Raises RunError where it cannot be written."""
        raw = f"{to_json(msgspec.to_builtins(line), indent=None)}\n".encode()
        try:
            write_all(self.handle, raw)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.length += len(raw)
        self.digest.update(raw)
        if isinstance(line, EvalLine):
            self.points.append(raw)

    def flush(self) -> Prefix:
        """Bring all lines to the disk; what there is of them now."""
        try:
            os.fsync(self.handle)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return Prefix(self.length, self.digest.hexdigest())

    @property
    def curve(self) -> str:
        """The digest of the points so far."""
        return digest_of(self.points)


def lines(raw: bytes) -> Iterator[tuple[bytes, Line]]:
    """Each line of a metrics.jsonl and what it says, up to the first that cannot be one.

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
    """Of the lines of a curve's points."""
    return hashlib.sha256(b"".join(points)).hexdigest()


@contextlib.contextmanager
def started(path: Path) -> Iterator[TrainingLog]:
    """An empty file, in the place of whatever is there."""
    write_atomic(path, b"")
    with _appending(path, b"") as log:
        yield log


@contextlib.contextmanager
def resumed(path: Path, prefix: Prefix, state: Path) -> Iterator[TrainingLog]:
    """The file as it was when `state` was saved, without what was written after it.

    Raises RunError where the file no longer begins with `prefix`: the training losses in it cannot be computed again.
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

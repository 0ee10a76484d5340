"""Standard output and standard error, set up in one place: no character, closed stream or full disk ends the work.

A character that the stream's encoding lacks is written as one that it has (a box of plain characters, `+-` for the
plus-minus sign) or as an escape. A stream that was closed, or whose reader is gone, takes what comes and drops it.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldbench.core.text import visible

WIDTH = 180
"""Characters that a table may take across where the output is no terminal and the environment does not say
(COLUMNS)."""
CLOSED = "closed"
GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)
"""What a write meets when nobody reads any more: a closed pipe, a terminal that was closed."""

_BOXES = dict.fromkeys("─╌┄┈╴╶", "-") | dict.fromkeys("━╍┅┉═", "=") | dict.fromkeys("│┃╎║╵╷", "|")
_PLAIN = {
    **_BOXES, "±": "+-", "²": "^2", "×": "x", "·": ".", "…": "..", "→": "->", "←": "<-", "–": "-", "—": "-", "≤": "<=",
    "≥": ">=", "≈": "~", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
_LINES = range(0x2500, 0x2580)
"""Box drawing characters; those not named above are corners and crossings."""


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """The error handler `worldbench`: characters that an encoding lacks, as characters that each encoding has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    if ord(character) in _LINES:
        return "+"
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


codecs.register_error("worldbench", _replaced)


class Steady:
    """A text stream that never fails.

    lost: why nothing is written any more ("closed", or the OSError); None as long as all is well. used: was anything
    written? closed_before: was it closed when the program began, as by `>&-`?
    """

    def __init__(self, stream: Any) -> None:
        self.stream: Any = stream
        self.lost: OSError | str | None = CLOSED if stream is None else None
        self.used = False
        self.closed_before = stream is None
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="worldbench")

    def __getattr__(self, name: str) -> Any:
        if self.stream is None:
            raise AttributeError(name)
        return getattr(self.stream, name)

    @property
    def encoding(self) -> str:
        return getattr(self.stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self.lost is None and self.stream.isatty()

    def write(self, text: str) -> int:
        self.used = self.used or bool(text)
        if self.lost is None:
            try:
                self.stream.write(text)
            except UnicodeError:  # a stream that could not be given the error handler
                self.stream.write(text.encode(self.encoding, "worldbench").decode(self.encoding))
            except (OSError, ValueError) as error:  # ValueError: somebody closed the stream
                self._lose(error)
        return len(text)

    def write_bytes(self, raw: bytes) -> None:
        """Bytes as they are, after all text written before."""
        self.flush()
        self.used = True
        if self.lost is None:
            try:
                self.stream.buffer.write(raw)
            except (OSError, ValueError) as error:
                self._lose(error)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.lost is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def _lose(self, error: OSError | ValueError) -> None:
        self.lost = error if isinstance(error, OSError) else CLOSED
        # What the buffer still holds must go somewhere, or the interpreter fails when it ends.
        with contextlib.suppress(OSError, ValueError):
            handle = self.stream.fileno()
            if handle in (1, 2):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, handle)
                os.close(null)

    def loss(self) -> str | None:
        """What to say of output that is lost; None where nothing is, or where its reader went away, who will not
        ask."""
        if self.lost is None or (isinstance(self.lost, OSError) and self.lost.errno in GONE):
            return None
        return "it is closed" if self.lost == CLOSED else str(getattr(self.lost, "strerror", None) or self.lost)


@contextlib.contextmanager
def steady() -> Iterator[tuple[Steady, Steady]]:
    """Within it, sys.stdout and sys.stderr are steady: (standard output, standard error)."""
    _occupy()
    old = sys.stdout, sys.stderr
    errors = [getattr(stream, "errors", None) for stream in old]
    both = Steady(sys.stdout), Steady(sys.stderr)
    sys.stdout, sys.stderr = both  # type: ignore[assignment]
    try:
        yield both
    finally:
        for stream in both:
            stream.flush()
        sys.stdout, sys.stderr = old
        for stream, handler in zip(old, errors):
            reconfigure = getattr(stream, "reconfigure", None)
            if handler is not None and reconfigure is not None:
                with contextlib.suppress(ValueError):
                    reconfigure(errors=handler)


def _occupy() -> None:
    """Open the null device wherever a standard stream is closed: the next file opened would else take its number."""
    for handle in (0, 1, 2):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def on_terminal(stream: Any) -> bool:
    """Does somebody watch, at a terminal that can move its cursor?"""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def fit(text: str) -> str:
    """`text` in characters that standard output can write: their number is known before a table is laid out."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "worldbench").decode(encoding)


def put_path(path: Path) -> None:
    """A line with a path on standard output: visible in a terminal, and byte for byte where a program reads it."""
    if isinstance(sys.stdout, Steady) and not sys.stdout.isatty():
        sys.stdout.write_bytes(os.fsencode(path) + b"\n")
    else:
        print(visible(str(path)))


def width() -> int:
    """Characters across standard output: of the terminal; else COLUMNS, else WIDTH."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stdout.isatty() and (columns := os.get_terminal_size(sys.stdout.fileno()).columns) > 0:
            return columns
    on_a_terminal = sys.stdout is not None and sys.stdout.isatty()
    said = os.environ.get("COLUMNS", "")
    # shutil.get_terminal_size would also ask the process' first standard output, which may be another file by now.
    return int(said) if said.isascii() and said.isdecimal() and int(said) > 0 else 80 if on_a_terminal else WIDTH

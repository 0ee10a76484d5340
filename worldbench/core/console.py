"""Standard output and standard error. No unknown character, closed stream or full disk stops the work.

A character that the encoding of the stream lacks is replaced by plain characters (`+-` for the plus-minus sign), or
by an escape. Output to a closed stream, or to a stream that nobody reads any more, is dropped.
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
"""The width of a table in characters, where the output is not a terminal and the variable COLUMNS is not set."""
CLOSED = "closed"
GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)
"""Errors of a write that nobody reads: a closed pipe, a closed terminal."""

_BOXES = dict.fromkeys("─╌┄┈╴╶", "-") | dict.fromkeys("━╍┅┉═", "=") | dict.fromkeys("│┃╎║╵╷", "|")
_PLAIN = {
    **_BOXES, "±": "+-", "²": "^2", "×": "x", "·": ".", "…": "..", "→": "->", "←": "<-", "–": "-", "—": "-", "≤": "<=",
    "≥": ">=", "≈": "~", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
_LINES = range(0x2500, 0x2580)
"""Box-drawing characters. Those that are not listed above are corners and crossings."""


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """The error handler `worldbench`: replaces characters that an encoding lacks by ASCII characters."""
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
    """A text stream on which writing never fails.

    lost: the reason why nothing is written any more ("closed", or the OSError). None while writing works.
    used: true after something was written.
    closed_before: true if the stream was closed when the program began, as by `>&-`.
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
            except (OSError, ValueError) as error:  # ValueError: the stream was closed
                self._lose(error)
        return len(text)

    def write_bytes(self, raw: bytes) -> None:
        """Writes bytes unchanged, after all text written before."""
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
        # The buffer may still hold text. Without a place to write it, the interpreter would fail at exit.
        with contextlib.suppress(OSError, ValueError):
            handle = self.stream.fileno()
            if handle in (1, 2):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, handle)
                os.close(null)

    def loss(self) -> str | None:
        """Why output was lost, for a message. None if nothing was lost, or if the reader closed the stream."""
        if self.lost is None or (isinstance(self.lost, OSError) and self.lost.errno in GONE):
            return None
        return "it is closed" if self.lost == CLOSED else str(getattr(self.lost, "strerror", None) or self.lost)


@contextlib.contextmanager
def steady() -> Iterator[tuple[Steady, Steady]]:
    """Inside this context, sys.stdout and sys.stderr are `Steady`. Yields (standard output, standard error)."""
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
    """Opens the null device in place of every closed standard stream. Otherwise the next opened file would get its
    number."""
    for handle in (0, 1, 2):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def on_terminal(stream: Any) -> bool:
    """True if the stream is a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def fit(text: str) -> str:
    """`text` in characters that standard output can write. The width of a table is computed from the result."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "worldbench").decode(encoding)


def put_path(path: Path) -> None:
    """Writes a line with a path to standard output. A terminal gets visible characters, a program gets the exact
    bytes."""
    if isinstance(sys.stdout, Steady) and not sys.stdout.isatty():
        sys.stdout.write_bytes(os.fsencode(path) + b"\n")
    else:
        print(visible(str(path)))


def width() -> int:
    """The width of standard output in characters: of the terminal, else COLUMNS, else WIDTH."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stdout.isatty() and (columns := os.get_terminal_size(sys.stdout.fileno()).columns) > 0:
            return columns
    on_a_terminal = sys.stdout is not None and sys.stdout.isatty()
    columns_set = os.environ.get("COLUMNS", "")
    # shutil.get_terminal_size would ask the standard output that the process started with, perhaps another file.
    if columns_set.isascii() and columns_set.isdecimal() and int(columns_set) > 0:
        return int(columns_set)
    return 80 if on_a_terminal else WIDTH

"""Helpers that all readers of maps use: the bytes of a file, numbers, and texts for errors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular

LONGEST_QUOTE = 40
"""Most characters of a quotation in an error."""
LONGEST_NUMBER = 100
"""Most characters of a text that is read as a number."""
FARTHEST = 1e9
"""Largest coordinate, in meters, of a position on a plane."""


class Refused(Exception):
    """A file cannot be used as a map. The text continues a sentence that starts with the name of the file.

    remedy: what to do about it; "" leaves this to the caller, which then says which form of file is accepted.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


def content(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises Refused."""
    try:
        return read_regular(path, limit)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, (FileNotFoundError, NotADirectoryError)):
            raise Refused("does not exist") from error
        if isinstance(cause, OSError):
            raise Refused(f"cannot be read ({cause.strerror})") from error
        why, _, remedy = str(error).removeprefix(f"{str(path)!r} ").partition("; ")
        raise Refused(why, remedy) from error


def number(value: Any) -> float:
    """The value as a float. NaN for everything that is not a number, including booleans, lists and very long texts."""
    if isinstance(value, bool) or (isinstance(value, str) and len(value) > LONGEST_NUMBER):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def quoted(text: str) -> str:
    """The text in quotation marks, cut after 40 characters."""
    return repr(text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "..")


def shown(error: BaseException) -> str:
    """The message of an exception of another library, shortened and printable."""
    return ascii(str(error)).strip("'\"")[:120]


def counted(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`, `1,000 nodes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some(what: str, items: Iterable[str], noun: str = "node") -> list[str]:
    """`["no numeric x and y: 3 nodes (the first is '7')"]`, or [] if there are no items."""
    found = list(items)
    return [f"{what}: {counted(len(found), noun)} (the first is {quoted(found[0])})"] if found else []

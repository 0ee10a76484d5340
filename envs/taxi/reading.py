"""What the readers of maps share: the bytes of a file, a number, and how to say what is wrong with a file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular

LONGEST_QUOTE = 40
LONGEST_NUMBER = 100
"""Characters of the longest text that is read as a number."""
FARTHEST = 1e9
"""Metres: the largest coordinate of a position on a plane."""


class Refused(Exception):
    """Why a file cannot be a map: the rest of a sentence that starts with the name of the file.

    remedy: what to do about it, where that differs from what the reader of the file says anyway.
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
    """A float, nan for what is no number: text of some length, a truth value, a list."""
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
    """What an exception of another library says, short and printable."""
    return ascii(str(error)).strip("'\"")[:120]


def counted(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`, `1,000 nodes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def some(what: str, items: Iterable[str], noun: str = "node") -> list[str]:
    """`["no numeric x and y: 3 nodes (the first is '7')"]`, or nothing where there are no items."""
    found = list(items)
    return [f"{what}: {counted(len(found), noun)} (the first is {quoted(found[0])})"] if found else []

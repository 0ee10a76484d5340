"""What a person reads where tyro refuses the options of a command line: the option, what it takes, and the value."""

from __future__ import annotations

import itertools
import re
import types
import typing
from typing import Any, Literal

from worldbench.core.errors import not_among
from worldbench.core.options import types_of

KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False", type(None): "None"}
SEVERAL = {int: "whole numbers", float: "numbers", str: "names"}


def refusal(printed: str, types_: dict[str, type], words: list[str]) -> str:
    """One sentence. printed: what tyro printed. types_: option group -> its dataclass. words: the options that tyro
    read."""
    message = _without_frame(printed)
    if not message:
        return "the options cannot be read; see --help"
    if match := re.match(r"Error parsing \w+: (.*)", message):  # an option group refused its values
        return match[1]
    match = re.match(r"Error parsing (--\S+):|invalid choice .* for argument '(--\S+)'", message)
    if match is not None:
        option = match[1] or match[2]
        return _wrong_value(option, _hint(option, types_), " ".join(_values(option, words)))
    if match := re.match(r"Missing value for argument '(--\S+)'", message):
        return f"{match[1]} needs a value: {_kind(_hint(match[1], types_))}"
    if match := re.match(r"Unrecognized options: (\S+)", message):
        return _one_too_many(match[1], types_, words)
    return message


def _without_frame(printed: str) -> str:
    """The error message of tyro as one line, without its frame, its title and its help."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    lines = [re.sub(r"^[│╭╰─╮╯\s]+|[│╭╰─╮╯\s]+$", "", line) for line in text.splitlines()]
    lines = [line for line in lines if line.strip("-")]
    message = itertools.takewhile(
        lambda line: not line.lower().startswith(("for full helptext", "argument helptext", "usage")), lines[1:]
    )
    return " ".join(message).strip()


def _hint(option: str, types_: dict[str, type]) -> Any:
    """The type of an option's field; None for an option that no group has."""
    group, _, name = option.removeprefix("--").partition(".")
    return types_of(types_[group]).get(name) if group in types_ else None


def _kind(hint: Any) -> str:
    """What a field of a type takes, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (tuple, list):
        return SEVERAL.get(arguments[0], "values") + " with spaces between them"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(a) for a in sorted(arguments, key=lambda a: a is type(None)))
    return KINDS.get(hint, "a value")


def _wrong_value(option: str, hint: Any, value: str) -> str:
    choices = ("True", "False") if hint is bool else typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    if choices:
        return str(not_among(option, value, map(str, choices)))
    return f"{option} must be {_kind(hint)}, not {value!r}"


def _values(option: str, words: list[str]) -> list[str]:
    """The values that the last occurrence of an option has on the command line."""
    values: list[str] = []
    for word, after in zip(words, itertools.count(1)):
        if word.partition("=")[0] == option:
            values = [word.partition("=")[2]] if "=" in word else []
            values += itertools.takewhile(lambda w: not w.startswith("--"), words[after:])
    return values


def _one_too_many(value: str, types_: dict[str, type], words: list[str]) -> str:
    before = words[: words.index(value)] if value in words else []
    option = next((w.partition("=")[0] for w in reversed(before) if w.startswith("--")), None)
    hint = None if option is None else _hint(option, types_)
    if hint is None:
        return f"unexpected {value!r}: it follows no option; see --help"
    return f"unexpected {value!r}: {option} takes one value: {_kind(hint)}"

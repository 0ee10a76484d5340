"""One table cell in each format. Text from files is shown and never interpreted.

Names of models, scores and worlds come from files that anyone may have written. A terminal obeys escape sequences,
Markdown renders HTML and links, and a spreadsheet runs text that begins with `=`. So every table uses these
functions.
"""

from __future__ import annotations

import json as codec
import re
from typing import Any

from worldbench.core.files import clean
from worldbench.core.text import visible

LONGEST = 200
"""Most characters of a cell in a terminal. A longer cell is cut, and its length is shown. Other formats hold it
whole."""

_MARKDOWN = re.compile(
    r"[\\`*{}\[\]<>|~$&#]"  # emphasis, code, links, HTML, columns, formulas, entities, references
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore that is not inside a word
    r"|://|www\.|@\w|:\w+:"  # addresses and names that become links by themselves
    r"|^\s|\s$"
)
_BLOCK = re.compile(r"[-+=>]|\d+[.)]")
"""What begins a list, a quotation or a heading at the start of a line."""
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}",
} | {character: f"\\{character}" for character in "&%$#_{}"}  # fmt: skip
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?%?|[-+]?(inf|nan)|[-+]")
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def terminal(value: Any, longest: int | None = LONGEST) -> str:
    """A cell of a table in a terminal: one line, no control characters, at most `longest` characters."""
    return visible(_text(value), longest)


def markdown(value: Any) -> str:
    """A cell of a Markdown table. Text that Markdown could interpret becomes code, in which nothing is interpreted."""
    text = visible(_text(value))
    if not _MARKDOWN.search(text):
        return text
    # Renderers differ on a backslash before a bar, and a backtick would end the code: both are written as escapes.
    return "`" + text.replace("|", r"\x7c").replace("`", r"\x60") + "`"


def markdown_line(text: str) -> str:
    """A line between tables: like a cell, and never a list, a quotation or a heading."""
    cell = markdown(text)
    return f"`{cell}`" if _BLOCK.match(cell) else cell


def latex(value: Any) -> str:
    """A cell of a LaTeX table. Every character that LaTeX could interpret is written as a command that prints it. A
    bracket is put into a group, because `\\\\` before a bracket would read an option."""
    return "".join(_LATEX.get(character, character) for character in visible(_text(value)))


def csv(value: Any) -> Any:
    """A cell of a CSV file. Numbers stay, None is empty, and text that a spreadsheet would run gets an apostrophe in
    front."""
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return "" if value is None else value
    text = visible(_text(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def json(value: Any) -> str:
    """A whole value as ASCII JSON: the same in every encoding, without control characters."""
    return codec.dumps(clean(value), indent=1, allow_nan=False).replace("\x7f", "\\u007f")


def _text(value: Any) -> str:
    return "" if value is None else str(value)

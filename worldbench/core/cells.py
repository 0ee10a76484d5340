"""What one cell of a table is in each format: text from a file is shown, and never acts.

Names of models, scores and worlds come out of files that strangers may have written. A terminal obeys escape sequences,
Markdown obeys HTML and links, a spreadsheet runs what begins with `=`. Every table goes through these functions.
"""

from __future__ import annotations

import json as codec
import re
from typing import Any

from worldbench.core.files import clean
from worldbench.core.text import visible

LONGEST = 200
"""Characters of a cell in a terminal; a longer cell is cut, and says so. The other formats hold it whole."""

_MARKDOWN = re.compile(
    r"[\\`*{}\[\]<>|~$&#]"  # emphasis, code, links, HTML, columns, formulas, entities, references
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore that is not inside a word
    r"|://|www\.|@\w|:\w+:"  # addresses and names that become links by themselves
    r"|^\s|\s$"
)
_BLOCK = re.compile(r"[-+=>]|\d+[.)]")
"""What begins a list, a quotation or a heading where it stands at the start of a line."""
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?%?|[-+]?(inf|nan)|[-+]")
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def terminal(value: Any, longest: int | None = LONGEST) -> str:
    """A cell of a table in a terminal: one line, nothing that acts, at most `longest` characters."""
    return visible(_text(value), longest)


def markdown(value: Any) -> str:
    """A cell of a Markdown table: plain where Markdown reads nothing into it, else code, in which nothing acts."""
    text = visible(_text(value))
    if not _MARKDOWN.search(text):
        return text
    # Renderers differ on a backslash before a bar, and a backtick would end the code: both are written as escapes.
    return "`" + text.replace("|", r"\x7c").replace("`", r"\x60") + "`"


def markdown_line(text: str) -> str:
    """A line of its own between tables: as a cell, and no list, quotation or heading either."""
    cell = markdown(text)
    return f"`{cell}`" if _BLOCK.match(cell) else cell


def csv(value: Any) -> Any:
    """A cell of a CSV file: numbers as they are, None as nothing; text that a spreadsheet would run gets an
    apostrophe."""
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return "" if value is None else value
    text = visible(_text(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def json(value: Any) -> str:
    """A whole value as JSON in ASCII: the same in any encoding, and nothing in it acts on a terminal."""
    return codec.dumps(clean(value), indent=1, allow_nan=False).replace("\x7f", "\\u007f")


def _text(value: Any) -> str:
    return "" if value is None else str(value)

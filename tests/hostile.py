"""Names that a foreign file may hold, and what no output may then do."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

STRINGS = {
    "color": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://example.org\x1b\\x\x1b]8;;\x1b\\",
    "c1": "a\x9b31mb\x9d0;x\x9c",
    "bell": "a\x07b",
    "backspace": "abc\x08\x08\x08xyz",
    "return": "good\rbad",
    "newline": "one\ntwo",
    "crlf": "one\r\ntwo",
    "separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "tab": "a\tb",
    "nul": "a\x00b",
    "delete": "a\x7fb",
    "high surrogate": "a\ud800b",
    "escaped byte": "l\udce4ufe",
    "right to left": "a\u202egpj.exe",
    "isolate": "a\u2066b\u2069",
    "zero width": "a\u200bb\u200dc\ufeffd",
    "soft hyphen": "a\u00adb",
    "bar": "a|b",
    "escaped bar": "a\\|b",
    "bars": "|||",
    "backtick": "a`b``c```",
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "comment": "<!-- x -->",
    "entity": "&lt;b&gt;",
    "markdown link": "[x](http://example.org)",
    "half a link": "](http://example.org)",
    "markdown image": "![x](http://example.org/x.png)",
    "address": "http://example.org/x",
    "www": "www.example.org",
    "mail": "someone@example.org",
    "mention": "@someone",
    "emphasis": "**x** _y_ ~~z~~",
    "heading": "# x",
    "rule": "---",
    "list": "- x",
    "math": "$x^2$ and $$y$$",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@SUM(A1)",
    "spaced formula": "  =1+1",
    "wide formula": "\uff1d1+1",
    "tab formula": "\t=1+1",
    "comma": "a,b",
    "quote": 'a"b',
    "semicolon": "a;b",
    "bold": "[bold]x[/bold]",
    "closing": "[/]",
    "open": "[red",
    "rich link": "[link=http://example.org]x[/link]",
    "emoji": "👩‍👩‍👧 🎉",
    "wide": "漢字テスト",
    "combining": "e\u0301" + "\u0300" * 40,
    "hebrew": "שלום",
    "dollar": "a$b",
    "dollars": "$\\frac{$",
    "format": "{0} {task.x} %s %n",
    "underscore": "_x",
    "empty": "",
    "space": " ",
    "long": "x" * 10_000,
    "long words": "long word " * 1_000,
    "hex": "0x1F #ff0000",
    "home": "~nouser",
}  # fmt: skip


def acting(text: str) -> list[str]:
    """The characters of a text that act on a terminal or are not seen: all but line ends and what can be printed."""
    return sorted(
        {f"U+{ord(c):04X}" for c in text if c != "\n" and (unicodedata.category(c)[0] == "C" or c in "\u2028\u2029")}
    )


def markdown_cells(line: str) -> list[str]:
    """The cells of a row, split at each bar that GitHub splits at: the strictest reading, in which `\\\\|` splits."""
    parts = re.findall(r"(?:\\.|[^|\\])*(?:\||$)", line.strip())
    return [part.removesuffix("|").strip() for part in parts][1:-1]


def active_markdown(cell: str) -> str:
    """What of a cell Markdown may read something into: all outside of code."""
    return re.sub(r"(`+).+?\1", "", cell)


def check_table(text: str) -> None:
    """Nothing acts on the terminal."""
    assert acting(text) == []


def check_markdown(text: str, columns: int) -> None:
    """Rows and columns are whole, and no cell holds HTML, a link, a formula or an image outside of code."""
    check_table(text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    for row in rows:
        cells = markdown_cells(row)
        assert len(cells) == columns, row[:300]
        for cell in cells:
            assert not re.search(r"[<>$*~|\[\]]|://|www\.|@\w|&\w+;", active_markdown(cell)), cell[:300]


def check_csv(text: str) -> list[list[str]]:
    """Each row has the columns of the head, and no text is a formula."""
    check_table(text)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines())
    assert {len(row) for row in rows} == {len(rows[0])}
    for cell in (c for row in rows for c in row):
        assert not re.match(r"\s*[=+@\uff1d\uff0b\uff20]|\s*-(?![\d.]+(e-?\d+)?$|inf$|$)", cell), cell[:100]
    return rows


def check_json(text: str) -> object:
    """JSON in characters that any reader takes."""
    check_table(text)
    assert text.isascii()
    text.encode("utf-8")
    return json.loads(text)

"""Text of rides, one a line: the lines of a file in any encoding, and what messages say of words.

Only a piece of a line is in memory at a time, however long the line.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from worldbench.core.text import counted

PIECE = 1 << 20
"""Bytes that are decoded at a time."""
LONGEST_WORD = 1 << 12
"""Most characters of a word that are kept. The rest of a longer word is dropped."""
LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def lines_of(raw: bytes) -> Iterator[str]:
    """The lines of a text, with their line breaks. A long line comes in several parts, cut between words."""
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8-sig")
    errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    rest = ""
    for low in range(0, len(raw), PIECE):
        text = rest + decoder.decode(raw[low : low + PIECE], final=low + PIECE >= len(raw))
        word = 0 if text[-1:].isspace() else len((text.rsplit(maxsplit=1) or [""])[-1])
        cut = max(0, len(text) - word - 1)  # the next piece may continue the last word
        cut -= text[max(0, cut - 1) : cut + 1] == "\r\n"
        yield from text[:cut].splitlines(keepends=True)
        rest = text[cut : cut + 1 + LONGEST_WORD]
    yield from rest.splitlines(keepends=True)


def way_out(word: str) -> str:
    """A hint at what may be wrong with the whole file, from one unknown word."""
    if "\0" in word:
        return "; is the text in UTF-16 without a byte order mark? save it as UTF-8"
    if any(c == "\ufffd" or "\ud800" <= c <= "\udfff" for c in word):
        return "; is the file not UTF-8? save it as UTF-8"
    if word[0] in "[{":
        return "; is the file JSON? write its words with spaces between them"
    if word[0] in "\"'":
        return "; remove the quotation marks"
    if any(c in word for c in ",;|"):
        return "; put spaces between the words"
    return ""


def joined(problems: tuple[str, ...], count: int) -> str:
    more = count - len(problems)
    return "; ".join(problems) + (f"; and {counted(more, 'more line')}" if more else "")


def quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "..")

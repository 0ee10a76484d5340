"""Words for people: counts with their nouns, and text from files with nothing in it that acts on a terminal."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_WORD = 512
"""Characters of a word in a sentence; a longer one is cut to BEGINNING. Names of files have up to 255."""
BEGINNING = 100
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}|\s{{{LONGEST_WORD + 1},}}")


def counted(count: int, noun: str, plural: str | None = None, *, commas: bool = True) -> str:
    """`1 node`, `2 nodes`, `1,000 nodes`; `counted(2, "entry", "entries")` where an s is not enough.

    commas: between thousands. False in the notes of results, whose bytes stay as they are.
    """
    return f"{format(count, ',' if commas else '')} {noun if count == 1 else plural or f'{noun}s'}"


def visible(text: str, most: int | None = None) -> str:
    r"""`text` on one line, with every character that is not seen written as an escape, such as `\x1b`, `\n` or
    `\u202e`.

    Control characters (C0 and C1), direction marks, zero-width characters, line separators and lone surrogates become
    escapes; a byte of a file name that is not UTF-8 becomes `\xe4`. Letters of any script stay as they are.
    most: the most characters that are kept; a longer text is cut, and the number of its characters is added.
    """
    if most is not None and len(text) > most:
        text, cut = text[:most], f".. ({len(text):,} characters)"
    else:
        cut = ""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    return text + cut


def with_short_words(text: str) -> str:
    """`text` in which words of more than LONGEST_WORD characters are cut, and their numbers of characters added."""
    return _LONG.sub(lambda found: f"{found[0][:BEGINNING]}.. ({len(found[0]):,} characters)", text)


def encodable(text: str) -> str:
    r"""`text` with lone surrogates as escapes, so that UTF-8 can hold it: what is left of a file name that is not
    UTF-8."""
    return _SURROGATE.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]

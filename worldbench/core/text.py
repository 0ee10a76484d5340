"""Text for people: counts with their nouns, and text from files made safe for a terminal."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_WORD = 512
"""Longest word of a sentence, in characters. A longer word is cut to BEGINNING. (File names have up to 255 bytes.)"""
BEGINNING = 100
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}|\s{{{LONGEST_WORD + 1},}}")


def counted(count: int, noun: str, plural: str | None = None, *, commas: bool = True) -> str:
    """A number with its noun: `1 node`, `2 nodes`, `1,000 nodes`, and with a plural of its own `counted(2, "entry",
    "entries")`.

    commas: separate thousands. False for notes in results, so that their bytes stay as published.
    """
    return f"{format(count, ',' if commas else '')} {noun if count == 1 else plural or f'{noun}s'}"


def visible(text: str, most: int | None = None) -> str:
    r"""`text` on one line, with every invisible character as an escape, such as `\x1b`, `\n` or `\u202e`.

    Escaped are control characters (C0 and C1), direction marks, zero-width characters, line separators and lone
    surrogates. A byte of a file name that is not UTF-8 becomes `\xe4`. Letters of every script stay. most: the
    largest number of characters. A longer text is cut, and its length is added.
    """
    if most is not None and len(text) > most:
        text, cut = text[:most], f".. ({len(text):,} characters)"
    else:
        cut = ""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    return text + cut


def with_short_words(text: str) -> str:
    """`text` in which words of more than LONGEST_WORD characters are cut, with their length added."""
    return _LONG.sub(lambda found: f"{found[0][:BEGINNING]}.. ({len(found[0]):,} characters)", text)


def encodable(text: str) -> str:
    r"""`text` with lone surrogates as escapes, so that UTF-8 can encode it. Python uses lone surrogates for bytes of
    file names that are not UTF-8."""
    return _SURROGATE.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]

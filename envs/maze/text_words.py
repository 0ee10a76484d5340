"""Splits a line of maze text into words, and accepts several spellings.

Accepted in addition to the plain form: cells with spaces, `( 0 , 0 )`; words without spaces between them; marks in
lower case; comments from `#` to the end of the line; an edge list without its last `;`; and entries for walls,
`(0,0) <XX> (0,1) ;`. Entries for walls are dropped: a passage that is not in the list does not exist anyway.
"""

from __future__ import annotations

import re

from worldbench.core.errors import InputError, nearest

WALL = "<XX>"
_IN_PIECES = re.compile(r"\(\s*([0-9]+)\s*,\s*([0-9]+)\s*\)")
_WORD = re.compile(r"\([0-9]+,[0-9]+\)|<-->|<XX>|<[A-Za-z]+_[A-Za-z]+>|;", re.IGNORECASE)
_CELL = re.compile(r"\(.*\)")
EXAMPLE = "<ADJLIST_START> (0,0) <--> (0,1) ; .. <PATH_END>"


def words_of(line: str) -> list[str]:
    """The words of a line without its comment. Words of the vocabulary are in its spelling."""
    joined = _IN_PIECES.sub(r"(\1,\2)", line.partition("#")[0])
    return [w.upper() if w.startswith("<") else w for w in _WORD.sub(r" \g<0> ", joined).split()]


def without_walls(words: list[str]) -> list[str]:
    """The words without entries for walls, and with the last `;` of the edge list.

    Raises InputError if two cells have both a passage and a wall.
    """
    if "<ADJLIST_END>" in words:
        end = words.index("<ADJLIST_END>")
        if end and _CELL.fullmatch(words[end - 1]):
            words = [*words[:end], ";", *words[end:]]
    if WALL not in words:
        return words
    out, parted, at = words[:1], set(), 1
    while at < len(words):
        a, kind, b, stop = (*words[at : at + 4], "", "", "", "")[:4]
        if kind == WALL and stop == ";" and _CELL.fullmatch(a) and _CELL.fullmatch(b):
            parted.add(frozenset((a, b)))
            at += 4
        else:
            out.append(a)
            at += 1
    for a, kind, b in zip(out, out[1:], out[2:]):
        if kind == "<-->" and frozenset((a, b)) in parted:
            raise InputError(
                f"the cells {a} and {b} have both a passage '<-->' and a wall {WALL!r}; "
                "leave one of the two entries out"
            )
    return out


def unknown_word(word: str, marks: tuple[str, ...], rows: int, columns: int) -> str:
    """What is wrong with a word that is not in the vocabulary, and what to do."""
    if word == WALL:
        return f"{word!r} may occur only in the edge list, in an entry '(r,c) {WALL} (r,c) ;'"
    if _CELL.fullmatch(word):
        change = "set env.rows and env.columns to the size of the mazes, or leave the line out"
        return f"{word!r} is not a cell of a maze of {rows} x {columns}; {change}"
    # Word processors replace two hyphens by a dash.
    close = nearest(word.replace("\u2013", "--").replace("\u2014", "--"), marks)
    return f"{word!r:.60} is not a word{close if 'did you mean' in close else f' of a maze; a line reads {EXAMPLE!r}'}"

"""Mazes as text: edge list, origin, target, path. The format AOTP of maze-dataset (Ivanitskiy et al. 2023, arXiv
2309.10498). On one line:

    <ADJLIST_START> (0,0) <--> (0,1) ; .. ; <ADJLIST_END> <ORIGIN_START> (0,0) <ORIGIN_END> <TARGET_START> (1,1)
    <TARGET_END> <PATH_START> (0,0) .. <PATH_END>

A cell, (row,column), is one word, and so is each mark. An entry of the edge list is `cell <--> cell ;`, a passage. A
telling of a maze is an order of the entries, with an order of the two cells of each entry. `to_text` and `from_text`
work on lines, `write` and `read` on files.
Shape letters: N mazes, K cells, E walls (pairs of neighboring cells), M entries of the longest edge list, T tokens,
P prompt tokens, L cells of the longest path.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.files import read_text, write_atomic
from worldbench.core.text import counted
from worldbench.core.world import Documents, Vocabulary
from worldbench.envs.maze.grid import UNREACHED, distances, from_walls, walls
from worldbench.envs.maze.text_words import EXAMPLE, unknown_word, without_walls, words_of

MARKS = (
    "<PATH_END>",
    "<ADJLIST_START>",
    "<-->",
    ";",
    "<ADJLIST_END>",
    "<ORIGIN_START>",
    "<ORIGIN_END>",
    "<TARGET_START>",
    "<TARGET_END>",
    "<PATH_START>",
)
PAD, END, LIST, ARROW, STOP, LIST_END, ORIGIN, ORIGIN_END, TARGET, TARGET_END, PATH = range(11)
FIRST_CELL = 11
TAIL = 8
"""Tokens of a prompt after the entries of its edge list."""
LARGEST_BYTES = 1 << 27
"""Most bytes of a file."""
MOST_WORDS = 1 << 25
"""Most words of a file, counted as if every maze were as long as the longest, which is how they are stored."""


@functools.cache
def vocabulary(rows: int, columns: int) -> Vocabulary:
    """Padding, the marks, one word per cell. Actions: the cells, then `<PATH_END>`."""
    cells = tuple(f"({r},{c})" for r in range(rows) for c in range(columns))
    last = FIRST_CELL + len(cells)
    return Vocabulary(("<pad>", *MARKS, *cells), pad=PAD, end=END, actions=(*range(FIRST_CELL, last), END))


def prompt_tokens(entries: int | np.ndarray) -> int | np.ndarray:
    """Number of tokens of a prompt (up to and including `<PATH_START>`) with this many entries in its edge list."""
    return 1 + 4 * entries + TAIL


@functools.cache
def _entry_words(rows: int, columns: int) -> np.ndarray:
    """int32 [2, E + 1, 4]: the four tokens of the entry of each wall, with the cells as in `walls`, and flipped.

    Row E holds padding.
    """
    w = walls(rows, columns).astype(np.int32) + FIRST_CELL
    out = np.full((2, len(w) + 1, 4), PAD, np.int32)
    out[:, :-1, 1], out[:, :-1, 3] = ARROW, STOP
    out[0, :-1, 0], out[0, :-1, 2] = w[:, 0], w[:, 1]
    out[1, :-1, 0], out[1, :-1, 2] = w[:, 1], w[:, 0]
    return out


@functools.cache
def _wall_of(rows: int, columns: int) -> np.ndarray:
    """int32 [K + 1, K + 1]: the number of the wall between two cells, E if they are not neighbors. K means: no cell."""
    w, k = walls(rows, columns), rows * columns
    out = np.full((k + 1, k + 1), len(w), np.int32)
    out[w[:, 0], w[:, 1]] = out[w[:, 1], w[:, 0]] = np.arange(len(w))
    return out


def entries_of(open_: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The edge list of each maze: its open walls (open_, bool [N, E]), sorted by `order` [N, E].

    int64 [N, M], numbers of walls, with E after the last entry.
    """
    e = open_.shape[1]
    ranked = np.argsort(np.where(open_, order, np.inf), axis=1)[:, : int(open_.sum(axis=1).max(initial=0))]
    return np.where(np.take_along_axis(open_, ranked, axis=1), ranked, e)


def write_prompts(
    entries: np.ndarray, flip: np.ndarray, origin: np.ndarray, target: np.ndarray, rows: int, columns: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of prompts, int32 [N, width], padded; and their lengths, int32 [N].

    entries: int [N, M], edge lists as from `entries_of`. flip: bool [N, M], are the two cells of the entry written in
    reverse order? origin, target: int [N], cells.
    """
    n, e = len(entries), len(walls(rows, columns))
    count = (entries < e).sum(axis=1)
    tokens = np.full((n, width), PAD, np.int32)
    tokens[:, 0] = LIST
    tokens[:, 1 : 1 + 4 * entries.shape[1]] = _entry_words(rows, columns)[flip.astype(np.int8), entries].reshape(n, -1)
    tail = np.empty((n, TAIL), np.int32)
    tail[:] = (LIST_END, ORIGIN, 0, ORIGIN_END, TARGET, 0, TARGET_END, PATH)
    tail[:, 2], tail[:, 5] = origin + FIRST_CELL, target + FIRST_CELL
    tokens[np.arange(n)[:, None], 1 + 4 * count[:, None] + np.arange(TAIL)] = tail
    return tokens, np.asarray(prompt_tokens(count), np.int32)


def put_paths(tokens: np.ndarray, prompt_length: np.ndarray, path: np.ndarray, cells: np.ndarray) -> Documents:
    """Documents: each prompt, then the first `cells` [N] cells of its path, int [N, L], then the end.

    The paths are written into `tokens` [N, T], which holds the prompts of the lengths `prompt_length` [N].
    """
    n, longest = path.shape
    step = np.arange(longest + 1)[None, :]
    words = np.full((n, longest + 1), PAD, np.int32)
    words[:, :-1] = np.where(step[:, :-1] < cells[:, None], path + np.int32(FIRST_CELL), PAD)
    words[np.arange(n), cells] = END
    tokens[np.arange(n)[:, None], prompt_length[:, None] + step] = words
    return Documents(tokens, (prompt_length + cells + 1).astype(np.int32), prompt_length.astype(np.int32))


@dataclass(frozen=True)
class Prompts:
    """The content of prompts.

    good: bool [N], is the prompt complete and well-formed? entries: int [N, M], the edge list: numbers of walls, E
    after the last entry. flip: bool [N, M], are the two cells of the entry in reverse order? open: bool [N, E], the
    open walls. origin, target: int64 [N], cells (0 if not good).
    """

    good: np.ndarray
    entries: np.ndarray
    flip: np.ndarray
    open: np.ndarray
    origin: np.ndarray
    target: np.ndarray


def parse(tokens: np.ndarray, lengths: np.ndarray, rows: int, columns: int) -> Prompts:
    """Reads prompts, int [N, P]. Only the first `lengths` [N] tokens of each row belong to the prompt."""
    n, k, e = len(tokens), rows * columns, len(walls(rows, columns))
    lengths = np.asarray(lengths, np.int64)
    count, rest = np.divmod(lengths - 1 - TAIL, 4)
    good = (count >= 0) & (rest == 0) & (lengths <= tokens.shape[1])
    count = np.where(good, count, 0)
    most = int(count.max(initial=0))
    padded = np.pad(tokens, ((0, 0), (0, max(0, 1 + 4 * most + TAIL - tokens.shape[1]))))
    cell = np.where((padded >= FIRST_CELL) & (padded < FIRST_CELL + k), padded - FIRST_CELL, k).astype(np.int64)
    listed = np.arange(most)[None, :] < count[:, None]
    body, ends = padded[:, 1 : 1 + 4 * most].reshape(n, most, 4), cell[:, 1 : 1 + 4 * most].reshape(n, most, 4)
    entries = np.where(listed, _wall_of(rows, columns)[ends[:, :, 0], ends[:, :, 2]], e)
    proper = (entries < e) & (body[:, :, 1] == ARROW) & (body[:, :, 3] == STOP)
    good &= (proper | ~listed).all(axis=1) & (padded[:, 0] == LIST)
    at = 1 + 4 * count[:, None] + np.arange(TAIL)
    tail, places = np.take_along_axis(padded, at, axis=1), np.take_along_axis(cell, at, axis=1)[:, [2, 5]]
    good &= (tail[:, [0, 1, 3, 4, 6, 7]] == (LIST_END, ORIGIN, ORIGIN_END, TARGET, TARGET_END, PATH)).all(axis=1) & (
        places < k
    ).all(axis=1)
    open_ = np.zeros((n, e + 1), bool)
    np.put_along_axis(open_, entries, True, axis=1)
    places = np.where(good[:, None], places, 0)
    return Prompts(good, entries, ends[:, :, 0] > ends[:, :, 2], open_[:, :-1], places[:, 0], places[:, 1])


# Lines and files


def to_text(documents: Documents, rows: int, columns: int) -> list[str]:
    """One line of text per document."""
    words = np.array(vocabulary(rows, columns).words, object)
    return [" ".join(words[row[:length]]) for row, length in zip(documents.tokens, documents.length)]


def write(path: Path, documents: Documents, rows: int, columns: int) -> None:
    """Writes one line of text per document, in UTF-8."""
    write_atomic(path, "".join(f"{line}\n" for line in to_text(documents, rows, columns)))


def read(path: Path, rows: int, columns: int) -> Documents:
    """The documents of a text file. Raises InputError if the file cannot be read, and as `from_text` does."""
    return from_text(read_text(path, LARGEST_BYTES).split("\n"), rows, columns, path.name)


def from_text(lines: Iterable[str], rows: int, columns: int, source: str = "text") -> Documents:
    """Documents from lines of text. Empty lines and comments are ignored.

    Mazes may be smaller than rows x columns. `text_words.py` says which spellings are accepted. Raises InputError, with
    the number of the line, if a line does not have the format, names a cell outside the grid, has a passage between
    cells that are not neighbors, has a passage twice, or has a path that is not a shortest path from origin to target
    through passages. source: the name of the text in errors.
    """
    ids = {word: i for i, word in enumerate(vocabulary(rows, columns).words) if i != PAD}
    found: list[list[int]] = []
    numbers, longest = [], 0
    for number, line in enumerate(lines, 1):
        words = words_of(line)
        if not words:
            continue
        where = f"{source}, line {number}"
        try:
            words = without_walls(words)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        for word in words:
            if word not in ids:
                raise InputError(f"{where}: {unknown_word(word, MARKS, rows, columns)}")
        found.append([ids[w] for w in words])
        numbers.append(number)
        if (reason := _malformed(found[-1], rows, columns)) is not None:
            raise InputError(f"{where}: {reason}")
        longest = max(longest, len(words))
        if len(found) * longest > MOST_WORDS:
            raise InputError(
                f"{where}: {len(found):,} mazes of up to {longest:,} words are too many for memory; "
                f"keep at most {MOST_WORDS // longest:,} of them"
            )
    if not found:
        raise InputError(f"{source}: there are no mazes in it; write one per line, {EXAMPLE!r}")
    length = np.array([len(row) for row in found], np.int32)
    tokens = np.full((len(found), int(length.max())), PAD, np.int32)
    for row, words in zip(tokens, found):
        row[: len(words)] = words
    prompt_length = (np.argmax(tokens == PATH, axis=1) + 1).astype(np.int32)
    documents = Documents(tokens, length, prompt_length)
    if (longer := _roundabout(documents, rows, columns)) is not None:
        row, moves, least = longer
        path = f"the path has {counted(int(moves), 'move')}, but a shortest path has {least}"
        raise InputError(f"{source}, line {numbers[row]}: {path}; write a shortest path")
    return documents


def _malformed(tokens: list[int], rows: int, columns: int) -> str | None:
    """What is wrong with the tokens of one line, apart from the length of its path. None if nothing is."""
    names = vocabulary(rows, columns).words
    table, e = _wall_of(rows, columns), len(walls(rows, columns))

    def is_cell(at: int) -> bool:
        return at < len(tokens) and tokens[at] >= FIRST_CELL

    def word(at: int) -> str:
        return repr(names[tokens[at]]) if at < len(tokens) else "the end of the line"

    if tokens[0] != LIST:
        return f"it must begin with {names[LIST]!r}, not {word(0)}"
    open_, at = set(), 1
    while at < len(tokens) and tokens[at] != LIST_END:
        for k, expected in enumerate((None, ARROW, None, STOP)):
            if not (is_cell(at + k) if expected is None else at + k < len(tokens) and tokens[at + k] == expected):
                wanted = "a cell" if expected is None else repr(names[expected])
                return (
                    f"an entry is written '(r,c) <--> (r,c) ;': word {at + k + 1} must be {wanted}, not {word(at + k)}"
                )
        ends = f"{names[tokens[at]]} and {names[tokens[at + 2]]}"
        wall = int(table[tokens[at] - FIRST_CELL, tokens[at + 2] - FIRST_CELL])
        if wall == e:
            return f"the cells {ends} are not neighbors; a passage joins two neighboring cells"
        if wall in open_:
            return f"the passage between the cells {ends} is listed twice; leave one of the two entries out"
        open_.add(wall)
        at += 4
    for k, expected in enumerate((LIST_END, ORIGIN, None, ORIGIN_END, TARGET, None, TARGET_END, PATH)):
        if not (is_cell(at + k) if expected is None else at + k < len(tokens) and tokens[at + k] == expected):
            return (
                f"word {at + k + 1} must be {'a cell' if expected is None else repr(names[expected])}, "
                f"not {word(at + k)}"
            )
    origin, target, path = tokens[at + 2], tokens[at + 5], tokens[at + TAIL :]
    if not path or path[-1] != END:
        ends = f"a shortest path from {names[origin]} to {names[target]} and {names[END]!r}"
        return f"it must end with {names[END]!r}, not {word(len(tokens) - 1)}; after {names[PATH]!r} write {ends}"
    if len(path) > 4 * rows * columns:  # because all documents are padded to the longest
        moves = f"{len(path) - 2:,} moves, more than a maze of {rows} x {columns} cells can need"
        return f"the path has {moves}; write a shortest path"
    if any(t < FIRST_CELL for t in path[:-1]):
        return f"between {names[PATH]!r} and {names[END]!r} there must be only cells"
    if len(path) < 2 or path[0] != origin or path[-2] != target:
        return f"the path must lead from {names[origin]} to {names[target]}"
    for a, b in itertools.pairwise(path[:-1]):
        if int(table[a - FIRST_CELL, b - FIRST_CELL]) not in open_:
            return f"the path goes from {names[a]} to {names[b]}, where there is no passage"
    return None


def _roundabout(documents: Documents, rows: int, columns: int) -> tuple[int, int, int] | None:
    """The first document whose path is not a shortest path: its row, its moves, and the smallest number of moves.

    None if there is no such document.
    """
    p = parse(documents.tokens, documents.prompt_length, rows, columns)
    dist = distances(from_walls(p.open, rows, columns), p.target, rows, columns)
    least = dist[np.arange(len(documents)), p.origin]
    moves = documents.length - documents.prompt_length - 2
    longer = np.flatnonzero((least < UNREACHED) & (moves > least))
    return (int(longer[0]), int(moves[longer[0]]), int(least[longer[0]])) if len(longer) else None

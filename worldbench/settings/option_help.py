"""The help of the typed options, as tyro writes it, in paragraphs that fill the width of the terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from worldbench.settings.options import parse_words

WIDEST = 120
"""The widest help, in characters."""
OF_PRESET = "The defaults shown are those of the chosen preset."


def print_option_help(types_: dict[str, type], defaults: dict[str, Any], first: str = OF_PRESET) -> None:
    """Print what each option of some groups means, with its default.

    types_, defaults: by option group. first: the sentence before the options, which says whose the defaults are.
    """
    container = dataclasses.make_dataclass("Options", list(types_.items()), frozen=True, kw_only=True)
    written = io.StringIO()
    with _one_column(), contextlib.suppress(SystemExit), contextlib.redirect_stdout(written):
        parse_words(container, ["--help"], defaults, "")
    lines = [line.rstrip() for line in written.getvalue().replace("(default: )", "").rstrip().splitlines()]
    width = max(map(len, lines), default=80)
    start = next((i for i, line in enumerate(lines) if line.endswith(" options") and line.strip() != "options"), 0)
    print("", first, "", *_filled(lines[start:], width), sep="\n")


@contextlib.contextmanager
def _one_column() -> Iterator[None]:
    """In wide terminals, tyro writes the groups of options in two columns, which cannot be read as lines. COLUMNS tells
    tyro a width at which it writes one."""
    width, before = min(shutil.get_terminal_size().columns, WIDEST), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _filled(lines: list[str], width: int) -> Iterator[str]:
    """The lines of the help; the line breaks that a docstring has in the source are gone from the paragraphs."""
    paragraph: list[str] = []
    for line in [*lines, ""]:  # the empty line ends the last paragraph
        if paragraph and line.startswith(" " * 8):
            paragraph.append(line)
            continue
        yield from _paragraph(paragraph, width)
        paragraph = []
        if line.startswith("  --") and line.strip("- "):
            paragraph = [line]
        else:
            yield line


def _paragraph(lines: list[str], width: int) -> Iterator[str]:
    """An option with its text, which begins beside the option or in the line below."""
    if len(lines) < 2:
        yield from lines
        return
    option, texts = lines[0], [line.strip() for line in lines[1:]]
    column = len(lines[1]) - len(lines[1].lstrip())
    first = " " * column
    if len(option) > column and option[column - 2 : column] == "  ":
        first, texts = option[:column], [option[column:], *texts]
    else:
        yield option
    yield from textwrap.wrap(
        " ".join(texts), width, initial_indent=first, subsequent_indent=" " * column,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip

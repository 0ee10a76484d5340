"""Draws the figures of a paper from the records below folders, and says which records are missing for the others."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from worldbench.core.errors import InputError, unknown
from worldbench.core.files import make_folder, read_text, write_atomic
from worldbench.core.text import visible
from worldbench.figures.paper import FIGURES, plates_of
from worldbench.figures.paper.groups import gather
from worldbench.figures.paper.plate import KINDS, WIDTHS, Plate

CAPTIONS = "captions.md"


def draw_paper(
    folders: list[Path],
    out: Path,
    *,
    names: Sequence[str] = (),
    widths: Sequence[str] = tuple(WIDTHS),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Path]:
    """Draw each figure as PDF, SVG and PNG in each width, with its data as CSV; yields each file once it is written.

    names: the figures; empty: all of them. widths: of WIDTHS. say: called with a sentence for each figure that is not
    drawn, or that is drawn without a model, and for each file that is left out. `captions.md` has a caption for each
    picture, also for pictures of earlier commands that are still in the folder. Raises InputError if there are no
    records, and if no figure could be drawn.
    """
    make_folder(out, "choose another folder with --out")
    earlier = earlier_captions(out)
    captions: dict[str, str] = {}
    lines: list[str] = []
    for plate in plates(folders, names, lines.append):
        captions[visible(plate.name)] = visible(plate.caption)
        yield from plate.write(out, widths)
    for line in lines:
        say(line)
    if not captions:
        where = ", ".join(repr(str(folder)) for folder in folders)
        raise InputError(f"no figure can be drawn from the records below {where}; {'; '.join(lines)}")
    every = {**earlier, **captions}
    text = "".join(f"**{name}**: {every[name]}\n\n" for name in sorted(every, key=_place))
    path = out / CAPTIONS
    write_atomic(path, text)
    yield path


def earlier_captions(out: Path) -> dict[str, str]:
    """The captions that `captions.md` of a folder has, by picture, for the pictures whose files are still there."""
    path = out / CAPTIONS
    if not os.path.exists(path):
        return {}
    found = re.findall(r"^\*\*(.+?)\*\*: (.*)$", read_text(path), re.MULTILINE)
    return {name: caption for name, caption in found if _is_there(out, name)}


def _is_there(out: Path, name: str) -> bool:
    pictures = [f"{name}-{width}.{kind}" for width in WIDTHS for kind in KINDS]
    return any(os.path.exists(os.path.join(out, file)) for file in (*pictures, f"{name}.csv"))


def _place(picture: str) -> int:
    """The place of a picture's figure among all figures, by its name, which the name of the picture begins with."""
    return next((i for i, name in enumerate(FIGURES) if picture.split("-")[0] == name), len(FIGURES))


def plates(folders: list[Path], names: Sequence[str], say: Callable[[str], None]) -> Iterator[Plate]:
    """The pictures that the records below folders allow. names, say: as of `draw_paper`; `say` is called at the end."""
    for name in names:
        if name not in FIGURES:
            raise unknown("figure of a paper", name, FIGURES)
    material = gather(folders)
    absent: list[str] = []
    for name in names or FIGURES:
        for plate in plates_of(name)(material):
            if isinstance(plate, str):
                absent.append(plate)
            else:
                yield plate
    for line in dict.fromkeys([*absent, *material.left_out]):
        say(line)

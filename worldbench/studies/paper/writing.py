"""Writes the material for a paper from the records below folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from worldbench.core.files import make_folder, write_atomic
from worldbench.figures.paper.draw import plates
from worldbench.records.board import Board
from worldbench.records.board_building import build
from worldbench.studies.paper import sources
from worldbench.studies.paper.protocol import paragraphs
from worldbench.studies.paper.tables import tables
from worldbench.studies.paper.tex import floats, text

FIGURES, WIDTH = "figures", "2col"
"""The folder for figures, within the folder of the paper, and their width (see `figures/paper/plate.py`)."""


def write_paper(
    folders: list[Path],
    out: Path,
    *,
    columns: list[str] | None = None,
    figures: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Path]:
    """Write tables.tex, protocol.tex, references.bib and paper.tex, which reads the others; yields each file.

    figures: also draw the figures, into the folder `figures`, and write figures.tex. columns: as of
    `worldbench leaderboard`. say: called with a sentence for each file that is left out and each figure that is not
    drawn. Raises InputError where there are no results.
    """
    board = build(folders, columns)
    make_folder(out, "choose another folder with --out")
    for line in board.left_out:
        say(line)
    files = {"protocol.tex": protocol(board), "tables.tex": tables(board)}
    if figures:
        drawn: list[str] = []
        make_folder(out / FIGURES, "choose another folder with --out")
        for plate in plates(folders, (), say):
            yield from plate.write(out / FIGURES, [WIDTH])
            drawn.append(_figure(plate.name, plate.caption))
        if drawn:
            files["figures.tex"] = floats(drawn)
    records = [record for row in board for _, record in row.sources]
    files["references.bib"] = sources.bibliography(sources.used(records))
    files["paper.tex"] = _whole([name for name in files if name.endswith(".tex")])
    for name, content in files.items():
        write_atomic(out / name, content)
        yield out / name


def protocol(board: Board) -> str:
    """The protocols of all groups."""
    parts = [
        paragraphs(group.caption, [record for row in group.rows for _, record in row.sources]) for group in board.groups
    ]
    return "\n\n".join(parts) + "\n"


def _figure(name: str, caption: str) -> str:
    return "\n".join([
        r"\begin{figure}[t]", r"\centering", f"\\includegraphics[width=\\linewidth]{{{FIGURES}/{name}-{WIDTH}.pdf}}",
        f"\\caption{{{text(caption)}}}", f"\\label{{fig:{name}}}", r"\end{figure}",
    ])  # fmt: skip


def _whole(names: list[str]) -> str:
    """A document that compiles as it is: pdflatex paper; bibtex paper; pdflatex paper."""
    return "\n".join([
        "% Made by worldbench paper. Compile: pdflatex paper; bibtex paper; pdflatex paper; pdflatex paper",
        r"\documentclass[10pt]{article}", r"\usepackage[T1]{fontenc}", r"\usepackage[utf8]{inputenc}",
        r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}",
        r"\usepackage{textcomp,booktabs,graphicx}", r"\usepackage[margin=1in]{geometry}", r"\begin{document}",
        r"\section*{Protocol}", r"\input{protocol}", r"\section*{Results}",
        *(f"\\input{{{name.removesuffix('.tex')}}}" for name in names if name != "protocol.tex"),
        r"\bibliographystyle{plain}", r"\bibliography{references}", r"\end{document}", "",
    ])  # fmt: skip

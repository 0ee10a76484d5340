"""Shared by all figures: the style of a paper, files with the same bytes every time, and the data as CSV."""

from __future__ import annotations

import csv
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from worldbench.core import cells
from worldbench.core.errors import InputError
from worldbench.core.files import write_atomic
from worldbench.core.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, RED, BLUE, GRAY = "#111111", "#d62728", "#3b6ea5", "#8a8a8a"

_RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that the letters are the same on every machine
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "worldbench",
    "pdf.fonttype": 42,  # TrueType, which publishers take
}


LONGEST = 160
"""Largest number of characters of a text in a figure; a longer text is cut, with a mark."""


@contextmanager
def paper_style() -> Iterator[None]:
    """Within it, figures look like a paper's, on every machine: matplotlib's own defaults and ours, no user's settings.

    Raises InputError where matplotlib cannot be loaded for the file of settings that it finds.
    """
    matplotlib = _matplotlib()
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        # The letters are DejaVu Sans everywhere; a name in a script that it lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _matplotlib() -> Any:
    """The module. It reads a file of settings and wants a folder of its own when it is loaded, neither of which we
    use."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of each setting that it does not know, and of a home that it cannot write to
    try:
        import matplotlib
        import matplotlib.figure
    except (OSError, ValueError) as error:
        raise InputError(
            f"matplotlib cannot be loaded ({error}); look for a file named matplotlibrc here, in $MATPLOTLIBRC or in "
            "~/.config/matplotlib, and for a folder for temporary files that can be written to"
        ) from error
    finally:
        log.setLevel(level)
    return matplotlib


def literal(text: str) -> str:
    """A name as it is drawn: a dollar sign is a dollar sign and begins no formula, and no character acts."""
    shown = visible(text, LONGEST).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # a legend leaves out labels that begin with an underscore


def mark_infinite(axes: Axes, at: Sequence[float], color: str, *, side: Literal["up", "down", "right"] = "up") -> Any:
    """Draw triangles at the edge of a panel that point to infinite values, which have no place in it.

    at: where the values are along that edge, in data coordinates. Returns the artist, for a legend; None if `at` is
    empty.
    """
    if not len(at):
        return None
    up = side != "right"
    edge = [0.0 if side == "down" else 1.0] * len(at)
    place = axes.get_xaxis_transform() if up else axes.get_yaxis_transform()
    (artist,) = axes.plot(
        *((list(at), edge) if up else (edge, list(at))), transform=place, color=color, linestyle="none", markersize=4,
        marker={"up": "^", "down": "v", "right": ">"}[side], clip_on=False, zorder=6,
    )  # fmt: skip
    return artist


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png and `stem`.svg, without a date. Call within `paper_style`."""
    paths = []
    for kind in ("png", "svg"):
        paths.append(stem.with_name(f"{stem.name}.{kind}"))
        write_atomic(paths[-1], picture(figure, kind))
    return paths


UNDATED: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Metadata of each kind of file that are left out."""


def picture(figure: Figure, kind: Literal["png", "svg", "pdf"], *, dpi: float | None = None) -> bytes:
    """The file of a figure, without a date and the name of a program. dpi: dots per inch; None: those of the style."""
    from matplotlib import rcParams

    buffer, dots = io.BytesIO(), rcParams["savefig.dpi"] if dpi is None else dpi
    figure.savefig(buffer, format=kind, metadata=UNDATED[kind], dpi=dots)
    return buffer.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """A table with a header line; floats by repr, None as nothing."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([cells.csv(name) for name in columns])
    writer.writerows([cells.csv(value) for value in row] for row in rows)
    write_atomic(path, buffer.getvalue())
    return path

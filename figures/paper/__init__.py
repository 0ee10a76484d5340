"""Figures for a paper, drawn from the records and the evidence below folders: several models in one picture.

Each figure has a file here with a function `plates(material)`. It returns the pictures to draw (`Plate`) and sentences
about what is absent. `draw.py` writes every picture in two widths, with the data as CSV.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldbench.figures.paper.groups import Material
    from worldbench.figures.paper.plate import Plate

Plates = Callable[["Material"], "list[Plate | str]"]

FIGURES: dict[str, tuple[str, str]] = {
    "maps": ("reconstructed street maps of the models and of the oracle, side by side", "maps"),
    "detours": ("the share of rides that arrive, by the probability of a forced move", "detours"),
    "structure": ("compression, distinction and their counterparts, as bars", "structure"),
    "spectra": ("singular values of the hidden states", "spectra"),
    "excess": ("the excess loss over the training steps", "excess"),
    "matched": ("scores plotted against the excess loss, through the kept checkpoints", "matched"),
    "density": ("scores against the number of training documents for each pair of places", "density"),
    "variants": ("scores of one model against the value of an option, or for each of its variants", "variants"),
    "ahead": ("the bits of tokens ahead that linear probes read from hidden states, by distance", "ahead"),
    "beliefs": ("exact beliefs and the beliefs that probes predict, on the simplex", "beliefs"),
    "decoding": ("speed-up of speculative decoding against tokens per round; accepted drafts", "decoding"),
}
"""Name of a figure -> what it shows, and its module here."""


def plates_of(name: str) -> Plates:
    """The function that prepares the pictures of a figure."""
    return importlib.import_module(f"{__name__}.{FIGURES[name][1]}").plates

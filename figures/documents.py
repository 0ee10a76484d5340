"""The documents of a world: how many have which length, and how often each word occurs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 12
"""The most frequent words that are written into the picture."""


def draw_lengths(train: np.ndarray, held_out: np.ndarray, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png, .svg and .csv: the share of documents of each length.

    train, held_out: documents by their number of tokens, int [L]; entry n counts documents of n tokens.
    """
    splits = {"training documents": train, "held-out documents": held_out}
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.8, 2.6), layout="constrained", facecolor="white")
        axis = figure.subplots()
        present = np.flatnonzero(train + held_out)
        low, high = int(present[0]), int(present[-1])
        size = np.arange(low, high + 1)
        for (name, counts), color, filled in zip(splits.items(), (GRAY, RED), (True, False)):
            share = counts[low : high + 1] / max(int(counts.sum()), 1)
            edges = np.append(size, high + 1) - 0.5
            axis.stairs(share, edges, color=color, fill=filled, alpha=0.5 if filled else 1, linewidth=1, label=name)
        axis.set_xlim(low - 1, high + 1)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("tokens of a document")
        axis.set_ylabel("share of documents")
        figure.legend(loc="outside lower center", ncols=2)
        _titled(axis, title)
        paths = save(figure, stem)
    rows = [(n, int(train[n]), int(held_out[n])) for n in size.tolist()]
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ("tokens", "train", "held_out"), rows)]


def draw_words(
    words: Sequence[str], before: np.ndarray, after: np.ndarray, pad: int, stem: Path, *, title: str = ""
) -> list[Path]:
    """Draw `stem`.png, .svg and .csv: how often each word occurs, from the most frequent to the rarest.

    before, after: occurrences of each word in prompts and after them, int [V]. pad: the word that is left out.
    """
    other = np.arange(len(words)) != pad
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.8, 3.0), layout="constrained", facecolor="white")
        axis = figure.subplots()
        for name, counts, color, marker in (("in prompts", before, BLUE, "s"), ("after prompts", after, RED, "o")):
            order = np.argsort(-counts, kind="stable")
            order = order[other[order] & (counts[order] > 0)]
            share = counts[order] / max(int(counts.sum()), 1)
            if len(order):
                label = f"{name}: {len(order):,} different words"
                axis.plot(
                    np.arange(1, len(order) + 1), share, color=color, linewidth=0.8, marker=marker, markersize=2,
                    label=label,
                )  # fmt: skip
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("rank of the word")
        axis.set_ylabel("share of all words")
        never = int((other & (before + after == 0)).sum())
        if never:
            axis.plot([], [], linestyle="none", label=f"words that do not occur: {never:,}")
        figure.legend(loc="outside lower center", ncols=1)
        most = np.argsort(-after, kind="stable")[:NAMED]
        names = " ".join(words[int(i)] for i in most if after[i] and i != pad)
        if names:
            text = literal(f"most frequent: {names}")
            axis.text(0.02, 0.02, text, transform=axis.transAxes, fontsize=5.5, color=INK, wrap=True)
        _titled(axis, title)
        paths = save(figure, stem)
    order = np.argsort(-(before + after), kind="stable")
    rows = [(words[i], int(before[i]), int(after[i])) for i in order.tolist() if i != pad]
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ("word", "in_prompts", "after_prompts"), rows)]


def _titled(axis: Axes, title: str) -> None:
    if title:
        axis.set_title(literal(title), color=INK)

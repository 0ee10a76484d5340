"""Compression and distinction, and their counterparts in other worlds, as bars with t intervals over seeds.

Reads scores alone. Compression asks whether histories of one state are treated alike, distinction whether histories of
two states are told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.statistics import Mean
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import BLACK, Look, Plate, legend_below, look_of, looks, rows_for, seeds_of
from worldbench.figures.style import literal
from worldbench.records.directions import direction_of
from worldbench.records.runs import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = {
    "sequence_compression.compression": "compression",
    "sequence_distinction.precision_map": "distinction:\nprecision",
    "sequence_distinction.recall_map": "distinction:\nrecall",
    "label_structure.compression": "labels:\ncompression",
    "label_structure.distinction": "labels:\ndistinction",
    "minimal_pairs.precision": "minimal pairs:\nprecision",
    "minimal_pairs.recall": "minimal pairs:\nrecall",
    "split_merge.split_strict": "split",
    "split_merge.split": "split",
    "split_merge.merge": "merge",
    "retelling.jensen_shannon": "retelling",
}
"""Scores that are drawn, and their words. `split` is that of older versions, without `split_strict`."""

Bars = dict[str, dict[str, Mean]]
"""Score -> label -> mean."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world with such scores."""
    known = looks(material.models)
    drawn = (_plate(group, known) for group in material.results)
    out: list[Plate | str] = [plate for plate in drawn if plate is not None]
    metrics = ", ".join(dict.fromkeys(score.partition(".")[0] for score in SCORES))
    return out or [f"structure: not drawn, because no record has one of the metrics {metrics}"]


def _plate(group: Group[Result], known: dict[str, Look]) -> Plate | None:
    bars: Bars = {}
    for score in SCORES:
        if score == "split_merge.split" and "split_merge.split_strict" in bars:
            continue
        found = {s.label: mean for s in group.series if (mean := s.mean(score)) is not None and np.isfinite(mean.value)}
        if any(not s.reference for s in group.series if s.label in found):
            bars[score] = found
    if not bars:
        return None
    shown: list[Series[Result]] = [s for s in group.series if any(s.label in found for found in bars.values())]
    rows = [
        (score, label, mean.value, *(mean.interval or (None, None)), mean.n)
        for score, found in bars.items()
        for label, mean in found.items()
    ]
    caption = (
        "Compression: histories of one state are continued alike. Distinction: continuations that tell two states "
        f"apart are found ({group.world}; {seeds_of(shown)})."
    )
    styles = {s.label: look_of(s, known) for s in shown}
    references = [s.label for s in shown if s.reference]
    words = {score: _words(score, group) for score in bars}
    return Plate(
        f"structure-{group.slug}", caption, ("score", "model", "mean", "low", "high", "seeds"), rows,
        lambda width: _draw(bars, words, styles, references, width),
    )  # fmt: skip


def _words(score: str, group: Group[Result]) -> str:
    """The title of a panel, which says so if lower is better."""
    name = score.partition(".")[0]
    metric = next(s.first.scores[name] for s in group.series if name in s.first.scores)
    return SCORES[score] + ("\n(lower is better)" if direction_of(score, metric) == "lower" else "")


def _draw(bars: Bars, words: dict[str, str], styles: dict[str, Look], references: list[str], width: float) -> Figure:
    from matplotlib.figure import Figure

    least = 0.4 + 0.11 * (len(styles) - len(references))
    rows, columns = rows_for(width - 0.45, len(bars), max(0.9, least))
    figure = Figure(figsize=(width, 0.1 + 1.45 * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, (score, found) in zip(axes.flat, bars.items()):
        _bars(axis, found, styles, references)
        axis.set_title(words[score], fontsize=7.5)
    for axis in axes.flat[len(bars) :]:
        axis.set_axis_off()
    legend_below(figure, axes.flat[: len(bars)], width)
    return figure


def _bars(axis: Axes, found: dict[str, Mean], styles: dict[str, Look], references: list[str]) -> None:
    """A bar for each model, a line across the panel for each reference."""
    trained = [label for label in styles if label not in references]
    for at, label in enumerate(trained):
        if label not in found:
            axis.text(at, 0.02, "n/a", rotation=90, ha="center", va="bottom", fontsize=6.5)
            continue
        mean, look = found[label], styles[label]
        axis.bar(
            at, mean.value, width=0.78, color=look.color, edgecolor=BLACK, linewidth=0.5, hatch=look.hatch,
            label=literal(label), zorder=2,
        )  # fmt: skip
        if mean.interval is not None:
            below, above = mean.value - mean.interval[0], mean.interval[1] - mean.value
            axis.errorbar(at, mean.value, [[below], [above]], color=BLACK, linewidth=0.8, capsize=1.8, zorder=4)
    for label in references:
        if label in found:
            look = styles[label]
            axis.axhline(
                found[label].value, color=look.color, linestyle=look.line, linewidth=1.0, label=literal(label), zorder=3
            )
    top = max([1.0, *(mean.interval[1] if mean.interval else mean.value for mean in found.values())])
    axis.set_ylim(0, min(top, 1.5) * 1.03)
    axis.set_xticks([])
    axis.set_xlim(-0.6, max(len(trained) - 0.4, 0.4))

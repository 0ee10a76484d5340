"""Singular values of the hidden states of several models, largest first, as shares of their sum: a line for each seed.

Reads the evidence of the metric `effective_rank`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worldbench.figures import evidence as files
from worldbench.figures import spectra
from worldbench.figures.paper.evidence import evidence_of, no_evidence, without
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import DARK, Look, Plate, legend_below, look_of, looks
from worldbench.figures.style import literal
from worldbench.records.runs import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC, HIDDEN, UNTRAINED = "effective_rank", "singular_values", "singular_values_untrained"
SMALLEST = 1e-6
"""Shares below this part of the largest one are not drawn."""

Lines = dict[str, list[tuple[int | None, np.ndarray]]]
"""Label -> (seed, shares)."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world with spectra."""
    known, having = looks(material.models), []
    out: list[Plate | str] = []
    for group in material.results:
        having += group.having(METRIC)
        plate = _plate(material, group, known)
        if plate is not None:
            out.append(plate)
            drawn = {row[0] for row in plate.rows}
            absent = [s.label for s in group.having(METRIC) if not s.reference and s.label not in drawn]
            out += without("spectra", group, absent)
    return out or [no_evidence("spectra", METRIC, having)]


def _plate(material: Material, group: Group[Result], known: dict[str, Look]) -> Plate | None:
    lines: Lines = {}
    untrained: np.ndarray | None = None
    shown: list[Series[Result]] = []
    for series in group.having(METRIC):
        for run in series.runs:
            data = evidence_of(material, run, METRIC, lambda path: files.read(path, spectra.NEEDED, spectra.OPTIONAL))
            if data is None:
                continue
            lines.setdefault(series.label, []).append((run[1].seed, _share(data[HIDDEN])))
            if untrained is None and UNTRAINED in data:
                untrained = _share(data[UNTRAINED])
        shown += [series] if series.label in lines else []
    if not any(not s.reference for s in shown):
        return None
    names = {s.label: _named(s) for s in shown}
    styles = {s.label: look_of(s, known) for s in shown}
    rows = [
        (label, seed, i + 1, float(share))
        for label, runs in lines.items()
        for seed, shares in runs
        for i, share in enumerate(shares)
    ]
    if "untrained" in lines:
        untrained = None
    rows += [] if untrained is None else [("untrained network", None, i + 1, float(x)) for i, x in enumerate(untrained)]
    caption = (
        "Singular values of the hidden states, as shares of their sum, one line for each training seed "
        f"({group.world}). In brackets: the effective rank, with its 95% t interval over seeds. A code of few "
        "dimensions falls off early."
    )
    return Plate(
        f"spectra-{group.slug}", caption, ("model", "seed", "index", "share"), rows,
        lambda width: _draw(lines, untrained, names, styles, width),
    )  # fmt: skip


def _share(values: np.ndarray) -> np.ndarray:
    return values / max(float(values.sum()), 1e-300)


def _named(series: Series[Result]) -> str:
    """The label with the effective rank."""
    mean = series.mean(f"{METRIC}.rank")
    if mean is None:
        return series.label
    half = "" if mean.interval is None else f" ± {mean.interval[1] - mean.value:.1f}"
    return f"{series.label} ({mean.value:.1f}{half})"


def _draw(
    lines: Lines, untrained: np.ndarray | None, names: dict[str, str], styles: dict[str, Look], width: float
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 2.1 if width < 4 else 2.6), layout="constrained", facecolor="white")
    axis = figure.subplots()
    for label, runs in lines.items():
        look = styles[label]
        for k, (_, shares) in enumerate(runs):
            at = np.flatnonzero(shares > SMALLEST * shares.max(initial=0.0))
            axis.plot(
                at + 1, shares[at], color=look.color, linestyle=look.line, linewidth=0.9, alpha=0.85,
                marker=look.marker, markersize=2.6, markevery=(k % 3, max(len(at) // 8, 1)),
                label=literal(names[label]) if not k else None,
            )  # fmt: skip
    if untrained is not None:
        at = np.flatnonzero(untrained > SMALLEST * untrained.max(initial=0.0))
        axis.plot(at + 1, untrained[at], color=DARK, linestyle=(0, (4, 2)), linewidth=0.9, label="untrained network")
    axis.set_yscale("log")
    axis.set_xlabel("index of the singular value")
    axis.set_ylabel("share of the sum")
    legend_below(figure, [axis], width)
    return figure

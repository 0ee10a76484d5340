"""The bits of the tokens ahead that linear probes read from the hidden states, by distance: means over seeds with 95%
t intervals, and their ratio to those of GPT, seed by seed.

Reads the scores of `ahead_probe` alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from worldbench.core.statistics import Mean, mean_interval
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import Look, Plate, legend_below, look_of, looks, seeds_of
from worldbench.figures.style import GRAY, INK, literal
from worldbench.records.runs import Result
from worldbench.records.scores import value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[int, float, float | None, float | None, int]
"""Distance in tokens, mean, ends of the interval, number of seeds."""
DISTANCES = (1, 2, 5, 10, 20)
BASE = "gpt"
"""The model to which the others are compared."""
UNTRAINED = "untrained"
LEAST = 1e-4
"""Fewer bits have no place on the logarithmic axis."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world whose results have bits."""
    known = looks(material.models)
    drawn = (_plate(group, known) for group in material.results)
    out: list[Plate | str] = [plate for plate in drawn if plate is not None]
    return out or ["ahead: not drawn, because no result has the bits of ahead_probe"]


def bits_of(series: Series[Result], untrained: bool = False) -> list[Point]:
    """The bits by distance, where all seeds have them. untrained: those of the untrained control."""
    end = "_untrained" if untrained else ""
    means = [(k, series.mean(f"ahead_probe.bits_{k}{end}")) for k in DISTANCES]
    return [_point(k, m) for k, m in means if m is not None]


def _point(k: int, mean: Mean) -> Point:
    low, high = mean.interval or (None, None)
    return k, mean.value, low, high, mean.n


def ratios_of(series: Series[Result], base: Series[Result]) -> list[Point]:
    """The bits divided by those of another model with the same seed, by distance; the mean over the shared seeds."""
    theirs = {record.seed: record for _, record in base.runs}
    out: list[Point] = []
    for k in DISTANCES:
        column = f"ahead_probe.bits_{k}"
        both = [
            (value_of(record.scores, column), value_of(theirs[record.seed].scores, column))
            for _, record in series.runs
            if record.seed in theirs
        ]
        known = [(x, y) for x, y in both if x is not None and y is not None and y > LEAST]
        if known and len(known) == len(both):
            out.append(_point(k, mean_interval([x / y for x, y in known])))
    return out


def _plate(group: Group[Result], known: dict[str, Look]) -> Plate | None:
    shown = [s for s in group.series if not s.reference and bits_of(s)]
    if not shown:
        return None
    base = next((s for s in shown if s.first.model.name == BASE), None)
    bits = {s.label: bits_of(s) for s in shown}
    found = {s.label: ratios_of(s, base) for s in shown if base is not None and s is not base}
    ratios = {label: points for label, points in found.items() if points}
    control = bits_of(base or shown[0], untrained=True)
    rows: list[tuple] = [("bits", label, *point) for label, points in bits.items() for point in points]
    rows += [("bits", UNTRAINED, *point) for point in control]
    rows += [(f"ratio to {BASE}", label, *point) for label, points in ratios.items() for point in points]
    second = f" Second panel: divided by the bits of {BASE} with the same seed." if ratios else ""
    caption = (
        f"Bits of the token k ahead that a linear probe reads from the hidden state, beyond the frequencies of tokens "
        f"({group.world}; {seeds_of(shown)}). {UNTRAINED}: an untrained network.{second}"
    )
    styles = {s.label: look_of(s, known) for s in shown}
    return Plate(
        f"ahead-{group.slug}", caption, ("what", "model", "ahead", "mean", "low", "high", "seeds"), rows,
        lambda width: _draw(bits, control, ratios, styles, width),
    )  # fmt: skip


def _draw(
    bits: dict[str, list[Point]], control: list[Point], ratios: dict[str, list[Point]], styles: dict[str, Look],
    width: float,
) -> Figure:  # fmt: skip
    from matplotlib.figure import Figure

    below = width < 4 and bool(ratios)
    size = (1 + below, 2 if ratios and not below else 1)
    height = (2.1 if width < 4 else 2.6) * (1.8 if below else 1.0)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    panels = list(figure.subplots(*size, squeeze=False).flat)
    for label, points in bits.items():
        _line(panels[0], [p for p in points if p[1] > LEAST], styles[label], label, LEAST)
    if seen := [p for p in control if p[1] > LEAST]:
        at, value = [p[0] for p in seen], [p[1] for p in seen]
        panels[0].plot(at, value, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label=UNTRAINED)
    panels[0].set_yscale("log")
    panels[0].set_ylabel("bits read")
    if ratios:
        panels[1].axhline(1, color=styles.get(BASE, next(iter(styles.values()))).color, linewidth=0.9, zorder=1)
        for label, points in ratios.items():
            _line(panels[1], points, styles[label], "", -math.inf)
        panels[1].set_ylabel(f"divided by {BASE}")
    for axis in panels:
        axis.set_xscale("log")
        axis.set_xticks(DISTANCES, [str(k) for k in DISTANCES])
        axis.minorticks_off()
        axis.set_xlabel("tokens ahead")
        axis.grid(True, color=GRAY, linewidth=0.3, alpha=0.4)
    legend_below(figure, panels[:1], width)
    return figure


def _line(axis: Axes, points: list[Point], look: Look, label: str, bottom: float) -> None:
    """The means, and their intervals as a band that ends at `bottom`."""
    at = [p[0] for p in points]
    low = [max(p[1] if p[2] is None else p[2], bottom) for p in points]
    high = [p[1] if p[3] is None else p[3] for p in points]
    axis.fill_between(at, low, high, color=look.color, alpha=0.18, linewidth=0)
    axis.plot(
        at, [p[1] for p in points], color=look.color, linestyle=look.line, marker=look.marker, markersize=3,
        linewidth=1.1, label=literal(label),
    )  # fmt: skip

"""The street maps that the rides of several models imply, side by side with the oracle's, all to one scale.

Black: true streets. Vermilion curves: streets that illegal turns imply. Blue rings: places where rides end elsewhere.
Of each model, the seed with the median precision is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worldbench.core.text import counted
from worldbench.figures import street_map, wrong_ends
from worldbench.figures.paper.evidence import evidence_of, middle_run, no_evidence, without
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import BLACK, DEEP_BLUE, VERMILION, Plate, in_lines, rows_for, wrapped
from worldbench.records.runs import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "map_reconstruction"
LEGEND = 0.3
"""Height of the legend below the maps, in inches."""


@dataclass(frozen=True)
class Panel:
    """The map of one run. seed: None for a reference."""

    label: str
    seed: int | None
    seeds: int
    black: street_map.Drawn
    red: street_map.Drawn
    ends: wrong_ends.WrongEnds | None
    rides: wrong_ends.Counts
    words: tuple[np.ndarray, np.ndarray]
    kind: str


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world with maps of rides."""
    out: list[Plate | str] = []
    having = []
    for group in material.results:
        shown = [s for s in group.having(METRIC) if not s.reference or s.label == "oracle"]
        having += shown
        shown.sort(key=lambda s: s.label != "oracle")
        panels = [panel for s in shown if (panel := _panel(material, s)) is not None]
        if not any(panel.label != "oracle" for panel in panels):
            continue
        out.append(_plate(group, panels))
        drawn = {panel.label for panel in panels}
        out += without("maps", group, [s.label for s in shown if s.label not in drawn])
        if all(s.label != "oracle" for s in shown):
            out.append(f"maps: {group.words}: drawn without the oracle, because there is no record of it")
    return out or [no_evidence("maps", METRIC, having)]


def _panel(material: Material, series: Series[Result]) -> Panel | None:
    run = middle_run(series, METRIC, series.first.scores[METRIC].primary)
    data = evidence_of(material, run, METRIC, street_map.load)
    if data is None or run is None:
        return None
    return Panel(
        series.label, run[1].seed, len(series.runs), street_map.black_streets(data), street_map.red_streets(data),
        wrong_ends.wrong_ends(data), wrong_ends.Counts.of(data), (data["places"], data["directions"]),
        wrong_ends.red_words(data)[1],
    )  # fmt: skip


def _plate(group: Group[Result], panels: list[Panel]) -> Plate:
    forced = " (forced end)" if panels[0].kind == "invented" else ""
    rings = "" if panels[0].ends is None else " Rings: places where rides of legal moves end elsewhere."
    seeds = "; ".join(f"{p.label}: seed {p.seed} of {counted(p.seeds, 'seed')}" for p in panels if p.seed is not None)
    caption = (
        f"Street maps that the rides of each model imply ({group.world}). Black: true streets that rides use. Red: "
        f"streets that do not exist{forced}.{rings} Drawn is the seed with the median precision ({seeds})."
    )
    columns = (
        "model",
        "seed",
        "from",
        "to",
        "direction",
        "kind",
        "uses",
        "from_east",
        "from_north",
        "to_east",
        "to_north",
    )
    rows = [
        (panel.label, panel.seed, *row)
        for panel in panels
        for row in (
            *street_map.edge_rows(panel.black, "true", panel.words),
            *street_map.edge_rows(panel.red, panel.kind, panel.words),
            *wrong_ends.rows(panel.ends, panel.words[0]),
            *(("", "", "", kind, n, "", "", "", "") for kind, n in panel.rides.kinds().items()),
        )
    ]
    return Plate(f"maps-{group.slug}", caption, columns, rows, lambda width: _draw(panels, width))


def _draw(panels: list[Panel], width: float) -> Figure:
    from matplotlib.figure import Figure

    points = np.concatenate([np.concatenate([p.black.points(), p.red.points()]) for p in panels])
    low, high = points.min(0), points.max(0)
    pad = max(0.03 * float((high - low).max()), 10.0)
    low, high = low - pad, high + pad
    ratio = float((high - low)[1] / (high - low)[0])
    rows, columns = rows_for(width, len(panels), 1.05 if width < 4 and len(panels) > 6 else 1.55)
    across = width / columns
    names = [in_lines(panel.label, across, 7.5) for panel in panels]
    words = ["\n".join(line for part in _words(p) for line in wrapped(part, across, 6.5)) for p in panels]
    head, foot = (0.13 * max(text.count("\n") + 1 for text in texts) for texts in (names, words))
    above = head + foot + 0.1
    tall = (across - 0.08) * min(ratio, 1.6)
    height = rows * (tall + above) + LEGEND
    figure = Figure(figsize=(width, height), facecolor="white")
    per_point = max((high - low)[0] / ((across - 0.08) * 72), (high - low)[1] / (tall * 72))
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        top = height - row * (tall + above)
        place = (
            (column * across + 0.04) / width,
            (top - above - tall) / height,
            (across - 0.08) / width,
            tall / height,
        )
        axes = figure.add_axes(place)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_aspect("equal")
        axes.set_axis_off()
        _streets(axes, panel, per_point)
        middle = (column + 0.5) * across / width
        line = (top - above + foot + 0.02) / height  # between the name and the counts
        figure.text(middle, line, names[i], ha="center", va="bottom", fontsize=7.5, linespacing=1.1)
        figure.text(middle, line, words[i], ha="center", va="top", fontsize=6.5, linespacing=1.15)
    _legend(figure, panels)
    return figure


def _words(panel: Panel) -> tuple[str, str]:
    """The counts of the two kinds of errors."""
    red, rides = f"{counted(len(panel.red.ends), 'street')} {panel.kind}", panel.rides
    if rides.elsewhere is None:
        return red, f"{rides.unexplained:,} of {counted(rides.rides, 'ride')} unexplained"
    return red, f"{rides.elsewhere:,} of {counted(rides.rides, 'ride')} end elsewhere"


def _streets(axes: Axes, panel: Panel, per_point: float) -> None:
    lengths = np.hypot(*(panel.black.stop - panel.black.start).T)
    scale = min((float(np.median(lengths)) if len(lengths) else 0.0) / per_point / 40, 1.0)
    street_map.draw_lines(axes, panel.black, BLACK, 0.35 + 0.6 * scale)
    street_map.draw_curves(axes, panel.red, 0.4 + 0.6 * scale, per_point * (1.5 + 4.0 * scale), color=VERMILION)
    if panel.ends is not None:
        wrong_ends.draw_rings(axes, panel.ends, scale, color=DEEP_BLUE)


def _legend(figure: Figure, panels: list[Panel]) -> None:
    from matplotlib.lines import Line2D

    ring: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "none", "markeredgecolor": DEEP_BLUE}
    marks = [
        (Line2D([], [], color=BLACK, linewidth=1), "true street, used"),
        (Line2D([], [], color=VERMILION, linewidth=1), f"{panels[0].kind} street"),
    ]
    if panels[0].ends is not None:
        marks.append((Line2D([], [], linestyle="none", **ring), "rides end elsewhere"))
    figure.legend(
        *zip(*marks), loc="lower center", ncols=len(marks), handlelength=1.4, columnspacing=1.2, borderaxespad=0.3,
        fontsize=6.5,
    )  # fmt: skip

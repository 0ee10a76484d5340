"""Speculative decoding: speed-up against the tokens of a round, and the share of drafts accepted at each position.

Reads records of `worldbench decode` alone. Means with 95% t intervals over training seeds; with one seed, the median
and the range over repeats. The arm with an adaptive number of drafts is not drawn.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from worldbench.figures.paper.decodings import Decodings, Line, decodings_of
from worldbench.figures.paper.groups import Material
from worldbench.figures.paper.plate import DARK, Look, Plate, legend_below, looks, rows_for
from worldbench.figures.style import GRAY, literal, mark_infinite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = (
    "panel", "model", "way", "drafts", "seeds", "tokens_per_round", "tokens_low", "tokens_high", "speed_up",
    "speed_up_low", "speed_up_high", "bar", "accepted_share", "accepted_low", "accepted_high", "accepted", "tested",
    "distinct",
)  # fmt: skip
"""drafts: the number of drafts per round; in rows of the panel "accepted" the position of the draft. distinct: tested
drafts without the repeats."""
PATTERNS: dict[str, tuple[Any, ...]] = {
    "greedy": ("-", (0, (4, 1.4)), (0, (4, 1, 1, 1)), (0, (8, 1.4))),
    "sampled": ((0, (2.5, 1)), (0, (2.5, 1, 0.8, 1)), (0, (2.5, 1, 0.8, 1, 0.8, 1)), (0, (2.5, 2.5))),
}
"""Line patterns of the ways of decoding. Dots belong to the line of free drafts."""
LEAST_DRAFTS = 30
"""Shares of fewer drafts than this are in the CSV file alone: they vary by chance, and would hide the others."""
LEAST_SPAN = 0.2
"""The panel of shares shows at least this span: small differences are to look small."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world and machine."""
    groups = decodings_of(material)
    own = {line.label: line.model for group in groups for line in group.lines}
    known = looks(material.models | own)
    out: list[Plate | str] = [_plate(group, known) for group in groups]
    if out:
        return out
    what = "no record of worldbench decode can be drawn" if material.decodings else "there is no decode record"
    return [f"decoding: not drawn, because {what}; worldbench decode RUN makes one"]


def _plate(group: Decodings, known: dict[str, Look]) -> Plate:
    return Plate(
        group.slug, _caption(group), COLUMNS, [row for line in group.lines for row in _rows(line)],
        lambda width: _draw(group.lines, known, width),
    )  # fmt: skip


def _rows(line: Line) -> list[tuple[Any, ...]]:
    who = (line.label, line.way.whole)
    bar = "t interval over seeds" if line.seeds > 1 else "range over repeats"
    none: tuple[None, ...] = (None,) * 7
    out: list[tuple[Any, ...]] = []
    for p in line.points:
        ends = (*(p.tokens.interval or none[:2]), p.speed_up.value, *(p.bar or none[:2]))
        out.append(("speed-up", *who, p.drafts, line.seeds, p.tokens.value, *ends, bar, *none[:6]))
    for s in line.shares:
        ends = s.share.interval or none[:2]
        out.append(
            ("accepted", *who, s.position, line.seeds, *none, s.share.value, *ends, s.accepted, s.tested, s.distinct)
        )
    return out


def _caption(group: Decodings) -> str:
    drafts = sorted({point.drafts for line in group.lines for point in line.points})
    counts = sorted({line.seeds for line in group.lines})
    several = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    over = f"mean and 95% t interval over {several} training seeds of medians over repeats"
    if counts[-1] == 1:
        over = "median and range over repeats, one training seed"
    elif counts[0] == 1:
        over += "; with one seed, median and range over repeats"
    return (
        f"Speculative decoding ({group.world}; {over}). Speed-up over plain decoding against the new tokens of a "
        f"round: a point for each number of drafts per round ({', '.join(map(str, drafts))}), joined in their order; "
        "the largest number is written beside its point. Dotted: the speed-up if drafting and checking cost nothing. "
        "Share of drafts accepted at each position of a round, with the largest number of drafts: among those whose "
        f"earlier drafts were all accepted, where these are at least {LEAST_DRAFTS}. The adaptive number "
        f"of drafts is not drawn.{_steps(group)} Measured on {group.machine}; times of different machines are never in "
        "one panel."
    )


def _steps(group: Decodings) -> str:
    """A sentence about models that were trained for different numbers of steps."""
    by_steps: dict[int, list[str]] = defaultdict(list)
    for line in group.lines:
        if line.steps is not None and line.label not in by_steps[line.steps]:
            by_steps[line.steps].append(line.label)
    if len(by_steps) < 2:
        return ""
    parts = [f"{', '.join(labels)} for {steps:,} steps" for steps, labels in sorted(by_steps.items())]
    return f" The trainings differ in length: {'; '.join(parts)}."


def _draw(lines: tuple[Line, ...], known: dict[str, Look], width: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows, columns = rows_for(width, 2, 2.2)
    figure = Figure(figsize=(width, 0.1 + 2.1 * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    patterns = _patterns(lines)
    for line in lines:
        style = {
            "color": known[line.label].color, "linestyle": patterns[line.short], "marker": known[line.label].marker,
            "markerfacecolor": "white" if line.way.choice == "sampled" else known[line.label].color,
        }  # fmt: skip
        _speed_up(axes[0], line, style)
        _accepted(axes[1], line, style)
    _free(axes[0])
    for label in dict.fromkeys(line.label for line in lines):
        look = known[label]
        axes[0].plot([], [], color=look.color, marker=look.marker, linewidth=1, markersize=3.6, label=literal(label))
    for way, pattern in patterns.items():
        axes[0].plot(
            [], [], color=DARK, linestyle=pattern, linewidth=1, label=literal(way), markersize=3.6,
            marker="o" if way.startswith("sampled") else None, markerfacecolor="white",
        )  # fmt: skip
    axes[0].set_xlabel("new tokens per round")
    axes[0].set_ylabel("speed-up over plain decoding")
    axes[1].set_xlabel("position of the draft in a round")
    axes[1].set_ylabel("share of drafts accepted")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _limit_shares(axes[1], lines)
    legend_below(figure, axes, width)
    return figure


def _patterns(lines: tuple[Line, ...]) -> dict[str, Any]:
    """Each way in short -> its line pattern."""
    left = {choice: itertools.cycle(patterns) for choice, patterns in PATTERNS.items()}
    out: dict[str, Any] = {}
    for line in sorted(lines, key=lambda line: line.way):
        if line.short not in out:
            out[line.short] = next(left[line.way.choice])
    return out


def _speed_up(axis: Axes, line: Line, style: dict[str, Any]) -> None:
    points = [p for p in line.points if math.isfinite(p.tokens.value) and math.isfinite(p.speed_up.value)]
    across, up = [p.tokens for p in points], [p.speed_up for p in points]
    bars = [p.bar or (p.speed_up.value, p.speed_up.value) for p in points]
    sides = [m.interval or (m.value, m.value) for m in across]
    axis.errorbar(
        [m.value for m in across], [m.value for m in up],
        yerr=_ends([m.value for m in up], bars), xerr=_ends([m.value for m in across], sides),
        markersize=3.2, markeredgewidth=0.8, linewidth=0.9, elinewidth=0.7, **style,
    )  # fmt: skip
    infinite = [p.tokens.value for p in line.points if p.speed_up.value == math.inf and math.isfinite(p.tokens.value)]
    mark_infinite(axis, infinite, style["color"])
    for last in points[-1:]:
        axis.annotate(
            str(last.drafts), (last.tokens.value, last.speed_up.value), xytext=(3, -1), textcoords="offset points",
            fontsize=6, color=style["color"], va="top",
        )  # fmt: skip


def _ends(values: list[float], intervals: list[tuple[float, float]]) -> list[list[float]]:
    """Lengths of bars below and above values; no bar where an end is infinite."""
    pairs = [(v - low, high - v) for v, (low, high) in zip(values, intervals)]
    kept = [(max(0.0, a), max(0.0, b)) if math.isfinite(a + b) else (0.0, 0.0) for a, b in pairs]
    return [[a for a, _ in kept], [b for _, b in kept]]


def _accepted(axis: Axes, line: Line, style: dict[str, Any]) -> None:
    shares = [s for s in line.shares if s.distinct >= LEAST_DRAFTS]
    values = [s.share.value for s in shares]
    axis.errorbar(
        [s.position for s in shares], values,
        yerr=_ends(values, [s.share.interval or (s.share.value, s.share.value) for s in shares]),
        markersize=2.6, markeredgewidth=0.7, linewidth=0.8, elinewidth=0.6, **style,
    )  # fmt: skip


def _limit_shares(axis: Axes, lines: tuple[Line, ...]) -> None:
    """Heights within 0 and 1 that are at least LEAST_SPAN apart. A panel without shares says why."""
    if not any(s.distinct >= LEAST_DRAFTS for line in lines for s in line.shares):
        few = f"fewer than {LEAST_DRAFTS} drafts\nat each position"
        axis.text(0.5, 0.5, few, ha="center", va="center", transform=axis.transAxes, fontsize=7)
        axis.set(xlim=(0.5, 2.5), ylim=(0, 1))
        return
    low, high = axis.get_ylim()
    room = max(0.0, LEAST_SPAN - (high - low)) / 2
    axis.set_ylim(max(low - room, -0.03), min(high + room, 1.03))


def _free(axis: Axes) -> None:
    """The line on which a round takes as long as a plain token, and the height without gain. Both meet at plain
    decoding, which stays within the panel."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    left, low = min(left, 0.9), min(low, 0.9)
    axis.plot([left, right], [left, right], color=DARK, linestyle=(0, (1, 1)), lw=0.9, label="free drafts", zorder=1)
    axis.axhline(1, color=GRAY, linewidth=0.5, zorder=0)
    axis.set(xlim=(left, right), ylim=(low, high))

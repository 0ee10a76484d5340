"""Calibration curves: what damage of each kind does to each metric, between its references; one panel a metric, from
`check.json`.

A metric without a value of any reference or damage has no panel, and is named below the panels. The height of a panel
covers the references and the damage that the metric makes a statement about. A curve of other damage is dotted, and cut
at the edge of the panel. A triangle at the edge of a panel is an infinite value.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from worldbench.core.statistics import mean_interval
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, mark_infinite, paper_style, save, write_csv
from worldbench.records.check import Check, Severity
from worldbench.records.reading import read

COLORS = {
    "deleted": BLUE,
    "added": "#2a9d5c",
    "rewired": RED,
    "noise": "#e08a1e",
    "blur": "#7d5ba6",
    "drift": "#8c564b",
    "wrong_goal": "#c2185b",
    "blind": "#00838f",
    "late": "#4e342e",
    "forgets": "#9e9d24",
    "leak": "#5c6bc0",
    "temperature": "#f9a825",
}
LINES = {
    "oracle": (INK, "-"),
    "random-legal": (GRAY, "--"),
    "uniform": (GRAY, ":"),
    "ngram": (GRAY, "-."),
    "untrained": ("#c0c0c0", "-"),
}


LINE = 0.13
"""Height of a line of text below the panels, in inches."""


def curve(ladder: list[Severity], metric: str, score: str) -> list[tuple[float, float, float, float]]:
    """(size, mean, low, high) at each severity that has the score; t intervals over corruptions. A mean with an
    infinite value is infinite."""
    out = []
    for severity in ladder:
        values = severity.values.get(metric, {}).get(score)
        known = [v for v in values or [] if v is not None]
        if not values or len(known) < len(values) or math.isnan((m := mean_interval(known)).value):
            continue
        low, high = m.interval or (m.value, m.value)
        out.append((severity.size, m.value, low, high))
    return out


def _has_values(record: Check, metric: str, score: str) -> bool:
    """Whether a panel has a line or a curve: a value of a reference, or two severities of a kind of damage."""
    of_references = (record.references[metric].get(model, {}).get(score) for model in LINES)
    return any(value is not None for value in of_references) or any(
        len(curve(ladder, metric, score)) > 1 for ladder in record.ladders.values()
    )


def draw(record_path: Path, stem: Path) -> list[Path]:
    """Write `stem`.png, `stem`.svg and `stem`-curves.csv."""
    record = read(record_path, Check)
    judged = {name: m for name, m in record.metrics.items() if m.direction != "none"}
    primary = [(name, m.primary) for name, m in judged.items() if name in record.references]
    panels = [panel for panel in primary if _has_values(record, *panel)]
    if not panels:
        return []
    empty = [f"{name}.{score}" for name, score in primary if (name, score) not in panels]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    written: list[tuple[Any, ...]] = []
    with paper_style():
        from matplotlib.figure import Figure

        without = textwrap.wrap(f"no value here: {', '.join(empty)}", 36 * columns) if empty else []
        below = LINE * len(without)
        figure = Figure(figsize=(2.2 * columns, 1.75 * rows + 0.8 + below))
        axes = figure.subplots(rows, columns, squeeze=False)
        handles: dict[str, Any] = {}
        for k, axis in enumerate(axes.ravel()):
            if k >= len(panels):
                axis.set_axis_off()
                continue
            metric, score = panels[k]
            for model, (color, style) in LINES.items():
                value = record.references[metric].get(model, {}).get(score)
                if value is not None and math.isinf(value):
                    mark_infinite(axis, [0], color, side="up" if value > 0 else "down")
                elif value is not None:
                    handles.setdefault(
                        model, axis.axhline(value, color=color, linestyle=style, linewidth=0.8, zorder=1)
                    )
            shown = [
                v
                for m in LINES
                if (v := record.references[metric].get(m, {}).get(score)) is not None and math.isfinite(v)
            ]
            for kind, ladder in record.ladders.items():
                points = curve(ladder, metric, score)
                if len(points) < 2:
                    continue
                claimed = kind in record.metrics[metric].claims
                written += [(metric, score, kind, *p) for p in points]
                color = COLORS.get(kind, INK)
                mark_infinite(axis, [i for i, p in enumerate(points) if p[1] == math.inf], color)
                mark_infinite(axis, [i for i, p in enumerate(points) if p[1] == -math.inf], color, side="down")
                finite = [(i, p) for i, p in enumerate(points) if math.isfinite(p[1])]
                x, points = [i for i, _ in finite], [p for _, p in finite]
                shown += [v for p in points for v in p[1:]] if claimed else []
                style = {"marker": "o", "markersize": 2.2, "linewidth": 1, "linestyle": "-" if claimed else ":"}
                (line,) = axis.plot(x, [p[1] for p in points], color=COLORS.get(kind, INK), zorder=3, **style)
                axis.fill_between(
                    x,
                    [p[2] for p in points],
                    [p[3] for p in points],
                    color=COLORS.get(kind, INK),
                    alpha=0.18,
                    linewidth=0,
                    zorder=2,
                )
                if claimed:
                    handles.setdefault(kind, line)
            margin = 0.06 * (max(shown, default=1.0) - min(shown, default=0.0)) or 0.06
            axis.set_ylim(min(shown, default=0.0) - margin, max(shown, default=1.0) + margin)
            axis.set_title(f"{literal(metric)}\n{literal(score)}", fontsize=7)
            axis.set_xticks(range(1 + max((len(ladder) - 1 for ladder in record.ladders.values()), default=0)))
        order = [n for n in (*LINES, *COLORS) if n in handles]
        sizes = {k: " ".join(f"{r.size:g}" for r in ladder[1:]) for k, ladder in record.ladders.items()}
        figure.legend(
            [handles[n] for n in order],
            [f"{n} {sizes[n]}" if n in sizes else n for n in order],
            loc="lower center",
            ncols=min(4, len(order)),
            title="\n".join(["across: severity of damage, from none (0) to the largest", *without]),
        )
        figure.tight_layout(rect=(0, (0.85 + below) / (1.75 * rows + 0.8 + below), 1, 1))
        paths = save(figure, stem)
    paths.append(
        write_csv(
            stem.with_name(f"{stem.name}-curves.csv"),
            ["metric", "score", "kind", "size", "mean", "low", "high"],
            written,
        )
    )
    return paths

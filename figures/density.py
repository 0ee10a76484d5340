"""Scores against the density of the training data, in documents per pair of places: at which density has a model
learned the map, and at which has it memorized rides?

Reads results alone. A point is the mean over the seeds of one model that was trained on so many documents, with the t
interval of the mean. A hollow point was trained on new documents alone. A triangle at the edge of a panel is an
infinite mean. The lines of the floor and the ceiling are scores of references.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from worldbench.core.errors import InputError
from worldbench.core.files import make_folder
from worldbench.core.statistics import Mean, mean_interval
from worldbench.core.text import counted
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, mark_infinite, paper_style, save, write_csv
from worldbench.records.bounds import BOTH, Bounds, bounds
from worldbench.records.finding import find
from worldbench.records.runs import Result
from worldbench.records.scores import value_of
from worldbench.records.variant import distinct_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCORES = {
    "valid_trajectories.arrives_sampled": "rides that arrive (sampled)",
    "split_merge.split_same_place": "split, pairs at the same place",
    "map_reconstruction.implied_streets": "red streets (moves alone)",
    "excess_loss.kl": "excess loss (nats per token)",
}
"""The scores that are drawn, with their names for people."""
DENSITY = "rides_per_pair"
"""The fact of a world's card that is drawn across."""
COLORS = (BLUE, RED, "#2a9d5c", "#e08a1e", "#7d5ba6", "#8c564b", "#17a2b8", "#c2185b")
ASIDE = 1.04
"""Ratio between the places across of two models with the same density."""
LINES = {"floor": (0, (1, 1.5)), "ceiling": (0, (5, 2))}


@dataclass(frozen=True)
class Point:
    """The results of one model at one density. fresh: every document of training was new."""

    label: str
    density: float
    fresh: bool
    results: tuple[Result, ...]

    def mean(self, score: str) -> Mean | None:
        """The mean over seeds; None if a seed lacks the score."""
        known = [v for r in self.results if (v := value_of(r.scores, score)) is not None]
        mean = mean_interval(known) if len(known) == len(self.results) else None
        return None if mean is None or math.isnan(mean.value) else mean


def draw_density(paths: list[Path], out: Path, say: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Draw `density`.png, .svg and .csv into the folder `out`, from the results among files and folders.

    say: called with a line for each file below a folder that could not be read and was left out. Raises InputError if
    the results are not of one world and one evaluation, if none of them was trained on a counted number of documents
    per pair, and if none has a score that is drawn.
    """
    found = find(paths, Result)
    for line in found.messages():
        say(line)
    results = [record for _, record in found.records]
    points = points_of(results)
    first = points[0].results[0]
    others = [r for r in results if r.seed is None or r.training is None]
    panels = {score: name for score, name in SCORES.items() if any(p.mean(score) for p in points)}
    if not panels:
        metrics = " ".join(dict.fromkeys(score.partition(".")[0] for score in SCORES))
        raise InputError(f"no result has a score that is drawn; score the runs with --eval.metrics {metrics}")
    beside = bounds(first, others)
    stem = make_folder(out, "choose another with --density") / "density"
    title = f"{first.world_name} {first.card.get('map', '')}, preset {first.preset}".replace("  ", " ")
    return _draw(points, panels, beside, stem, title)


def points_of(results: Sequence[Result]) -> list[Point]:
    """The trained results by label and density, in this order. Raises InputError as `draw_density` does."""
    trained = [r for r in results if r.training is not None and r.seed is not None and _density(r) is not None]
    if not trained:
        what = f"no result was trained in a world whose card has {DENSITY}"
        raise InputError(f"{what}; name runs of a world of rides, such as taxi, with several --data.documents")
    for what, values in {
        "worlds": {msgspec.json.encode(r.world, order="sorted") for r in trained},
        "evaluations": {r.identity.evaluation for r in trained},
    }.items():
        if len(values) > 1:
            raise InputError(f"the results are of {len(values)} {what}; name runs of one world and one evaluation")
    rules = {r.config.get("train", {}).get("scored_step", "last") for r in trained if r.number("data", "documents")}
    alike = [_without_documents(r, one_rule=len(rules) < 2) for r in trained]
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for record, label in zip(trained, distinct_labels(alike)):
        groups[label, record.number("data", "documents") or 0].append(record)
    points = []
    for (label, documents), records in groups.items():
        densities = [value for r in records if (value := _density(r)) is not None]
        density = sum(densities) / len(densities)  # with new documents alone, it differs a little between seeds
        if len({r.seed for r in records}) < len(records):
            raise InputError(
                f"{label}: a seed comes more than once at {density:.3g} rides per pair; name each run once"
            )
        points.append(Point(label, density, not documents, tuple(records)))
    if len({p.density for p in points if not p.fresh} | {0.0 for p in points if p.fresh}) < 2:
        raise InputError(
            f"all results have one density, {points[0].density:.3g} rides per pair; name runs with several "
            "--data.documents, such as those of worldbench sweep density"
        )
    return sorted(points, key=lambda p: (p.label, p.density, p.fresh))


def _density(record: Result) -> float | None:
    value: Any = record.card.get(DENSITY)
    return float(value) if type(value) in (int, float) and 0 < value < math.inf else None


def _without_documents(record: Result, *, one_rule: bool) -> Result:
    """The result with the number of documents left out of its settings, so that labels do not name this number.
    one_rule: leave out the rule that chooses the weights too, which differs between documents that repeat themselves
    and new ones."""
    left_out = {"data": {"documents"}, "train": {"scored_step"} if one_rule else set()}
    kept = {
        group: {name: value for name, value in record.config.get(group, {}).items() if name not in names}
        for group, names in left_out.items()
    }
    return msgspec.structs.replace(record, config={**record.config, **kept})


def _draw(points: list[Point], panels: dict[str, str], beside: Bounds, stem: Path, title: str) -> list[Path]:
    labels = dict.fromkeys(p.label for p in points)
    colors = dict(zip(labels, itertools.cycle(COLORS)))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    table: list[tuple[Any, ...]] = []
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        figure = Figure(figsize=(3.1 * columns, 2.2 * rows + 0.5), layout="constrained", facecolor="white")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel().tolist()
        names: dict[str, Any] = {}
        for axis, (score, name) in zip(axes, panels.items()):
            for i, label in enumerate(labels):
                aside = ASIDE ** (i - (len(labels) - 1) / 2)
                table += _line(axis, [p for p in points if p.label == label], score, colors[label], aside)
            table += _references(axis, points[0].results[0], beside, score, names)
            axis.set_xscale("log")
            axis.set_title(name, fontsize=8)
            axis.grid(True, color=GRAY, linewidth=0.3, alpha=0.4)
            axis.set_xlabel("training rides per pair of places")
            axis.tick_params(labelbottom=True)
        for axis in axes[len(panels) :]:
            axis.remove()
        _ticks(axes[: len(panels)])
        handles = {literal(k): Line2D([], [], color=c, marker="o", markersize=3) for k, c in colors.items()} | names
        if any(p.fresh for p in points):
            hollow = Line2D([], [], color=INK, marker="o", markersize=4, markerfacecolor="white", linestyle="none")
            handles["every ride is new"] = hollow
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(4, len(handles)))
        figure.suptitle(literal(f"{title}; {_seeds(points)}"), fontsize=9, color=INK)
        paths = save(figure, stem)
    head = ("score", "model", "kind", DENSITY, "documents", "seeds", "mean", "low", "high")
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, table)]


def _line(axis: Axes, points: list[Point], score: str, color: str, aside: float) -> list[tuple[Any, ...]]:
    """Draw the points of one model. Returns their rows of the table; a point without a mean has an empty one.

    aside: the factor by which the points are moved across, so that the intervals of models do not hide each other.
    """
    means = [(p, p.mean(score)) for p in points]
    finite = [(p, m) for p, m in means if m is not None and math.isfinite(m.value)]
    axis.plot([p.density * aside for p, _ in finite], [m.value for _, m in finite], color=color, linewidth=1, zorder=3)
    for p, m in finite:
        low, high = m.interval or (m.value, m.value)
        axis.errorbar(
            [p.density * aside], [m.value], [[m.value - low], [high - m.value]], color=color, capsize=1.5,
            elinewidth=0.7, marker="o", markersize=3.6, markerfacecolor="white" if p.fresh else color, zorder=4,
        )  # fmt: skip
    high, low = ([p.density * aside for p, m in means if m and m.value == v] for v in (math.inf, -math.inf))
    mark_infinite(axis, high, color)
    mark_infinite(axis, low, color, side="down")
    return [
        (score, p.label, "new documents" if p.fresh else "fixed documents", p.density,
         p.results[0].number("data", "documents") or None, len(p.results), m and m.value,
         m and m.interval and m.interval[0], m and m.interval and m.interval[1])
        for p, m in means
    ]  # fmt: skip


def _references(
    axis: Axes, record: Result, beside: Bounds, score: str, names: dict[str, Any]
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Draw the lines of the floor and the ceiling of a score. names: label -> line, for the legend."""
    metric, _, key = score.partition(".")
    table = []
    for which in BOTH:
        reference = record.scores[metric].reference(which) if metric in record.scores else None
        value = None if reference is None else beside.value(metric, record.scores[metric], which, key)
        if reference is None or value is None:
            continue
        table.append((score, reference, which, None, None, None, value, None, None))
        if math.isfinite(value):
            line = axis.axhline(value, color=GRAY, linewidth=0.9, linestyle=LINES[which], zorder=1)
            names.setdefault(f"{reference} ({which})", line)
    return table


def _ticks(axes: Sequence[Axes]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())


def _seeds(points: Sequence[Point]) -> str:
    """How many seeds a point has, and what the bars are."""
    numbers = sorted({len(p.results) for p in points})
    if numbers == [1]:
        return "1 seed"
    seeds = counted(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"
    return f"{seeds}, 95% t intervals"

"""One model at several settings: scores against the value of the option that differs, such as the horizon of NextLat;
or one place for each variant, if more than one option differs. Other models and references are lines across.

Reads scores alone. Means with 95% t intervals over seeds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worldbench.core.statistics import Mean
from worldbench.figures.paper.groups import Group, Material, Series, slug_of
from worldbench.figures.paper.plate import (
    Look,
    Plate,
    label_outside,
    legend_below,
    look_of,
    looks,
    rows_for,
    seeds_of,
)
from worldbench.figures.style import literal
from worldbench.records.differences import differing, plain
from worldbench.records.directions import direction_of
from worldbench.records.runs import Result
from worldbench.records.variant import training_options

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = {
    "valid_trajectories.arrives_sampled": "sampled arrival",
    "detours.arrives_p0.75": "arrival, forced\nmoves at .75",
    "sequence_compression.compression": "compression",
    "split_merge.split_strict": "split",
    "state_probe.node": "node probe",
    "belief_probe.r2": "belief probe, R²",
    "transition_consistency.normalized": "transitions",
    "effective_rank.rank": "rank",
    "decisions.accuracy": "decision",
    "label_accuracy.accuracy": "labels",
    "checked_answers.strict_sampled": "solved",
    "board_probe.mover": "board probe",
    "excess_loss.kl": "excess loss (nats)",
}
"""Scores that are drawn, and their words."""
WIDE = 3.0
"""A ratio of the largest to the smallest value of an option; above it, the axis is logarithmic."""
LEAST = 0.1
"""The height of a panel is at least this share of what it shows: small differences are to look small."""
ACROSS = {"oracle", "random-legal", "untrained"}
"""References that are drawn."""


@dataclass(frozen=True)
class Variants:
    """One model in one group. option: what differs, `group.field`; None if it is not a single number. at: the place of
    each variant across; names: their names, for places that are no values of an option."""

    model: str
    option: str | None
    series: tuple[Series[Result], ...]
    at: tuple[float, ...]
    names: tuple[str, ...]


def plates(material: Material) -> list[Plate | str]:
    """A picture for each model that has two settings or more in one group of records."""
    known = looks(material.models)
    drawn = (_plate(group, variants, known) for group in material.results for variants in variants_of(group))
    out: list[Plate | str] = [plate for plate in drawn if plate is not None]
    return out or ["variants: not drawn, because no model has results with two settings in one world and evaluation"]


def variants_of(group: Group[Result]) -> list[Variants]:
    """The models of a group that have several settings."""
    by_model: dict[str, list[Series[Result]]] = defaultdict(list)
    for series in group.series:
        if not series.reference:
            by_model[series.first.model.name].append(series)
    return [_variants(model, mine) for model, mine in by_model.items() if len(mine) > 1]


def _variants(model: str, series: list[Series[Result]]) -> Variants:
    options = [training_options(s.first) for s in series]
    names = list(dict.fromkeys(name for mine in differing(options, absent=True) for name in mine))
    values = [mine.get(names[0]) for mine in options]
    if len(names) == 1 and all(type(v) in (int, float) for v in values):
        numbers = [float(v) for v in values if v is not None]
        order = sorted(range(len(series)), key=numbers.__getitem__)
        at = tuple(numbers[i] for i in order)
        return Variants(model, names[0], tuple(series[i] for i in order), at, tuple(f"{x:g}" for x in at))
    usual = {name: _usual([mine.get(name) for mine in options]) for name in names}
    words = [_words({n: mine.get(n) for n in names if plain(mine.get(n)) != usual[n]}, model) for mine in options]
    return Variants(model, None, tuple(series), tuple(map(float, range(len(series)))), tuple(words))


def _usual(values: list[Any]) -> str:
    """The most frequent value, as text."""
    return Counter(map(plain, values)).most_common(1)[0][0]


def _words(options: dict[str, Any], model: str) -> str:
    """The options of a variant whose values are not the most frequent ones. If there is no such option, the name of the
    model."""
    return ", ".join(f"{name.partition('.')[2]}={plain(value)}" for name, value in options.items()) or model


def _plate(group: Group[Result], variants: Variants, known: dict[str, Look]) -> Plate | None:
    panels = [score for score in SCORES if any(_drawn(s.mean(score)) for s in variants.series)]
    if not panels:
        return None
    beside = [
        s
        for s in group.series
        if (s.label in ACROSS if s.reference else s.first.model.name != variants.model)
    ]  # fmt: skip
    rows = [
        (score, s.label, at, mean.value, *(mean.interval or (None, None)), mean.n)
        for score in panels
        for s, at in [*zip(variants.series, variants.at), *((s, None) for s in beside)]
        if (mean := s.mean(score)) is not None
    ]
    what = "settings" if variants.option is None else variants.option
    lines = "; horizontal lines: other models, and references within the panel" if beside else ""
    caption = f"{variants.model} at several {what} ({group.world}; {seeds_of(variants.series)}{lines})."
    titles = {score: _title(score, variants.series) for score in panels}
    own = known[variants.series[0].label]
    across = {s.label: (s, look_of(s, known)) for s in beside}
    return Plate(
        slug_of(f"variants-{group.slug}-{variants.model}"), caption,
        ("score", "model", "at", "mean", "low", "high", "seeds"), rows,
        lambda width: _draw(titles, variants, own, across, width),
    )  # fmt: skip


def _drawn(mean: Mean | None) -> bool:
    return mean is not None and math.isfinite(mean.value)


def _limits(means: list[Mean | None]) -> tuple[float, float]:
    """The heights of a panel that shows these means and their intervals."""
    ends = [end for m in means if m is not None and _drawn(m) for end in (m.interval or (m.value, m.value))]
    low, high = min(ends), max(ends)
    short = max(0.0, LEAST * abs(low + high) / 2 - (high - low)) / 2
    room = short + 0.08 * (high - low) or 1.0
    return low - room, high + room


def _title(score: str, series: tuple[Series[Result], ...]) -> str:
    name = score.partition(".")[0]
    metric = next(s.first.scores[name] for s in series if name in s.first.scores)
    return SCORES[score] + ("\n(lower is better)" if direction_of(score, metric) == "lower" else "")


def _draw(
    titles: dict[str, str], variants: Variants, own: Look, across: dict[str, tuple[Series[Result], Look]], width: float
) -> Figure:
    from matplotlib.figure import Figure

    numeric = variants.option is not None
    rows, columns = rows_for(width, len(titles), 1.5 if numeric else 1.6)
    tall = 1.35 if numeric else 1.35 + 0.055 * max(map(len, variants.names))
    figure = Figure(figsize=(width, 0.2 + tall * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=numeric)
    for axis, (score, title) in zip(axes.flat, titles.items()):
        _panel(axis, score, variants, own, across)
        axis.set_title(title, fontsize=7.5)
    label_outside(axes, len(titles), (variants.option or "").partition(".")[2], "")
    legend_below(figure, axes.flat[: len(titles)], width)
    return figure


def _panel(
    axis: Axes, score: str, variants: Variants, own: Look, across: dict[str, tuple[Series[Result], Look]]
) -> None:
    others = [(s.mean(score), s, look) for s, look in across.values()]
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.set_ylim(*_limits([s.mean(score) for s in variants.series] + [m for m, s, _ in others if not s.reference]))
    for mean, series, look in others:
        if mean is not None and axis.get_ylim()[0] <= mean.value <= axis.get_ylim()[1]:
            axis.axhline(mean.value, color=look.color, linestyle=look.line, linewidth=0.9, label=literal(series.label))
    found = [(at, mean) for s, at in zip(variants.series, variants.at) if _drawn(mean := s.mean(score))]
    for k, (at, mean) in enumerate(found):
        assert mean is not None
        low, high = mean.interval or (mean.value, mean.value)
        axis.errorbar(
            at, mean.value, [[mean.value - low], [high - mean.value]], color=own.color, marker=own.marker,
            markersize=3.6, linewidth=0.9, capsize=1.8, label=literal(variants.model) if not k else None,
        )  # fmt: skip
    if variants.option is None:
        axis.set_xticks(list(variants.at), [literal(name) for name in variants.names], rotation=90, fontsize=6.5)
        axis.set_xlim(-0.5, len(variants.at) - 0.5)
        return
    axis.plot([at for at, _ in found], [m.value for _, m in found if m is not None], color=own.color, lw=1)
    if min(variants.at) > 0 and max(variants.at) / min(variants.at) > WIDE:
        axis.set_xscale("log")
        axis.set_xticks(list(variants.at), variants.names)
        axis.set_xticks([], minor=True)

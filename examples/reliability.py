"""A metric of your own, with an option and a figure: does a model's confidence match its accuracy?

worldbench run hmm --plugin examples/reliability.py --eval.metrics reliability next_token --eval.reliability_bins 5
worldbench eval runs/hmm-gpt-.. --plugin examples/reliability.py --eval.metrics reliability
worldbench figures runs/hmm-gpt-.. --plugin examples/reliability.py
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.arrays import Array
from worldbench.core.metric import Damage, Metric, Report, Score
from worldbench.core.options import require_at_least
from worldbench.core.registry import figures, metrics
from worldbench.figures import evidence as files
from worldbench.figures.style import GRAY, INK, literal, paper_style, save, write_csv
from worldbench.metrics.evaluation import chunks


@dataclass(frozen=True, kw_only=True)
class ReliabilityOptions:
    """The options of the metric. Their names are shared with all metrics, so they begin with the name of the metric."""

    reliability_bins: int = 10
    """Number of bins of equal width into which positions are sorted by confidence."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "reliability_bins")


class Reliability(Metric):
    """Expected calibration error of the likeliest next token (Guo et al. 2017, arXiv 1706.04599).

    Confidence: the probability of the likeliest token. `ece`: the mean over positions of held-out documents of the gap
    between confidence and accuracy in the position's bin. 0: confidence matches accuracy.
    """

    name, version, direction = "reliability", 1, "lower"
    primary = "ece"
    floor, serves_labels = "uniform", True
    damage = (Damage("ece", worse=("late",), direction="lower"),)

    def measure(self, evaluation: Any) -> Report:
        confidence, hit, hits, tried = [], [], [], []
        for part in chunks(evaluation.documents):
            row, t = np.nonzero(part.targets >= 0)
            logits = evaluation.model.logits(part.inputs)[row, t].astype(np.float64)
            probability = np.exp(logits - logits.max(axis=1, keepdims=True))
            confidence.append((probability / probability.sum(axis=1, keepdims=True)).max(axis=1))
            hit.append(logits.argmax(axis=1) == part.targets[row, t])
            hits.append(np.bincount(row, hit[-1], minlength=len(part)))
            tried.append(np.bincount(row, minlength=len(part)))
        sure, right = np.concatenate(confidence), np.concatenate(hit)
        bins = evaluation.settings.reliability_bins
        which = np.minimum((sure * bins).astype(int), bins - 1)
        n = np.bincount(which, minlength=bins)
        mean_sure = np.bincount(which, sure, minlength=bins) / np.maximum(n, 1)
        mean_right = np.bincount(which, right, minlength=bins) / np.maximum(n, 1)
        error = float((n * abs(mean_sure - mean_right)).sum() / n.sum())
        return Report(
            {
                "ece": Score(error, len(sure)),  # no interval: noise alone makes the gap of a bin larger than 0
                "accuracy": Score.share(np.concatenate(hits), np.concatenate(tried), over="documents"),
            },
            arrays={"positions": n, "confidence": mean_sure, "accuracy": mean_right},
        )


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draws accuracy against confidence, one dot per bin: `stem`.png and .svg, with the values in `stem`.csv."""
    shape = {"confidence": Array("float", ("B+",)), "accuracy": Array("float", ("B+",))}
    arrays = files.read(evidence, {"positions": Array("int", ("B+",), least=0), **shape})
    seen = arrays["positions"] > 0
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2.6, 2.6), layout="constrained", facecolor="white")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GRAY, linewidth=0.6)
        axis.plot(arrays["confidence"][seen], arrays["accuracy"][seen], color=INK, marker="o", markersize=3)
        axis.set_xlabel("probability of the likeliest token")
        axis.set_ylabel("share of positions where it comes next")
        if title:
            axis.set_title(literal(title), color=INK)
        paths = save(figure, stem)
    rows = zip(*(arrays[name][seen].tolist() for name in ("positions", "confidence", "accuracy")))
    csv = write_csv(stem.with_name(f"{stem.name}.csv"), ["positions", "confidence", "accuracy"], rows)
    return [*paths, csv]


metrics.add("reliability", "how well confidence matches accuracy", Reliability(), config=ReliabilityOptions)
figures.add("reliability", "accuracy against confidence", draw, metric="reliability", arrays=("confidence",))

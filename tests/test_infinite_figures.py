"""Infinite values in figures: a triangle at the edge of the panel, and the value in the CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from sample_records import checked, metric, trace

from worldbench.figures import calibration, learning_curves, matched, position_loss, style
from worldbench.records.check import Severity
from worldbench.records.lines import EvalLine, TrainLine
from worldbench.records.reading import write
from worldbench.records.scores import Metric

pytestmark = pytest.mark.pictures

INF = math.inf
Marks = Callable[[ModuleType], list[list[tuple[str, list[float], list[float]]]]]


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> Marks:
    """Call it with a module of figures before drawing: it returns a list to which each panel of the figure is added, as
    its triangles (marker, x, y)."""

    def watched(module: ModuleType) -> list[list[tuple[str, list[float], list[float]]]]:
        panels: list[list[tuple[str, list[float], list[float]]]] = []

        def save(figure: Any, stem: Path) -> list[Path]:
            for axes in figure.axes:
                triangles = [line for line in axes.lines if line.get_marker() in ("^", "v", ">")]
                panels.append([(t.get_marker(), list(t.get_xdata()), list(t.get_ydata())) for t in triangles])
            return style.save(figure, stem)

        monkeypatch.setattr(module, "save", save)
        return panels

    return watched


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


@pytest.mark.slow
def test_learning_curves(tmp_path: Path, marks: Marks) -> None:
    panels = marks(learning_curves)
    lines = [
        TrainLine(step=1, loss={"next_token": 2.0}, learning_rate=0.1),
        EvalLine(step=1, loss=INF, bayes=0.5, excess=INF),
        EvalLine(step=10, loss=1.5, bayes=0.5, excess=1.0),
        EvalLine(step=100, loss=INF, bayes=0.5, excess=INF),
    ]
    learning_curves.draw(lines, tmp_path / "curves")
    assert panels == [[("^", [1, 100], [1.0, 1.0])], [("^", [1, 100], [1.0, 1.0])]]
    assert [r["held_out"] for r in rows(tmp_path / "curves.csv")] == ["", "inf", "1.5", "inf"]
    learning_curves.draw([EvalLine(step=5, loss=INF)], tmp_path / "only")
    assert panels[2:] == [[("^", [5], [1.0])]]


def test_loss_by_position(tmp_path: Path, marks: Marks) -> None:
    panels = marks(position_loss)
    at = np.arange(4)
    finite = np.array([0.5, 0.5, 0.5, 0.5])
    kl = np.array([0.1, INF, 0.2, INF])
    arrays = {"by_position": at, "by_n": at + 1, "by_loss": finite + kl, "by_bayes": finite, "by_kl": kl}
    np.savez(tmp_path / "excess_loss.npz", **arrays)
    position_loss.draw(tmp_path / "excess_loss.npz", tmp_path / "loss")
    assert panels == [[("^", [1, 3], [1.0, 1.0])]] * 2
    assert [r["excess"] for r in rows(tmp_path / "loss.csv")] == ["0.1", "inf", "0.2", "inf"]
    np.savez(tmp_path / "excess_loss.npz", **{**arrays, "by_kl": np.full(4, INF)})
    position_loss.draw(tmp_path / "excess_loss.npz", tmp_path / "all")
    assert panels[2] == [("^", [0, 1, 2, 3], [1.0] * 4)]


def test_belief_against_loss(tmp_path: Path, marks: Marks) -> None:
    panels = marks(matched)
    points = {1: (INF, 0.1), 4: (0.5, 0.3), 9: (0.1, -INF), 20: (INF, -5.0)}
    scores = {
        step: {
            "excess_loss": metric({"kl": loss}, direction="lower"),
            "belief_probe": metric({"r2": r2, "law_r2": 0.2, "r2_untrained": -INF}),
        }
        for step, (loss, r2) in points.items()
    }
    matched.draw([("gpt", trace("gpt", 0, scores))], tmp_path / "matched")
    assert panels == [[(">", [1.0, 1.0], [0.1, matched.LOWEST]), ("v", [0.1], [0.0])]]
    table = [(r["kind"], r["excess"], r["r2"]) for r in rows(tmp_path / "matched.csv")]
    assert table[:4] == [("run", "inf", "0.1"), ("run", "0.5", "0.3"), ("run", "0.1", "-inf"), ("run", "inf", "-5.0")]
    assert ("control", "", "-inf") in table
    late: dict[int, dict[str, Metric]] = {1: scores[1], 2: scores[1]}  # no checkpoint has a finite loss
    matched.draw([("gpt", trace("gpt", 0, late))], tmp_path / "late")
    assert panels[1] == [(">", [1.0, 1.0], [0.1, 0.1])]


def test_calibration(tmp_path: Path, marks: Marks) -> None:
    panels = marks(calibration)
    values = [[1.0, 1.0], [0.5, INF], [0.4, 0.6], [-INF, -INF]]
    ladder = [Severity(size=i, values={"m": {"x": v}}) for i, v in enumerate(values)]
    record = msgspec.structs.replace(checked(), ladders={"noise": ladder})
    write(tmp_path / "check.json", record)
    calibration.draw(tmp_path / "check.json", tmp_path / "calibration")
    assert panels == [[("v", [0], [0.0]), ("^", [1], [1.0]), ("v", [3], [0.0])]]  # the first one: uniform's
    assert [r["mean"] for r in rows(tmp_path / "calibration-curves.csv")] == ["1.0", "inf", "0.5", "-inf"]


def test_a_metric_without_values_has_no_panel_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(calibration, "save", lambda figure, stem: drawn.append(figure) or [])
    record, none = checked(), {"oracle": {"y": None}, "untrained": {"y": None}}
    other = msgspec.structs.replace(record.metrics["m"], primary="y")
    changed = {"metrics": {**record.metrics, "n": other}, "references": {**record.references, "n": none}}
    write(tmp_path / "check.json", msgspec.structs.replace(record, **changed))
    calibration.draw(tmp_path / "check.json", tmp_path / "calibration")
    (figure,) = drawn
    assert [axis.get_title() for axis in figure.axes] == ["m\nx"]
    assert figure.legends[0].get_title().get_text().endswith("\nno value here: n.y")

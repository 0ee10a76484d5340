"""An infinite score is the worst one, and not a missing one: in every table and comparison of results."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sample_records import metric, result, trace
from scipy import stats

from worldbench.cli.main import main
from worldbench.core.metric import Damage, Direction, Metric, Report
from worldbench.core.statistics import Mean, mean_interval, trials_interval
from worldbench.records import reading
from worldbench.records.board import Row
from worldbench.records.board_building import build
from worldbench.records.board_text import render as board
from worldbench.records.compare import compare
from worldbench.records.comparison import Comparison, render
from worldbench.records.extremes import Extremes, verdict
from worldbench.records.runs import Result
from worldbench.records.scores import Score
from worldbench.studies.check.calibration import Severity, judge_damage, judge_sight

INF = math.inf
PLAIN = [0.2, 0.25, 0.22, 0.21, 0.24]


def write(folder: Path, model: str, seed: int | None, values: Mapping[str, float | None], **changes: Any) -> Path:
    """A result with a loss `kl` (lower is better) and a share `x` (higher), where `values` names them."""
    scores = {name: metric({name: v}, direction="lower" if name == "kl" else "higher") for name, v in values.items()}
    path = folder / f"result-{model}-{seed}.json"
    reading.write(path, result(model, seed, scores, **changes))
    return path


def row(folder: Path, a: Sequence[float | None], b: Sequence[float | None], name: str = "kl") -> Comparison:
    """gpt with the values a compared with nextlat with b."""
    for model, values in (("gpt", a), ("nextlat", b)):
        for seed, value in enumerate(values):
            write(folder, model, seed, {name: value})
    (out,) = compare("gpt", "nextlat", [folder])
    return out


@pytest.mark.parametrize(
    ("a", "b", "better", "said"),
    [
        ([INF, 0.2, INF], [0.1, 0.2, 0.3], "lower", "a worse: infinite in 2 of 3 seeds"),
        ([0.1, 0.2, 0.3], [INF, INF, INF], "lower", "b worse: infinite in 3 of 3 seeds"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, -INF], "higher", "b worse: infinite in 1 of 3 seeds"),
        ([INF, 0.2, 0.3], [0.1, 0.2, 0.3], "higher", "a better: infinite in 1 of 3 seeds"),
        ([INF, 0.2, 0.3], [-INF, 0.2, 0.3], "lower", "a worse: infinite in 1 of 3 seeds"),
        ([0.1, -INF, 0.3], [0.1, 0.2, 0.3], "none", "a lower: infinite in 1 of 3 seeds"),
        ([0.1, 0.2, 0.3], [0.1, INF, 0.3], "none", "b higher: infinite in 1 of 3 seeds"),
        ([1e200, 0.2, 0.3], [0.1, 0.2, 0.3], "lower", "a worse: beyond 1e+150 in 1 of 3 seeds"),
        (
            [INF, INF, 0.3], [0.1, INF, 0.3], "lower",
            "not separable: a infinite in 2 of 3 seeds and b infinite in 1 of 3 seeds",
        ),
        ([INF, -INF, 0.3], [0.1, 0.2, 0.3], "lower", "not separable: a infinite in 2 of 3 seeds"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], "lower", None),
    ],
)  # fmt: skip
def test_what_is_said_of_two_models(a: list[float], b: list[float], better: Direction, said: str | None) -> None:
    assert verdict(("a", "b"), (a, b), better, "seed") == said
    turned = verdict(("b", "a"), (b, a), better, "seed")
    if said is not None and said.startswith("not separable"):
        assert (turned or "").startswith("not separable")
    else:
        assert turned == said


def test_means_with_infinite_values_have_no_interval() -> None:
    assert mean_interval([0.1, INF, 0.2]) == Mean(INF, 3, None)
    assert mean_interval([0.1, -INF]) == Mean(-INF, 2, None)
    assert math.isnan(mean_interval([INF, -INF]).value)
    assert mean_interval([1e200, 0.0]).interval is None
    import numpy as np

    assert trials_interval(np.array([0.1, INF])) == Mean(INF, 2, None)


def test_compare_ranks_an_infinite_loss_worst_without_a_test(tmp_path: Path) -> None:
    one = row(tmp_path, [0.1, INF, 0.1, INF, 0.1], PLAIN)
    assert one.verdict == "gpt worse: infinite in 2 of 5 shared seeds"
    assert (one.mean_a, one.mean_b, one.difference) == (INF, pytest.approx(0.224), INF)
    assert (one.interval, one.p, one.p_holm) == (None, None, None)
    for form in ("table", "markdown", "csv", "json"):
        text = " ".join(render([one], form).split())
        assert "inf" in text
        assert "infinite in 2 of 5 shared seeds" in text or form == "table"


def test_two_infinities_are_not_separable(tmp_path: Path) -> None:
    one = row(tmp_path, [INF, 0.1, 0.1, 0.1, 0.1], [0.3, 0.3, INF, 0.3, 0.3])
    assert one.verdict.startswith("not separable: gpt infinite in 1 of 5 shared seeds and nextlat infinite in 1")
    assert (one.mean_a, one.mean_b, one.difference) == (INF, INF, None)


def test_too_few_seeds_and_missing_scores_stay_what_they_were(tmp_path: Path) -> None:
    assert row(tmp_path, [INF, 0.1], PLAIN).verdict == "no power (2 shared seeds, and at least 5 are needed)"
    assert row(tmp_path, [INF, 0.1, None], PLAIN).verdict == "missing: 2 of 3 shared seeds have it"


def test_compare_says_why_scores_are_missing(tmp_path: Path) -> None:
    one = row(tmp_path, [0.3, 0.1, 0.2], [0.1, None, None])
    assert one.missing == {"nextlat": "the result states no reason (in 2 of 3 seeds)"}
    for seed in (1, 2):
        set_reason(tmp_path / f"result-nextlat-{seed}.json", "kl", "there are no documents")
    (one,) = compare("gpt", "nextlat", [tmp_path])
    said = "nextlat: there are no documents (in 2 of 3 seeds)"
    assert render([one], "markdown").endswith(f"missing: kl.kl of {said}")
    assert next(csv.DictReader(io.StringIO(render([one], "csv"))))["missing"] == said
    assert json.loads(render([one], "json"))[0]["missing"] == one.missing


def test_words_do_not_count_in_the_correction(tmp_path: Path) -> None:
    """Of two scores one is infinite: the p value of the other is not multiplied."""
    a, b = [0.61, 0.58, 0.66, 0.63, 0.60], [0.72, 0.70, 0.71, 0.77, 0.69]
    for seed in range(5):
        write(tmp_path, "gpt", seed, {"kl": INF, "x": a[seed]})
        write(tmp_path, "nextlat", seed, {"kl": 0.1, "x": b[seed]})
    rows = {r.score: r for r in compare("gpt", "nextlat", [tmp_path], margin=0.5)}
    assert rows["x.x"].p_holm == rows["x.x"].p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert rows["kl.kl"].p_equivalent is None
    assert rows["kl.kl"].verdict == "gpt worse: infinite in 5 of 5 shared seeds"


def rows_of(folder: Path) -> dict[str, Row]:
    return {r.label: r for r in build([folder])}


def test_a_board_keeps_infinite_scores_and_says_why_scores_are_missing(tmp_path: Path) -> None:
    losses: dict[str, list[float | None]] = {
        "gpt": [0.1, INF, 0.3], "mtp": [INF, -INF, 0.3], "jtp": [0.1, None, 0.3], "nextlat": [INF],
    }  # fmt: skip
    for model, values in losses.items():
        for seed, value in enumerate(values):
            path = write(tmp_path, model, seed, {"kl": value, "x": 0.5})
            if value is None:
                set_reason(path, "kl", "there are no documents")
    write(tmp_path, "oracle", None, {"x": 1.0})
    rows = rows_of(tmp_path)
    cell = rows["gpt"].cells["kl.kl"]
    assert (cell.value, cell.interval, cell.extremes) == (INF, None, Extremes(3, 1, 0, True))
    assert rows["mtp"].missing == {"kl.kl": "it is infinite in both directions"}
    assert rows["jtp"].missing == {"kl.kl": "there are no documents (in 1 of 3 seeds)"}
    assert rows["oracle"].missing == {"kl.kl": "the evaluation did not include kl"}
    shown = board(build([tmp_path]), "markdown")
    for part in (
        "| gpt | 3 | inf (1 of 3 seeds) |", "| nextlat | 1 | inf |", "| mtp | 3 | missing |",
        "missing: kl.kl of jtp: there are no documents (in 1 of 3 seeds)",
    ):  # fmt: skip
        assert part in shown
    assert "inf (1 of 3 seeds)" in board(build([tmp_path]), "table")
    table = {r["model"]: r for r in csv.DictReader(io.StringIO(board(build([tmp_path]), "csv")))}
    assert (table["gpt"]["kl mean"], table["gpt"]["kl low"], table["jtp"]["kl mean"]) == (
        "inf",
        "",
        "",
    )
    assert table["jtp"]["missing"].startswith("kl.kl: there are no documents")
    (group,) = json.loads(board(build([tmp_path]), "json"))["groups"]
    scores = {r["model"]: r["scores"]["kl.kl"] for r in group["rows"]}
    assert (scores["gpt"]["mean"], scores["gpt"]["infinite"]) == ("inf", 1)
    assert scores["mtp"] == {"missing": "it is infinite in both directions"}


def set_reason(path: Path, name: str, reason: str) -> None:
    """Give the only score of a metric in a result file a reason."""
    content = json.loads(path.read_text())
    content["scores"][name]["scores"][name]["reason"] = reason
    path.write_text(json.dumps(content))


def test_show_prints_infinite_scores_and_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "gpt", 0, {"kl": INF, "x": None, "y": None})
    set_reason(path, "x", "there are no prompts")
    assert read_score(path, "x").reason == "there are no prompts"
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert [line.split("│")[2].strip() for line in out.splitlines() if "│ kl.kl" in line] == ["inf"]
    assert "missing: x.x: there are no prompts" in out
    assert "missing: y.y: the result states no reason" in out


def read_score(path: Path, name: str) -> Score:
    return reading.read(path, Result).scores[name].scores[name]


@pytest.mark.parametrize(
    ("undamaged", "damaged", "worse"),
    [
        ([0.0, 0.0], [0.3, INF], True),
        ([0.0, 0.0], [INF, INF], True),
        ([INF, INF], [INF, INF], False),
        ([INF, 0.0], [0.0, INF], False),
        ([INF, INF], [0.0, 0.0], False),
    ],
)
def test_damage_that_makes_a_loss_infinite_makes_it_worse(
    undamaged: list[float], damaged: list[float], worse: bool
) -> None:
    ladder = [Severity(0.0, {"m": {"kl": undamaged}}), Severity(1.0, {"m": {"kl": damaged}})]
    (verdict,) = judge_damage(loss_metric(worse=("noise",)), "noise", ladder)
    assert (verdict.statement, verdict.holds) == ("noise makes kl worse", worse)


def test_unchanged_infinite_scores_are_unchanged_and_a_metric_that_is_always_infinite_is_blind() -> None:
    m = loss_metric(unchanged=("noise",))

    def holds(values: list[float]) -> bool | None:
        ladder = [Severity(0.0, {"m": {"kl": [INF, 0.5]}}), Severity(1.0, {"m": {"kl": values}})]
        return judge_damage(m, "noise", ladder)[0].holds

    assert holds([INF, 0.5]) is True
    assert holds([INF, INF]) is False
    assert holds([INF, math.nan]) is False
    (blind,) = judge_sight(m, {"oracle": {"kl": INF}, "uniform": {"kl": INF}}, {})
    (seeing,) = judge_sight(m, {"oracle": {"kl": 0.0}, "uniform": {"kl": INF}}, {})
    assert (blind.holds, seeing.holds) == (False, True)


def loss_metric(worse: tuple[str, ...] = (), unchanged: tuple[str, ...] = ()) -> Metric:
    class Loss(Metric):
        name, version, primary, direction = "m", 1, "kl", "lower"
        damage = (Damage("kl", worse=worse, unchanged=unchanged, direction="lower"),)

        def measure(self, evaluation: Any) -> Report:
            raise NotImplementedError

    return Loss()


def test_a_trace_prints_infinite_scores_and_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = {1: INF, 2: None, 4: 0.5}
    points = {step: {"excess_loss": metric({"kl": value}, direction="lower")} for step, value in losses.items()}
    reading.write(tmp_path / "trace.json", trace("gpt", 0, points))
    assert main(["show", str(tmp_path / "trace.json")]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert [row.split("│")[2].strip() for row in rows] == ["inf", "-", "0.500"]
    assert "missing: excess_loss.kl at step 2: the result states no reason" in out

"""Trials of a tuning whose criterion is infinite: they stay in the record, and are never chosen. The learning curves of
such trainings are infinite too."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from sample_records import trial, tuned
from tune_runs import TINY, tune, tunings

from worldbench.cli.main import main
from worldbench.core.errors import RunError
from worldbench.core.metric import Direction
from worldbench.records import reading
from worldbench.records.lines import EvalLine, read_lines
from worldbench.records.tuning import TrialRun
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.report import show
from worldbench.studies.tune.tuning import _trial

INF = math.inf
SURE = """
import torch
from dataclasses import dataclass
from worldbench.baselines.gpt import GPT
from worldbench.baselines.options import GPTConfig
from worldbench.core.registry import models

@dataclass(frozen=True, kw_only=True)
class SureConfig(GPTConfig):
    lambda_sure: float = 1.0
    '''Above 1, predictions after training give all probability to one token.'''

class Sure(GPT):
    name = "sure"
    def head(self, h, tokens=None):
        z = super().head(h, tokens)
        if not torch.is_inference_mode_enabled() or self.config.lambda_sure <= 1:
            return z
        return z.masked_fill(z < z.amax(-1, keepdim=True), float("-inf"))

models.add("sure", "certain of one token", Sure, config=SureConfig)
"""


@pytest.fixture
def sure(tmp_path: Path) -> Path:
    """A plugin whose model has an infinite loss where its weight is drawn above the preset's."""
    (tmp_path / "sure.py").write_text(SURE)
    return tmp_path / "sure.py"


def test_a_trial_with_an_infinite_loss_is_kept_and_never_chosen(sure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, command = sure.parent, ["--models", "sure", "--plugin", str(sure), "--trials", "5"]
    tune(out, *command)
    record = tunings(out)["sure"]
    infinite = [t["trial"] for t in record["trials"] if t["settings"]["model.lambda_sure"] > 1]
    assert 0 < len(infinite) < 4
    for t in record["trials"]:
        assert (t["value"] == "inf") == (t["trial"] in infinite)
        assert t["runs"][0]["failed"] is None
    assert record["best"]["trial"] not in infinite
    assert f"│ sure  │ 5x1   │ 0      │ {len(infinite)} " in capsys.readouterr().out
    words = ["--model.lambda_sure", "1.5", "--trials", "2", "--train.steps", "2"]  # trial 1 is drawn higher
    tune(out, *command, *words, code=1)
    message = capsys.readouterr()
    assert "no trial has a finite value" in message.out
    assert "failed or has an infinite excess_loss.kl" in message.err


def test_an_infinite_held_out_loss_is_in_the_learning_curve(sure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = sure.parent / "runs"
    words = ["--plugin", str(sure), "--model.lambda_sure", "2", "--eval.metrics", "excess_loss", "--out", str(out)]
    assert main(["run", "hmm", "--model", "sure", *TINY, *words, "--quiet"]) == 0
    (lines,) = out.glob("hmm-sure-*/metrics.jsonl")
    points = [line for line in read_lines(lines) if isinstance(line, EvalLine)]
    assert points
    assert {(p.loss, p.excess, p.bayes is None) for p in points} == {(INF, INF, False)}
    capsys.readouterr()
    assert main(["show", str(lines.parent)]) == 0
    shown = capsys.readouterr().out
    assert "│ excess_loss.kl (down) │" in shown
    assert shown.count("inf") >= 2 * len(points) + 1


@pytest.mark.parametrize(
    ("direction", "values", "best"),
    [
        ("lower", [INF, 0.5, None, 0.4], 3),
        ("lower", [-INF, 0.5], 1),
        ("higher", [INF, 0.5, 0.6], 2),
        ("lower", [INF, None], None),
    ],
)
def test_the_best_value_is_finite(direction: Direction, values: list[float | None], best: int | None) -> None:
    assert direction != "none"
    assert Criterion("m", "x", direction).best(values) == best


def test_the_value_of_a_trial_over_seeds() -> None:
    criterion = Criterion("m", "kl", "lower")

    def value(*scores: float | None) -> float | None:
        runs = [TrialRun(seed=i, folder="f", training=trial().training, scores={"kl": v} if v is not None else {},
                         failed=None) for i, v in enumerate(scores)]  # fmt: skip
        return _trial(0, {}, runs, criterion).value

    assert value(0.25, 0.75) == 0.5
    assert value(0.25, INF) == INF
    assert value(INF, None) is None
    assert value(INF, -INF) is None


def test_a_trial_without_a_score_says_why() -> None:
    run = msgspec.structs.replace(trial(), scores={}, missing={"kl": "there are no documents"})
    (failed,) = _trial(0, {}, [run], Criterion("m", "kl", "lower")).runs
    assert failed.failed == "m.kl is missing: there are no documents"


def test_the_table_counts_infinite_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading.write(tmp_path / "tuning.json", tuned(values=(INF, 0.25, None)))
    show([tmp_path / "tuning.json"])
    cells = [c.strip() for c in capsys.readouterr().out.splitlines()[3].split("│")]
    assert cells[1:7] == ["gpt", "3x1", "1", "1", "inf", "0.25"]
    reading.write(tmp_path / "tuning.json", tuned(values=(INF, None)).__class__(**{
        **{f: getattr(tuned(values=(INF, None)), f) for f in tuned().__struct_fields__}, "best": None,
    }))  # fmt: skip
    with pytest.raises(RunError, match=r"every trial of gpt failed or has an infinite excess_loss\.kl"):
        show([tmp_path / "tuning.json"])

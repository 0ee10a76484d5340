"""`worldbench forecast`: the time of the first steps, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_machines import foreseen
from tiny_runs import SETTINGS, call, tiny_words

from worldbench.cli.main import main
from worldbench.records.forecast import Forecast
from worldbench.records.reading import read
from worldbench.studies.bench.operations import count_operations
from worldbench.studies.forecast import duration, show

HMM = ["hmm", "--model", "gpt", "--preset", "small", *SETTINGS]


def test_steps_are_timed_and_extrapolated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "forecast.json"
    assert main(["forecast", *HMM, "--train.steps", "4000", "--seconds", "0.3", "--out", str(path)]) == 0
    record = read(path, Forecast)
    m = record.measured
    assert 5 < m.steps < 4000
    assert m.quartiles[0] <= m.step <= m.quartiles[1]
    assert (record.steps, record.points) == (4000, 3)
    assert record.seconds == pytest.approx(4000 * m.step + 3 * m.point)
    assert m.tokens_per_second == pytest.approx(m.tokens / m.step)
    assert record.memory.bytes is None or record.memory.bytes > 1 << 20
    assert "4,000 steps and 3 points of the learning curve" in " ".join(capsys.readouterr().out.split())
    assert [p.name for p in path.parent.iterdir()] == ["forecast.json"]


def test_all_steps_of_a_short_run_but_the_first_are_timed(tmp_path: Path) -> None:
    for steps in (1, 4):
        path = tmp_path / f"forecast-{steps}.json"
        code, said = call("forecast", *HMM, "--train.steps", str(steps), "--seconds", "60", "--out", path, "--quiet")
        assert code == 0, said
        assert read(path, Forecast).measured.steps == (1 if steps == 1 else 2)


@pytest.mark.slow
def test_operations_of_a_few_rows_stand_for_all(tmp_path: Path) -> None:
    """64 rows, of which 16 are counted, against the count over all of them; and against the count for a sweep, which
    builds no network of 4 layers."""
    from worldbench.envs.taxi.world import TaxiWorld
    from worldbench.runs.display import Display
    from worldbench.runs.prepared import identify
    from worldbench.runs.weights import build
    from worldbench.studies.doctor.tiny import job
    from worldbench.studies.forecast import forecast
    from worldbench.studies.sweep.cost import cost
    from worldbench.training.trainer import Trainer

    j = job("nextlat", "cpu", 3).replace("train", batch=64).replace("model", layers=4)
    counted = forecast(j, 0.01, Display(quiet=True)).measured.operations
    world = TaxiWorld(j.groups["env"])
    trainer = Trainer(world, build(identify(j, world)), j.groups["data"], j.groups["train"], 0, tmp_path)
    assert counted == pytest.approx(count_operations(trainer.objective, trainer.batches(0)[0]).total, rel=0.05)
    assert cost(identify(j, world)).step == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1.5, "1.5 seconds"), (120, "2.0 minutes"), (7200, "2.0 hours"), (259_200, "3.0 days"), (1e11, "3,171.0 years")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_lines_of_a_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    show(foreseen())
    out = " ".join(capsys.readouterr().out.split())
    assert "gpt in taxi, preset standard, on some" in out
    assert "3 steps timed: 2 s per step (quartiles 1 .. 3), 50 tokens/s, 0.5 trillion operations per second" in out
    assert "memory: 1.00 GiB (some)" in out
    assert "training ends after 34.1 minutes; scoring is not included" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seconds", "0"], "--seconds must be a number above 0, not 0.0"),
        (["--seconds", "nan"], "--seconds must be a number above 0, not nan"),
        (["--train.stepz", "3"], "did you mean '--train.steps'"),
        (["--model", "oracle"], "oracle is not trained"),
    ],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "taxi", *tiny_words("taxi"), *words]) == 2
    assert said in capsys.readouterr().err

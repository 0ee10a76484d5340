"""Tuning by successive halving: short trainings of all trials choose those that are trained in full."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import msgspec
import pytest
from sample_records import tuned as record
from tune_runs import count_training, recipe, results, tune, tunings

from worldbench.cli.main import main
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import InputError
from worldbench.envs.hmm.world import HMM
from worldbench.records import tuning
from worldbench.records.board_building import build
from worldbench.settings.resolve import resolve
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.halving import finalists, short_job
from worldbench.studies.tune.report import at_edge, edge_lines

WORDS = ["--models", "gpt", "gru", "--trials", "6", "--seeds", "2", "--halving", "3"]


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gpt and gru: six trials of two steps, and two of them of six steps and two seeds."""
    out = tmp_path_factory.mktemp("halved")
    tune(out, *WORDS)
    return out


@pytest.mark.parametrize(
    ("values", "halving", "chosen"),
    [
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.5], 2, [0, 4, 5]),
        ([0.1, 4.0, 3.0, 2.0, 1.0, 0.5], 2, [0, 4, 5]),  # the preset is always among them
        ([5.0, None, float("inf"), 2.0, 1.0, None], 2, [0, 3, 4]),
        ([None, None, None, None, 1.0, None], 2, [0, 1, 4]),  # the budget does not depend on the values
        ([None] * 6, 3, [0, 1]),
        ([float(i) for i in range(24)], 6, [0, 1, 2, 3]),
    ],
)
def test_the_preset_and_the_best_others(values: list[float | None], halving: int, chosen: list[int]) -> None:
    criterion = Criterion.parse("loss", HMM(resolve("hmm", "gpt", preset="quick", seed=0).groups["env"]))
    assert finalists(values, criterion, halving) == chosen


def test_a_short_training_has_a_part_of_the_steps_and_of_the_warm_up() -> None:
    job = resolve("hmm", "gpt", preset="quick", seed=0, options=["--train.steps", "1200", "--train.warmup", "100"])
    short = short_job(job, 6)
    assert (short.value("train.steps"), short.value("train.warmup")) == (200, 17)
    assert short.changed({"train.steps": 1200, "train.warmup": 100}).groups == job.groups
    with pytest.raises(InputError, match=r"less than one step of --train\.steps 1200"):
        short_job(job, 1201)


@pytest.mark.slow
def test_the_record_tells_both_rounds(halved: Path) -> None:
    found = tunings(halved)
    assert set(found) == {"gpt", "gru"}
    for one in found.values():
        assert one["budget"] == {"trials": 6, "seeds": 2, "halving": 3}
        short, full = one["short"]["trials"], one["trials"]
        assert (one["short"]["steps"], one["short"]["warmup"], one["config"]["train"]["steps"]) == (2, 1, 6)
        assert [t["trial"] for t in short] == list(range(6))
        assert [[r["seed"] for r in t["runs"]] for t in short] == [[TUNING_SEEDS[0]]] * 6
        best = min(short[1:], key=lambda t: t["value"])["trial"]
        assert [t["trial"] for t in full] == [0, best]
        assert [[r["seed"] for r in t["runs"]] for t in full] == [list(TUNING_SEEDS[:2])] * 2
        assert [t["settings"] for t in full] == [short[t["trial"]]["settings"] for t in full]
        assert len({r["training"] for t in (*short, *full) for r in t["runs"]}) == 10
        chosen = min(full, key=lambda t: t["value"])
        assert one["best"] == {name: chosen[name] for name in ("trial", "value", "settings")}
        assert "--halving 3" in one["command"]


def test_a_repeated_tuning_trains_only_what_is_new(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(halved, tmp_path / "copy"))
    before = {path.relative_to(out): path.read_bytes() for path in out.glob("tune-hmm-*/*")}
    calls = count_training(monkeypatch)
    for path in out.glob("tune-hmm-*/*"):
        path.unlink()
    tune(out, *WORDS)
    assert calls == []
    assert {path.relative_to(out): path.read_bytes() for path in out.glob("tune-hmm-*/*")} == before
    monkeypatch.undo()
    calls = count_training(monkeypatch)
    tune(out, "--models", "gpt", "--trials", "6", "--seeds", "3", "--halving", "3")
    assert calls == ["gpt"] * 2  # the third seed of two trials


@pytest.mark.slow
def test_a_stopped_tuning_goes_on(halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the short round, and in the full one: the record is that of a tuning that was not stopped."""
    want = {p.parent.name: p.read_bytes() for p in halved.glob("tune-*/tuning.json")}
    for stop in (4, 10):
        calls = count_training(monkeypatch, stop_at=stop)
        with contextlib.suppress(KeyboardInterrupt):
            tune(tmp_path, *WORDS, code=130)
        monkeypatch.undo()
    assert not list(tmp_path.glob("tune-*/tuning.json"))
    tune(tmp_path, *WORDS, "--workers", "2")
    assert {p.parent.name: p.read_bytes() for p in tmp_path.glob("tune-*/tuning.json")} == want
    assert calls


def test_a_result_states_the_halving(halved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe(halved, "gpt")
    assert 'tuned = "6/3x2,excess_loss.kl,' in path.read_text()
    assert main(["run", "--config", str(path), "--eval.metrics", "excess_loss", "--out", str(tmp_path), "--quiet"]) == 0
    (result,) = (r for r in results(tmp_path) if r.get("tuning"))
    assert (result["tuning"]["trials"], result["tuning"]["halving"], result["tuning"]["seeds"]) == (6, 3, 2)
    assert "6/3x2" in capsys.readouterr().out
    assert build([tmp_path])
    assert main(["show", str(next(halved.glob("tune-hmm-gru-*/tuning.json")))]) == 0
    assert "│ gru   │ 6/3x2 │ 0 " in capsys.readouterr().out


def test_budgets_are_read_as_they_are_written() -> None:
    for budget, text, words in [
        (Budget(24, 2, "loss", "0" * 16, 6), "24/6x2,loss,0000000000000000", "and the best 1/6 in full"),
        (Budget(1, 1, "loss", "0" * 16), "1x1,loss,0000000000000000", "1 trial of 1 seed"),
    ]:
        assert (str(budget), Budget.parse(text)) == (text, budget)
        assert budget.words.removesuffix(")").endswith(words)
        assert msgspec.json.decode(msgspec.json.encode(budget), type=Budget) == budget
    for wrong in ("24/0x2,loss,0000000000000000", "24/6,loss,0000000000000000", "/6x2,loss,0000000000000000"):
        with pytest.raises(InputError, match="is not a tuning budget"):
            Budget.parse(wrong)


def test_a_best_value_near_the_end_of_its_range_is_named() -> None:
    inside = record()
    assert at_edge(inside) == {}
    for value, side in ((0.0001, "low"), (0.00017, "low"), (0.0002, None), (0.005, None), (0.006, "high")):
        settings = {"train.learning_rate": value}
        best = tuning.Best(trial=1, value=0.25, settings=settings)
        one = msgspec.structs.replace(inside, best=best)
        assert at_edge(one) == ({} if side is None else {"train.learning_rate": side})
        for line in edge_lines([one]):
            assert line.startswith("gpt: the best train.learning_rate lies near")
            assert line.endswith("for all models with --further 4; finished trials are not trained again")
            assert f"near the {side} end of what was searched, 0.0001 to 0.01" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trials", "6", "--halving", "0"], "--halving must be at least 1"),
        (["--trials", "6", "--halving", "4"], "choose --halving 3 or less, or more --trials"),
        (["--trials", "60", "--halving", "20", "--train.steps", "8"], "less than one step of --train.steps 8"),
    ],
)
def test_mistakes(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "hmm", "--models", "gpt", *words, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err

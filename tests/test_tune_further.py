"""Further trials of a tuning: drawn near the best trial of each model, the same number for every model."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sample_records import tuned as record
from tune_runs import count_training, recipe, results, tune, tunings

from worldbench.cli.main import main
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import InputError
from worldbench.records import tuning
from worldbench.records.reading import read, write
from worldbench.settings.resolve import resolve
from worldbench.studies.tune.report import at_edge, edge_lines
from worldbench.studies.tune.search import around, draws, more_draws, space

FIRST = ["--models", "gpt", "gru", "--trials", "4", "--halving", "2"]
WORDS = [*FIRST, "--further", "2"]


@pytest.fixture(scope="module")
def went_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gpt and gru: four short trials, two of them in full, and two more near the best."""
    out = tmp_path_factory.mktemp("further")
    tune(out, *WORDS)
    return out


def test_the_ranges_have_the_best_in_the_middle_and_go_beyond_the_first_ones() -> None:
    ranges = space(resolve("hmm", "nextlat", preset="small", seed=0))
    assert {r.option for r in ranges} >= {"train.muon_rate", "model.lambda_h"}
    for uniform in (0.01, 0.5, 0.99):
        best = {r.option: r.at(uniform) for r in ranges}
        for first, more in zip(ranges, around(ranges, best)):
            assert (more.option, more.coordinate, more.start) == (first.option, first.coordinate, best[first.option])
            assert math.sqrt(more.low * more.high) == pytest.approx(more.start)
            assert math.log(more.high / more.low) == pytest.approx(math.log(first.high / first.low) / 2)
            assert (more.low < first.low) == (uniform == 0.01)
            assert (more.high > first.high) == (uniform == 0.99)


def test_every_objective_uses_the_same_points_each_in_its_own_ranges() -> None:
    gpt, gru = (space(resolve("hmm", name, preset="small", seed=0)) for name in ("gpt", "gru"))
    best = draws(gpt, 3)[2]
    assert more_draws(around(gpt, best), 3) == more_draws(around(gru, best), 3)
    assert more_draws(around(gpt, best), 5)[:3] == more_draws(around(gpt, best), 3)
    other = around(gpt, {option: 2 * value for option, value in best.items()})
    for ours, theirs in zip(more_draws(around(gpt, best), 3), more_draws(other, 3)):
        assert [2 * v for v in ours.values()] == pytest.approx(list(theirs.values()), rel=0.01)  # three digits
    assert not {tuple(s.values()) for s in more_draws(gpt, 8)} & {tuple(s.values()) for s in draws(gpt, 9)}


def test_the_record_has_the_further_trials(went_on: Path) -> None:
    found = tunings(went_on)
    assert set(found) == {"gpt", "gru"}
    for one in found.values():
        assert one["budget"] == {"trials": 4, "seeds": 1, "halving": 2, "further": 2}
        first, more = one["trials"], one["further"]["trials"]
        center = min(first, key=lambda t: t["value"])
        assert [t["trial"] for t in more] == [4, 5]
        assert [[r["seed"] for r in t["runs"]] for t in more] == [[TUNING_SEEDS[0]]] * 2
        assert {option: b["start"] for option, b in one["further"]["space"].items()} == center["settings"]
        for trial in more:
            for option, value in trial["settings"].items():
                bounds = one["further"]["space"][option]
                assert bounds["low"] * 0.99 <= value <= bounds["high"] * 1.01
        chosen = min([*first, *more], key=lambda t: t["value"])
        assert one["best"] == {name: chosen[name] for name in ("trial", "value", "settings")}
        assert "--halving 2 --further 2" in one["command"]
        assert len({r["training"] for t in (*one["short"]["trials"], *first, *more) for r in t["runs"]}) == 8


def test_they_go_on_from_the_same_search_without_them(
    went_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = {p.parent.name: p.read_bytes() for p in went_on.glob("tune-hmm-*/tuning.json")}
    calls = count_training(monkeypatch)
    tune(tmp_path, *FIRST)
    assert len(calls) == 2 * (4 + 2)
    calls.clear()
    tune(tmp_path, *WORDS, "--workers", "2")
    found = {p.parent.name: p.read_bytes() for p in tmp_path.glob("tune-hmm-*/tuning.json")}
    assert found.items() > want.items()
    assert len(found) == 4  # those without further trials stay


def test_a_stopped_search_goes_on(went_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at the last further trial."""
    out = Path(shutil.copytree(went_on, tmp_path / "copy"))
    want = {p.parent.name: p.read_bytes() for p in out.glob("tune-hmm-*/tuning.json")}
    last = tunings(out)["gru"]["further"]["trials"][-1]["runs"][0]["folder"]
    for path in (*out.glob("tune-hmm-*/*"), *(out / "tune-trials" / last).glob("trial-*.json")):
        path.unlink()
    calls = count_training(monkeypatch)
    tune(out, *WORDS)
    assert calls == ["gru"]
    assert {p.parent.name: p.read_bytes() for p in out.glob("tune-hmm-*/tuning.json")} == want


def test_a_result_states_them(went_on: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe(went_on, "gpt")
    assert 'tuned = "4/2x1+2,excess_loss.kl,' in path.read_text()
    assert main(["run", "--config", str(path), "--eval.metrics", "excess_loss", "--out", str(tmp_path), "--quiet"]) == 0
    (result,) = (r for r in results(tmp_path) if r.get("tuning"))
    assert result["tuning"]["further"] == 2
    assert "4/2x1+2" in capsys.readouterr().out
    shown = ["leaderboard", str(tmp_path), "--format", "csv"]
    assert main(shown) == 0
    assert "4/2x1+2" in capsys.readouterr().out
    assert main(["show", str(next(went_on.glob("tune-hmm-gru-*/tuning.json")))]) == 0
    assert "│ gru   │ 4/2x1+2 │ 0 " in capsys.readouterr().out


def test_budgets_are_read_as_they_are_written() -> None:
    for budget, text, words in [
        (Budget(24, 2, "loss", "0" * 16, 6, 4), "24/6x2+4,loss,0000000000000000", "then 4 more near the best one"),
        (Budget(8, 1, "loss", "0" * 16, further=1), "8x1+1,loss,0000000000000000", "(then 1 more near the best one"),
    ]:  # fmt: skip
        assert (str(budget), Budget.parse(text)) == (text, budget)
        assert budget.words.removesuffix(")").endswith(words)
        assert msgspec.json.decode(msgspec.json.encode(budget), type=Budget) == budget
    for wrong in ("24x2+0,loss,0000000000000000", "24+4x2,loss,0000000000000000", "24x2+,loss,0000000000000000"):
        with pytest.raises(InputError, match="is not a tuning budget"):
            Budget.parse(wrong)


def searched_on(value: float, further: float) -> tuning.Tuning:
    """A record whose best learning rate is `value`, with a further range around the number `further`."""
    one = record()
    trial = msgspec.structs.replace(one.trials[0], trial=2, value=0.1, settings={"train.learning_rate": value})
    bounds = tuning.Bounds(start=further, low=further / 3, high=further * 3)
    return msgspec.structs.replace(
        one,
        budget=msgspec.structs.replace(one.budget, further=1),
        best=tuning.Best(trial=2, value=0.1, settings=trial.settings),
        further=tuning.Further(space={"train.learning_rate": bounds}, trials=[trial]),
    )


def test_an_end_of_a_range_that_was_searched_beyond_is_none() -> None:
    """The first range ends at .01."""
    assert at_edge(searched_on(0.009, 0.009)) == {}
    assert at_edge(searched_on(0.025, 0.009)) == {"train.learning_rate": "high"}
    (line,) = edge_lines([searched_on(0.025, 0.009)])
    assert "0.0001 to 0.027; to search further, tune all models again: --train.learning_rate 0.025" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r | {"budget": r["budget"] | {"further": 2}}, "`further` does not hold 2 trials, numbered from 2"),
        (lambda r: {k: v for k, v in r.items() if k != "further"}, "`further` does not hold 1 trials"),
        (lambda r: r | {"best": r["best"] | {"trial": 3}}, "`best` is not one of the trials"),
    ],
)
def test_records_that_contradict_themselves(change: Any, said: str, tmp_path: Path) -> None:
    good = tmp_path / "tuning.json"
    write(good, searched_on(0.009, 0.009))
    assert read(good, tuning.Tuning).further is not None
    bad = tmp_path / "bad.json"
    bad.write_bytes(msgspec.json.encode(change(msgspec.json.decode(good.read_bytes()))))
    with pytest.raises(InputError, match=said):
        read(bad, tuning.Tuning)


def test_a_negative_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "hmm", "--models", "gpt", "--further", "-1", "--out", str(tmp_path)]) == 2
    assert "--further must be 0 or more, not -1" in capsys.readouterr().err

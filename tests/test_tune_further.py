"""Further trials of a tuning: drawn near the best trial of each model, the same number for every model."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from sample_records import tuned as record
from tune_runs import count_training, recipe, results, tune, tunings

import worldbench.studies.tune.tuning
from worldbench.cli.main import main
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import Diverged, InputError
from worldbench.core.files import identity_hash
from worldbench.records import tuning
from worldbench.records.reading import read, write
from worldbench.records.runs import Result
from worldbench.settings.resolve import resolve
from worldbench.settings.train import TrainConfig
from worldbench.studies.tune.plan import check_further
from worldbench.studies.tune.report import at_edge, edge_lines
from worldbench.studies.tune.search import around, draws, more_draws, space

RESULTS = Path(__file__).parents[1] / "results"
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
    gpt, nextlat = (space(resolve("hmm", name, preset="small", seed=0)) for name in ("gpt", "nextlat"))
    best = draws(nextlat, 3)[2]
    for ours, theirs in zip(more_draws(around(gpt, best), 3), more_draws(around(nextlat, best), 3)):
        assert ours.items() < theirs.items()
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


@pytest.mark.slow
def test_they_go_on_from_the_same_search_without_them(
    went_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = {p.parent.name: p.read_bytes() for p in went_on.glob("tune-hmm-*/tuning.json")}
    calls = count_training(monkeypatch)
    tune(tmp_path, *FIRST)
    assert len(calls) == 2 * (4 + 2)
    calls.clear()
    tune(tmp_path, *WORDS)
    assert len(calls) == 2 * 2
    found = {p.parent.name: p.read_bytes() for p in tmp_path.glob("tune-hmm-*/tuning.json")}
    assert found.items() > want.items()
    assert len(found) == 4  # those without further trials stay


@pytest.mark.slow
def test_a_stopped_search_goes_on(went_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at the last further trial, and finished by two processes."""
    want = {p.parent.name: p.read_bytes() for p in went_on.glob("tune-hmm-*/tuning.json")}
    calls = count_training(monkeypatch, stop_at=2 * (4 + 2 + 2) - 1)
    tune(tmp_path, *WORDS, code=130)
    assert len(calls) == 15
    monkeypatch.undo()
    assert len(list(tmp_path.glob("tune-*/tuning.json"))) == 1
    tune(tmp_path, *WORDS, "--workers", "2")
    assert {p.parent.name: p.read_bytes() for p in tmp_path.glob("tune-hmm-*/tuning.json")} == want


def test_without_halving_and_on_two_seeds(tmp_path: Path) -> None:
    tune(tmp_path, "--models", "gpt", "--trials", "2", "--seeds", "2", "--further", "1")
    one = tunings(tmp_path)["gpt"]
    assert [t["trial"] for t in (*one["trials"], *one["further"]["trials"])] == [0, 1, 2]
    assert [[r["seed"] for r in t["runs"]] for t in one["further"]["trials"]] == [list(TUNING_SEEDS[:2])]
    assert 'tuned = "2x2+1,' in recipe(tmp_path, "gpt").read_text()


def test_without_a_finite_value_the_preset_is_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget does not depend on the values."""

    def diverge(*_: Any) -> Any:
        raise Diverged("the loss is nan")

    monkeypatch.setattr(worldbench.studies.tune.tuning, "train", diverge)
    tune(tmp_path, "--models", "gpt", "--trials", "2", "--further", "1", code=1)
    one = tunings(tmp_path)["gpt"]
    assert "best" not in one or one["best"] is None
    assert {o: b["start"] for o, b in one["further"]["space"].items()} == one["trials"][0]["settings"]
    assert [t["runs"][0]["failed"] for t in one["further"]["trials"]] == ["the loss is nan"]


def test_settings_that_a_model_refuses_are_found_before_the_first_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, a learning rate above .1: the first range of the preset ends at .032, the further ones at .09."""
    job = resolve("hmm", "gpt", preset="small", seed=0)
    planned = SimpleNamespace(ranges=space(job), prepared=SimpleNamespace(job=job))
    check_further(cast(Any, planned))
    post = TrainConfig.__post_init__

    def refuse(config: TrainConfig) -> None:
        post(config)
        if config.learning_rate > 0.08:
            raise InputError("train.learning_rate is above .08")

    monkeypatch.setattr(TrainConfig, "__post_init__", refuse)
    with pytest.raises(InputError, match=r"with --further, train\.learning_rate may be as far as 0\.09.*above \.08"):
        check_further(cast(Any, planned))


def test_the_folders_of_published_runs_keep_their_names() -> None:
    """Those of a budget without further trials."""
    for result in sorted(RESULTS.glob("village-tuned/*-s0-*/result-*.json")):
        tuned = read(result, Result).tuning
        assert tuned is not None
        name = result.parent.name
        assert name.endswith(f"-tuned-{identity_hash({'tuning': tuned.parts})[:8]}")
        assert not name.endswith(identity_hash({"tuning": msgspec.structs.replace(tuned, further=1).parts})[:8])


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
    none = ",loss,0000000000000000"
    for budget, cell, words in [
        (Budget(24, 2, "loss", "0" * 16, 6, 4), "24/6x2+4", "and 4 further near the best one, in full"),
        (Budget(8, 1, "loss", "0" * 16, further=1), "8x1+1", "(and 1 further near the best one, in full"),
    ]:  # fmt: skip
        assert (budget.cell, str(budget), Budget.parse(cell + none)) == (cell, cell + none, budget)
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
    assert "0.0001 to 0.027; to search beyond, tune all models again, with --train.learning_rate 0.025" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda r: r | {"budget": r["budget"] | {"further": 2}},
            r"of `further` are \[2\]; the budget asks for 2, numbered from 2",
        ),
        (lambda r: {k: v for k, v in r.items() if k != "further"}, r"of `further` are \[\]; the budget asks for 1"),
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

"""Runs of tuned recipes: the chosen trial, its budget in every record and table, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from pathlib import Path

import pytest
from command_lines import refused
from tune_runs import TINY, TYPED, recipe, results, tunings

import worldbench.runs.weights
from worldbench.cli.main import main
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import InputError, RunError
from worldbench.records.board_building import build
from worldbench.records.compare import compare
from worldbench.records.comparison import render
from worldbench.records.reading import read
from worldbench.records.tuning import Tuning
from worldbench.studies.tune.report import require_equal


@pytest.mark.slow
def test_the_recipe_is_the_chosen_trial(
    tuned: Path, reported: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its runs have the training identity of the same options typed, say how they were tuned, and their command repeats
    them."""
    best = tunings(tuned)["nextlat"]["best"]["settings"]
    typed = [
        *("run", "hmm", "--model", "nextlat", *TYPED, "--model.horizon", "2"),
        *(w for k, v in best.items() for w in (f"--{k}", str(v))),
    ]
    assert main([*typed, "--out", str(tmp_path), "--quiet"]) == 0
    (ours,) = (r for r in results(reported) if r["model"]["name"] == "nextlat" and r["seed"] == 0)
    (plain,) = (r for r in results(tmp_path) if r["model"]["name"] == "nextlat")
    assert ours["identity"] == plain["identity"]
    assert ours["scores"]["excess_loss"] == plain["scores"]["excess_loss"]
    assert "tuning" not in plain
    digest = hashlib.sha256((recipe(tuned, "nextlat").parent / "tuning.json").read_bytes()).hexdigest()[:16]
    assert ours["tuning"] == {"trials": 3, "seeds": 2, "criterion": "excess_loss.kl", "record": digest}
    capsys.readouterr()
    assert main([*shlex.split(ours["command"])[1:], "--out", str(reported)]) == 0
    assert "done already" in capsys.readouterr().err
    folder = next(reported.glob("hmm-nextlat-quick-s0-*"))
    copy = Path(shutil.copytree(folder, tmp_path / "again" / folder.name))
    assert main(["eval", str(copy), "--eval.documents", "20", "--quiet"]) == 0
    assert json.loads(next(copy.glob("result-*.json")).read_text())["tuning"] == ours["tuning"]


def test_the_preset_tuned_and_untuned_are_two_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same weights, two rows: what was spent on them differs. The training is not repeated while a folder beside holds
    all of its weights."""
    trained: list[str] = []
    fit = worldbench.runs.weights.fit
    monkeypatch.setattr(
        worldbench.runs.weights, "fit", lambda p, folder, *more: trained.append(folder.name) or fit(p, folder, *more)
    )
    budgets = [None, "8x1,excess_loss.kl,0123456789abcdef", "4x2,excess_loss.kl,0123456789abcdef"]

    def run(budget: str | None) -> Path:
        before = set(tmp_path.glob("hmm-gpt-*"))
        more = [] if budget is None else ["--tuned", budget]
        assert main(["run", "hmm", *TYPED, *more, "--out", str(tmp_path), "--quiet"]) == 0
        (folder,) = set(tmp_path.glob("hmm-gpt-*")) - before
        return folder

    first, second = map(run, budgets[:2])
    assert trained == [first.name]
    weights = sorted(path.name for path in first.glob("checkpoint/*"))
    for name in (*(f"checkpoint/{name}" for name in weights), "metrics.jsonl"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    for folder in (first, second):  # one of the weights that a run keeps is gone: the training is not complete
        (folder / "checkpoint" / weights[-2]).unlink()
    third = run(budgets[2])
    assert trained == [first.name, third.name]
    assert sorted(path.name for path in third.glob("checkpoint/*")) == weights
    mine = [r for r in results(tmp_path) if r["model"]["name"] == "gpt"]
    assert len({r["identity"]["training"] for r in mine}) == 1
    assert len({json.dumps(r["scores"]) for r in mine}) == 1
    assert [row.tuned for row in build([tmp_path]) if row.label == "gpt"] == ["-", "4x2", "8x1"]


def test_the_budget_is_a_column_where_there_is_one(
    reported: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = list(build([reported]))
    assert {(r.label.split()[0], len(r.seeds), r.tuned) for r in rows} >= {
        ("gpt", 1, "-"),
        ("gpt", 2, "3x2"),
        ("nextlat", 2, "3x2"),
        ("oracle", 0, "-"),
    }
    untuned = [p for p in reported.glob("hmm-*/result-*.json") if "tuned" not in p.parent.name]
    for form, head in (
        ("markdown", "| arm | model | seeds | tuned | kl |"),
        ("latex", r"arm & model & seeds & tuned & kl \\"),
        ("table", "tuned"),
    ):
        assert main(["leaderboard", str(reported), "--format", form]) == 0
        assert head in capsys.readouterr().out
        assert main(["leaderboard", *map(str, untuned), "--format", form]) == 0
        assert "tuned" not in capsys.readouterr().out
    assert main(["leaderboard", str(reported), "--format", "json"]) == 0
    assert {row["tuned"] for row in json.loads(capsys.readouterr().out)["groups"][0]["rows"]} == {"-", "3x2"}


def test_a_comparison_tells_the_budgets(reported: Path) -> None:
    alike = render(compare("gpt[tuned=3x2]", "nextlat", [reported]), "markdown")
    assert "gpt[tuned=3x2] 3x2, nextlat 3x2" in alike
    assert "not equal" not in alike
    assert "the budgets are not equal" in render(compare("gpt[tuned=-]", "nextlat", [reported]), "markdown")


def test_seeds_of_tuning_are_never_reported(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = str(TUNING_SEEDS[3])
    assert "reserved for tuning" in refused(capsys, "run", "hmm", *TINY, "--seed", seed)
    assert "reserved for tuning" in refused(capsys, "run", "hmm", *TINY, "--eval.seed", seed)
    with pytest.raises(InputError, match="there is no result"):
        build([tuned])  # trials write no result of their own
    trial = next((tuned / "tune-trials").glob("hmm-gpt-*"))
    copy = Path(shutil.copytree(trial, tmp_path / trial.name))
    assert main(["eval", str(copy), "--quiet"]) == 0
    assert "never reported" in refused(capsys, "leaderboard", str(copy))
    assert "never reported" in refused(capsys, "compare", "gpt", "nextlat", str(copy))


def test_unequal_trials_are_no_comparison(tuned: Path) -> None:
    records = [read(path, Tuning) for path in tuned.glob("tune-*/tuning.json")]
    require_equal(records)
    records[1].trials.pop()
    with pytest.raises(RunError, match=r"4 trainings and .* had 6, so they cannot be compared"):
        require_equal(records)


def test_budgets_are_written_as_they_are_read(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = Budget(16, 2, "excess_loss.kl", "0123456789abcdef")
    assert Budget.parse(str(budget)) == budget
    assert (
        main(
            [
                *("run", "--config", str(recipe(tuned, "gpt")), "--train.threads", "2", "--eval.trials", "5"),
                "--print-config",
            ]
        )
        == 0
    )  # leaves it tuned
    printed = capsys.readouterr().out
    assert 'tuned = "3x2,excess_loss.kl,' in printed
    assert (
        main(["run", "--config", str(recipe(tuned, "gpt")), "--model", "oracle", "--print-config"]) == 0
    )  # the references of the same world
    assert "tuned" not in capsys.readouterr().out

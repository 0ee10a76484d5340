"""Trials of a tuning: the same draws for every objective, on seeds that are never reported; none is repeated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tune_runs import count_training, recipe, tune, tunings

from worldbench.cli.main import main
from worldbench.core.budget import TUNING_SEEDS
from worldbench.core.errors import InputError
from worldbench.core.registry import models
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import write as write_mazes
from worldbench.settings.resolve import resolve
from worldbench.studies.tune.search import draws, space, weights
from worldbench.studies.tune.tuning import shared_documents

TRAINED = [e.name for e in models if e.trained]


# What is drawn


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("name", TRAINED)
def test_the_same_draws_for_every_objective(name: str, optimizer: str) -> None:
    """The shared settings of every trial are gpt's; trial 0 is the preset; all stay inside the bounds, and no two
    trials agree."""
    job, gpt = (
        resolve("hmm", model, preset="quick", seed=0, options=["--train.optimizer", optimizer])
        for model in (name, "gpt")
    )
    shared = ("train.learning_rate", "train.weight_decay", *(["train.muon_rate"] if optimizer == "muon" else []))
    ranges, theirs = space(job), draws(space(gpt), 9)
    drawn = draws(ranges, 9)
    assert [[s[o] for o in shared] for s in drawn] == [[s[o] for o in shared] for s in theirs]
    assert drawn[0] == {r.option: job.value(r.option) for r in ranges}
    assert job.changed(drawn[0]) == job
    for r in ranges:
        values = [s[r.option] for s in drawn]
        assert len(set(values)) == 9
        assert all(r.low * 0.99 <= v <= r.high * 1.01 for v in values)
        assert min(values) < r.start < max(values)
    assert {r.option for r in ranges} - set(shared) == {
        f"model.{n}" for n in weights(models[name].load_config()) if job.value(f"model.{n}") > 0
    }
    assert draws(ranges, 5) == drawn[:5]
    assert {r.option for r in space(gpt)} == set(shared)


def test_what_is_switched_off_stays_off() -> None:
    adamw = ["--train.optimizer", "adamw"]
    off = ["--model.lambda_h", "0", "--train.weight_decay", "0"]
    job = resolve("hmm", "nextlat", preset="quick", seed=0, options=[*adamw, *off])
    left = draws(space(job), 6)
    assert {tuple(s) for s in left} == {("train.learning_rate", "model.lambda_kl")}
    usual = draws(space(resolve("hmm", "nextlat", preset="quick", seed=0, options=adamw)), 6)
    assert [s["model.lambda_kl"] for s in left] == [
        s["model.lambda_kl"] for s in usual
    ]  # each setting keeps its coordinate


# What is recorded


def test_the_record_tells_every_trial(tuned: Path) -> None:
    records = tunings(tuned)
    assert set(records) == {"gpt", "nextlat"}
    for name, record in records.items():
        assert record["budget"] == {"trials": 3, "seeds": 2}
        assert (
            record["seeds"]["training"]
            == [r["seed"] for t in record["trials"] for r in t["runs"]][:2]
            == list(TUNING_SEEDS[:2])
        )
        assert record["seeds"]["evaluation"] == record["config"]["eval"]["seed"] == TUNING_SEEDS[0]
        values = [t["value"] for t in record["trials"]]
        assert record["best"] == {
            "trial": values.index(min(values)),
            "value": min(values),
            "settings": record["trials"][values.index(min(values))]["settings"],
        }
        assert len({r["training"] for t in record["trials"] for r in t["runs"]}) == 6
        for trial in record["trials"]:
            assert trial["value"] == pytest.approx(sum(r["scores"]["kl"] for r in trial["runs"]) / 2)
            assert all((tuned / "tune-trials" / r["folder"] / "config.json").exists() for r in trial["runs"])
        preset = resolve("hmm", name, preset=record["preset"], seed=0).groups["train"]
        assert record["trials"][0]["settings"]["train.learning_rate"] == preset.learning_rate
        assert ("model.lambda_kl" in record["trials"][0]["settings"]) == (name == "nextlat")
        assert str(tuned) not in json.dumps(record)
    for ours, theirs in zip(records["gpt"]["trials"], records["nextlat"]["trials"]):
        assert ours["settings"].items() <= theirs["settings"].items()


def test_a_trial_is_judged_on_documents_of_its_own() -> None:
    """Most documents of 16 tokens are not among the reported ones; those that are, are counted."""
    job = resolve("hmm", "gpt", preset="quick", seed=0)
    share = shared_documents(HMM(job.groups["env"]), job)
    ours, theirs = (
        HMM(job.groups["env"]).sample(seed, "test", 0, 1000).tokens.tolist() for seed in (TUNING_SEEDS[0], 0)
    )
    assert share == pytest.approx(sum(row in theirs for row in ours) / 1000)
    assert 0 < share < 0.3


def test_a_test_set_that_is_the_same_for_every_seed_is_refused(tmp_path: Path) -> None:
    made = SolveWorld(SolveConfig(rows=3))
    write_mazes(tmp_path / "mine.txt", made.sample(0, "test", 0, 20), 3, 3)
    job = resolve(
        "maze-solve",
        "gpt",
        preset="quick",
        seed=0,
        options=["--env.rows", "3", "--env.file", str(tmp_path / "mine.txt")],
    )
    with pytest.raises(InputError, match=r"mine\.txt.*the same for every seed"):
        shared_documents(SolveWorld(job.groups["env"]), job)


# What is done again


def test_finished_trials_are_not_repeated(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path(shutil.copytree(tuned, tmp_path / "copy"))
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.json")}
    calls = count_training(monkeypatch)
    tune(out, "--models", "nextlat", "gpt", "--trials", "3", "--seeds", "2", "--model.horizon", "2")
    assert calls == []
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*.json")} == before
    for path in out.glob("tune-*/tuning.json"):
        path.unlink()
    tune(out, "--models", "gpt", "nextlat", "--trials", "4", "--seeds", "1", "--model.horizon", "2")
    assert calls == ["gpt", "nextlat"]  # only the fourth trial is new


def test_a_kill_loses_the_running_trial_alone(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        count_training(patch, stop_at=2)
        tune(tmp_path, "--models", "gpt", "--trials", "3", "--seeds", "2", code=130)
    assert "gpt" not in capsys.readouterr().out  # no table
    assert not list(tmp_path.glob("tune-*/tuning.json"))
    calls = count_training(monkeypatch)
    tune(tmp_path, "--models", "gpt", "--trials", "3", "--seeds", "2")
    assert len(calls) == 4
    (again,), (undisturbed,) = (list(out.glob("tune-hmm-gpt-*/tuning.json")) for out in (tmp_path, tuned))
    assert again.parent.name == undisturbed.parent.name
    assert again.read_bytes() == undisturbed.read_bytes()


@pytest.mark.slow
def test_workers_change_nothing(tuned: Path, tmp_path: Path) -> None:
    words = ["--models", "gpt", "nextlat", "--trials", "3", "--seeds", "2", "--model.horizon", "2"]
    tune(tmp_path, *words, "--workers", "2")
    kinds = ("tuning.json", "best.toml", "trial-*.json")
    one, two = ({p.relative_to(out): p.read_bytes() for k in kinds for p in out.rglob(k)} for out in (tuned, tmp_path))
    assert one == two
    tune(tmp_path, *words, "--workers", "0", code=2)


def test_the_recipe_of_a_tuning_that_was_done_stays(tuned: Path, tmp_path: Path) -> None:
    """Also under other options of the evaluation, which no trial depends on. A recipe that is missing is written."""
    shutil.copytree(tuned, tmp_path / "tuned")
    path = recipe(tmp_path / "tuned", "gpt")
    before = path.read_bytes()
    words = ["--models", "gpt", "--trials", "3", "--seeds", "2"]
    tune(tmp_path / "tuned", *words, "--eval.metrics", "next_token")
    assert path.read_bytes() == before
    path.unlink()
    tune(tmp_path / "tuned", *words)
    assert path.read_bytes() == before


@pytest.fixture
def fragile(tmp_path: Path) -> Path:
    """A plugin whose objective diverges where its weight is drawn above the preset's."""
    (tmp_path / "fragile.py").write_text(
        "from dataclasses import dataclass\n"
        "from worldbench.baselines.gpt import GPT, GPTConfig\n"
        "from worldbench.core.registry import models\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class FragileConfig(GPTConfig):\n    lambda_far: float = 1.0\n    '''Above 1 it diverges.'''\n"
        "class Fragile(GPT):\n    name = 'fragile'\n"
        "    def backward(self, batch, totals):\n"
        "        losses = super().backward(batch, totals)\n"
        "        return losses if self.config.lambda_far <= 1 else {k: v * float('nan') for k, v in losses.items()}\n"
        "models.add('fragile', 'diverges', Fragile, config=FragileConfig)\n"
    )
    return tmp_path / "fragile.py"


def test_a_trial_that_diverges_is_kept_and_counts_as_worst(
    fragile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, command = fragile.parent, ["--models", "fragile", "--plugin", str(fragile), "--trials", "5"]
    tune(out, *command)
    record = tunings(out)["fragile"]
    for trial in record["trials"]:
        (run,) = trial["runs"]
        far = trial["settings"]["model.lambda_far"] > 1
        assert (trial["value"] is None, "not a number" in (run["failed"] or ""), run["scores"] == {}) == (far, far, far)
    failed = [t["trial"] for t in record["trials"] if t["value"] is None]
    assert 0 < len(failed) < 4
    assert record["best"]["trial"] not in failed
    assert f"│ fragile │ 5x1   │ {len(failed)} " in capsys.readouterr().out
    calls = count_training(monkeypatch)
    next(out.glob("tune-*/tuning.json")).unlink()
    tune(out, *command)
    assert calls == []
    assert 'plugin = "../fragile.py"' in recipe(out, "fragile").read_text()
    again = ["run", "--config", str(recipe(out, "fragile")), "--print-config"]
    assert main(again) == 2  # a recipe makes no code run
    assert (
        f"the code that a recipe names is not run unasked; name the file if you trust it: --plugin {fragile}"
        in capsys.readouterr().err
    )
    assert main([*again, "--plugin", str(fragile)]) == 0
    tune(
        out, *command, "--model.lambda_far", "1.5", "--trials", "2", "--train.steps", "2", code=1
    )  # trial 0 fails, and trial 1 is drawn higher
    message = capsys.readouterr()
    assert "no trial has a finite value" in message.out
    assert "lower --train.learning_rate" in message.err

"""Tuning: the same draws for every objective, on seeds that are never reported; nothing is lost, repeated or hidden."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import worldbench.runs.one_run
import worldbench.studies.tune.tuning
from worldbench.cli.main import main
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import InputError, RunError
from worldbench.core.registry import models
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import write as write_mazes
from worldbench.records.compare import compare
from worldbench.records.comparison import render
from worldbench.records.leaderboard import build
from worldbench.records.reading import read
from worldbench.records.tuning import Tuning
from worldbench.settings.resolve import resolve
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.report import require_equal
from worldbench.studies.tune.search import draws, space, weights
from worldbench.studies.tune.tuning import shared_documents

TRAINED = [e.name for e in models if e.trained]
TINY = [
    "--env.length",
    "6",
    "--train.steps",
    "6",
    "--train.batch",
    "8",
    "--train.warmup",
    "2",
    "--train.curve_documents",
    "20",
]
TINY += ["--model.layers", "1", "--model.width", "16", "--model.heads", "2", "--eval.documents", "40"]
TYPED = [*TINY, "--eval.metrics", "excess_loss"]


def tune(out: Path, *more: str, code: int = 0) -> None:
    assert main(["tune", "hmm", *more, *TINY, "--out", str(out), "--quiet"]) == code


def tunings(out: Path) -> dict[str, dict[str, Any]]:
    """By model; one tuning of each."""
    records = [json.loads(path.read_text()) for path in out.glob("tune-*/tuning.json")]
    assert len({r["model"]["name"] for r in records}) == len(records)
    return {r["model"]["name"]: r for r in records}


def recipe(out: Path, model: str) -> Path:
    return next(out.glob(f"tune-hmm-{model}-*/best.toml"))


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("hmm-*/result-*.json"))]


def refused(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    capsys.readouterr()
    assert main(list(argv)) == code
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("worldbench: ")
    return told


def count_training(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[str]:
    """The models that are trained from here on; the training numbered `stop_at` is interrupted."""
    calls: list[str] = []
    train = worldbench.studies.tune.tuning.train

    def counted(prepared: Any, *rest: Any) -> Any:
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(prepared.job.model)
        return train(prepared, *rest)

    monkeypatch.setattr(worldbench.studies.tune.tuning, "train", counted)
    return calls


@pytest.fixture(scope="module", autouse=True)
def without_figures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worldbench.runs.one_run, "draw", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gpt and nextlat, three trials of two seeds each."""
    out = tmp_path_factory.mktemp("tuned")
    tune(out, "--models", "gpt", "nextlat", "--trials", "3", "--seeds", "2", "--model.horizon", "2")
    return out


@pytest.fixture(scope="module")
def reported(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of both recipes on two seeds, and one of gpt that was not tuned."""
    out = tmp_path_factory.mktemp("reported")
    for model in ("gpt", "nextlat"):
        for seed in "01":
            assert (
                main(
                    [
                        "run",
                        "--config",
                        str(recipe(tuned, model)),
                        "--seed",
                        seed,
                        "--eval.metrics",
                        "excess_loss",
                        "--out",
                        str(out),
                        "--quiet",
                    ]
                )
                == 0
            )
    assert main(["run", "hmm", "--model", "gpt", *TYPED, "--out", str(out), "--quiet"]) == 0
    return out


# What is drawn


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_draws_for_every_objective(name: str) -> None:
    """The shared settings of every trial are gpt's; trial 0 is the preset; all stay inside the bounds, and no two
    trials agree."""
    job, shared = resolve("hmm", name, preset="quick", seed=0), ("train.learning_rate", "train.weight_decay")
    ranges, theirs = space(job), draws(space(resolve("hmm", "gpt", preset="quick", seed=0)), 9)
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


def test_what_is_switched_off_stays_off() -> None:
    job = resolve(
        "hmm", "nextlat", preset="quick", seed=0, options=["--model.lambda_h", "0", "--train.weight_decay", "0"]
    )
    left = draws(space(job), 6)
    assert {tuple(s) for s in left} == {("train.learning_rate", "model.lambda_kl")}
    usual = draws(space(resolve("hmm", "nextlat", preset="quick", seed=0)), 6)
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
        assert record["trials"][0]["settings"]["train.learning_rate"] == 1e-3
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
    with pytest.raises(InputError, match=r"the same for every seed.*mine\.txt"):
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


def test_workers_change_nothing(tuned: Path, tmp_path: Path) -> None:
    words = ["--models", "gpt", "nextlat", "--trials", "3", "--seeds", "2", "--model.horizon", "2"]
    tune(tmp_path, *words, "--workers", "2")
    kinds = ("tuning.json", "best.toml", "trial-*.json")
    one, two = ({p.relative_to(out): p.read_bytes() for k in kinds for p in out.rglob(k)} for out in (tuned, tmp_path))
    assert one == two
    tune(tmp_path, *words, "--workers", "0", code=2)


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
    told = capsys.readouterr()
    assert "every trial failed" in told.out
    assert "lower --train.learning_rate" in told.err


# What is reported


def test_the_recipe_is_the_chosen_trial(
    tuned: Path, reported: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its runs have the training identity of the same options typed, say how they were tuned, and their command repeats
    them."""
    best = tunings(tuned)["nextlat"]["best"]["settings"]
    typed = [
        "run",
        "hmm",
        "--model",
        "nextlat",
        *TYPED,
        "--model.horizon",
        "2",
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


def test_the_preset_tuned_and_untuned_are_two_results(tmp_path: Path) -> None:
    """Same weights, two rows: what was spent on them differs."""
    for more in (
        [],
        ["--tuned", "8x1,excess_loss.kl,0123456789abcdef"],
        ["--tuned", "4x2,excess_loss.kl,0123456789abcdef"],
    ):
        assert main(["run", "hmm", *TYPED, *more, "--out", str(tmp_path), "--quiet"]) == 0
    mine = [r for r in results(tmp_path) if r["model"]["name"] == "gpt"]
    assert len({r["identity"]["training"] for r in mine}) == 1
    assert [row.tuned for row in build([tmp_path]) if row.label == "gpt"] == ["-", "4x2", "8x1"]


def test_the_budget_is_a_column_where_there_is_one(
    reported: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = build([reported])
    assert {(r.label.split()[0], len(r.seeds), r.tuned) for r in rows} >= {
        ("gpt", 1, "-"),
        ("gpt", 2, "3x2"),
        ("nextlat", 2, "3x2"),
        ("oracle", 0, "-"),
    }
    untuned = [p for p in reported.glob("hmm-*/result-*.json") if "tuned" not in p.parent.name]
    for form, head in (
        ("markdown", "| world | arm | model | seeds | tuned | kl |"),
        ("csv", "world,arm,model,seeds,tuned,kl mean"),
        ("table", "tuned"),
    ):
        assert main(["leaderboard", str(reported), "--format", form]) == 0
        assert head in capsys.readouterr().out
        assert main(["leaderboard", *map(str, untuned), "--format", form]) == 0
        assert "tuned" not in capsys.readouterr().out
    assert main(["leaderboard", str(reported), "--format", "json"]) == 0
    assert {row["tuned"] for row in json.loads(capsys.readouterr().out)} == {"-", "3x2"}


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
    with pytest.raises(RunError, match=r"4 trainings and .* 6: that is no comparison"):
        require_equal(records)


# What it is judged by


def test_criteria_and_their_directions() -> None:
    world = HMM()
    for text, metric, score, direction in (
        (None, "excess_loss", "kl", "lower"),
        ("belief_probe", "belief_probe", "r2", "higher"),
        ("split_merge.merge", "split_merge", "merge", "higher"),
        ("transition_consistency.direct_kl", "transition_consistency", "direct_kl", "lower"),
        ("excess_loss.loss:lower", "excess_loss", "loss", "lower"),
        ("effective_rank:lower", "effective_rank", "rank", "lower"),
        ("loss", None, "loss", "lower"),
    ):
        found = Criterion.parse(text, world)
        assert (found.metric, found.score, found.direction) == (metric, score, direction)
    assert Criterion("m", "s", "lower").best([None, 2.0, 1.0, 1.0]) == 2
    assert Criterion("m", "s", "higher").best([1.0, None, 2.0]) == 2
    assert Criterion("m", "s", "higher").best([None, None]) is None


@pytest.mark.parametrize("criterion", ["loss", "excess_loss.loss:lower", "belief_probe.r2"])
def test_other_criteria_score_the_same_trials(criterion: str, tuned: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(tuned, tmp_path / "copy"))
    for folder in out.glob("tune-hmm-*"):
        shutil.rmtree(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldbench.training.trainer.Trainer.train", None)  # the weights are there
        tune(out, "--models", "gpt", "--trials", "3", "--criterion", criterion, "--eval.probe_documents", "60")
    record = tunings(out)["gpt"]
    values = [t["value"] for t in record["trials"]]
    assert record["best"]["value"] == (max if "probe" in criterion else min)(values)
    assert record["criterion"]["score"] == criterion.partition(":")[0]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["tune", "hmm"], "which models? --models takes some of gpt, nextlat"),
        (["tune", "--models", "gpt"], "which world?"),
        (["tune", "hmmm", "--models", "gpt"], "did you mean 'hmm'"),
        (["tune", "hmm", "--models", "gpt", "nextlatt"], "did you mean 'nextlat'"),
        (["tune", "hmm", "--models", "gpt", "oracle"], "oracle is not trained"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_los"], "did you mean 'excess_loss'"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss.kll"], "did you mean 'kl'"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss.lsos:lower", *TINY], "did you mean 'loss'"),
        (
            ["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss.loss"],
            "say --criterion excess_loss.loss:higher or excess_loss.loss:lower",
        ),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss:higher"], "of excess_loss lower is better"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss:hihger"], "did you mean 'higher'"),
        (
            ["tune", "hmm", "--models", "gpt", "--criterion", "valid_trajectories"],
            "gpt cannot be tuned by valid_trajectories.arrives_sampled",
        ),
        (["tune", "hmm", "--models", "gpt", "--trials", "1"], "--trials must be at least 2"),
        (["tune", "hmm", "--models", "gpt", "--seeds", "0"], "--seeds must be 1 .. 1000"),
        (["tune", "hmm", "--models", "gpt", "--trails", "3"], "did you mean '--trials'"),
        (["tune", "hmm", "--models", "gpt", "nextlat", "--train.stpes", "3"], "did you mean '--train.steps'"),
        (["tune", "hmm", "--models", "gpt", "--model.lambda_kl", "1"], "unknown option --model.lambda_kl"),
        (["tune", "hmm", "--models", "gpt", "--config", "r.toml"], "tune the settings that it started from"),
        (["run", "hmm", "--tuned", "16"], "TRIALSxSEEDS,CRITERION,RECORD"),
        (["run", "hmm", "--model", "oracle", "--tuned", "4x1,loss,0123456789abcdef"], "oracle is not trained"),
        (["run", "--config", "r.toml", "--train.steps", "7"], "the recipe was tuned with train.steps 6, not 7"),
        (["run", "--config", "r.toml", "--model", "nextlat"], "the recipe was tuned with model gpt, not nextlat"),
    ],
)
def test_mistakes(
    argv: list[str],
    said: str,
    tuned: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(recipe(tuned, "gpt"), "r.toml")
    assert said in refused(capsys, *argv)
    assert not list(tmp_path.rglob("checkpoint"))


def test_budgets_are_written_as_they_are_read(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = Budget(16, 2, "excess_loss.kl", "0123456789abcdef")
    assert Budget.parse(str(budget)) == budget
    assert (
        main(
            [
                "run",
                "--config",
                str(recipe(tuned, "gpt")),
                "--train.threads",
                "2",
                "--eval.trials",
                "5",
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


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "hmm", "--models", "gpt", "nextlat", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("--trials", "--env.process", "--train.learning_rate", "--model.lambda_kl"))

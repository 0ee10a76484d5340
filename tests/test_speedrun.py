"""`worldbench speedrun`: the seconds and scores of its runs, what a stopped run does, and the rule for entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sample_machines import ENVIRONMENT, raced
from tiny_runs import call, changed

from worldbench.cli.main import main
from worldbench.core.errors import Diverged, InputError, Interrupted
from worldbench.core.statistics import below_bound
from worldbench.records.reading import read, write
from worldbench.records.speedrun import FEWEST, SIGNIFICANT, Speedrun, Target, TimedRun, outcome_of, reasons
from worldbench.records.speedrun_board import board, verdict
from worldbench.settings import shipped
from worldbench.settings.choice import chosen
from worldbench.settings.speedrun import load_speedrun
from worldbench.studies import speedrun

TINY = """
world = "hmm"
preset = "small"
runs = 5
[target]
score = "next_token.top1_legal"
value = 0.05
[model]
layers = 1
width = 8
heads = 1
[train]
steps = 4
batch = 4
warmup = 0
checkpoints = 1
curve_documents = 8
device = "cpu"
[eval]
documents = 12
trials = 12
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe, in a checkout whose changes are committed."""
    monkeypatch.setattr(speedrun, "environment", lambda: ENVIRONMENT)
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


def race(recipe: Path, *words: str) -> tuple[int, str]:
    return call("speedrun", recipe, "--out", recipe.parent / "out", *words)


def entry(recipe: Path) -> Speedrun:
    (path,) = (recipe.parent / "out").glob("*/speedrun.json")
    return read(path, Speedrun)


def test_every_run_is_trained_before_one_is_scored(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    for name in ("fit", "at_step"):
        real = getattr(speedrun, name)
        monkeypatch.setattr(speedrun, name, lambda *a, _real=real, _name=name: (did.append(_name), _real(*a))[1])
    assert race(tiny)[0] == 0
    assert did == ["fit"] * 5 + ["at_step"] * 5
    first = entry(tiny)
    assert [run.seed for run in first.runs] == [0, 1, 2, 3, 4]
    assert all(run.seconds is not None and 0 < run.seconds < 60 for run in first.runs)
    assert len({run.score for run in first.runs}) > 1
    assert first.outcome is not None
    assert first.outcome.seconds == pytest.approx(np.mean([run.seconds for run in first.runs]))
    assert not reasons(first)
    assert first.command == "worldbench speedrun tiny.toml --runs 5"

    did.clear()
    assert race(tiny, "--runs", "6")[0] == 0
    assert did == ["fit", "at_step"]
    assert entry(tiny).runs[:5] == first.runs
    assert "already has 6 runs; all of them count, not only 5" in race(tiny, "--runs", "5")[1]
    assert len(entry(tiny).runs) == 6
    assert main(["validate", str(tiny.parent / "out")]) == 0


def test_the_parts_of_a_stopped_run_are_added_and_a_killed_run_begins_anew(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldbench.training.trainer import Trainer

    real, how = Trainer.step, list[Any]()

    def step(trainer: Trainer, number: int) -> Any:
        if number == 2 and how:
            what = how.pop()
            if what == "killed":
                monkeypatch.setattr(speedrun, "write", lambda *_: None)
            trainer.interrupted = True
        return real(trainer, number)

    monkeypatch.setattr(Trainer, "step", step)
    how.append("stopped")
    assert race(tiny, "--runs", "2")[0] == Interrupted.exit_code
    assert [len(run.parts) for run in entry(tiny).runs] == [1, 0]
    assert entry(tiny).runs[0].seconds is None
    assert "2 runs of 2 have not ended" in verdict(entry(tiny))
    assert race(tiny, "--runs", "2")[0] == 0
    resumed = entry(tiny).runs[0]
    assert [len(run.parts) for run in entry(tiny).runs] == [2, 1]
    assert resumed.seconds == pytest.approx(sum(part or 0 for part in resumed.parts))

    how.append("killed")  # what a killed process leaves: a saved state, and a part whose seconds nobody wrote
    assert race(tiny, "--runs", "3")[0] == Interrupted.exit_code
    assert entry(tiny).runs[2].parts == [None]
    monkeypatch.setattr(speedrun, "write", write)
    code, said = race(tiny, "--runs", "3")
    assert code == 0
    assert "training again from the first step" in " ".join(said.split())
    assert len(entry(tiny).runs[2].parts) == 1


def test_a_run_that_diverges_stays_in_the_record(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = speedrun.fit

    def fit(prepared: Any, *rest: Any) -> Any:
        if prepared.job.seed == 1:
            raise Diverged("the loss is NaN")
        return real(prepared, *rest)

    monkeypatch.setattr(speedrun, "fit", fit)
    assert race(tiny, "--runs", "2")[0] == 0
    record = entry(tiny)
    assert record.runs[1].failed == "the loss is NaN"
    assert record.outcome is None
    assert "1 run of 2 failed (seed 1: the loss is NaN)" in verdict(record)


def test_the_command_names_what_differs_from_the_recipe(tiny: Path) -> None:
    assert race(tiny, "--runs", "2", "--train.steps", "3", "--model", "nextlat", "--train.warmup", "1")[0] == 0
    record = entry(tiny)
    assert record.command == "worldbench speedrun tiny.toml --model nextlat --runs 2 --train.steps 3 --train.warmup 1"
    assert race(tiny, "--runs", "2", "--env.process", "even")[0] == 0
    tasks = {read(path, Speedrun).task for path in (tiny.parent / "out").glob("*/speedrun.json")}
    assert len(tasks) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runs", "1"], "--runs must be a whole number from 2 to 1000, not 1"),
        (["--train.threads", "2"], "train.threads is 2, and a speedrun measures the processor time of one thread"),
        (["--eval.metrics", "next_token", "excess_loss"], "scores only next_token, the metric of its target"),
        (["--train.stepz", "2"], "did you mean '--train.steps'"),
        (["--model", "oracle"], "oracle is not trained"),
    ],
)
def test_mistakes(tiny: Path, words: list[str], said: str) -> None:
    code, errors = race(tiny, *words)
    assert (code, said in " ".join(errors.split())) == (2, True), errors


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[target]", "[targets]"), r"needs a table \[target\]"),
        (('score = "next', 'scor = "next'), "unknown key 'scor' in .target.; did you mean 'score'"),
        (("value = 0.05", 'value = "high"'), "target.value must be a number, not 'high'"),
        (("runs = 5", "runs = 1"), "runs must be a whole number from 2 to 1000, not 1"),
        (("runs = 5", "seed = 5"), "has no key 'seed'"),
        (("[eval]", '[eval]\nmetrics = ["next_token"]'), "take eval.metrics out"),
        (('world = "hmm"', ""), "which world"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in TINY
    (tmp_path / "wrong.toml").write_text(TINY.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=says):
        load_speedrun(tmp_path / "wrong.toml")


@pytest.mark.parametrize("name", shipped.names("speedrun"))
def test_recipes_that_come_with_worldbench(name: str) -> None:
    recipe = load_speedrun(shipped.find(Path(name), "speedrun"))
    job = chosen(recipe.recipe, recipe.recipe["world"]).job("gpt", [])
    assert job.value("eval.metrics") == (recipe.metric,)
    assert recipe.runs >= FEWEST
    assert 10 < len(shipped.line(name, "speedrun")) < 120


def scored(scores: Any, seconds: float = 9.0, **changes: Any) -> Speedrun:
    """An entry with these scores."""
    runs = [
        TimedRun(seed=i, training="0" * 16, parts=[seconds, 1.0 + i / 10], trained=True, score=float(score))
        for i, score in enumerate(scores)
    ]
    record = raced()
    return changed(record, runs=runs, outcome=outcome_of(runs, changes.get("target", record.target)), **changes)


def test_the_rule_counts_what_is_below_the_target_in_one_of_a_hundred_records() -> None:
    """4,000 entries whose true mean is exactly the target, and as many half a standard deviation above."""
    rng = np.random.default_rng(7)
    drawn = rng.normal(0.95, 0.01, (4000, 8))
    share = np.mean([below_bound(row, 0.95) < SIGNIFICANT for row in drawn])
    assert 0.005 < share < 0.016  # .01, within four standard errors
    assert np.mean([below_bound(row, 0.945) < SIGNIFICANT for row in drawn]) > 5 * share


def test_the_rule() -> None:
    from scipy.stats import ttest_1samp

    good = [0.951, 0.953, 0.955, 0.954, 0.957]
    record = scored(good)
    assert record.outcome is not None
    assert record.outcome.p == pytest.approx(ttest_1samp(good, 0.95, alternative="greater").pvalue)
    assert reasons(record) == []
    assert "p 0.99" in "".join(reasons(scored(1.9 - np.array(good))))
    lower = Target(score="excess_loss.kl", value=0.95, direction="lower")
    assert reasons(scored(1.9 - np.array(good), target=lower)) == []
    assert "above 0.95" in "".join(reasons(scored(good, target=lower)))
    assert reasons(scored([0.99] * (FEWEST - 1)))[0].startswith(f"{FEWEST - 1} runs; at least {FEWEST}")
    assert "not committed" in reasons(changed(record, environment=changed(ENVIRONMENT, dirty=True)))[0]
    assert reasons(scored([float("inf")] * 6))
    assert reasons(scored([float("inf"), float("-inf")] * 3)) == ["its scores have no mean"]


def test_an_outcome_that_does_not_follow_from_the_runs_is_refused(tmp_path: Path) -> None:
    record = scored([0.951, 0.953, 0.955, 0.954, 0.957])
    path = tmp_path / "speedrun.json"
    write(path, record)
    assert read(path, Speedrun) == record
    content = json.loads(path.read_text())
    content["outcome"]["seconds"] /= 2
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="`outcome` does not follow from `runs`"):
        read(path, Speedrun)


def test_the_board_ranks_on_each_processor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, other = [0.951, 0.953, 0.955, 0.954, 0.957], changed(ENVIRONMENT, processor="another", commit="ab" * 20)
    records = [scored(good, 30.0), scored(good, 20.0), scored(good, 5.0, environment=other), scored(good[:3], 1.0)]
    for i, record in enumerate(records):
        (tmp_path / str(i)).mkdir()
        write(tmp_path / str(i) / "speedrun.json", record)
    assert main(["speedrun", "--board", str(tmp_path), "--format", "markdown"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [(row[0], row[1], row[3]) for row in rows[1:4]] == [
        ("| 1", "6.20", "another"),
        ("| 1", "21.20", "some"),
        ("| 2", "31.20", "some"),
    ]
    assert rows[1][-1] == "ababababab |"
    assert rows[4][0] == "| seconds"
    assert "at least 5 are needed" in rows[5][5]
    assert "rank" in board(records)
    different = msgspec.structs.replace(records[0], task="f" * 16)
    assert board([records[0], different]).count("mean next_token.top1_legal at least 0.95") == 2

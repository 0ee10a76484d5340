"""The command line of tune: criteria, mistakes and help."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_lines import refused
from some_cases import others_slow
from tune_runs import TINY, recipe, tune, tunings

from worldbench.cli.main import main
from worldbench.envs.hmm.world import HMM
from worldbench.studies.tune.criterion import Criterion


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


@pytest.mark.parametrize("criterion", others_slow(["loss", "excess_loss.loss:lower", "belief_probe.r2"], "loss"))
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
        (["tune", "hmm"], "which models? name one or more after --models: gpt, nextlat"),
        (["tune", "--models", "gpt"], "which world?"),
        (["tune", "hmmm", "--models", "gpt"], "did you mean 'hmm'"),
        (["tune", "hmm", "--models", "gpt", "nextlatt"], "did you mean 'nextlat'"),
        (["tune", "hmm", "--models", "gpt", "oracle"], "oracle is not trained"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_los"], "did you mean 'excess_loss'"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss.kll"], "did you mean 'kl'"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss.lsos:lower", *TINY], "did you mean 'loss'"),
        (
            ["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss.bayes"],
            "write --criterion excess_loss.bayes:higher or excess_loss.bayes:lower",
        ),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss:higher"], "for excess_loss, lower is better"),
        (["tune", "hmm", "--models", "gpt", "--criterion", "excess_loss:hihger"], "did you mean 'higher'"),
        (
            ["tune", "hmm", "--models", "gpt", "--criterion", "valid_trajectories"],
            "gpt cannot be tuned by valid_trajectories.arrives_sampled",
        ),
        (["tune", "hmm", "--models", "gpt", "--trials", "1"], "--trials must be at least 2"),
        (["tune", "hmm", "--models", "gpt", "--seeds", "0"], "--seeds must be 1 .. 1000"),
        (["tune", "hmm", "--models", "gpt", "--trails", "3"], "did you mean '--trials'"),
        (["tune", "hmm", "--models", "gpt", "nextlat", "--train.stpes", "3"], "did you mean '--train.steps'"),
        (["tune", "hmm", "--models", "gpt", "--model.lambda_kl", "1"], "option --model.lambda_kl does not apply"),
        (["tune", "hmm", "--models", "gpt", "--config", "r.toml"], "name the recipe that the tuning started from"),
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


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "hmm", "--models", "gpt", "nextlat", "--help"]) == 0
    message = capsys.readouterr().out
    assert all(word in message for word in ("--trials", "--env.process", "--train.learning_rate", "--model.lambda_kl"))

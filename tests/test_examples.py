"""The examples of the documentation, run as a user runs them; a user's own model and metric from a plugin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_records import ceiling_of, result_of
from tiny_runs import SMALL_EVAL, small_eval

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.model import refuse_impossible
from worldbench.core.plugins import load_plugin
from worldbench.core.registry import models, worlds
from worldbench.metrics.evaluation import truth

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TINY = [
    *("--train.steps", "60", "--train.batch", "32", "--train.curve_documents", "20", "--model.layers", "1"),
    *("--model.width", "32", *SMALL_EVAL),
]
MORE = ["--eval.documents", "40"]
TINY += MORE


@pytest.mark.slow
def test_ring_world(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plugin = ["--plugin", str(EXAMPLES / "ring.py"), "--out", str(tmp_path)]
    assert main(["run", "ring", "--model", "nextlat", *plugin, *TINY, "--env.size", "8"]) == 0
    assert main(["run", "ring", "--model", "oracle", *plugin, *SMALL_EVAL, *MORE, "--env.size", "8"]) == 0
    result = result_of(next(tmp_path.glob("ring-nextlat-*")))
    assert result.world["size"] == 8
    folder = next(tmp_path.glob("ring-nextlat-*"))
    assert ceiling_of(folder, "valid_trajectories", "arrives_sampled") == 1
    assert ceiling_of(folder, "excess_loss", "kl") == pytest.approx(0, abs=1e-6)
    assert (result.scores["excess_loss"].value("kl") or 0) < 1.5
    assert "no street map" in result.not_applicable["map_reconstruction"]
    assert "budget" in result.not_applicable["detours"]
    assert "--plugin ring.py" in result.command
    assert main(["eval", str(folder), "--eval.documents", "20", "--plugin", str(EXAMPLES / "ring.py")]) == 0
    capsys.readouterr()
    assert main(["run", "ring", *plugin, "--env.sise", "9"]) == 2
    assert "did you mean '--env.size'" in capsys.readouterr().err
    assert main(["run", "ring", *plugin, "--env.size", "2"]) == 2
    assert "size >= 3" in capsys.readouterr().err


def test_ring_documents_follow_its_law() -> None:
    load_plugin(EXAMPLES / "ring.py")
    world = worlds["ring"].load()(worlds["ring"].load_config()(size=7, right=0.3))
    d = world.sample(0, "train", 0, 4000)
    known = truth(world, d)
    assert known.law is not None
    row, t = np.nonzero(known.scored)
    column = world.vocabulary.action_of_token[d.tokens[row, t]]
    assert known.legal[row, t, column].all()
    moved = column < 2
    assert (column[moved] == 1).mean() == pytest.approx(0.3, abs=0.01)
    assert known.law[row, t].sum(1) == pytest.approx(1)
    assert np.array_equal(world.sample(0, "train", 100, 50).tokens, d.tokens[100:150])


@pytest.mark.slow
def test_a_world_with_labels(tmp_path: Path) -> None:
    plugin = ["--plugin", str(EXAMPLES / "parity.py"), "--out", str(tmp_path)]
    load_plugin(EXAMPLES / "parity.py")
    world = worlds["parity"].load()()
    d = world.sample(0, "train", 0, 100)
    assert ((d.tokens == 2).cumsum(axis=1)[:, :10] % 2 + 3 == d.labels[:, :10]).all()
    assert main(["run", "parity", "--model", "gpt", *plugin, *TINY]) == 0
    folder = next(tmp_path.glob("parity-gpt-*"))
    assert ceiling_of(folder, "label_accuracy", "accuracy") == 1
    result = result_of(folder)
    assert {"excess_loss", "label_accuracy", "effective_rank"} <= set(result.scores)
    assert "asks for labels" in result.not_applicable["next_token"]
    with pytest.raises(InputError, match="labels"):
        refuse_impossible(models["bst"].load(), world)


@pytest.mark.slow
def test_a_world_without_a_law(tmp_path: Path) -> None:
    plugin = ["--plugin", str(EXAMPLES / "chaos.py"), "--out", str(tmp_path)]
    assert main(["run", "chaos", "--model", "nextlat", *plugin, *TINY, "--env.length", "20"]) == 0
    result = result_of(next(tmp_path.glob("chaos-nextlat-*")))
    assert set(result.scores) == {"ahead_probe", "effective_rank"}
    assert (result.scores["ahead_probe"].value("ahead_1") or 0) > (result.scores["ahead_probe"].value("ahead_10") or 1)
    assert "no states" in result.not_applicable["next_token"]
    world = worlds["chaos"].load()(worlds["chaos"].load_config()(rate=4.0))
    assert world.sample(0, "test", 0, 3000).tokens.max() == 10
    assert len(world.prompts(0, 30)[0]) == 30


@pytest.mark.slow
def test_a_function_scored(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    asked = small_eval("next_token", "valid_trajectories")  # all metrics: test_cli_runs
    options = ["--env.map", "city:40", "--env.region", "all", *asked]
    assert main(["score", "taxi", "--callable", "my_model:logits", *options, "--out", str(tmp_path)]) == 0, (
        capsys.readouterr().err
    )
    folder = next(tmp_path.glob("taxi-callable-*"))
    arrives = result_of(folder).scores["valid_trajectories"].value("arrives_sampled") or 0
    assert arrives < ceiling_of(folder, "valid_trajectories", "arrives_sampled")


PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from worldbench.baselines.gpt import GPT
from worldbench.baselines.options import GPTConfig
from worldbench.core.metric import Metric, Report, Score
from worldbench.core.registry import metrics, models


@dataclass(frozen=True, kw_only=True)
class SmoothedConfig(GPTConfig):
    """GPT whose loss counts for less."""

    share: float = 0.5
    """What it counts for."""


class Smoothed(GPT):
    name = "smoothed"

    def backward(self, batch, totals):
        return super().backward(batch, {k: v / self.config.share for k, v in totals.items()})


class Length(Metric):
    name, version, direction = "length", 1, "none"
    primary = "tokens"
    floor = ceiling = None

    def measure(self, evaluation):
        return Report({"tokens": Score.mean(evaluation.rides("greedy", 10).length)})


models.add("smoothed", "GPT, smoothed", Smoothed, config=SmoothedConfig)
metrics.add("length", "mean length of greedy rides", Length())
'''


def test_a_model_and_a_metric_from_a_plugin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    options = [
        *("--plugin", str(tmp_path / "mine.py"), "--out", str(tmp_path / "runs"), "--env.map", "city:24"),
        *("--env.region", "all", "--env.max_moves", "9"),
    ]
    options += [
        *("--model.share", "0.25", "--train.steps", "3", "--train.batch", "4", "--model.layers", "1"),
        *("--eval.metrics", "length", "next_token"),
    ]
    assert main(["run", "taxi", "--model", "smoothed", *options]) == 0, capsys.readouterr().err
    result = result_of(next((tmp_path / "runs").glob("taxi-smoothed-*")))
    assert set(result.scores) == {"length", "next_token"}
    assert result.config["model"]["share"] == 0.25


def test_broken_plugins(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for text, said in {
        "1 / 0\n": "ZeroDivisionError",
        "from worldbench.core.registry import worlds\nworlds.add('taxi', 'x', object)\n": "registered already",
    }.items():
        (tmp_path / "broken.py").write_text(text)
        assert main(["run", "taxi", "--plugin", str(tmp_path / "broken.py")]) == 2
        assert said in capsys.readouterr().err

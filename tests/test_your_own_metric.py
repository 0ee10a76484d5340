"""The example of docs/your-own-metric.md: examples/reliability.py, a metric with an option and a figure."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sample_records import result_of
from tiny_runs import call, result, run

from worldbench.baselines.references import Oracle, Uniform
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.plugins import forget, load_plugin
from worldbench.core.registry import figures, metrics
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.metrics.evaluation import Evaluation
from worldbench.records.reading import read
from worldbench.records.runs import Result

FILE = Path(__file__).resolve().parent.parent / "examples" / "reliability.py"
SCORED = ["--eval.metrics", "reliability", "next_token"]
BINS = ["--eval.reliability_bins", "4"]


@pytest.fixture(autouse=True)
def _taken_back() -> Iterator[None]:
    loaded = load_plugin(FILE)
    yield
    forget(loaded)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without the plugin."""
    out = tmp_path_factory.mktemp("runs")
    code, said = run(out)
    assert code == 0, said
    return out


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "runs")
    return next((tmp_path / "runs").glob("hmm-gpt-*"))


def test_the_exact_law_is_as_sure_as_it_is_right() -> None:
    world = HMM(HMMConfig(process="mess3", length=20))
    metric = metrics["reliability"].load()
    for bins in (1, 5):
        report = metric.measure(Evaluation(world, Oracle(world), eval_config(documents=800, reliability_bins=bins)))
        assert report.scores["ece"].value < 0.02
        assert len(report.arrays["confidence"]) == bins
        assert report.arrays["positions"].sum() == report.scores["ece"].n


class TooSure(Oracle):
    """The exact law to the power of three: the same likeliest tokens, with too much confidence."""

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return 3 * super().logits(tokens)


def test_a_model_that_is_too_sure_and_one_that_guesses_are_worse() -> None:
    world = HMM(HMMConfig(process="mess3", length=20))
    metric, settings = metrics["reliability"].load(), eval_config(documents=800, reliability_bins=5)
    exact, sure, guess = (
        metric.measure(Evaluation(world, model, settings)).scores
        for model in (Oracle(world), TooSure(world), Uniform(world))
    )
    assert sure["accuracy"].value == exact["accuracy"].value > guess["accuracy"].value
    assert sure["ece"].value > exact["ece"].value + 0.1
    assert guess["ece"].value > exact["ece"].value + 0.1


@pytest.mark.slow
def test_a_run_is_scored_and_drawn(tmp_path: Path) -> None:
    code, said = run(tmp_path, "--plugin", str(FILE), *SCORED, *BINS)
    assert code == 0, said
    scored = result_of(next(tmp_path.glob("hmm-gpt-*")))
    assert scored.config["eval"]["reliability_bins"] == 4
    assert scored.scores["reliability"].floor == "uniform"
    floor = result_of(next(tmp_path.glob("hmm-uniform-*")))
    assert floor.scores["reliability"].value("ece") is not None  # the reference had the plugin's options too
    drawn = next(tmp_path.glob("hmm-gpt-*")) / "figures"
    assert {path.name for path in drawn.glob("reliability*")} == {f"reliability.{e}" for e in ("png", "svg", "csv")}
    rows = list(csv.DictReader((drawn / "reliability.csv").open()))
    assert 1 <= len(rows) <= 4
    assert sum(int(row["positions"]) for row in rows) == scored.scores["reliability"].scores["ece"].n
    code, said = run(tmp_path, "--plugin", str(FILE), *SCORED, *BINS)
    assert (code, "done already" in said) == (0, True)
    (recipe := tmp_path / "few.toml").write_text("[eval]\nreliability_bins = 6\n")
    code, said = run(tmp_path, "--plugin", str(FILE), *SCORED, "--config", str(recipe))
    assert code == 0, said
    assert {read(path, Result).config["eval"]["reliability_bins"] for path in drawn.parent.glob("result-*")} == {4, 6}


def test_a_finished_run_is_scored_traced_and_drawn_with_the_plugin(folder: Path) -> None:
    before = result(folder)
    code, said = call("eval", folder, "--plugin", FILE, *SCORED, *BINS)
    assert code == 0, said
    after = result(folder, before)
    assert read(after, Result).scores["reliability"].scores["ece"].n > 0
    beside = folder / f"figures-{after.stem.removeprefix('result-')}"
    assert (beside / "reliability.png").exists()
    assert not list((folder / "figures").glob("reliability*"))
    shutil.rmtree(beside)
    forget(load_plugin(FILE))
    assert call("figures", folder)[0] == 0
    assert not (beside / "reliability.png").exists()
    assert call("figures", folder, "--plugin", FILE)[0] == 0
    assert (beside / "reliability.png").exists()
    code, said = call("trace", folder, "--plugin", FILE, "--eval.metrics", "reliability", *BINS)
    assert code == 0, said
    assert "reliability ece" in said


def test_a_figure_that_fails_keeps_no_other_from_being_drawn(folder: Path, tmp_path: Path) -> None:
    text = "from worldbench.core.registry import figures\n"
    text += "figures.add('wrong', 'divides by zero', lambda source, stem, *, title: 1 / 0, source='curve')\n"
    (tmp_path / "wrong.py").write_text(text)
    shutil.rmtree(folder / "figures")
    try:
        code, said = call("figures", folder, "--plugin", tmp_path / "wrong.py")
    finally:
        forget(load_plugin(tmp_path / "wrong.py"))
    assert code == 2
    assert "the figure 'wrong' of a plugin failed: ZeroDivisionError" in said
    assert (folder / "figures" / "learning.png").exists()


@pytest.mark.parametrize(
    ("call_", "said"),
    [
        ("figures.add('x', 'y', print)", "must name the metric whose evidence it reads"),
        ("figures.add('x', 'y', print, source='curve', metric='next_token')", "has no use for a metric"),
        ("figures.add('x', 'y', print, source='curves')", "a figure reads one of evidence, curve, trace"),
        ("figures.add('x', 'y', print, metric='next_tokens')", "did you mean 'next_token'"),
        ("figures.add('gallery', 'y', print, metric='next_token')", "'gallery' is registered already"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(tmp_path: Path, call_: str, said: str) -> None:
    before = figures.names()
    (tmp_path / "wrong.py").write_text(f"from worldbench.core.registry import figures\n{call_}\n")
    with pytest.raises(InputError) as error:
        load_plugin(tmp_path / "wrong.py")
    assert said in str(error.value)
    assert figures.names() == before


def test_the_plugin_may_be_left_out_when_the_run_is_scored_again(tmp_path: Path, folder: Path) -> None:
    """Its options are then left out as well, and the evaluation is the one of a run without the plugin."""
    assert run(tmp_path / "mine", "--plugin", str(FILE), *SCORED, *BINS)[0] == 0
    mine = next((tmp_path / "mine").glob("hmm-gpt-*"))
    assert "reliability_bins" in json.loads((mine / "config.json").read_text())["groups"]["eval"]
    forget(load_plugin(FILE))
    own = result(mine)
    code, said = call("eval", mine, "--eval.metrics", "next_token")
    assert code == 0, said
    assert result(mine, own).name == result(folder).name
    code, said = call("eval", mine)
    assert code == 2
    assert "the metric 'reliability' of the plugin reliability.py" in said


def test_a_plugin_changes_nothing_where_its_metric_is_not_scored(tmp_path: Path, folder: Path) -> None:
    assert run(tmp_path / "mine", "--plugin", str(FILE))[0] == 0
    mine = next((tmp_path / "mine").glob("hmm-gpt-*"))
    assert mine.name == folder.name
    assert result(mine).name == result(folder).name
    assert read(result(mine), Result).config == read(result(folder), Result).config

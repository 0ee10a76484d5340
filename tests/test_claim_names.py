"""Wrong names in a file of claims: each is refused with the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_records import metric, result

from worldbench.cli.main import main
from worldbench.records import reading
from worldbench.records.claim_names import refuse_unknown
from worldbench.records.claims import load

CLAIM = """[[claim]]
name = "mine"
claim = "A claim."
source = "our own question"
score = {score}
world = "taxi"
a = {{ model = {a} }}
b = {{ model = "gpt" }}
expects = "equal"
margin = 0.05
sweep = "mine.toml"
"""
PLUGIN = """from worldbench.core.registry import models
models.add("claimed", "a model", object())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of two models, of which one is of a plugin that is not loaded."""
    for model in ("nextlat", "stranger"):
        scores = {"excess_loss": metric({"kl": 0.1}, direction="lower"), "own_metric": metric({"x": 0.5})}
        written = result(model, 0, scores, config={"model": {"old_option": 1}})
        reading.write(tmp_path / f"result-{model}.json", written)
    return tmp_path


def judged(folder: Path, score: str, a: str, *more: str | Path) -> int:
    file = folder / "c.toml"
    file.write_text(CLAIM.format(score=repr(score), a=repr(a)))
    return main(["claims", str(folder), "--file", str(file), *map(str, more)])


@pytest.mark.parametrize(
    ("score", "a", "said"),
    [
        ("excess_los.kl", "nextlat", "arm a: unknown metric 'excess_los'; did you mean 'excess_loss'?"),
        ("excess_loss.kll", "nextlat", "no result in taxi has the score 'excess_loss.kll'; did you mean 'kl'?"),
        ("excess_loss.kl", "nextlat[horizn=4]", "nextlat has no training option 'horizn'; did you mean 'horizon'?"),
        ("excess_loss.kl", "nextlat-rnn[horizn=4]", "nextlat-rnn has no training option 'horizn'"),
        ("excess_loss.kl", "nextlat[train.stepz=4]", "'train.stepz'; did you mean 'train.steps'?"),
        (
            "excess_loss.kl",
            "nextlt",
            "unknown model 'nextlt'; did you mean 'nextlat'? (a model of a plugin needs --plugin",
        ),
        ("excess_loss.kl", "stranger[horizn=4]", "stranger has no training option 'horizn'"),
    ],
)
def test_a_wrong_name_is_refused(
    folder: Path, score: str, a: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(folder, score, a) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("score", "a"),
    [
        ("excess_loss.kl", "nextlat[horizon=4,tuned=24x2]"),
        ("excess_loss.kl", "nextlat-rnn[model.horizon=4]"),
        ("excess_loss.kl", "nextlat[old_option=1]"),
        ("own_metric.x", "stranger[layers=2]"),
        ("next_token.top1_legal", "nextlat"),
    ],
)
def test_right_names_are_judged(folder: Path, score: str, a: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of the model, of training and of older records; names of plugins that results have; metrics without a
    result."""
    assert judged(folder, score, a) == 0
    assert "not run" in capsys.readouterr().out


def test_the_names_of_a_plugin(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(folder, "excess_loss.kl", "claimed") == 2
    assert "unknown model 'claimed'; there are " in (said := capsys.readouterr().err)
    assert "(a model of a plugin needs --plugin FILE.py)" in said
    (folder / "claimed.py").write_text(PLUGIN)
    assert judged(folder, "excess_loss.kl", "claimed", "--plugin", folder / "claimed.py") == 0
    assert "there is no run of claimed in taxi" in capsys.readouterr().out.replace("\n", " ")


def test_shipped_claims_have_right_names() -> None:
    refuse_unknown(load(), [])

"""The page on models of one's own runs as it stands; objects of a program are scored through the record of the command
line."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
import torch

import worldbench as wb
from worldbench.baselines.digests import object_digest
from worldbench.core.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "your-own-model.md").read_text(encoding="utf-8")
WORLD = wb.world("hmm", **tiny_runs.TINY_WORLDS["hmm"])
SIZE = len(WORLD.vocabulary)
FEW = {"documents": 12, "trials": 12}


class Table(torch.nn.Module):
    """The logits of the next token after each last token."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        values = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        self.table = torch.nn.Embedding(SIZE, SIZE, _weight=values)
        self.rows: list[int] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(tokens))
        return self.table(tokens)


@pytest.mark.slow
def test_the_code_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_runs.draw_nothing(monkeypatch)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    folders = {path.name.rpartition("-")[0] for path in Path("runs").iterdir()}
    assert {"hmm-callable", "hmm-oracle-quick"} <= folders
    assert "hmm-callable" in capsys.readouterr().out


def test_an_object_has_a_record_that_leaderboards_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal to the scores of `measure`; the limit reaches the network; other weights have another record."""
    tiny_runs.draw_nothing(monkeypatch)
    net = Table()
    metrics = ["next_token", "excess_loss"]
    run = wb.score(WORLD, net, name="table", metrics=metrics, eval=FEW, batch_limit=5, out=tmp_path)
    assert max(net.rows) == 5
    assert list(run.record.scores) == metrics
    measured = wb.measure("excess_loss", WORLD, net, eval={"documents": 12})
    assert run.record.scores["excess_loss"].scores == measured.scores
    assert run.record.command == (
        "wb.score('hmm', table, preset='quick', env={'length': 6, 'process': 'mess3'}, "
        "eval={'documents': 12, 'metrics': ('next_token', 'excess_loss'), 'trials': 12})"
    )
    assert (run.record.seed, run.record.model.name) == (None, "table")
    rows = wb.leaderboard(tmp_path, columns=["excess_loss.kl"])
    assert {row.label for row in rows} == {"table", "oracle", "uniform"}
    other = wb.score(WORLD, Table(1), name="table", metrics=metrics, eval=FEW, out=tmp_path)
    assert other.folder != run.folder


def test_a_run_is_scored_in_another_world_of_the_same_words(tmp_path: Path) -> None:
    other = wb.world("hmm", process="mess3(x=0.3, a=0.2)", length=6)
    oracle = wb.model(wb.run("hmm", model="oracle", env={"process": "mess3", "length": 6}, out=tmp_path, eval={
        "documents": 10, "metrics": ["next_token"]}))  # fmt: skip
    with pytest.raises(InputError, match="'oracle' is the name of a model of worldbench; give your model another name"):
        wb.score(other, oracle, metrics=["excess_loss"], eval={"documents": 12}, out=tmp_path)
    run = wb.score(
        other, oracle, name="its oracle", metrics=["excess_loss"], eval={"documents": 12}, out=tmp_path / "other"
    )
    assert run.record.scores["excess_loss"].value("kl") > 0.01


REFUSED: dict[str, tuple[Any, dict[str, Any]]] = {
    "score takes the name of a world, or a world from wb.world(..), not a int made otherwise": (5, {}),
    "the world has its options already; leave out env, or": (WORLD, {"env": {"length": 5}}),
    "metrics is given twice": (WORLD, {"metrics": ["next_token"], "eval": {"metrics": ["next_token"]}}),
    "unknown metric 'next_tokn'": (WORLD, {"metrics": ["next_tokn"]}),
    "batch_limit must be at least 1, not 0": (WORLD, {"batch_limit": 0}),
    "'gpt' is the name of a model of worldbench": (WORLD, {"name": "gpt"}),
}


@pytest.mark.parametrize("said", REFUSED)
def test_mistakes(said: str, tmp_path: Path) -> None:
    world, options = REFUSED[said]
    with pytest.raises(InputError, match=re.escape(said)):
        wb.score(world, Table(), out=tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def scale(factor: float, net: torch.nn.Module, tokens: np.ndarray) -> torch.Tensor:
    return factor * net(torch.from_numpy(tokens))


def test_digests_follow_code_and_weights() -> None:
    """Of a network its weights, also where a function refers to it; without a source file the byte code."""
    one, same, other = Table(), Table(), Table(1)
    assert object_digest(one) == object_digest(same) != object_digest(other)

    def closed(net: torch.nn.Module) -> Any:
        return lambda tokens: net(torch.from_numpy(tokens))

    for make in (closed, lambda net: functools.partial(scale, 2.0, net), lambda net: net.forward):
        assert object_digest(make(one)) == object_digest(make(same)) != object_digest(make(other))
    written: list[Any] = []
    for text in ("t + 1", "t + 1", "t + 2"):
        names: dict[str, Any] = {}
        exec(compile(f"def f(t):\n    return {text}", "<cell>", "exec"), names)
        written.append(object_digest(names["f"]))
    assert written[0] == written[1] != written[2]

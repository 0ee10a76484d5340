"""`import worldbench as wb`: the same bytes as the command line, the same refusals, and every line of its page."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
from sample_records import every_kind, result

import worldbench as wb
from worldbench.core.errors import InputError
from worldbench.core.model import SequenceModel
from worldbench.core.registry import models, worlds
from worldbench.core.world import World
from worldbench.records.reading import write
from worldbench.records.runs import Result

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
TINY = {"train": tiny_runs.OPTIONS["train"], "eval": tiny_runs.OPTIONS["eval"]}
MODEL = {"name": "gpt", **tiny_runs.OPTIONS["model"]}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> wb.Run:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.draw_nothing(patch)
        return wb.run("hmm", model=MODEL, preset="small", out=tmp_path_factory.mktemp("runs"), **TINY)


def test_a_run_has_the_bytes_of_the_command_line(
    done: wb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_runs.draw_nothing(monkeypatch)
    assert tiny_runs.run(tmp_path)[0] == 0
    assert tiny_runs.tree(done.folder.parent) == tiny_runs.tree(tmp_path)
    assert done.file == tiny_runs.result(done.folder)
    evaluated = wb.evaluate(done, eval={"documents": 10})
    folder = tiny_runs.folder(tmp_path)
    assert tiny_runs.call("eval", folder, "--eval.documents", "10")[0] == 0
    assert evaluated.file.read_bytes() == (folder / evaluated.file.name).read_bytes()
    assert evaluated.file != done.file
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_score_has_the_bytes_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.draw_nothing(monkeypatch)
    (tmp_path / "mine.py").write_text("import numpy as np\n\n\ndef f(x):\n    return np.zeros((*x.shape, 5))\n")
    monkeypatch.chdir(tmp_path)
    scored = wb.score("hmm", "mine.py:f", out="api", eval=tiny_runs.OPTIONS["eval"], env={"process": "mess3"})
    words = [word for word in tiny_runs.SETTINGS if "eval" in word]
    options = [w for name in words for w in (name, str(tiny_runs.OPTIONS["eval"][name.partition(".")[2]]))]
    argv = ["score", "hmm", "--callable", "mine.py:f", "--env.process", "mess3", *options, "--out", "line"]
    assert tiny_runs.call(*argv)[0] == 0, tiny_runs.call(*argv)
    assert tiny_runs.tree(tmp_path / "api") == tiny_runs.tree(tmp_path / "line")
    assert scored.record.model.name == "mine.py:f"


def test_finished_runs(done: wb.Run) -> None:
    assert wb.load(done.folder) == wb.load(str(done.file)) == done
    model, world = wb.model(done), wb.world(done)
    measured = wb.measure("next_token", world, model, eval={"documents": 12, "trials": 12})
    assert measured.scores == done.record.scores["next_token"].scores
    kl = [wb.measure("excess_loss", world, wb.model(done, step=s), eval={"documents": 12}).value("kl") for s in (1, 4)]
    assert kl[0] != kl[1]
    assert isinstance(wb.record(done.file), Result)


def test_the_model_of_a_run_that_is_not_trained(tmp_path: Path) -> None:
    few = {"documents": 10, "metrics": ["excess_loss"]}
    oracle = wb.run("hmm", model="oracle", out=tmp_path, eval=few)
    measured = wb.measure("excess_loss", wb.world(oracle), wb.model(oracle), eval={"documents": 10})
    assert measured.scores == oracle.record.scores["excess_loss"].scores
    with pytest.raises(InputError, match="oracle is not trained, so it has no step 3"):
        wb.model(oracle, step=3)


def test_a_function_a_module_and_a_model_are_measured_alike() -> None:
    import torch

    world = wb.world("hmm", process="mess3")
    size = len(world.vocabulary)

    class Uniform(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*tokens.shape, size)

    few = {"documents": 20}
    by_function = wb.measure("excess_loss", world, lambda tokens: np.zeros((*tokens.shape, size)), eval=few)
    assert wb.measure("excess_loss", world, Uniform(), eval=few).scores == by_function.scores
    assert (by_function.value("kl") or 0) > 0.1
    oracle = worlds_oracle(world)
    assert wb.measure("excess_loss", world, oracle, eval=few).value("kl") == pytest.approx(0, abs=1e-9)


def worlds_oracle(world: World) -> SequenceModel:
    return models["oracle"].load()(world)


REFUSED = {
    "did you mean '--train.steps'": lambda: wb.run("hmm", train={"stesp": 1}),
    "option --train.steps does not apply": lambda: wb.run("hmm", model="oracle", train={"steps": 1}),
    "did you mean 'hmm'": lambda: wb.run("hmn"),
    "unknown model 'gtp'; did you mean 'gpt'": lambda: wb.run("hmm", model="gtp"),
    "did you mean '--model.layers'": lambda: wb.run("hmm", model={"name": "gpt", "layer": 1}),
    "which world?": lambda: wb.run(),
    "did you mean '--env.process'": lambda: wb.world("hmm", proces="mess3"),
    "unknown metric 'excess'": lambda: wb.measure("excess", wb.world("hmm"), len),
    "detours does not apply: ": lambda: wb.measure("detours", wb.world("hmm"), worlds_oracle(wb.world("hmm"))),
    "must be a function, an nn.Module or a SequenceModel, not int": lambda: wb.measure(
        "next_token",
        wb.world("hmm"),
        3,  # type: ignore[arg-type]
    ),
    "leave `metrics` out of eval": lambda: wb.measure("next_token", wb.world("hmm"), len, eval={"metrics": "x"}),
    "batch_limit must be at least 1": lambda: wb.score("hmm", "f.py:f", batch_limit=0),
    "not a finished run": lambda: wb.load(ROOT / "docs"),
    "no plugin file 'none.py'": lambda: wb.run("hmm", plugins=["none.py"]),
}


@pytest.mark.parametrize("said", REFUSED)
def test_refusals(said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        REFUSED[said]()


def test_a_step_without_weights_is_refused(done: wb.Run) -> None:
    with pytest.raises(InputError, match=r"keeps no weights of step 3; it keeps those of the steps 1, "):
        wb.model(done, step=3)


def test_a_part_that_no_file_holds_is_not_recorded(tmp_path: Path) -> None:
    entry = worlds["hmm"]
    worlds.add("mine", "a world of a notebook", entry.load(), config=entry.load_config(), presets=entry.load_presets())
    try:
        with pytest.raises(InputError, match="mine was registered by code that is in no plugin file"):
            wb.run("mine", out=tmp_path)
        assert list(tmp_path.iterdir()) == []
    finally:
        worlds.remove({"mine"})


def test_plugins(tmp_path: Path) -> None:
    ring = ROOT / "examples" / "ring.py"
    assert "ring" in wb.world_names([ring])
    run = wb.run(
        "ring", model="oracle", plugins=[ring], out=tmp_path, eval={"documents": 10, "metrics": ["next_token"]}
    )
    assert "--plugin ring.py" in run.record.command
    assert len(wb.world("ring", plugins=[ring], size=7).vocabulary) < len(wb.world("ring", size=9).vocabulary)


def test_boards_are_typed_and_warn_of_what_is_left_out(tmp_path: Path) -> None:
    for seed in (0, 1):
        for model in ("gpt", "nextlat"):
            write(tmp_path / f"result-{model}-{seed}.json", result(model, seed))
    (tmp_path / "result-bad.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"left out: .*result-bad\.json"):
        rows = wb.leaderboard(tmp_path, columns=["m.x"])
    assert {(row.label, row.seeds) for row in rows} == {("gpt", (0, 1)), ("nextlat", (0, 1))}
    with pytest.warns(UserWarning, match="left out"):
        (pair,) = wb.compare("gpt", "nextlat", [tmp_path], columns=["m.x"])
    assert (pair.a, pair.b, pair.seeds, pair.difference) == ("gpt", "nextlat", (0, 1), 0)


def test_every_kind_is_read(tmp_path: Path) -> None:
    for record in every_kind():
        write(tmp_path / f"{record.kind}.json", record)
        assert wb.record(tmp_path / f"{record.kind}.json") == record


def test_verbose_says_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wb.run("hmm", model="oracle", out=tmp_path, eval={"documents": 10, "metrics": ["next_token"]}, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "folder: " in err


def test_the_package_stays_light_and_lists_its_names() -> None:
    code = (
        "import sys, worldbench as wb; dir(wb); print('worldbench.api' in sys.modules); "
        "wb.run; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert all(getattr(wb, name) for name in wb.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'rnu'"):
        _ = wb.rnu  # type: ignore[attr-defined]


def test_every_function_and_argument_is_on_the_page() -> None:
    for name in wb.__all__:
        function = getattr(wb, name)
        if inspect.isfunction(function):
            assert f"`{name}(" in PAGE or f"`{name}`" in PAGE
            rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}(")]
            for argument, p in inspect.signature(function).parameters.items():
                if rows and p.kind is p.KEYWORD_ONLY and argument != "verbose":
                    assert f"{argument}=" in rows[0], f"{name}: {argument}"


@pytest.mark.slow
def test_the_code_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_runs.draw_nothing(monkeypatch)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    out = capsys.readouterr().out
    assert "runs/hmm-gpt-small-s0-" in out
    assert "config [" in out


@pytest.mark.slow
def test_the_code_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs as it stands; what stands above `Layout` fits a screen or two."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, layout, _ = readme.partition("## Layout")
    assert layout
    assert before.count("\n") <= 60
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    folder, excess, other = capsys.readouterr().out.split()
    assert folder.startswith("runs/hmm-gpt-small-s0-")
    assert 0 < float(excess) < float(other)

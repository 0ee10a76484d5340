"""The recipes that come with worldbench, without the tuned ones: each works in any world, and changes only what it
says."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_jobs import BASE_ENV, BASE_TRAIN

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.registry import models, worlds
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.settings import shipped
from worldbench.settings.job import Job
from worldbench.settings.presets import presets_of
from worldbench.settings.recipe import LIMIT, load_recipe
from worldbench.settings.resolve import resolve
from worldbench.settings.train import DataConfig
from worldbench.training.trainer import Trainer

NAMES = [name for name in shipped.names() if not name.startswith(shipped.TUNED)]
SAME_AS_PRESET = {"nextlat-horizon-4": "quick", "nextlat-horizon-8": "standard"}


def settled(name: str, world: str, preset: str, model: str = "nextlat") -> Job:
    return resolve(world, model, preset=preset, seed=0, recipe=load_recipe(shipped.find(Path(name))))


@pytest.mark.parametrize("name", NAMES)
def test_it_changes_what_it_says(name: str) -> None:
    """In every world, against every preset."""
    recipe = load_recipe(shipped.find(Path(name)))
    assert set(recipe) == {"model"}, "the world, the size and the seed are the command line's"
    said = {k: v for k, v in recipe["model"].items() if k != "name"}
    for world in worlds.names():
        for preset in {"quick", "standard"} & set(presets_of(world)):
            model = recipe["model"]["name"]
            if name == "nextlat-no-stop-head" and world == "group":  # its presets have no divergence
                with pytest.raises(InputError, match=r"stop_head False has no effect with model\.lambda_kl 0"):
                    settled(name, world, preset, model)
                continue
            plain = resolve(world, model, preset=preset, seed=0)
            if name == "nextlat-landing-mask" and not plain.groups["train"].row_tokens:
                with pytest.raises(InputError, match="mask landing has no effect with one document per row"):
                    settled(name, world, preset, model)
                continue
            job = settled(name, world, preset, model)
            assert job.groups == plain.groups | {"model": dataclasses.replace(plain.groups["model"], **said)}
            assert job.given == {f"model.{k}": v for k, v in said.items() if getattr(plain.groups["model"], k) != v}
            if world == "taxi":
                assert bool(job.given) == (SAME_AS_PRESET.get(name) != preset)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_line(name: str) -> None:
    text = shipped.find(Path(name)).read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert 10 < len(shipped.line(name)) < 120
    assert tomllib.loads(text)["model"]["name"] in models.names()


def test_no_two_are_the_same() -> None:
    seen = {str(sorted(load_recipe(shipped.find(Path(name)))["model"].items())) for name in NAMES}
    assert len(seen) == len(NAMES)


def first_steps(job: Job, world: TaxiWorld, folder: Path) -> tuple[torch.Tensor, set[str]]:
    """All weights after three steps, and the names of the losses."""
    shape = dataclasses.replace(job.groups["model"], layers=1, heads=1, width=16)
    groups: dict[str, Any] = {
        "env": BASE_ENV,
        "data": DataConfig(),
        "model": shape,
        "train": BASE_TRAIN,
        "eval": job.groups["eval"],
    }
    objective = build(identify(dataclasses.replace(job, groups=groups), world))
    folder.mkdir()
    trainer = Trainer(world, objective, DataConfig(), BASE_TRAIN, 0, folder)
    losses = [trainer.step(i) for i in range(3)]
    assert all(bool(torch.isfinite(v)) for loss in losses for v in loss.values())
    return torch.cat([p.detach().ravel() for p in objective.parameters()]), set(losses[0])


@pytest.mark.slow
def test_each_trains_its_own_way(tmp_path: Path) -> None:
    """Three steps of each: no two end in the same weights, but those that are the preset itself."""
    world = TaxiWorld(BASE_ENV)
    plain, terms = first_steps(resolve("taxi", "nextlat", preset="quick", seed=0), world, tmp_path / "plain")
    assert terms == {"next_token", "next_h", "kl"}
    ends = {"the preset": plain}
    for name in NAMES:
        weights, losses = first_steps(settled(name, "taxi", "quick"), world, tmp_path / name)
        assert losses == terms - ({"kl"} if "regression" in name else {"next_h"} if name == "nextlat-kl" else set())
        alike = [other for other, theirs in ends.items() if torch.equal(weights, theirs)]
        assert alike == (["the preset"] if SAME_AS_PRESET.get(name) == "quick" else []), name
        ends[name] = weights


# The command line


def test_config_takes_a_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for world in ("taxi", "hmm"):
        assert main(["run", world, "--config", "nextlat-no-stop-target", "--model.horizon", "3", "--print-config"]) == 0
        message = tomllib.loads(capsys.readouterr().out)
        assert (
            message["world"],
            message["model"]["name"],
            message["model"]["stop_target"],
            message["model"]["horizon"],
        ) == (
            world,
            "nextlat",
            False,
            3,
        )
    assert main(["run", "taxi", "--config", "nextlat-control-cut", "--print-config"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["model"]["control"] == "cut"
    for argv, said in {
        ("run", "taxi", "--config", "nextlat-control-cutt"): "did you mean 'nextlat-control-cut'?",
        (
            "run",
            "taxi",
            "--config",
            "something",
        ): "there is neither a recipe nor a file 'something'; worldbench ls lists",
        ("run", "taxi", "--config", "nextlat-control-cut.toml"): "there is no recipe file 'nextlat-control-cut.toml'",
        ("run", "taxi", "--config", "./nextlat-control-cut.toml"): "there is no recipe file 'nextlat-control-cut.toml'",
        ("run", "--config", "nextlat-control-cut"): "which world?",
        ("run", "taxi", "--model", "gpt", "--config", "nextlat-control-cut"): "unknown key 'control' in [model]",
    }.items():
        assert main(list(argv)) == 2
        assert said in capsys.readouterr().err
    Path("mine").write_text('[model]\nname = "nextlat"\nhorizon = 7\n', encoding="utf-8")
    assert main(["run", "taxi", "--config", "mine", "--print-config"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["model"]["horizon"] == 7


@pytest.mark.parametrize(
    ("text", "said"),
    {
        b"world": "is not TOML",
        b"[[[[[": "is not TOML",
        b"x = " + b"[" * 5000 + b"]" * 5000: "nested too deeply",
        b"[env]\nx = " + b"[" * 40 + b"]" * 40: "nested too deeply",
        b"seed = " + b"9" * 30: "more than 64 bits",
        b"seed = " + b"9" * 5000: "too many digits",
        b"seed = 1.0": "seed must be a whole number, not 1.0",
        b"seed = true": "seed must be a whole number, not True",
        b"seed = 2026-01-01": "seed must be a whole number, not datetime.date",
        b"world = 1": "world must be text, not 1",
        b"[world]": "world must be text, not {}",
        b"plugin = [1]": "plugin must be a file or a list of files, not [1]",
        b"plugin = [[]]": "plugin must be a file or a list of files, not [[]]",
        b"model = 'gpt'": "model must be a table, not 'gpt'",
        b"[[model]]\nname = 'gpt'": "model must be a table, not [{",
        b"[model]\nname = 1": "model.name must be text, not 1",
        b"[model]\nname = ['gpt']": "model.name must be text",
        b"[model]\nlayers = 'two'": "model.layers must be of type int, not 'two'",
        b"[model]\nlayers = [2]": "model.layers must be of type int, not [2]",
        b"[train]\nschedule = ['cosine']": "train.schedule must be one of",
        b"[train]\noptimizer = {}": "train.optimizer must be one of",
        b"[eval]\nmetrics = 'next_token'": "eval.metrics must be a list, not 'next_token'",
        b"[eval]\nmetrics = [1]": "eval.metrics must be of type str, not 1",
        b"[eval]\ntrials = '" + b"x" * 500 + b"'": ".. (502 characters)",
        b"wolrd = 'hmm'": "unknown key 'wolrd'; did you mean 'world'?",
        b"world = '\xff'": "is not UTF-8",
    }.items(),
)
def test_a_recipe_is_strict(text: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_bytes(text)
    assert main(["run", "hmm", "--config", str(tmp_path / "r.toml"), "--print-config"]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.splitlines()) == 1
    assert len(message) < 700


def test_what_is_no_recipe_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "large.toml").write_bytes(b"#" * (LIMIT + 1))
    for name, said in (
        ("pipe", "named pipe"),
        ("folder", "a folder"),
        ("large", "bytes"),
        ("none", "there is no recipe file"),
    ):
        assert main(["run", "hmm", "--config", str(tmp_path / f"{name}.toml"), "--print-config"]) == 2
        message = capsys.readouterr().err
        assert repr(f"{tmp_path / name}.toml") in message
        assert said in message
    (tmp_path / "marked.toml").write_bytes(b'\xef\xbb\xbfworld = "hmm"\n')
    assert main(["run", "--config", str(tmp_path / "marked.toml"), "--print-config"]) == 0


def test_ls_lists_them_without_torch(tmp_path: Path) -> None:
    code = "import sys; from worldbench.cli.main import main; main(['ls']); print('torch' in sys.modules)"
    lines = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines[-1] == "False"
    message = lines[lines.index("recipes") + 1 : lines.index("sweeps")]
    assert [line.split()[0] for line in message] == shipped.names()
    assert all(line.endswith(shipped.line(name)) for line, name in zip(message, NAMES))

"""`worldbench push`: the publishable folder of a run, and the call of the library that uploads it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

import worldbench as wb
from worldbench.training import checkpoint


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run with its references and a figure; its world comes from a file in a private folder."""
    out = tmp_path_factory.mktemp("private-place")
    coin = {"startprob": [0.5, 0.5], "transmat": [[0.7, 0.3], [0.4, 0.6]], "emissionprob": [[0.9, 0.1], [0.2, 0.8]]}
    (out / "coin.json").write_text(json.dumps(coin))
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.draw_nothing(patch)
        code, said = tiny_runs.run(out / "runs", "--env.process", str(out / "coin.json"))
    assert code == 0, said
    figures = tiny_runs.folder(out / "runs") / "figures"
    figures.mkdir(exist_ok=True)
    (figures / "odd name.png").write_bytes(b"a picture")
    return out / "runs"


def push(runs: Path, out: Path, *words: str) -> Path:
    code, said = tiny_runs.call("push", tiny_runs.folder(runs), "--out", out, *words)
    assert code == 0, said
    return tiny_runs.folder(out)


def test_the_folder(runs: Path, tmp_path: Path) -> None:
    """It loads again, holds no path of the machine, and its digests and its card fit its files."""
    folder, run = push(runs, tmp_path / "push", "--dry-run", "--license", "mit"), tiny_runs.folder(runs)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    result = tiny_runs.result(run).name
    assert {name for name in files if "references" not in name} == {
        "README.md", "SHA256SUMS", "checkpoint/arithmetic.json", "checkpoint/step-00000004.safetensors", "config.json",
        *(f"figures/learning.{kind}" for kind in ("csv", "png", "svg")), "figures/odd name.png",
        "metrics.jsonl", result,
    }  # fmt: skip
    assert len([name for name in files if name.startswith("references/")]) == 2
    for path in files.values():
        assert b"private-place" not in path.read_bytes(), path
    sums = dict(reversed(line.split("  ", 1)) for line in files["SHA256SUMS"].read_text().splitlines())
    assert sums == {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items() if n != "SHA256SUMS"}
    coin = {"process": str(runs.parent / "coin.json")}
    tokens = wb.world(wb.load(run)).sample(0, "test", 0, 4).inputs
    assert np.array_equal(wb.model(folder, env=coin).logits(tokens), wb.model(run).logits(tokens))
    assert wb.load(folder).record == wb.load(run).record
    assert {row.label for row in wb.leaderboard(folder)} == {"gpt", "oracle", "uniform"}


def test_the_card(runs: Path, tmp_path: Path) -> None:
    folder, record = push(runs, tmp_path, "--dry-run", "--license", "mit"), wb.load(tiny_runs.folder(runs)).record
    text = (folder / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    fields = {key: json.loads(value) for key, value in (line.split(": ", 1) for line in front.strip().splitlines())}
    assert fields["license"] == "mit"
    (model,) = fields["model-index"]
    (measured,) = model["results"][0]["metrics"]
    score = record.scores["next_token"].scores["top1_legal"]
    assert (measured["name"], measured["value"]) == ("next_token.top1_legal", score.value)
    assert score.interval is not None
    low, high = score.interval
    assert f"| next_token.top1_legal (up) | 0.000 | {score.value:.3f} | {low:.3f} .. {high:.3f} | 1.000 |" in body
    for part in (record.command, record.identity.training, record.environment.torch, "after step 4", "not tuned"):
        assert part in body
    weights = (folder / "checkpoint" / "step-00000004.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() in body
    assert "(figures/odd%20name.png)" in body
    assert record.environment.commit is None or record.environment.commit in body


def test_again_it_is_the_same_and_other_folders_stay(runs: Path, tmp_path: Path) -> None:
    folder = push(runs, tmp_path, "--dry-run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "figures" / "of an earlier build.png").write_bytes(b"")
    assert push(runs, tmp_path, "--dry-run") == folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert 'license: "other"' in before[folder / "README.md"].decode()
    (folder / "SHA256SUMS").unlink()
    code, said = tiny_runs.call("push", tiny_runs.folder(runs), "--out", tmp_path, "--dry-run")
    assert (code, "worldbench push did not make it" in said) == (2, True)
    assert len(list(folder.rglob("*.png"))) == 2


def test_runs_that_cannot_be_published(runs: Path, tmp_path: Path) -> None:
    def said(folder: Path, *words: str) -> str:
        code, text = tiny_runs.call("push", folder, "--out", tmp_path / "push", *(words or ("--dry-run",)))
        assert code in (1, 2)
        assert not (tmp_path / "push").exists()
        return text

    def copy(name: str) -> Path:
        return Path(shutil.copytree(tiny_runs.folder(runs), tmp_path / name))

    assert "no weights to publish: oracle is not trained" in said(tiny_runs.folder(runs, "oracle"))
    assert "is not a run folder" in said(tmp_path)
    (folder := copy("without")).joinpath("checkpoint", "step-00000004.safetensors").unlink()
    assert "has no weights of its last step 4" in said(folder)
    shutil.copy(checkpoint.weights_path(tiny_runs.folder(runs), 4), checkpoint.state_path(folder := copy("stopped")))
    assert "training was stopped" in said(folder)
    weights = checkpoint.weights_path(folder := copy("damaged"), 4)
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert "its content has changed" in said(folder)
    tiny_runs.result(folder := copy("unscored")).unlink()
    assert "has no result to publish" in said(folder)
    assert "--license 'My own' is not the name" in said(tiny_runs.folder(runs), "--dry-run", "--license", "My own")
    assert "an upload needs --repo" in said(tiny_runs.folder(runs), "--license", "mit")
    assert "an upload needs --license" in said(tiny_runs.folder(runs), "--repo", "ada/taxi")
    bad = ("--repo", "taxi", "--license", "mit")
    assert "--repo must be OWNER/NAME" in said(tiny_runs.folder(runs), *bad)


class Hub:
    """The part of huggingface_hub that is used. Its calls are kept."""

    def __init__(self, fails: str = "") -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fails = fails

    def create_repo(self, repo: str, **options: Any) -> str:
        self.calls.append((repo, options))
        return f"https://hub.example/{repo}"

    def upload_folder(self, **options: Any) -> None:
        if self.fails:
            raise ConnectionError(self.fails)
        self.calls.append(("upload", options))


def with_hub(patch: pytest.MonkeyPatch, hub: Hub) -> None:
    module = types.ModuleType("huggingface_hub")
    module.HfApi = lambda: hub  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "huggingface_hub", module)


def test_the_upload(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_hub(monkeypatch, hub := Hub())
    folder = push(runs, tmp_path, "--repo", "ada/taxi-gpt", "--license", "mit", "--private")
    assert hub.calls == [
        ("ada/taxi-gpt", {"private": True, "exist_ok": True, "repo_type": "model"}),
        ("upload", {
            "folder_path": str(folder), "repo_id": "ada/taxi-gpt", "repo_type": "model",
            "commit_message": f"worldbench push: {folder.name}",
        }),
    ]  # fmt: skip
    with_hub(monkeypatch, Hub("no\nroute"))
    words = ("push", tiny_runs.folder(runs), "--out", tmp_path, "--repo", "ada/taxi-gpt", "--license", "mit")
    code, said = tiny_runs.call(*words)
    assert code == 1
    assert "the upload to ada/taxi-gpt failed (ConnectionError: no route" in said
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, said = tiny_runs.call(*words)
    assert (code, "needs the package huggingface_hub" in said) == (2, True)


def test_the_call_fits_the_library() -> None:
    """The arguments of the two calls are those of huggingface_hub."""
    import inspect

    hub: Any = pytest.importorskip("huggingface_hub", reason="needs the optional package huggingface_hub")
    inspect.signature(hub.HfApi.create_repo).bind(None, "a/b", private=True, exist_ok=True, repo_type="model")
    inspect.signature(hub.HfApi.upload_folder).bind(
        None, folder_path="f", repo_id="a/b", repo_type="model", commit_message="m"
    )

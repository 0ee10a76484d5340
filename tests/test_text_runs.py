"""Runs on text: scores and reasons, speculative decoding, files that move, `check`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_runs import call, draw_nothing

from worldbench.core.errors import InputError
from worldbench.core.registry import metrics
from worldbench.records.finding import own_result
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs.config_file import load_job, saved_config

TRAIN = [
    *("--train.steps", "6", "--train.batch", "4", "--train.row_tokens", "24", "--train.checkpoints", "1"),
    *("--train.curve_documents", "8", "--train.warmup", "1", "--train.threads", "1"),
    *("--model.layers", "1", "--model.width", "16", "--model.heads", "2", "--model.horizon", "3"),
    *("--env.window", "24", "--eval.documents", "12"),
]
EVERY_METRIC = ["--eval.ahead_documents", "12", "--eval.ahead", "4", "--eval.rank_tokens", "40"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for k in range(6):
        (folder / f"{k}.txt").write_text("".join(f"{j + k} and {j * k} are numbers. " for j in range(30)))
    return folder


@pytest.fixture(scope="module")
def runs(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        for model in ("nextlat", "mtp", "jtp"):
            words = ["run", "text", "--model", model, "--env.files", texts / "*.txt", *TRAIN, "--out", out, "--quiet"]
            scored = EVERY_METRIC if model == "nextlat" else ["--eval.metrics", "bits_per_byte"]
            assert call(*words, *scored) == (0, "")
    return {folder.name.split("-")[1]: folder for folder in out.glob("text-*")}


def scored(folder: Path) -> Result:
    path = own_result(folder)
    assert path is not None
    return read(path, Result)


def test_scores_and_reasons(runs: dict[str, Path], texts: Path) -> None:
    result = scored(runs["nextlat"])
    assert set(result.scores) == {"bits_per_byte", "ahead_probe", "effective_rank"}
    assert set(result.not_applicable) == set(metrics.names()) - set(result.scores)
    assert all("'text'" in reason for reason in result.not_applicable.values())
    assert result.scores["bits_per_byte"].value("of_uniform") == pytest.approx(1, abs=0.1)
    assert (runs["nextlat"] / "figures" / "ahead.png").is_file()
    floor = scored(runs["uniform"])
    assert floor.scores["bits_per_byte"].value("of_uniform") == pytest.approx(1)
    assert str(texts) not in json.dumps([result.world, result.card])


@pytest.mark.parametrize("model", ["nextlat", "mtp", "jtp"])
def test_drafts_of_text_are_decoded_as_without(model: str, runs: dict[str, Path]) -> None:
    words = ["--prompts", "3", "--repeats", "1", "--lengths", "2", "--adaptive", "0", "--quiet"]
    for kind in ([], ["--sampled"]):
        code, said = call("decode", runs[model], *words, *kind)
        assert (code, said) == (0, "")
    found = [json.loads(path.read_text()) for path in runs[model].glob("decode*.json")]
    assert len(found) == 2
    assert all(record["world"] == found[0]["world"] for record in found)


def test_a_run_is_scored_again_where_its_files_are_now(runs: dict[str, Path], texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs["nextlat"], folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["groups"]["env"]["files"] == str(texts.resolve() / "*.txt")
    config["groups"]["env"]["files"] = str(tmp_path / "gone" / "*.txt")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"needs the file .*gone.*--env.files FILE"):
        load_job(folder, [])
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in texts.iterdir():
        shutil.copy(path, moved / f"another-name-{path.name}")
    job = load_job(folder, ["--env.files", str(moved)])
    assert job.groups["env"].files == str(moved)
    code, said = call("eval", folder, "--env.files", moved, "--eval.documents", "9", "--quiet")
    assert (code, said) == (0, "")
    assert saved_config(folder).identity.training == scored(runs["nextlat"]).identity.training
    (moved / "new.txt").write_text("a text that the run did not have, long enough")
    code, said = call("eval", folder, "--env.files", moved, "--eval.documents", "8", "--quiet")
    assert code == 1
    assert "corpus was" in said, said


@pytest.mark.slow
def test_check_holds_on_text(texts: Path, tmp_path: Path) -> None:
    words = ["--env.files", texts / "*.txt", "--env.window", "24", "--corruptions", "2", "--severities", "1"]
    code, said = call("check", "text", *words, "--out", tmp_path)
    assert code == 0, said
    (path,) = tmp_path.glob("**/check.json")
    record = json.loads(path.read_text())
    print(record["references"], record["verdicts"][:3])
    assert record["references"]["bits_per_byte"].keys() == {"uniform", "ngram", "untrained"}
    assert record["references"]["ahead_probe"].keys() == {"untrained"}
    assert not record["ladders"]

"""A sweep in a folder of copied records: results without weights and without a manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_sweep import TINY, printed, recipe
from tiny_runs import call, draw_nothing, folder, tree

ONE = TINY.replace('["gpt", "nextlat"]', '"gpt"').replace("[0, 1]", "0")
TWO_EVALUATIONS = ONE.replace("trials = 12", "").replace("[[table]]", '[vary]\n"eval.trials" = [12, 11, 10]\n[[table]]')


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of one trained cell and its references, which is done."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        code, _, errors = printed("sweep", recipe(out, ONE), "--out", out / "out", "--workers", "1", "--quiet")
    assert code == 0, errors
    return out / "out"


@pytest.fixture
def records(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is published of it: no weights, no manifest, no evidence, no figures, no tables."""
    draw_nothing(monkeypatch)
    left = shutil.ignore_patterns("manifest.json", "checkpoint", "evidence*", "figures*", "tables", ".*")
    return Path(shutil.copytree(whole, tmp_path / "out", ignore=left))


def test_records_are_done_and_make_the_same_table(whole: Path, records: Path, tmp_path: Path) -> None:
    before = tree(records, ())
    path = recipe(tmp_path, ONE)
    code, said, _ = printed("sweep", path, "--out", records, "--dry-run", "--seconds", "0")
    assert code == 0
    assert "gpt: 1 run (seed 0), done as a record without weights\n3 cells, 0 of them missing" in said
    code, said, errors = printed("sweep", path, "--out", records)
    assert (code, said.splitlines()[-1]) == (0, "3 cells: 3 done already (1 as a record without weights)")
    assert "3 of 3 cells are done already (1 as a record without weights)" in errors
    table = records / "tables" / "ci.md"
    assert table.read_bytes() == (whole / "tables" / "ci.md").read_bytes()
    shutil.rmtree(table.parent)
    assert tree(records, ()) == before, "nothing is trained, scored or drawn"


def test_one_more_model_is_the_only_cell_that_runs(whole: Path, records: Path, tmp_path: Path) -> None:
    before = tree(records, ())
    more = recipe(tmp_path, ONE.replace('"gpt"', '["gpt", "nextlat"]'))
    code, said, _ = printed("sweep", more, "--out", records, "--dry-run", "--seconds", "0", "--quiet")
    assert "4 cells, 1 of them missing" in said
    code, said, _ = printed("sweep", more, "--out", records, "--workers", "1", "--quiet")
    assert (code, said.splitlines()[-1]) == (0, "4 cells: 3 done already (1 as a record without weights), 1 done now")
    now = tree(records, ())
    assert {name: now[name] for name in before} == before
    rows = (records / "tables" / "ci.md").read_text(encoding="utf-8").splitlines()
    assert set((whole / "tables" / "ci.md").read_text(encoding="utf-8").splitlines()) <= set(rows)
    assert [row.split(" | ")[1] for row in rows[4:8]] == ["uniform", "oracle", "gpt", "nextlat"]


@pytest.mark.parametrize(
    ("damage", "says"), [("half", "(input data was truncated)"), ("budget", "is the result of another run")]
)
def test_a_damaged_result_or_that_of_another_run_is_not_done(
    damage: str, says: str, records: Path, tmp_path: Path
) -> None:
    (path,) = folder(records).glob("result-*.json")
    text = path.read_text(encoding="utf-8")
    budget = {"trials": 3, "seeds": 2, "criterion": "excess_loss.kl", "record": "0" * 16}
    changed = text[: len(text) // 2] if damage == "half" else json.dumps(json.loads(text) | {"tuning": budget})
    path.write_text(changed, encoding="utf-8")
    code, said, _ = printed("sweep", recipe(tmp_path, ONE), "--out", records, "--dry-run", "--seconds", "0", "--quiet")
    assert "3 cells, 1 of them missing" in said
    code, said, _ = printed("sweep", recipe(tmp_path, ONE), "--out", records, "--quiet")
    assert code == 1
    assert "3 cells: 2 done already, 1 failed" in said
    assert repr(str(path)) in said
    assert says in said
    assert path.read_text(encoding="utf-8") == changed, "nothing is lost"


@pytest.mark.slow
def test_another_evaluation_trains_again_once_and_the_record_stays(whole: Path, records: Path, tmp_path: Path) -> None:
    (old,) = folder(records).glob("result-*.json")
    log = folder(records) / "metrics.jsonl"
    before = old.read_bytes(), log.read_bytes()
    more = recipe(tmp_path, TWO_EVALUATIONS)
    code, said, errors = printed("sweep", more, "--out", records, "--workers", "2", "--quiet")
    assert (code, said.splitlines()[-1]) == (0, "9 cells: 3 done already, 6 done now"), errors
    assert (old.read_bytes(), log.read_bytes()) == before
    assert len(list(folder(records).glob("result-*.json"))) == 3
    assert tree(folder(records) / "checkpoint") == tree(folder(whole) / "checkpoint")
    assert len(json.loads((folder(records) / "manifest.json").read_bytes())["sessions"]) == 2
    assert not list(folder(records).glob("metrics-before*")), "the training was the same"


def test_a_run_that_was_stopped_while_it_drew_is_drawn_once(whole: Path, tmp_path: Path, monkeypatch: Any) -> None:
    draw_nothing(monkeypatch)
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    manifest = folder(out, "oracle") / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"done"', '"killed"'), encoding="utf-8")
    for done in ("2 done already, 1 done now", "3 done already"):
        code, said, _ = printed("sweep", recipe(tmp_path, ONE), "--out", out, "--workers", "1", "--quiet")
        assert (code, said.splitlines()[-1]) == (0, f"3 cells: {done}")


@pytest.mark.parametrize("kind", ["train", "eval"])
def test_a_training_that_differs_leaves_the_earlier_log(kind: str, records: Path, tmp_path: Path) -> None:
    (old,) = folder(records).glob("result-*.json")
    log = folder(records) / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if json.loads(line)["kind"] == kind)
    changed = "".join(lines[:place] + lines[place + 1 :])
    log.write_text(changed, encoding="utf-8")
    command = json.loads(old.read_bytes())["command"].split()[1:]
    code, said = call(*command, "--eval.trials", "11", "--out", records)
    assert code == 0, said
    assert "this folder has results, but not their weights: training again; the results stay" in said
    assert (folder(records) / "metrics-before.jsonl").read_text(encoding="utf-8") == changed
    says = {"train": "the learning curve is the same as before", "eval": "this training differs from the earlier one"}
    assert says[kind] in said

"""`worldbench sweep`: the cells of a recipe, what is done once, what fails, and what a second run does."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch
from tiny_runs import draw_nothing, tree

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.runs.display import Display
from worldbench.settings import shipped
from worldbench.settings.resolve import resolve
from worldbench.settings.sweep import load_sweep
from worldbench.settings.sweep_jobs import jobs_of
from worldbench.studies.sweep.plan import cells_of

TINY = shipped.find(Path("ci"), "sweep").read_text(encoding="utf-8")


def recipe(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def names(folder: Path, text: str) -> list[str]:
    """The cells of a sweep, without the digits of their identities."""
    cells = cells_of(jobs_of(load_sweep(recipe(folder, text))), folder, Display(quiet=True))
    return [cell.name.rpartition("-")[0] for cell in cells]


def printed(*words: str | Path) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    errors = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main([str(word) for word in words])
    return code, *(stream.buffer.getvalue().decode() for stream in (out, errors))  # type: ignore[attr-defined]


def test_seeds_come_one_after_the_other_and_references_once(tmp_path: Path) -> None:
    assert names(tmp_path, TINY) == [
        "hmm-oracle-small", "hmm-uniform-small", "hmm-gpt-small-s0", "hmm-nextlat-small-s0", "hmm-gpt-small-s1",
        "hmm-nextlat-small-s1",
    ]  # fmt: skip


def test_grids_share_what_stands_at_the_top_and_equal_cells_are_one(tmp_path: Path) -> None:
    text = """
    worlds = ["hmm", "group"]
    presets = "small"
    eval.metrics = ["next_token"]
    env.length = 5
    model.horizon = 3
    [[grid]]
    models = ["gpt", "nextlat"]
    seeds = [0, 1]
    [grid.vary]
    "env.process" = ["mess3", "rrxor"]
    [[grid]]
    worlds = "hmm"
    configs = "nextlat-control-cut"
    [[grid]]
    models = "oracle"
    """
    jobs = jobs_of(load_sweep(recipe(tmp_path, text)))
    cells = [cell for cell in cells_of(jobs, tmp_path, Display(quiet=True)) if not cell.reference]
    trained = [cell.prepared.job for cell in cells if cell.prepared.job.trained]
    assert len(jobs) == 19
    assert len(trained) == 8 + 4 + 1, "the process is an option of hmm alone, so group has each cell once"
    assert {job.value("env.length") for job in trained} == {5}
    assert {job.value("model.horizon") for job in trained if job.model == "nextlat"} == {3}
    assert [job.seed for job in trained] == sorted(job.seed for job in trained)
    assert {job.value("model.control") for job in trained if job.model == "nextlat"} == {"none", "cut"}


def test_two_evaluations_of_one_training_wait_for_it(tmp_path: Path) -> None:
    text = TINY.replace("trials = 12", "").replace('["gpt", "nextlat"]', '"gpt"').replace("[0, 1]", "0")
    text = text.replace("[[table]]", '[vary]\n"eval.trials" = [10, 11]\n[[table]]')
    cells = cells_of(jobs_of(load_sweep(recipe(tmp_path, text))), tmp_path, Display(quiet=True))
    first, second = (cell for cell in cells if cell.prepared.job.model == "gpt")
    assert (first.after, second.after) == (None, first.name)
    assert first.folder == second.folder
    assert first.result != second.result


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("worlds =", "wolrds ="), "unknown key 'wolrds'; did you mean 'worlds'"),
        (('worlds = "hmm"', ""), r"which worlds\? write worlds = \[..\]"),
        (('"hmm"', '"hm"'), "unknown world 'hm'; did you mean 'hmm'"),
        (('"nextlat"]', '"nextlap"]'), "unknown model 'nextlap'; did you mean 'nextlat'"),
        (("steps = 4", "setps = 4"), "unknown option train.setps; did you mean 'steps'"),
        (("process =", "proces ="), "unknown option env.proces; did you mean 'process'"),
        (("steps = 4", 'steps = "4"'), "train.steps must be of type int, not '4'"),
        (("[0, 1]", "[0, -1]"), r"seeds must be a list of whole numbers from 0, such as \[0, 1\], not \[0, -1\]"),
        (("[[table]]", "[table]"), r"blocks that begin with \[\[table\]\]"),
        (("ci.md", "ci.doc"), r"ends in .md, .csv, .json, not 'ci.doc'"),
        (("ci.md", "../ci.md"), "without a folder"),
        (("[train]", '[vary]\n"train.steps" = [1]\n[train]'), r"train.steps is both in \[train\] and in \[vary\]"),
        (("[train]", '[vary]\n"steps" = [1]\n[train]'), 'must name an option such as "train.learning_rate"'),
        (("[train]", '[vary]\n"train.warmup" = 1\n[train]'), "must be a list of values, not 1"),
        (("seeds =", 'configs = "nextlat-kl"\nseeds ='), "names the model nextlat, and models of the grid are gpt, n"),
        (('["gpt", "nextlat"]', '"oracle"'), "does not apply: no world and no model of the sweep has options"),
        (
            ('ci.md"', 'ci.md"\ncolumns = "detours"'),
            "the table ci.md shows detours, but no run of the sweep",
        ),
        (('ci.md"', 'ci.md"\ncolumns = "next_tokne"'), "unknown metric 'next_tokne'; did you mean 'next_token'"),
        (("[[table]]", '[[grid]]\nmodels = "gpt"\nmodel.horizon = 2\n[[table]]'), "unknown option model.horizon"),
        (("seeds =", 'plugin = "ring.py"\nseeds ='), r"needs the plugin ring.py, .* --plugin .*ring.py"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in TINY
    with pytest.raises(InputError, match=says):
        jobs_of(load_sweep(recipe(tmp_path, TINY.replace(*change, 1))))


def test_a_recipe_that_names_its_world_stands_in_a_grid_of_its_own(tmp_path: Path) -> None:
    """With worlds at the top of the file it is refused, and what the message says helps."""
    own, tuned = '[[grid]]\n{}models = "gpt"\n', '[[grid]]\nconfigs = "tuned/taxi-stream-nextlat"\n'
    top = 'seeds = 0\npresets = "small"\n'
    with pytest.raises(InputError, match=r"name worlds in the other grids, not at the top of the file"):
        jobs_of(load_sweep(recipe(tmp_path, 'worlds = "hmm"\n' + top + own.format("") + tuned)))
    jobs = [cell.job for cell in jobs_of(load_sweep(recipe(tmp_path, top + own.format('worlds = "hmm"\n') + tuned)))]
    assert {(job.world, job.model) for job in jobs} >= {("hmm", "gpt"), ("taxi", "nextlat")}


def test_what_fails_what_is_made_and_what_a_second_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)
    out = tmp_path / "out"
    good = (
        TINY.replace('["gpt", "nextlat"]', '"gpt"')
        .replace("[0, 1]", "0")
        .replace("[eval]", "warmup = 0\naccumulate = 0\n[eval]")
    )
    usual = resolve("hmm", "gpt", preset="small", seed=0).groups["train"].learning_rate
    bad = good.replace("[[table]]", f'[vary]\n"train.learning_rate" = [1e30, {usual}]\n[[table]]')
    code, said, errors = printed("sweep", recipe(tmp_path, bad), "--out", out, "--workers", "2")
    assert code == 1
    (line,) = [line for line in said.splitlines() if line.startswith("failed: ")]
    assert line.startswith("failed: hmm-gpt-small-s0-")
    assert "4 cells: 3 done now, 1 failed" in said
    assert "1 of 4 cells failed, for the reasons above; the same command tries them again" in errors
    table = (out / "tables" / "ci.md").read_text(encoding="utf-8")
    assert [row.split(" | ")[1] for row in table.splitlines()[4:7]] == ["uniform", "oracle", "gpt"]

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    code, said, _ = printed("sweep", recipe(tmp_path, good), "--out", out)
    assert (code, said.splitlines()[-1]) == (0, "3 cells: 3 done already")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before

    whole = tree(out, ())
    more = recipe(tmp_path, good.replace("seeds = 0", "seeds = [0, 1]"))
    code, said, _ = printed("sweep", more, "--out", out, "--dry-run", "--quiet")
    assert code == 0
    assert "  references oracle, uniform: 2 runs, done" in said
    assert re.search(
        r"^  gpt: 2 runs \(seeds 0 to 1\), 1 done; about .* seconds each, like its finished runs$", said, re.M
    )
    assert "4 cells, 1 of them missing" in said
    assert tree(out, ()) == whole, "a dry run changes nothing"


@pytest.mark.slow
def test_a_plan_of_huge_networks_builds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldbench.baselines import objective

    def trunk(vocabulary: int, width: int, layers: int, *more: int) -> Backbone:
        assert layers <= 2
        assert width == 256 or torch.get_default_device().type == "meta"
        return Backbone(vocabulary, width, layers, *more)

    Backbone = objective.Backbone
    monkeypatch.setattr(objective, "Backbone", trunk)
    huge = TINY.replace("[eval]", "accumulate = 0\n[eval]")
    words = ["--model.layers", "4000", "--model.width", "4096", "--model.heads", "16", "--dry-run", "--quiet"]
    code, said, _ = printed("sweep", recipe(tmp_path, huge), *words, "--seconds", "0.01", "--out", tmp_path)
    assert code == 0
    assert re.findall(r"^  (\w+): 2 runs \(seeds 0 to 1\); about .* each, from its operations$", said, re.M) == [
        "gpt", "nextlat",
    ]  # fmt: skip
    assert "from its operations: a rough guess" in said
    monkeypatch.setattr(objective, "Backbone", None)
    code, said, _ = printed("sweep", recipe(tmp_path, huge), *words, "--seconds", "0", "--out", tmp_path)
    assert (code, said.count("not timed"), "no time is known" in said) == (0, 2, True)


def test_a_sweep_that_includes_others_keeps_their_tables_apart(tmp_path: Path) -> None:
    one = TINY.replace("[0, 1]", "0").replace('"gpt", "nextlat"', '"gpt"')
    (tmp_path / "one.toml").write_text(one, encoding="utf-8")
    (tmp_path / "two.toml").write_text(
        one.replace('"gpt"', '"gru"').replace("heads = 1", "").replace("ci.md", "b.md"), encoding="utf-8"
    )
    path = recipe(tmp_path, 'include = ["one.toml", "two.toml"]')
    words = ["--train.steps", "5", "--model.layers", "2", "--model.heads", "1"]
    jobs = jobs_of(load_sweep(path), words=words, seeds=[3])
    cells = cells_of(jobs, tmp_path, Display(quiet=True))
    shown = {cell.prepared.job.model: cell.parts for cell in cells}
    assert shown == {"oracle": {"one", "two"}, "uniform": {"one", "two"}, "gpt": {"one"}, "gru": {"two"}}
    trained = [cell.prepared.job for cell in cells if cell.prepared.job.trained]
    assert {(job.seed, job.value("train.steps"), job.value("model.layers")) for job in trained} == {(3, 5, 2)}
    with pytest.raises(InputError, match=r"unknown option --train.setps; did you mean '--train.steps'"):
        jobs_of(load_sweep(path), words=["--train.setps", "5"])
    (tmp_path / "two.toml").write_text(one, encoding="utf-8")
    with pytest.raises(InputError, match=r"two of the included sweeps write the table ci.md"):
        load_sweep(path)
    with pytest.raises(InputError, match="holds nothing else; take seeds out of it"):
        load_sweep(recipe(tmp_path, 'include = "one.toml"\nseeds = 1'))


def test_the_sweeps_that_come_with_worldbench_can_be_read() -> None:
    assert "ci" in shipped.names("sweep")
    for name in shipped.names("sweep"):
        sweep = load_sweep(shipped.find(Path(name), "sweep"))
        assert len(sweep.parts) > 1 or len(jobs_of(sweep)) > 1
        assert 10 < len(shipped.line(name, "sweep")) < 120
    with pytest.raises(InputError, match="there is neither a sweep nor a file 'cii'; did you mean 'ci'"):
        shipped.find(Path("cii"), "sweep")

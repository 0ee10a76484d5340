"""Several evaluations of one run: each has its own files, and none is written over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny_runs

from worldbench.records.finding import evidence_folder, find, own_result
from worldbench.records.folder import Config
from worldbench.records.reading import read, write
from worldbench.records.runs import Result, Trace

METRICS = ["--eval.metrics", "next_token", "excess_loss"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done")
    assert tiny_runs.run(out, *METRICS)[0] == 0
    return out


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


def files(run: Path) -> dict[str, bytes]:
    """Results and their evidence."""
    found = [*run.glob("result-*.json"), *run.glob("evidence-*/*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


@pytest.mark.parametrize("verb", ["run", "eval"])
def test_another_evaluation_stands_beside(verb: str, copy: Path) -> None:
    folder = tiny_runs.folder(copy)
    first = tiny_runs.result(folder)
    before = files(folder)
    assert {Path(name).parts[0] for name in before} == {first.name, evidence_folder(first).name}
    more = [*METRICS, "--eval.documents", "13"]
    code, said = tiny_runs.run(copy, *more) if verb == "run" else tiny_runs.call("eval", folder, *more)
    assert code == 0, said
    second = tiny_runs.result(folder, first)
    after = files(folder)
    assert {name: after[name] for name in before} == before
    assert evidence_folder(second).is_dir()
    both = [read(path, Result) for path in (first, second)]
    assert both[0].identity.training == both[1].identity.training
    assert both[0].training == both[1].training
    assert [r.scores["excess_loss"].scores["kl"].n for r in both] == [12, 13]
    own = second if verb == "run" else first
    assert own_result(folder) == own
    assert read(folder / "config.json", Config).identity == read(own, Result).identity


def test_several_runs_are_scored_by_one_command(copy: Path) -> None:
    """And none, if one of the names is no run."""
    first = tiny_runs.folder(copy)
    second = Path(shutil.copytree(first, copy / "copied"))
    before = files(first)
    more = [*METRICS, "--eval.documents", "13"]
    code, said = tiny_runs.call("eval", first, copy / "nowhere", *more)
    assert (code, "not a run folder" in said) == (2, True), said
    assert files(first) == before
    old = tiny_runs.result(first).name
    code, said = tiny_runs.call("eval", first, second, first, *more)
    assert code == 0, said
    new = [tiny_runs.result(folder, folder / old) for folder in (first, second)]
    assert new[0].read_bytes() == new[1].read_bytes()
    assert [said.count(f"result: {path}") for path in new] == [1, 1]


def test_a_seed_of_tuning_is_refused(copy: Path) -> None:
    folder = tiny_runs.folder(copy)
    before = files(folder)
    for verb in ("eval", "trace"):
        code, said = tiny_runs.call(verb, folder, "--eval.seed", "1000000")
        assert code == 2
        assert "eval.seed" in said
    assert files(folder) == before


def test_a_named_metric_that_does_not_apply_says_why(copy: Path) -> None:
    code, said = tiny_runs.call("eval", tiny_runs.folder(copy), "--eval.metrics", "detours")
    assert code == 0
    assert "detours does not apply: " in said


def test_the_same_file_counts_once(copy: Path) -> None:
    """Also where the folder and its file are named."""
    result = tiny_runs.result(tiny_runs.folder(copy))
    found = find([copy, result, copy], Result)
    assert [path.resolve() for path, _ in found.records].count(result.resolve()) == 1
    assert result in found.named or result.resolve() in {path.resolve() for path in found.named}


def test_figures_are_those_of_the_last_run(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldbench.figures import position_loss

    drawn = []
    monkeypatch.setattr(position_loss, "draw", lambda path, out, title: drawn.append((path.parent, out.parent)) or [])
    folder, more = tiny_runs.folder(copy), ["--eval.documents", "13"]
    first = tiny_runs.result(folder)
    assert tiny_runs.run(copy, *METRICS, *more)[0] == 0
    second = tiny_runs.result(folder, first)
    for result, words in ((first, []), (second, more)):  # done already: drawn again
        drawn.clear()
        code, said = tiny_runs.run(copy, *METRICS, *words)
        assert (code, "done already" in said) == (0, True)
        own = (evidence_folder(result), folder / "figures")
        assert [at for at in drawn if at[1].parent == folder] == [own]
        assert tiny_runs.call("figures", folder)[0] == 0
        other = second if result == first else first
        beside = folder / f"figures-{other.stem.removeprefix('result-')}"
        assert [at for at in drawn if at[1].parent == folder] == [own, own, (evidence_folder(other), beside)]


def test_a_board_tells_them_apart(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from worldbench.records.board_building import build

    assert tiny_runs.call("eval", tiny_runs.folder(copy), "--eval.documents", "13")[0] == 0
    groups = [g for g in build([copy], ["excess_loss"]).groups if any(row.label == "gpt" for row in g.rows)]
    assert [group.protocol for group in groups] == [("eval.documents=12",), ("eval.documents=13",)]
    assert [group.caption.endswith(f" (eval.documents={n})") for group, n in zip(groups, (12, 13))] == [True, True]


def test_the_end_of_another_evaluation_names_its_own_figures(copy: Path) -> None:
    folder = tiny_runs.folder(copy)
    code, said = tiny_runs.call("eval", folder, "--eval.documents", "13", "--eval.metrics", "next_token", "excess_loss")
    assert code == 0
    (beside,) = folder.glob("figures-*")
    assert f"figures: {beside} (position-loss.png)" in said
    assert f"figures: {folder / 'figures'} " not in said


def test_a_folder_from_before_is_done_and_scored_in_its_place(copy: Path) -> None:
    """`result.json` with `evidence/` answers for its evaluation; another evaluation gets the name of today."""
    folder = tiny_runs.folder(copy)
    named = tiny_runs.result(folder)
    before = named.read_bytes()
    evidence_folder(named).rename(folder / "evidence")
    named.rename(folder / "result.json")
    code, said = tiny_runs.run(copy, *METRICS)
    assert code == 0
    assert f"done already: {folder / 'result.json'}" in said
    assert tiny_runs.call("eval", folder)[0] == 0
    assert (folder / "result.json").read_bytes() == before
    assert not list(folder.glob("result-*.json"))
    assert tiny_runs.call("eval", folder, "--eval.documents", "13")[0] == 0
    assert len(list(folder.glob("result-*.json"))) == len(list(folder.glob("evidence-*"))) == 1


def test_the_result_of_another_run_is_not_written_over(copy: Path) -> None:
    """A file of the right name that answers another question."""
    folder = tiny_runs.folder(copy)
    path = tiny_runs.result(folder)
    record = read(path, Result)
    evaluation = record.identity.evaluation[:10] + "0" * 6
    for change in ({"evaluation": evaluation}, {"training": "0" * 16}):
        other = tiny_runs.changed(record, identity=tiny_runs.changed(record.identity, **change))
        write(path, other)
        for words in ([*tiny_runs.RUN, *tiny_runs.SETTINGS, *METRICS, "--out", copy], ["eval", folder]):
            code, said = tiny_runs.call(*words)
            assert code == 1
            assert "is the result of another run" in said
            assert read(path, Result) == other
    path.write_text("{}")
    code, said = tiny_runs.run(copy, *METRICS)
    assert code == 2
    assert "or delete it and repeat its run" in said
    path.unlink()
    assert tiny_runs.run(copy, *METRICS)[0] == 0
    assert read(path, Result) == record


def test_traces_of_several_evaluations(copy: Path) -> None:
    folder = tiny_runs.folder(copy)
    for words in ([], ["--eval.documents", "13"], []):
        assert tiny_runs.call("trace", folder, *words, "--quiet")[0] == 0
    traces = [read(path, Trace) for path in sorted(folder.glob("trace-*.json"))]
    assert len(traces) == 2
    for trace in traces:
        name = trace.identity.evaluation[:10]
        assert (folder / f"trace-{name}.json").exists()
        assert (folder / f"trace-evidence-{name}").is_dir()

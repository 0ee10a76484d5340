"""Floors and ceilings: read from the results of the references, found by world, evaluation and seed."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from sample_records import full_metric, result
from tiny_runs import call, folder, run
from tiny_runs import result as the_result

from worldbench.records.bounds import Bounds, bounds, bounds_beside
from worldbench.records.parts import Model
from worldbench.records.reading import read, write
from worldbench.records.runs import Result
from worldbench.runs.printing import print_result

NEW = msgspec.structs.replace(full_metric(), bounds_as_recorded={})


def reference(name: str, value: float, **changes: object) -> Result:
    scored = NEW.scores | {"x": msgspec.structs.replace(NEW.scores["x"], value=value)}
    metric = msgspec.structs.replace(NEW, floor=None, ceiling=None, scores=scored)
    return msgspec.structs.replace(result(scores={"m": metric}), model=Model(name=name), seed=None, **changes)


def values(found: Bounds) -> tuple[float | None, float | None]:
    return found.value("m", NEW, "floor", "x"), found.value("m", NEW, "ceiling", "x")


def test_they_are_the_scores_of_the_references() -> None:
    record = result(scores={"m": NEW})
    both = [reference("random-legal", 0.1), reference("oracle", 0.9)]
    assert values(bounds(record, both)) == (0.1, 0.9)
    assert bounds(record, both).missing == ()
    assert values(bounds(record, both[:1])) == (0.1, None)
    assert bounds(record, both[:1]).missing == ("oracle",)
    assert "there is no result of oracle in the same world" in bounds(record, both[:1]).messages()[0]
    assert bounds(both[0]) == Bounds(), "a reference has none"


def test_what_answers_another_question_is_no_bound() -> None:
    record, right = result(scores={"m": NEW}), reference("oracle", 0.9)
    others = [
        reference("oracle", 0.8, world={**record.world, "world": "another"}),
        reference("oracle", 0.8, identity=msgspec.structs.replace(record.identity, evaluation="f" * 16)),
        msgspec.structs.replace(reference("oracle", 0.8), seed=5),
        reference("uniform", 0.8),
    ]
    for other in others:
        assert values(bounds(record, [other])) == (None, None)
    assert values(bounds(record, [*others, right])) == (None, 0.9)
    assert values(bounds(record, [msgspec.structs.replace(right, seed=record.seed)])) == (None, 0.9)


def test_a_reference_with_other_options_than_the_preset_is_no_bound() -> None:
    """The run of a record makes its references with the options of the preset. A reference without options fits every
    preset."""
    record, right = result(scores={"m": NEW}), reference("random-legal", 0.1)
    wide = reference("random-legal", 0.7, command=f"{right.command} --model.layers 8")
    other = reference("random-legal", 0.6, preset="small")
    assert values(bounds(record, [wide, other, right])) == (0.1, None)
    found = bounds(record, [wide])
    assert values(found) == (None, None)
    assert found.messages()[1].endswith("under the same evaluation with the options of the preset")
    assert found.messages()[0].endswith("under the same evaluation"), "there is no oracle at all"
    without = msgspec.structs.replace(other, config={**other.config, "model": {}})
    assert values(bounds(record, [without])) == (0.6, None)


def test_a_reference_without_the_metric_is_not_missing() -> None:
    record, empty = result(scores={"m": NEW}), msgspec.structs.replace(reference("oracle", 0.9), scores={})
    assert values(bounds(record, [empty])) == (None, None)
    assert bounds(record, [empty]).missing == ("random-legal",)


def test_what_an_older_file_recorded_is_used_where_no_reference_is_found() -> None:
    record = result()
    assert values(bounds(record)) == (0.1, 1.0)
    assert values(bounds(record, [reference("oracle", 0.9)])) == (0.1, 0.9)
    assert bounds(record).missing == ()


def test_they_are_looked_for_in_the_folders_beside(tmp_path: Path) -> None:
    record = result(scores={"m": NEW})
    evaluation = record.identity.evaluation[:10]
    for name, file, other in (
        ("taxi-gpt-quick", f"result-{evaluation}.json", record),
        ("taxi-oracle-quick", f"result-{evaluation}.json", reference("oracle", 0.9)),
        ("renamed", "result.json", reference("random-legal", 0.1)),
    ):
        (tmp_path / name).mkdir()
        write(tmp_path / name / file, other)
    (tmp_path / "taxi-random-legal-quick").mkdir()
    (tmp_path / "taxi-random-legal-quick" / "result.json").write_text("no JSON")
    path = tmp_path / "taxi-gpt-quick" / f"result-{evaluation}.json"
    assert values(bounds_beside(path, record)) == (0.1, 0.9)


def test_a_run_names_its_references_and_prints_what_they_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path)[0] == 0
    path = the_result(folder(tmp_path))
    content = json.loads(path.read_text())["scores"]["next_token"]
    assert (content["floor"], content["ceiling"]) == ("uniform", "oracle")
    assert "bounds_as_recorded" not in content
    assert {p.name.split("-")[1] for p in tmp_path.glob("hmm-*")} == {"gpt", "uniform", "oracle"}
    record = read(path, Result)
    capsys.readouterr()
    print_result(record, bounds_beside(path, record), every=True)
    with_bounds = capsys.readouterr().out
    assert "floor" in with_bounds
    assert "ceiling" in with_bounds
    ceiling = read(the_result(folder(tmp_path, "oracle")), Result)
    primary = record.scores["next_token"].primary
    assert f"{ceiling.scores['next_token'].value(primary):.3f}" in with_bounds


def test_a_reference_that_fails_keeps_nothing_else_from_running(tmp_path: Path) -> None:
    """Another process's result lies where the oracle's would be."""
    assert run(tmp_path)[0] == 0
    oracle, gpt = the_result(folder(tmp_path, "oracle")), the_result(folder(tmp_path))
    content = json.loads(oracle.read_text())
    content["identity"]["training"] = "f" * 16
    oracle.write_text(json.dumps(content))
    before = gpt.read_bytes()
    gpt.unlink()
    code, said = run(tmp_path)
    assert code == 0
    assert "no oracle beside the scores: " in said
    assert "is the result of another run" in said
    assert gpt.read_bytes() == before


def test_the_same_command_does_what_is_missing(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == 0
    oracle, uniform = (the_result(folder(tmp_path, name)) for name in ("oracle", "uniform"))
    before, kept = oracle.read_bytes(), uniform.stat().st_mtime_ns
    oracle.unlink()
    assert run(tmp_path)[0] == 0
    assert oracle.read_bytes() == before
    assert uniform.stat().st_mtime_ns == kept
    more = ["--eval.documents", "9", "--quiet"]
    assert call("eval", folder(tmp_path), *more)[0] == 0
    assert len(list(folder(tmp_path, "oracle").glob("result-*.json"))) == 2

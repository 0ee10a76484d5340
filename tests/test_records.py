"""Records: what is written is what is read, files of every schema load, and nothing else does."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mutation import generator, mutant
from sample_records import checked, every_kind, full_metric, result, trace
from some_cases import others_slow

from worldbench.core.content import DEEPEST
from worldbench.core.errors import InputError, RunError
from worldbench.records.check import Check
from worldbench.records.finding import PATTERNS
from worldbench.records.parts import Record
from worldbench.records.reading import KINDS, LIMIT, read, read_any, text, write
from worldbench.records.runs import Result, Trace
from worldbench.records.upgrades import STEPS, VERSION

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = [
    *sorted((ROOT / "results").rglob("*.json")),
    *sorted((ROOT / "tests" / "schema_1").glob("*.json")),
    *sorted((ROOT / "tests" / "schema_2").glob("*-nextlat-rnn.json")),
]
OLD_NAMES = {
    r'"data": {\s*"documents":': '"data": {"rides":',
    "--data.documents": "--data.rides",
    '"optimizer":': '"optimiser":',
    '"control":': '"sham":',
    "normalized": "normalised",
    "self_change": "sham_change",
    "rank_centered": "rank_centred",
    "other_document": "stranger",
}
KIND = {record.kind: record for record in every_kind()}


def refused(path: Path, kind: type[Record]) -> str:
    """The one sentence that refuses a file."""
    with pytest.raises(InputError) as caught:
        read(path, kind)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def changed(path: Path, record: Record, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A file whose content was changed by hand."""
    content = json.loads(text(record))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_every_kind_is_made_up_here() -> None:
    assert {type(record) for record in KIND.values()} == set(KINDS)
    assert set(PATTERNS) == set(KIND)


@pytest.mark.parametrize("kind", KIND)
def test_what_is_written_is_what_is_read(kind: str, tmp_path: Path) -> None:
    record = KIND[kind]
    path = tmp_path / f"{kind}.json"
    write(path, record)
    assert read(path, type(record)) == read_any(path) == record
    content = json.loads(path.read_text())
    assert list(content)[:2] == ["schema_version", "kind"]
    assert (content["schema_version"], content["kind"]) == (VERSION, kind)
    assert text(read(path, type(record))) == path.read_text()
    for other in KINDS:
        if other is not type(record):
            assert f"it is a {kind} file" in refused(path, other)


def first_of_each_kind(files: list[Path]) -> list[Path]:
    """The first file of each kind in each folder of results, and every file of older schemas."""
    return list(
        {
            (p.parts[len(ROOT.parts) : -2][:2], p.name if "tests" in p.parts else p.stem.split("-")[0]): p
            for p in reversed(files)
        }.values()
    )


@pytest.mark.parametrize(
    "path", others_slow(PUBLISHED, *first_of_each_kind(PUBLISHED)), ids=lambda p: str(p.relative_to(ROOT))
)
def test_published_files_are_read_and_written_again(path: Path, tmp_path: Path) -> None:
    """Older schemas are upgraded; nothing that a file says is lost."""
    record, old = read_any(path), json.loads(path.read_text())
    write(tmp_path / "new.json", record)
    assert read(tmp_path / "new.json", type(record)) == record
    content = (tmp_path / "new.json").read_text()
    new = json.loads(with_old_names(content) if old.get("schema_version", 1) < 3 else content)
    assert {"kind": record.kind, **without_bounds(old), "schema_version": VERSION} == without_bounds(new)


def with_old_names(content: str) -> str:
    """A file of the present schema with the names that schema 2 had."""
    for new, old in OLD_NAMES.items():
        content = re.sub(new, old, content)
    return content


def without_bounds(content: dict[str, Any]) -> dict[str, Any]:
    """A file with what later schemas write otherwise taken out: bounds by the name of the reference, None left out
    where it is the default, severities, what is printed beside a primary score, and the reading of another model's
    weights.
    """
    points = content.get("trace", [content])
    for point in points if "identity" in content else []:
        for metric in point.get("scores", {}).values():
            recorded = metric.pop("bounds_as_recorded", {})
            metric.pop("beside", None)
            for which in ("floor", "ceiling"):
                bound = metric.pop(which, {})
                if isinstance(bound, str):
                    metric[which] = (bound, recorded.get(bound))  # schema 3 and later do not record the scores
                else:
                    values = bound.get("scores", {k: v for k, v in bound.items() if k != "model"})
                    metric[which] = (bound.get("model"), values)
    content["severities"] = content.pop("rungs", content.get("severities"))
    model = content["model"] if isinstance(content.get("model"), dict) else {}
    if model.get("hidden", "") is None:
        del model["hidden"]
    if (lender := model.pop("weights_of", None)) is not None:
        content["identity"] |= {"training": lender["training"], "reading": model["name"]}
        model["reads"] = lender["name"]
    return content


def test_there_are_files_of_every_older_schema() -> None:
    older = [*PUBLISHED, *(p for n in (2, 3) for p in (Path(__file__).parent / f"schema_{n}").glob("*.json"))]
    assert {json.loads(path.read_text()).get("schema_version", 1) for path in older} >= set(STEPS)
    assert set(STEPS) == set(range(1, VERSION))
    assert {path.stem for path in PUBLISHED if path.parent.name == "schema_1"} == {"result", "trace"}


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "schema_3").glob("*.json")), ids=lambda p: p.name)
def test_a_record_of_schema_3_is_read_without_units_and_reasons(path: Path) -> None:
    record = read(path, {"result": Result, "trace": Trace, "check": Check}[path.stem])
    if isinstance(record, Result):
        scores = [s for m in record.scores.values() for s in m.scores.values()]
        assert scores
        assert all((s.over, s.reason) == ("", "") for s in scores)


def test_bounds_of_schema_1(tmp_path: Path) -> None:
    def older(content: dict[str, Any]) -> None:
        content["schema_version"] = 1
        del content["kind"], content["scores"]["m"]["ceiling"], content["scores"]["m"]["bounds_as_recorded"]
        content["scores"]["m"]["floor"] = {"model": "uniform", "x": 0.25, "y": None}
        content["scores"]["m"]["scores"]["y"]["interval"] = [None, None]

    record = read(changed(tmp_path / "result.json", result(), older), Result)
    assert record.scores["m"].floor == "uniform"
    assert record.scores["m"].bounds_as_recorded == {"uniform": {"x": 0.25, "y": None}}
    assert record.scores["m"].scores["y"].interval is None


def test_numbers_that_json_lacks() -> None:
    record = result(scores={"m": full_metric()})
    content = json.loads(text(record))["scores"]["m"]
    assert [content["scores"][name]["value"] for name in "xyz"] == [0.5, None, "inf"]
    assert json.loads(text(checked()))["references"]["m"]["uniform"]["x"] == "-inf"
    series = msgspec.structs.replace(full_metric(), series={"c": {"k": [1, 2, 3], "y": [math.inf, math.nan, 0.5]}})
    written = json.loads(text(result(scores={"m": series})))["scores"]["m"]["series"]
    assert written == {"c": {"k": [1, 2, 3], "y": ["inf", None, 0.5]}}
    assert series.curve("c", "k", "z") == []


def test_a_curve_is_read_where_all_columns_are_numbers(tmp_path: Path) -> None:
    series = {"c": {"k": [1, 2, 3, 4], "y": ["inf", None, 0.5, "x"], "short": [1, 2]}}
    write(tmp_path / "result.json", result(scores={"m": msgspec.structs.replace(full_metric(), series=series)}))
    metric = read(tmp_path / "result.json", Result).scores["m"]
    assert metric.curve("c", "k", "y") == [(1, math.inf), (3, 0.5)]
    assert metric.curve("c", "k", "short") == [(1, 1), (2, 2)]
    assert metric.curve("d", "k") == []


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    """What a plugin says of its world may be anything."""
    for card, message in (({"a": object()}, "type object"), ({"a": 1 << 70}, "64 bits"), ({"a": 1j}, "type complex")):
        with pytest.raises(RunError, match=message):
            write(tmp_path / "result.json", msgspec.structs.replace(result(), card=card))
    assert not (tmp_path / "result.json").exists()


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "type": (lambda r: r.update(seed="0"), "`$.seed`"),
    "negative": (lambda r: r.update(seed=-1), "`$.seed`"),
    "true": (lambda r: r.update(seed=True), "`$.seed`"),
    "key": (lambda r: r.update(sead=1), "unknown field `sead`"),
    "missing": (lambda r: r.pop("command"), "missing required field `command`"),
    "value": (lambda r: r["scores"]["m"]["scores"]["x"].update(value="big"), "`$.scores.m.scores.x.value`"),
    "n": (lambda r: r["scores"]["m"]["scores"]["x"].update(n=1.5), "`$.scores.m.scores.x.n`"),
    "interval": (lambda r: r["scores"]["m"]["scores"]["x"].update(interval=[1]), "`$.scores.m.scores.x.interval`"),
    "primary": (lambda r: r["scores"]["m"].update(primary="w"), "primary score 'w'"),
    "direction": (lambda r: r["scores"]["m"].update(direction="up"), "'up'"),
    "digest": (lambda r: r["scores"]["m"].update(evidence_sha256="../x"), "`$.scores.m.evidence_sha256`"),
    "identity": (lambda r: r["identity"].update(evaluation="../../../x"), "`$.identity.evaluation`"),
    "world": (lambda r: r["world"].pop("world"), "world"),
    "documents": (lambda r: r["config"]["data"].update(documents="all"), "config.data.documents"),
    "budget": (
        lambda r: r.update(tuning={"trials": 0, "seeds": 1, "criterion": "x", "record": "y"}),
        "at least 1 trial",
    ),
    "schema": (lambda r: r.update(schema_version="2"), "schema_version"),
    "no schema": (lambda r: (r.pop("schema_version"), r.pop("kind")), "schema_version"),
    "newer": (lambda r: r.update(schema_version=VERSION + 1), "newer worldbench"),
    "kind": (lambda r: r.update(kind="recipe"), "'recipe'"),
    "kind of a list": (lambda r: r.update(kind=["result"]), "kind"),
    "large": (lambda r: r["card"].update(a=1 << 70), "64 bits"),
    "deep": (lambda r: r["card"].update(a=json.loads("[" * DEEPEST + "]" * DEEPEST)), "nested too deeply"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_result_is_refused_with_its_place(wrong: str, tmp_path: Path) -> None:
    change, message = WRONG[wrong]
    assert message in refused(changed(tmp_path / "result.json", result(), change), Result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["trace"].reverse(), "do not go up"),
        (lambda r: r["trace"].clear(), "no checkpoint"),
        (lambda r: r["trace"][1]["scores"]["m"].update(version=2), "same metrics"),
        (lambda r: r["trace"][1]["scores"].clear(), "same metrics"),
        (lambda r: r["trace"][1]["scores"]["m"].update(primary="w"), "primary score 'w'"),
    ],
)
def test_a_trace_whose_checkpoints_do_not_agree(change: Any, message: str, tmp_path: Path) -> None:
    assert message in refused(changed(tmp_path / "trace.json", trace(), change), Trace)


def test_bytes_that_are_no_record(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    whole = text(result()).encode()
    for raw, message in {
        b"": "it is empty",
        b" \n": "it is empty",
        b"1": "not an object",
        b"[]": "not an object",
        whole[: len(whole) // 2]: "truncated",
        whole.replace(b"0.5", b"NaN", 1): "JSON has no NaN",
        whole.replace(b"0.5", b"1e999", 1): "out of range",
        whole.replace(b'"quick"', b'"\\ud800"', 1): "surrogate",
        whole.replace(b"quick", b"qu\xffck", 1): "UTF-8",
        b"[" * 100_000: "nested too deeply",
        b'{"a":' * 100_000: "nested too deeply",
        whole + b"{}": "trailing",
    }.items():
        path.write_bytes(raw)
        assert message in refused(path, Result)
    path.write_bytes(b"\xef\xbb\xbf" + whole)
    assert read(path, Result) == result()
    path.write_bytes(b" " * (LIMIT + 1))
    assert "bytes" in refused(path, Result)
    path.unlink()
    assert "cannot read" in refused(path, Result)
    os.mkfifo(path)
    assert "named pipe" in refused(path, Result)


# Mutations


@pytest.mark.parametrize("kind", KIND)
def test_mutations_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    """Every file that is read can be written again; every other is refused in a sentence."""
    record, path, refusals, read_again = KIND[kind], tmp_path / f"{kind}.json", 0, 0
    whole = text(record).encode()
    for i in range(150):
        path.write_bytes(mutant(whole, generator(f"a {kind} record", i), "json"))
        try:
            again = read_any(path) if i % 5 == 0 else read(path, type(record))
        except InputError as error:
            refusals += str(path) in str(error)
        else:
            read_again += bool(text(again))
    assert refusals + read_again == 150
    assert refusals > 50

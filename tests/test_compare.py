"""Two models over made-up result files: what is paired, what is corrected, what is decided."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_records import identity, metric, result
from scipy import stats

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.statistics import equivalence, holm
from worldbench.records import reading
from worldbench.records.board_building import board_of, build
from worldbench.records.compare import compare
from worldbench.records.comparison import render
from worldbench.records.leaderboard import distinct_settings
from worldbench.records.variant import distinct_labels

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "results" / "village-plan"
A, B = [0.61, 0.58, 0.66, 0.63, 0.60], [0.72, 0.70, 0.71, 0.77, 0.69]


def write(folder: Path, model: str, seed: int | None, scores: dict[str, float | None], **changes: Any) -> Path:
    """A result file with the metrics `a`, `b`, .. of a primary score `x`; `better` lower for the metric `kl`."""
    version = changes.pop("version", 1)
    metrics = {
        name: metric({"x": value, "y": 0.5}, version=version, direction="lower" if name == "kl" else "higher")
        for name, value in scores.items()
    }
    path = folder / f"result-{len(list(folder.glob('*.json')))}.json"
    reading.write(path, result(model, seed, metrics, **changes))
    return path


def pair(folder: Path, a: list[float], b: list[float], name: str = "m", **changes: Any) -> None:
    for model, values in (("gpt", a), ("nextlat", b)):
        for seed, value in enumerate(values):
            write(folder, model, seed, {name: value}, **changes)


def test_a_pair_is_scipys_test(tmp_path: Path) -> None:
    pair(tmp_path, A, B)
    (row,) = compare("gpt", "nextlat", [tmp_path])
    theirs = stats.ttest_rel(A, B)
    ends = theirs.confidence_interval(0.95)
    assert (row.p, row.p_holm) == pytest.approx((theirs.pvalue, theirs.pvalue))
    assert row.interval == pytest.approx((ends.low, ends.high))
    assert (row.mean_a, row.mean_b, row.difference) == pytest.approx((0.616, 0.718, -0.102))
    assert (row.score, row.better, row.seeds, row.unpaired, row.arm) == ("m.x", "higher", (0, 1, 2, 3, 4), (), "scarce")
    assert row.verdict == "nextlat better"
    (turned,) = compare("nextlat", "gpt", [tmp_path])
    assert (turned.verdict, turned.p) == ("nextlat better", row.p)
    assert turned.difference == pytest.approx(0.102)


def test_the_whole_table_is_corrected(tmp_path: Path) -> None:
    """One score alone is separable, among many it need not be."""
    close = [x + 0.02 for x in A]
    close[1] -= 0.03
    tables = {"m": (A, B), "n": (A, close), "o": (A, [x + 0.004 * (-1) ** i for i, x in enumerate(A)]), "kl": (B, A)}
    for model, side in (("gpt", 0), ("nextlat", 1)):
        for seed in range(5):
            write(tmp_path, model, seed, {name: both[side][seed] for name, both in tables.items()})
    rows = {r.score: r for r in compare("gpt", "nextlat", [tmp_path], margin=0.01)}
    ps = {f"{name}.x": stats.ttest_rel(*both).pvalue for name, both in tables.items()}
    assert [r.p for r in rows.values()] == pytest.approx([ps[s] for s in rows])
    assert [r.p_holm for r in rows.values()] == pytest.approx(holm([ps[s] for s in rows]))
    assert [r.p_equivalent for r in rows.values()] == pytest.approx(
        holm([equivalence(*tables[s.removesuffix(".x")], margin=0.01) for s in rows])
    )
    assert {s: r.verdict for s, r in rows.items()} == {
        "m.x": "nextlat better", "n.x": "not separable", "o.x": "equivalent (margin 0.01)", "kl.x": "nextlat better",
    }  # fmt: skip
    assert rows["kl.x"].better == "lower"
    assert {r.verdict for r in compare("gpt", "nextlat", [tmp_path], ["o"])} == {"not separable"}


def test_a_small_sure_difference_is_equivalent_too(tmp_path: Path) -> None:
    pair(tmp_path, A, [x + 0.003 + 0.0001 * i for i, x in enumerate(A)])
    (row,) = compare("gpt", "nextlat", [tmp_path], margin=0.05)
    assert row.verdict == "nextlat better, but equivalent (margin 0.05)"


def test_unequal_training_is_said(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, "gpt", seed, {"m": A[seed]}, config={"train": {"steps": 99, "batch": 8}})
        write(tmp_path, "nextlat", seed, {"m": B[seed]}, config={"train": {"steps": 50, "batch": 8}})
    text = render(compare("gpt", "nextlat", [tmp_path]), "markdown")
    assert "gpt 99 steps of 8 rows, nextlat 50 steps of 8 rows; a difference may be that of training" in text


def test_two_seeds_decide_nothing(tmp_path: Path) -> None:
    pair(tmp_path, A[:2], B)
    (row,) = compare("gpt", "nextlat", [tmp_path])
    assert row.verdict == "no power (2 shared seeds, and at least 5 are needed)"
    assert (row.p, row.interval, row.unpaired) == (None, None, (2, 3, 4))
    assert row.mean_b == pytest.approx(0.71)  # over the shared seeds
    (tmp_path / "more").mkdir()
    pair(tmp_path / "more", A, B, evaluation="other")
    rows = compare("gpt", "nextlat", [tmp_path])
    (decided,) = [r for r in rows if r.p is not None]
    assert [r.arm.partition(" ")[0] for r in rows] == ["scarce", "scarce"]
    assert len({r.arm for r in rows}) == 2  # which evaluation each is of
    assert decided.p_holm == decided.p  # what decides nothing does not count in the correction


def test_seeds_are_paired_by_name_not_by_place(tmp_path: Path) -> None:
    for seed in (4, 0, 2):
        write(tmp_path, "gpt", seed, {"m": seed / 10})
    for seed in (2, 4, 1, 0):
        write(tmp_path, "nextlat", seed, {"m": seed / 10 + 0.1 + seed / 1000})
    (row,) = compare("gpt", "nextlat", [tmp_path])
    assert (row.seeds, row.unpaired) == ((0, 2, 4), (1,))
    assert row.difference == pytest.approx(-0.102)


@pytest.mark.parametrize(
    "other", [{"world": {"map_digest": "98765"}}, {"config": {"data": {"documents": 0}}}, {"evaluation": "other"}]
)
def test_what_differs_is_never_paired(other: dict[str, Any], tmp_path: Path) -> None:
    for seed in range(4):
        write(tmp_path, "gpt", seed, {"m": A[seed]})
        write(tmp_path, "nextlat", seed, {"m": B[seed]}, **other)
    with pytest.raises(InputError, match="agree in world, data and evaluation"):
        compare("gpt", "nextlat", [tmp_path])


def test_metric_versions_and_missing_scores(tmp_path: Path) -> None:
    for seed in range(4):
        write(tmp_path, "gpt", seed, {"m": A[seed], "n": None if seed == 1 else 0.5})
        write(tmp_path, "nextlat", seed, {"n": B[seed], "o": B[seed]})
    verdicts = {r.score: r.verdict for r in compare("gpt", "nextlat", [tmp_path])}
    assert verdicts == {f"{m}.x": f"missing: {k} of 4 shared seeds have it" for m, k in (("m", 0), ("n", 3), ("o", 0))}
    (tmp_path / "versions").mkdir()
    for seed in range(4):
        write(tmp_path / "versions", "gpt", seed, {"m": A[seed]})
        write(tmp_path / "versions", "nextlat", seed, {"m": B[seed]}, version=2)
    (row,) = compare("gpt", "nextlat", [tmp_path / "versions"])
    assert row.verdict == "not paired: different versions of the metric m"
    assert row.difference is None


def test_foreign_files_are_left_out_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair(tmp_path, A, B)
    (tmp_path / "results_2026.json").write_text('{"results": {}}')
    for words in (["leaderboard"], ["compare", "gpt", "nextlat"]):
        assert main([*words, str(tmp_path)]) == 0
        message = capsys.readouterr()
        assert "results_2026" not in message.out
        (line,) = message.err.splitlines()
        assert str(tmp_path / "results_2026.json") in line
        assert main([*words, str(tmp_path), str(tmp_path / "results_2026.json")]) == 2
        assert "is not a result file" in capsys.readouterr().err


def test_rows_say_what_tells_them_apart(tmp_path: Path) -> None:
    """Settings; versions of metrics; options of the evaluation; and the evaluation's name where nothing else
    differs."""
    write(tmp_path, "gpt", 0, {"m": 0.5})
    write(tmp_path, "gpt", 0, {"m": 0.5}, config={"model": {"layers": 4}})
    write(tmp_path, "nextlat", 0, {"m": 0.5})
    write(tmp_path, "nextlat", 0, {"m": 0.5}, version=2, evaluation="two")
    write(tmp_path, "mtp", 0, {"m": 0.5})
    write(tmp_path, "mtp", 0, {"m": 0.5}, config={"eval": {"trials": 7}}, evaluation="seven")
    write(tmp_path, "jtp", 0, {"m": 0.5})
    write(tmp_path, "jtp", 0, {"m": 0.5}, evaluation="other")
    groups = {group.evaluation: group for group in build([tmp_path]).groups}
    of = {name: groups[identity(evaluation=name).evaluation] for name in ("e", "two", "seven", "other")}
    assert len(of) == len(groups)
    labels = {name: [row.label for row in group.rows] for name, group in of.items()}
    assert labels["e"] == ["gpt model.layers=2", "gpt model.layers=4", "jtp", "mtp", "nextlat"]
    assert (labels["two"], labels["seven"], labels["other"]) == (["nextlat"], ["mtp"], ["jtp"])
    assert set(of["two"].protocol) == {"eval.trials=50", "m.version=2"}
    assert set(of["seven"].protocol) == {"eval.trials=7", "m.version=1"}
    assert of["e"].protocol == of["other"].protocol  # nothing but the identity, which the caption has
    assert of["e"].caption != of["other"].caption


def calls_of(work: Callable[[], Any]) -> int:
    """How many functions are called in a piece of work: a measure of work that does not depend on the machine."""
    count = 0

    def profile(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_board_of_many_different_rows_takes_work_in_proportion() -> None:
    """Told apart by a setting each: the work on the board, without reading the files, grows with the rows."""
    calls = []
    for count in (100, 400):
        records = [result(scores={}, config={"model": {"width": i}}) for i in range(count)]
        assert distinct_settings(records)[7] == ["model.width=7"]
        assert distinct_labels(records)[7] == "gpt[width=7]"
        sources = [(Path("result.json"), record) for record in records]
        calls.append(calls_of(lambda r=records, s=sources: (board_of(s), distinct_settings(r), distinct_labels(r))))
    assert calls[1] < 5 * calls[0]


def test_several_settings_are_paired_by_training_options_or_refused(tmp_path: Path) -> None:
    pair(tmp_path, A, B)
    pair(tmp_path, B, A, config={"train": {"steps": 99}})
    rows = compare("gpt", "nextlat", [tmp_path])
    assert [r.verdict for r in rows] == ["nextlat better", "gpt better"]
    for seed in range(3):
        write(tmp_path, "gpt", seed, {"m": 0.5}, config={"model": {"width": 8}})
    with pytest.raises(InputError, match="more than one setting"):
        compare("gpt", "nextlat", [tmp_path])


def test_refusals(tmp_path: Path) -> None:
    pair(tmp_path, A, B)
    write(tmp_path, "oracle", None, {"m": 1.0})
    refused: list[tuple[str, str, dict[str, Any], str]] = [
        ("gpt", "gpt", {}, "two models"),
        ("gpt", "nextlatt", {}, "did you mean 'nextlat'"),
        ("oracle", "gpt", {}, "no training seeds"),
        ("gpt", "nextlat", {"margin": 0.0}, "above 0"),
        ("gpt", "nextlat", {"columns": ["q"]}, "no result has the metric 'q'"),
        ("gpt", "nextlat", {"columns": ["m.z"]}, "no score 'z'"),
    ]
    for a, b, options, message in refused:
        with pytest.raises(InputError, match=message):
            compare(a, b, [tmp_path], **options)
    write(tmp_path, "gpt", 0, {"m": 0.4})
    with pytest.raises(InputError, match="seed 0 comes more than once"):
        compare("gpt", "nextlat", [tmp_path])
    with pytest.raises(InputError, match="nothing to compare"):
        render([], "table")


def test_the_published_village_in_every_form() -> None:
    rows = compare(
        "gpt",
        "nextlat",
        [PUBLISHED],
        ["valid_trajectories", "valid_trajectories.arrives_greedy", "effective_rank"],
        margin=0.02,
    )
    assert [r.score for r in rows] == [
        "valid_trajectories.arrives_sampled",
        "valid_trajectories.arrives_greedy",
        "effective_rank.rank",
    ]
    assert all(r.seeds == (0, 1, 2, 3, 4) for r in rows)
    assert rows[2].verdict == "gpt higher"
    assert json.loads(render(rows, "json"))[2]["difference"] == rows[2].difference
    table = list(csv.DictReader(io.StringIO(render(rows, "csv"))))
    assert [float(t["p_holm"]) for t in table] == [r.p_holm for r in rows]
    assert table[0]["seeds"] == "0 1 2 3 4"
    assert float(table[1]["low"]) == (rows[1].interval or (None,))[0]
    assert all(word in render(rows, "table") for word in ("gpt", "nextlat", "p (Holm)", "verdict", "effective_rank"))
    lines = [line for line in render(rows, "markdown").splitlines() if line.startswith("|")]
    assert all(r.score in line and r.verdict in line for r, line in zip(rows, lines[2:]))
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(rows)

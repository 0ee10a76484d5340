"""`worldbench check`: judgement on made-up numbers, and the real thing at small size."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from sample_records import checked

from worldbench.cli.main import main
from worldbench.core.errors import InputError, RunError
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import DAMAGE, Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.records.check import Check, CheckedMetric, Verdict
from worldbench.records.check import Severity as RecordedSeverity
from worldbench.records.reading import read
from worldbench.runs.display import Display
from worldbench.settings.resolve import group_types, preset_groups
from worldbench.studies.check.calibration import (
    Severity,
    judge,
    judge_damage,
    judge_references,
    judge_sight,
    judge_statements,
)
from worldbench.studies.check.checking import check, check_in
from worldbench.studies.check.damage import MAP_KINDS, MAP_SHARES, CheckSettings, kinds
from worldbench.studies.check.measuring import Subject
from worldbench.studies.check.report import failures, require, show, write

CITY = TaxiConfig(map="city:40", min_moves=3, max_moves=12)


class Made(Metric):
    name, version, primary, direction = "made", 1, "x", "higher"
    expects: ClassVar = {"oracle": (Expectation("x", 1, 1),), "uniform": (Expectation("x", 0, 0.2),)}
    damage: ClassVar = (Damage("x", worse=("rewired",), unchanged=("deleted",), monotone=True),)

    def measure(self, evaluation) -> Report:
        return Report({"x": Score(0.5, 1)})


def severities(*values: list[float]) -> list[Severity]:
    return [Severity(i, {"made": {"x": v}}) for i, v in enumerate(values)]


def holds(verdicts: list) -> list[bool]:
    return [v.holds for v in verdicts]


def test_expectations_are_bounds() -> None:
    assert holds(judge_references(Made(), {"oracle": {"x": 1.0}, "uniform": {"x": 0.1}})) == [True, True]
    assert holds(judge_references(Made(), {"oracle": {"x": 0.999}, "uniform": {"x": 0.3}})) == [False, False]
    (missing,) = judge_references(Made(), {"oracle": {"x": float("nan")}})
    assert (missing.holds, missing.measured) == (None, "missing")
    (absent,) = judge_references(Made(), {"oracle": {}})
    assert (absent.holds, absent.measured) == (None, "not measured")
    assert judge_references(Made(), {"ngram": {"x": 0.0}}) == []


@pytest.mark.parametrize(
    ("ladder", "expected"),
    [
        (severities([1, 1, 1], [0.9, 0.8, 0.85], [0.5, 0.4, 0.6]), [True, True]),
        (
            severities([1, 1, 1], [0.5, 0.4, 0.6], [0.9, 0.8, 0.85]),
            [True, False],
        ),  # worse, but less so where damage is more
        (severities([1, 1, 1], [1, 1, 1], [1, 1, 0.99]), [False, True]),  # one corruption of three shows: not enough
        (severities([1, 1, 1], [1.2, 1.2, 1.2], [0.5, 0.5, 0.5]), [False, False]),  # better at a severity
        (severities([1, 1, 1], [1, 1, 1], [1, 1, 1]), [False, True]),
    ],
)
def test_worse_and_monotone(ladder: list[Severity], expected: list[bool]) -> None:
    assert holds(judge_damage(Made(), "rewired", ladder)) == expected


def test_unchanged_and_unclaimed() -> None:
    assert holds(judge_damage(Made(), "deleted", severities([1, 1], [1, 1]))) == [True]
    assert holds(judge_damage(Made(), "deleted", severities([1, 1], [1, 0.99]))) == [False]
    assert judge_damage(Made(), "added", severities([1, 1], [0, 0])) == []


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("ladder", "expected", "said"),
    [
        (
            severities([1, 1, 1], [0.9, 0.8, NAN], [NAN, NAN, NAN]),
            [True, True],
            "1 0.85 (1 of 3 missing) (3 of 3 missing)",
        ),
        (severities([1, 1, 1], [NAN, NAN, NAN], [NAN, NAN, NAN]), [True, True], "1 (3 of 3 missing) (3 of 3 missing)"),
        (severities([1, 1, 1], [NAN, NAN, NAN], [0.5, 0.6, 0.4]), [True, False], "1 (3 of 3 missing) 0.5"),
        (severities([1, 1, 1, 1], [NAN, 1, 1, 1]), [False, True], "1 1 (1 of 4 missing)"),
        (severities([1, 1, 1], [-INF, -INF, -INF]), [True, True], "1 -inf"),
        (severities([NAN, NAN, NAN], [1, 1, 1]), [None], "(3 of 3 missing) 1"),
    ],
)
def test_a_score_that_damage_makes_missing_is_worse(ladder: list[Severity], expected: list, said: str) -> None:
    verdicts = judge_damage(Made(), "rewired", ladder)
    assert holds(verdicts) == expected
    assert verdicts[0].measured == said


def test_a_score_that_goes_missing_is_not_unchanged() -> None:
    assert holds(judge_damage(Made(), "deleted", severities([1, 1], [1, NAN]))) == [False]
    assert holds(judge_damage(Made(), "deleted", severities([NAN, NAN], [NAN, NAN]))) == [None]


def test_the_table_says_where_a_score_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    ladders = {
        kind: [RecordedSeverity(size=2, values={"made": {"x": values}})]
        for kind, values in {"blur": [None, NAN, 0.5], "drift": [0.25, 0.75, None], "noise": []}.items()
    }
    show(
        msgspec.structs.replace(
            checked(),
            ladders=ladders,
            metrics={"made": CheckedMetric(version=1, primary="x", direction="higher", claims=[])},
        )
    )
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "made.x" in line)
    assert [cell.strip() for cell in row.split("│")][-4:-1] == ["missing", "0.500", "-"]


def test_each_reason_why_statements_are_not_judged_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    gone = "(2 of 2 missing)"
    verdicts = [
        Verdict("m", "late makes x worse", f"{gone} {gone} {gone}", None),
        Verdict("m", "oracle scores x = 1", "missing", None),
        Verdict("m", "blur makes y worse", "none none none", None),
        Verdict("m", "oracle scores y = 1", "not measured", None),
        Verdict("m", "blind makes z worse", "1 1; not claimed here: the map is large", None),
        Verdict("m", "late makes z worse", "0.5 (1 of 2 missing) 1", None),
        Verdict("m", "oracle scores z = 1", "0.5", False),
    ]
    show(
        Check(
            world={"world": "ring"}, card={}, settings={}, corruptions=1, severities=1, metrics={}, references={},
            not_applicable={}, ladders={}, verdicts=verdicts,
        )
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "fails: m: oracle scores z = 1; measured: 0.5",
        "not judged: m, because the score has no value here: late makes x worse; oracle scores x = 1",
        "not judged: m, because the score was not measured: blur makes y worse; oracle scores y = 1",
        "not judged: m, because the map is large: blind makes z worse (measured: 1 1)",
        "not judged: m, because the undamaged model lacks the score: late makes z worse (measured: 0.5 (1 of 2 "
        "missing) 1)",
    ]


def test_a_blind_metric_is_seen() -> None:
    assert holds(judge_sight(Made(), {"oracle": {"x": 1.0}, "uniform": {"x": 1.0}}, {})) == [False]
    assert holds(
        judge_sight(Made(), {"oracle": {"x": 1.0}, "uniform": {"x": 1.0}}, {"rewired": severities([1, 1], [1, 0.9])})
    ) == [True]


def test_every_metric_says_which_damage_makes_it_worse_or_why_none_does() -> None:
    for entry in metrics:
        assert judge_statements(entry.load()).holds, f"{entry.name}: one of `worse` and `blind`"
    assert judge_statements(Made()).measured == "rewired"

    class Silent(Made):
        damage: ClassVar = (Damage("x", unchanged=("deleted",)),)

    class Both(Made):
        blind = "it is not"

    class Blind(Silent):
        blind = "it counts tokens"

    assert [judge_statements(m()).holds for m in (Silent, Both, Blind)] == [False, False, True]


def test_sizes_grow_and_keep_the_largest() -> None:
    world = TaxiWorld(TaxiConfig(map="city:20", min_moves=2, max_moves=8))
    for n in range(1, 6):
        plan = CheckSettings(eval_config(), severities=n)
        for kind in kinds(world):
            sizes = plan.sizes(kind, world)
            assert len(sizes) == n
            assert sizes == sorted(set(sizes))
    assert plan.sizes("rewired", world)[-1] == round(MAP_SHARES[-1] * len(world.graph().edges))
    for wrong in ({"severities": 0}, {"severities": 6}, {"corruptions": 1}):
        with pytest.raises(InputError):
            CheckSettings(eval_config(), **wrong)


SMALL = eval_config(
    trials=80,
    documents=80,
    detours=(0.5,),
    arrival_prompts=40,
    arrival_rides=6,
    planning_prompts=80,
    planning_documents=60,
    structure_trials=60,
    suffixes=8,
    pairs=100,
    probe_documents=200,
    curve_documents=80,
    dynamics_documents=60,
    dynamics_steps=40,
    swap_pairs=40,
    reconstruction_rides=150,
    reconstruction_orders=2,
    rank_tokens=600,
)


def options(name: str) -> object:
    return preset_groups(group_types("taxi", name), "taxi", name, "small")["model"]


@pytest.mark.slow
def test_every_metric_is_calibrated_on_a_small_city(tmp_path: Path) -> None:
    settings = CheckSettings(SMALL, corruptions=4, severities=2)
    record = check(TaxiWorld(CITY), settings, Display(quiet=True), options, workers=1)
    failed = failures(record)
    assert failed == []
    assert set(record.ladders) == set(DAMAGE)
    for name in metrics.names():
        metric = metrics[name].load()
        if metric.direction != "none" and "oracle" not in record.not_applicable.get(name, {}):
            assert [v for v in record.verdicts if v.metric == name], f"{name} states nothing that could fail"
    folder = write(record, tmp_path)
    require(record, folder)
    assert {p.name for p in folder.iterdir()} >= {
        "check.json",
        "calibration.csv",
        "calibration.png",
        "calibration-curves.csv",
    }
    assert read(folder / "check.json", Check).verdicts == record.verdicts


@pytest.mark.slow
@pytest.mark.parametrize(
    "process",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("rrxor", "z1r")), "golden_mean"],
)
def test_every_metric_is_calibrated_or_says_why_not_on_hidden_markov_processes(process: str) -> None:
    world = HMM(HMMConfig(process=process, length=12))
    chosen = eval_config(**{**SMALL.__dict__, "pairs": 40, "probe_features": 50})
    record = check(world, CheckSettings(chosen, corruptions=6, severities=2), Display(quiet=True), options, workers=1)
    assert failures(record) == []
    assert set(record.ladders) >= {"noise", "blur", "drift"}
    assert not set(record.ladders) & {*MAP_KINDS, "wrong_goal", "blind"}
    judged = {v.metric for v in record.verdicts}
    assert judged >= {"next_token", "split_merge", "excess_loss", "belief_probe", "transition_consistency"}
    for name in set(metrics.names()) - judged - {"effective_rank"}:
        assert "oracle" in record.not_applicable[name]


@pytest.mark.slow
def test_workers_change_nothing() -> None:
    chosen = eval_config(metrics=("valid_trajectories", "excess_loss"), trials=20, documents=20)
    one, two = (
        check(
            TaxiWorld(CITY), CheckSettings(chosen, corruptions=2, severities=1), Display(quiet=True), options, workers=w
        )
        for w in (1, 2)
    )
    assert one == two


@pytest.mark.slow
def test_a_check_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = eval_config(metrics=("valid_trajectories", "next_token"), trials=20, documents=20)
    world, settings = TaxiWorld(CITY), CheckSettings(chosen, corruptions=2, severities=1)
    undisturbed, folder = check_in(tmp_path / "a", world, settings, Display(quiet=True), options, 1)
    calls: list[str] = []
    real = Subject.model

    def counted(subject: Subject, of: TaxiWorld) -> SequenceModel:
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(subject.name)
        return real(subject, of)

    monkeypatch.setattr(Subject, "model", counted)
    stop_at = 7
    with pytest.raises(KeyboardInterrupt):
        check_in(tmp_path / "b", world, settings, Display(quiet=True), options, 1)
    assert len(list((tmp_path / "b" / folder.name).glob("measured-*.json"))) == 7
    first, stop_at = list(calls), -1
    again, _ = check_in(tmp_path / "b", world, settings, Display(quiet=True), options, 1)
    assert len(set(calls)) == len(calls) > len(first), "nothing is measured twice"
    assert again == undisturbed
    kept = {path.name for path in (tmp_path / "b" / folder.name).iterdir()} - {".lock"}
    assert kept == {path.name for path in folder.iterdir()} - {".lock"}
    assert not any(name.startswith("measured-") for name in kept)


def test_a_failing_statement_is_an_error(tmp_path: Path) -> None:
    made = {"made": {"oracle": {"x": 0.5}, "uniform": {"x": 0.1}}}
    record = msgspec.structs.replace(checked(), verdicts=judge([Made()], made, {}))
    with pytest.raises(RunError, match="1 of 4 statements fail, for made"):
        require(record, tmp_path)


BLIND = """
from worldbench.core.metric import Expectation, Metric, Report, Score
from worldbench.core.registry import metrics

class Blind(Metric):
    name, version, primary, direction = "blind", 1, "one", "higher"
    expects = {"oracle": (Expectation("one", 1, 1),)}

    def measure(self, evaluation):
        return Report({"one": Score(1.0, 1)})

metrics.add("blind", "always one", Blind())
"""


def test_the_command_fails_on_a_blind_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_entries", dict(metrics._entries))
    plugin = tmp_path / "blind_metric.py"
    plugin.write_text(BLIND)
    words = [
        *("check", "taxi", "--env.map", "city:30", "--env.region", "all", "--out", str(tmp_path), "--workers", "1"),
        *("--eval.trials", "40"),
    ]
    assert main([*words, "--plugin", str(plugin), "--eval.metrics", "blind", "--quiet"]) == 1
    message = capsys.readouterr()
    assert "tells references apart" in message.out
    assert "2 of 3 statements fail, for blind" in message.err
    assert "says which damage makes it worse, or why none does; measured: neither" in message.out
    assert main([*words, "--severities", "9"]) == 2
    assert main([*words, "--model.width", "3"]) == 2
    assert main([*words, "--corruption", "3"]) == 2
    assert "--corruptions" in capsys.readouterr().err

"""The verdicts on claims from made-up records and values: each verdict, its error rates, and which records decide."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from made_up_claims import HIGH, LOW, WIDE, both, claim, run
from sample_records import metric, result

from worldbench.core.budget import Budget
from worldbench.records.budget import spent
from worldbench.records.claim_decisions import Sample, decide
from worldbench.records.claim_pairs import lookup_value
from worldbench.records.claim_verdicts import judge_records
from worldbench.records.claims import Arm, Claim
from worldbench.records.leaderboard import settings_key
from worldbench.records.lookup import tables
from worldbench.records.runs import Result

SWEEPS = Path(__file__).resolve().parent.parent / "worldbench" / "settings" / "sweeps"


def verdicts(claims: list[Claim], records: list[Result]) -> list[str]:
    return [row.verdict for row in judge_records(claims, records)]


NEAR = [0.801, 0.818, 0.812, 0.829, 0.791]


@pytest.mark.parametrize(
    ("expects", "a", "b", "margin", "verdict"),
    [
        ("a higher", HIGH, LOW, 0.05, "reproduced"),
        ("a lower", HIGH, LOW, 0.05, "opposite at this scale"),
        ("a higher", LOW, HIGH, 0.05, "opposite at this scale"),
        ("a higher", NEAR, HIGH, 0.05, "equivalent"),
        ("equal", NEAR, HIGH, 0.05, "reproduced"),
        ("equal", HIGH, LOW, 0.05, "opposite at this scale"),
        ("a higher", WIDE, HIGH, 0.05, "no power"),
        ("a higher", WIDE, HIGH, 0.50, "equivalent"),
        ("a higher", HIGH[:2], LOW[:2], 0.05, "no power"),
    ],
)
def test_every_verdict(expects: str, a: list[float], b: list[float], margin: float, verdict: str) -> None:
    (row,) = judge_records([claim(expects, margin)], both(a, b))
    assert row.verdict == verdict
    assert (row.a, row.b) == pytest.approx((np.mean(a), np.mean(b)))


def test_the_published_size_tells_no_power_from_not_separable() -> None:
    """A difference of the published size would have been seen; one of the margin would not."""
    records = both(WIDE, HIGH)
    assert verdicts([claim(published={"a": 0.9, "b": 0.5})], records) == ["not separable"]
    assert verdicts([claim(published={"a": 0.9, "b": 0.85})], records) == ["no power"]


def test_not_run_says_what_to_do() -> None:
    (row,) = judge_records([claim()], [run("gpt", s, 0.5) for s in range(3)])
    assert row.verdict == "not run"
    assert row.reason == "there is no run of nextlat in taxi; make it with 'worldbench sweep s'"
    (row,) = judge_records([claim(score="excess_loss.kl")], both(HIGH, LOW))
    assert (row.verdict, row.reason) == (
        "not run", "no run of nextlat has excess_loss.kl: the evaluation did not include excess_loss",
    )  # fmt: skip
    (row,) = judge_records([claim(score="valid_trajectories.later")], both(HIGH, LOW))
    assert row.reason == (
        "no run of nextlat has valid_trajectories.later: valid_trajectories has no score later here; score the runs "
        "again, or make new ones with 'worldbench sweep s'"
    )
    other = [*both(HIGH, [], preset="small"), *both([], LOW, preset="quick")]
    (row,) = judge_records([claim()], other)
    assert row.reason == "no runs of nextlat and gpt agree in world, data, preset and evaluation"


def test_a_difference_below_the_margin_is_never_reproduced() -> None:
    steady = [x + 0.01 + 0.0001 * i for i, x in enumerate(HIGH)]
    (row,) = judge_records([claim()], both(steady, HIGH))
    assert (row.verdict, row.reason) == ("equivalent", "there is a difference, but it is smaller than the margin")


def test_infinite_values_decide_nothing() -> None:
    (row,) = judge_records([claim(score="excess_loss.kl")], both([*LOW[:4], np.inf], HIGH, score="excess_loss.kl"))
    assert row.verdict == "not separable"
    assert "infinite in 1 of 5" in row.reason


def test_outcomes_are_compared_by_the_share_of_seeds() -> None:
    solved = claim(score="decisions.solved", margin=0.2, published={"a": 1.0, "b": 0.1})
    (row,) = judge_records([solved], both([1.0] * 9 + [0.0], [0.0] * 10, score="decisions.solved"))
    assert (row.verdict, row.decision.test) == ("reproduced", "Fisher")
    (row,) = judge_records([solved], both([1.0] * 3, [0.0] * 3, score="decisions.solved"))
    assert row.verdict == "no power"


# error rates


def test_without_true_differences_one_table_in_twenty_has_a_verdict_at_most() -> None:
    """600 tables of 8 claims and five seeds, some claims with correlated noise, all without a difference."""
    rng, wrong, tables = np.random.default_rng(0), 0, 600
    for _ in range(tables):
        noise = rng.normal(0.5, 0.1, (8, 2, 5)) + rng.normal(0, 0.1, (1, 2, 5))
        found = decide([Sample(claim(margin=0.001), tuple(a), tuple(b)) for a, b in noise])
        wrong += any(d.verdict in ("reproduced", "opposite at this scale") for d in found)
    assert wrong / tables < 0.05 + 2 * (0.05 * 0.95 / tables) ** 0.5


def test_true_differences_of_the_margin_are_rarely_called_equivalent() -> None:
    rng, wrong, tables = np.random.default_rng(1), 0, 600
    for _ in range(tables):
        noise = rng.normal(0.5, 0.02, (8, 2, 5))
        noise[:, 0] += 0.05
        found = decide([Sample(claim(margin=0.05), tuple(a), tuple(b)) for a, b in noise])
        wrong += any(d.verdict == "equivalent" for d in found)
    assert 0.01 < wrong / tables < 0.05 + 2 * (0.05 * 0.95 / tables) ** 0.5


def test_true_differences_and_true_equality_are_found() -> None:
    """The tests have power: where the noise is small, nearly every table has every verdict right."""
    rng, right = np.random.default_rng(2), 0
    for _ in range(100):
        noise = rng.normal(0.5, 0.01, (8, 2, 5))
        noise[:4, 0] += 0.2
        found = decide([Sample(claim(margin=0.1), tuple(a), tuple(b)) for a, b in noise])
        right += [d.verdict for d in found] == ["reproduced"] * 4 + ["equivalent"] * 4
    assert right > 95


# which records decide


def test_arms_in_two_worlds_are_told_apart_by_the_world() -> None:
    random, shortest = (
        Arm(model="gpt", world={"rides": ["random", "absent"]}),
        Arm(model="gpt", world={"rides": "shortest"}),
    )
    data = claim(a=random, b=shortest)
    records = [run("gpt", s, v) for s, v in enumerate(HIGH)]
    records += [run("gpt", s, v, world={"rides": "shortest", "lengths": "0123"}) for s, v in enumerate(LOW)]
    records += [run("gpt", s, 0.0, world={"rides": "shortest", "min_moves": 9}) for s in range(5)]
    (row,) = judge_records([data], records)
    assert (row.verdict, row.b) == ("reproduced", pytest.approx(np.mean(LOW)))


def test_an_arm_that_is_a_number_and_one_that_is_another_score() -> None:
    legal = claim(a=Arm(model="gpt"), b=Arm(value=0.7), where={"map_digest": "0123456789"})
    assert verdicts([legal], both([], HIGH)) == ["reproduced"]
    assert verdicts([legal], both([], LOW)) == ["opposite at this scale"]
    probe = [
        result("gpt", s, {"board_probe": metric({"mover": x, "mover_untrained": y})}, world={"world": "othello"})
        for s, (x, y) in enumerate(zip(HIGH, LOW))
    ]
    twin = Arm(model="gpt", score="board_probe.mover_untrained", label="untrained")
    own = claim(score="board_probe.mover", world="othello", a=Arm(model="gpt"), b=twin)
    assert verdicts([own], probe) == ["reproduced"]


def test_several_settings_are_paired_by_the_size_of_the_network_or_named() -> None:
    records = both(HIGH, LOW)
    records += [run("gpt", s, 0.9, config={"model": {"layers": 8}}) for s in range(5)]  # of a study of depth
    assert verdicts([claim()], records) == ["reproduced"]
    deep = claim(a=Arm(model="gpt[layers=8]"), b=Arm(model="gpt[layers=2]"))
    assert verdicts([deep], records) == ["reproduced"]
    records += [run("nextlat", s, 0.9, config={"model": {"horizon": 8}}) for s in range(5)]
    (row,) = judge_records([claim()], records)
    assert row.verdict == "not run"
    assert "nextlat comes with several settings (nextlat, nextlat[horizon=8])" in row.reason


def test_tuned_runs_are_paired_with_tuned_runs() -> None:
    tuned = Budget(24, 2, "excess_loss.kl", "0" * 16)
    records = both(HIGH, LOW)
    records += both(LOW, HIGH, tuning=tuned, config={"train": {"learning_rate": 0.004}})
    rows = judge_records([claim()], records)
    assert {(row.tuned_a, row.tuned_b, row.verdict) for row in rows} == {
        ("-", "-", "reproduced"), ("24x2", "24x2", "opposite at this scale"),
    }  # fmt: skip


def test_a_search_with_halving_has_another_budget() -> None:
    """24/6x2 is not 24x2: `claims` says so, and a leaderboard has two rows. Results without halving keep their key."""
    full, halved = Budget(24, 2, "excess_loss.kl", "0" * 16), Budget(24, 2, "excess_loss.kl", "0" * 16, halving=6)
    records = [*both(HIGH, [], tuning=halved), *both([], LOW, tuning=full)]
    (row,) = judge_records([claim()], records)
    assert (row.tuned_a, row.tuned_b) == ("24/6x2", "24x2")
    assert row.reason == "the tuning budgets are not equal, so a difference may come from tuning"
    assert settings_key(run("gpt", 0, 0.5, tuning=full)) != settings_key(run("gpt", 0, 0.5, tuning=halved))
    assert spent(records[-1]) == {"trials": 24, "seeds": 2, "criterion": "excess_loss.kl"}
    more = msgspec.structs.replace(full, further=4)
    (row,) = judge_records([claim()], [*both(HIGH, [], tuning=more), *both([], LOW, tuning=full)])
    assert (row.tuned_a, row.tuned_b) == ("24x2+4", "24x2")
    assert row.reason == "the tuning budgets are not equal, so a difference may come from tuning"
    assert settings_key(run("gpt", 0, 0.5, tuning=full)) != settings_key(run("gpt", 0, 0.5, tuning=more))


def test_the_same_runs_under_two_evaluations_count_once() -> None:
    again = both(HIGH, LOW, evaluation="other")
    assert len(judge_records([claim()], both(HIGH, LOW) + again)) == 1
    changed = both([x + 0.001 for x in HIGH], LOW, evaluation="other")
    rows = judge_records([claim()], both(HIGH, LOW) + changed)
    assert len({row.place for row in rows}) == 2


def test_the_room_is_that_of_the_references() -> None:
    limits = [run("random-legal", None, 0.2), run("oracle", None, 1.0)]
    (row,) = judge_records([claim()], both(HIGH, LOW) + limits)
    assert (row.floor, row.ceiling) == (0.2, 1.0)
    assert (row.room_a, row.room_b) == pytest.approx(((0.81 - 0.2) / 0.8, (0.612 - 0.2) / 0.8))
    no_room, learned = "there is no room for a difference", "neither has learned what the score measures"
    for end, a, b, why in (("ceiling", 0.999, 0.998, no_room), ("floor", 0.0, 0.1, learned)):
        records = both([a] * 5, [b + 0.0001 * s for s in range(5)]) + limits
        (row,) = judge_records([claim(margin=0.2 if end == "floor" else 0.05)], records)
        assert row.verdict == "no power"
        assert row.reason.endswith(f"both arms are at the {end}: {why}")
    (row,) = judge_records([claim("equal")], both([0.999] * 5, [0.998] * 5) + limits)
    assert row.verdict == "reproduced"
    (row,) = judge_records([claim("equal")], both([0.1] * 5, [0.11] * 5) + limits)
    assert row.verdict == "no power"


def test_a_floor_at_the_ceiling_is_no_floor() -> None:
    """Random legal tokens may score like the exact law; both arms below them have learned something all the same."""
    limits = [run("random-legal", None, 1.0), run("oracle", None, 1.0)]
    (row,) = judge_records([claim()], both(HIGH, LOW) + limits)
    assert (row.verdict, row.reason) == ("reproduced", "")


@pytest.mark.parametrize(("loss", "expected"), [(0.1, 0.2), (0.01, 0.6), (0.0316227766, 0.4), (0.5, 0.2), (0.001, 0.6)])
def test_the_table_at_equal_loss(loss: float, expected: float) -> None:
    lookup = {"lookup": {"k": [1, 2], "r2": [0.2, 0.6], "kl": [0.1, 0.01]}}
    scores = {"excess_loss": metric({"kl": loss}), "belief_probe": metric({"r2": 0.5}, series=lookup, version=3)}
    assert lookup_value(result("gpt", 0, scores), "belief_probe.r2") == pytest.approx(expected)


def test_older_tables_are_put_on_the_scale_of_the_excess_loss() -> None:
    """Version 3 left the first token of a document out of the loss of a table; the tables of version 2 contained the
    prefix that they predict."""
    lookup = {"lookup": {"k": [1, 2], "r2": [0.2, 0.6], "excess": [0.12, 0.012]}}
    found = metric({"r2": 0.5}, series=lookup, version=3)
    assert tables(found, {"length": 12}) == [(1, pytest.approx(0.11), 0.2), (2, pytest.approx(0.011), 0.6)]
    assert tables(metric({"r2": 0.5}, series=lookup, version=2), {"length": 12}) == []

"""The metric map_reconstruction on rides over a line of five places."""

from __future__ import annotations

import numpy as np
from drawn_routes import WORDS, E, measure, rides_of

from worldbench.baselines.references import Uniform
from worldbench.core.metric import Report
from worldbench.core.world import Documents
from worldbench.envs.hmm.world import HMM
from worldbench.metrics.map_reconstruction import METRIC
from worldbench.metrics.ride_routes import routes_of


def test_a_ride_is_its_directions_up_to_the_first_end() -> None:
    rides = rides_of([[4, 4, 1, 0], [4, 4, 4, 4], [4, 11, 1, 0], [1, 0, 0, 0], [0, 4, 1, 0]], [3, 4, 3, 1, 3])
    assert routes_of(rides.tokens, rides.length, WORDS, 8).tolist() == [
        [2, 2, -1, -1],
        [2, 2, 2, -3],
        [2, -2, -1, -1],
        [-1, -1, -1, -1],
        [-2, 2, -1, -1],
    ]


def values(report: Report) -> dict[str, float]:
    return {k: v.value for k, v in report.scores.items() if not k.startswith("control_")}


def test_rides_that_arrive_score_the_ceiling_and_every_kind_is_counted() -> None:
    report = measure([[4, 4, 1, 0, 0], [4, 8, 4, 4, 1]], [3, 5])
    assert values(report) == {
        "street_precision": 1, "street_precision_orders": 1, "street_recall": 3 / 8, "true_streets": 3,
        "implied_streets": 0, "unexplained_rides": 0, "rides_with_implied": 0, "ends_elsewhere": 0, "never_ends": 0,
        "illegal_moves": 0, "edge_precision": 1, "edge_precision_lowest": 1, "edge_precision_highest": 1,
        "edge_recall": 3 / 8, "black_edges": 3,
        "red_edges": 0, "unused_edges": 5, "failed_routes": 0, "routes_without_red": 1, "routes_with_red": 0,
    }  # fmt: skip
    low, high = report.scores["street_precision"].interval or (1, 1)
    assert low < high == 1
    assert (report.scores["street_precision"].over, report.scores["street_precision_orders"].over) == (
        "rides",
        "orders",
    )
    assert all(e.met_by(report.scores[e.score].value) for e in METRIC.expects["oracle"])
    assert {"metres", "edges", "uses", "black", "red", "red_uses", "status", "places", "directions", "end"} <= set(
        report.arrays
    )


def test_one_wrong_turn_and_one_ride_without_end_show() -> None:
    report = measure([[4, 4, 1, 0], [4, 2, 1, 0], [4, 4, 4, 4], [4, 4, 1, 0]], [3, 3, 4, 3])
    found = values(report)
    # The ride without end goes one street further: E E E.
    assert (found["implied_streets"], found["street_precision"], found["unexplained_rides"]) == (1, 3 / 4, 0)
    assert (found["never_ends"], found["ends_elsewhere"]) == (1 / 4, 0)
    assert report.arrays["end"].tolist() == [2, -1, -1, 2]
    assert (found["red_edges"], found["edge_precision"], found["failed_routes"]) == (1, 2 / 3, 1 / 4)
    assert found["routes_with_red"] == 1 / 4
    assert report.series["by_order"]["order"] == [0, 1, 2]
    assert "1 ride could not be explained" in report.notes[2]


def test_a_driver_who_never_leaves_the_map_but_ends_wrongly_implies_no_street() -> None:
    report = measure([[4, 4, 4, 1], [4, 1, 0, 0], [4, 4, 1, 0], [4, 8, 1, 0]], [4, 2, 3, 3])
    found = values(report)
    assert (found["street_precision"], found["implied_streets"], found["unexplained_rides"]) == (1, 0, 0)
    assert (found["ends_elsewhere"], found["never_ends"]) == (3 / 4, 0)
    assert report.arrays["end"].tolist() == [3, 1, 2, 0]
    assert found["red_edges"] + found["failed_routes"] > 0


def test_precision_is_missing_with_the_reason_where_fewer_than_half_of_the_rides_are_explained() -> None:
    rides = [[4, 4, 1, 0], [4, 10, 1, 0], [11, 4, 1, 0]]  # a place among the directions
    scores = measure(rides, [3, 3, 3]).scores
    for name in ("street_precision", "street_precision_orders", "edge_precision", "edge_precision_lowest"):
        assert np.isnan(scores[name].value)
        assert scores[name].reason == "of 3 rides, 33% are explained, fewer than half"
    assert scores["unexplained_rides"].value == 2 / 3
    assert measure(rides[:2], [3, 3]).scores["street_precision"].value == 1


def test_rides_that_draw_nothing_have_no_precision_and_say_so() -> None:
    report = measure([[4, 4, 4, 4]], [4])
    assert np.isnan(report.scores["edge_precision"].value)
    assert report.scores["street_precision"].value == 1
    assert "of 1 ride, 0% are explained" in report.scores["edge_precision"].reason
    assert measure([[1, 0]], [1]).scores["street_precision"].reason == "the rides that are explained use no street"


def test_other_worlds_get_a_reason() -> None:
    assert METRIC.not_applicable(HMM(), Uniform(HMM())) == "the world 'hmm' has no street map"


# Released behaviour


def test_the_option_for_released_behaviour_reaches_the_algorithm() -> None:
    rides = [[4, 2, 2, 2, 1]]  # no street leads north: the ride fails after its first move, E
    released, ours = (measure(rides, [5], orders=1, roll_back=back) for back in (False, True))
    assert (ours.scores["failed_routes"].value, released.scores["failed_routes"].value) == (1, 1)
    assert ours.arrays["forced_black"].sum() == len(ours.arrays["forced_red"]) == 0
    assert released.arrays["edges"][released.arrays["forced_black"]].tolist() == [[0, 1, E]]
    assert "released mode" in released.notes[2]
    assert "roll-back mode" in ours.notes[2]


def test_controls_without_mistakes_draw_the_true_routes_alone() -> None:
    report = measure([[4, 4, 1, 0, 0], [4, 4, 4, 1, 0]], [3, 4])  # the second ends elsewhere, which is no illegal move
    assert report.scores["failed_routes"].value + report.scores["routes_with_red"].value > 0
    assert report.scores["illegal_moves"].value == 0
    assert all(
        e.met_by(report.scores[e.score].value) for e in METRIC.expects["oracle"] if e.score.startswith("control")
    )
    assert report.arrays["control_uniform_black"].sum() == 3  # the detour of the data: 0 -> 1 -> 0 -> 1 -> 2


def test_controls_err_as_the_rides_do_and_fall_back_on_the_rides_themselves() -> None:
    rides, lengths = [[4, 2, 1, 0]] * 4 + [[4, 4, 1, 0]] * 4, [3] * 8
    report = measure(rides, lengths)
    assert report.scores["illegal_moves"].value == 4 / 16
    assert report.scores["illegal_moves"].n == 8
    assert report.scores["control_uniform_red"].value + report.scores["control_uniform_failed"].value > 0
    assert report.scores["control_matched_red"].value + report.scores["control_matched_failed"].value > 0
    assert report.scores["control_uniform_implied_streets"].value > 0
    assert report.scores["control_matched_street_precision"].value < 1
    report = measure(
        rides,
        lengths,
        sample=lambda seed, split, start, count: Documents(
            np.full((count, 4), 11), np.full(count, 4), np.full(count, 2)
        ),
    )
    assert any("8 true routes of the controls are no draws from the data" in note for note in report.notes)
    assert set(report.arrays["control_rides"].tolist()) == set(range(8))
    assert report.arrays["control_matched_status"].shape == (8,)

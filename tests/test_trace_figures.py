"""What is drawn of traces: the probed beliefs over training, and their R^2 against excess loss."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sample_records
from matplotlib.figure import Figure
from sample_records import metric
from some_cases import others_slow

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.files import sha256
from worldbench.figures import filmstrip, matched, state_curve
from worldbench.records.reading import write
from worldbench.records.runs import Trace

pytestmark = pytest.mark.pictures

STEPS = {
    1: (1.0, 0.1),
    4: (0.5, 0.3),
    9: (0.4, 0.4),
    20: (0.1, 0.6),
    60: (0.05, 0.8),
    90: (0.04, 0.85),
    100: (0.01, 0.95),
}
"""step: (excess loss, R^2)."""


def beliefs(states: int, count: int = 60) -> np.ndarray:
    raw = streams.generator("beliefs", states).random((count, states)) + 0.01
    return raw / raw.sum(axis=1, keepdims=True)


def trace(
    folder: Path,
    belief: np.ndarray,
    seed: int = 0,
    model: str = "gpt",
    evaluation: str = "e",
    lookup: bool = True,
    odd: np.ndarray | None = None,
) -> Trace:
    """A trace with its evidence, whose probes blend the mean belief into the exact one: not at all at the last step.

    odd: other beliefs, for the last step alone.
    """
    points = {}
    for step, (loss, r2) in STEPS.items():
        blend = 0 if step == 100 else 1 - r2
        belief = odd if odd is not None and step == 100 else belief
        place = folder / "trace-evidence" / f"{step:08d}"
        place.mkdir(parents=True)
        predicted = (1 - blend) * belief + blend * belief.mean(axis=0)
        weight, length = np.arange(len(belief), 0, -1.0), np.ones(len(belief))
        np.savez(place / "belief_probe.npz", belief=belief, predicted=predicted, weight=weight, prefix_length=length)
        series = {"lookup": {"k": [1, 2, 3], "r2": [0.2, 0.7, 1.0], "kl": [0.3, 0.02, 0.0]}} if lookup else {}
        points[step] = {
            "excess_loss": metric({"kl": loss}, direction="lower"),
            "belief_probe": metric(
                {"r2": r2, "law_r2": 0.4, "r2_untrained": 0.1},
                series=series,
                version=3,
                evidence_sha256=sha256(place / "belief_probe.npz"),
            ),
        }
    record = sample_records.trace(model, seed, points, evaluation=evaluation)
    write(folder / "trace.json", record)
    return record


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def places(rows: list[dict[str, str]], step: str) -> np.ndarray:
    return np.array([[float(r["x"]), float(r["y"])] for r in rows if r["step"] == step])


@pytest.mark.parametrize("states", others_slow([2, 3, 5], 3))
def test_the_filmstrip_goes_from_a_point_to_the_exact_beliefs(tmp_path: Path, states: int) -> None:
    belief = beliefs(states)
    trace(tmp_path, belief)
    paths = filmstrip.draw(tmp_path / "trace.json", tmp_path / "film", title="a run")
    assert [p.name for p in paths] == ["film.png", "film.svg", "film.csv"]
    rows = table(tmp_path / "film.csv")
    steps = list(dict.fromkeys(r["step"] for r in rows))
    assert steps == ["1", "9", "20", "90", "100", ""]  # evenly spaced in the log of the loss, the exact beliefs last
    assert len(rows) == len(steps) * len(belief)
    spread = [np.ptp(places(rows, s)[:, 1]) for s in steps]
    assert spread == sorted(spread)
    assert np.array_equal(places(rows, "100"), places(rows, ""))  # the last probe is exact
    assert [float(r["belief_1"]) for r in rows[: len(belief)]] == pytest.approx(belief[:, 0], abs=1e-6)
    if states == 3:
        assert places(rows, "") == pytest.approx(belief @ filmstrip.CORNERS, abs=1e-6)
    else:
        sides = places(rows, "").T
        assert np.allclose(*sides, atol=1e-5) if states == 2 else abs(np.corrcoef(sides)[0, 1]) < 1e-4
    first = {p: p.read_bytes() for p in paths}
    filmstrip.draw(tmp_path / "trace.json", tmp_path / "film", title="a run")
    assert {p: p.read_bytes() for p in paths} == first


def test_beliefs_that_are_no_probabilities_are_drawn_by_component(tmp_path: Path) -> None:
    """Those of a generalised process over three states do not lie in the simplex."""
    belief = beliefs(3) @ np.array([[1.0, 0.5, -0.5], [0.0, 1.0, 0.0], [-0.3, 0.0, 1.3]])
    trace(tmp_path, belief)
    assert filmstrip.draw(tmp_path / "trace.json", tmp_path / "film")
    rows = table(tmp_path / "film.csv")
    assert places(rows, "").mean(axis=0) == pytest.approx([0, 0], abs=1e-5)
    assert len(filmstrip.colors(belief)) == len(belief)


def test_what_has_no_beliefs_that_vary_is_not_drawn(tmp_path: Path) -> None:
    record = trace(tmp_path, np.ones((10, 1)))
    assert filmstrip.draw(tmp_path / "trace.json", tmp_path / "film") == []
    without = [
        msgspec.structs.replace(point, scores={"excess_loss": point.scores["excess_loss"]}) for point in record.trace
    ]
    record = msgspec.structs.replace(record, trace=without)
    write(tmp_path / "trace.json", record)
    assert filmstrip.draw(tmp_path / "trace.json", tmp_path / "film") == []
    assert not matched.applies(record)
    with pytest.raises(InputError, match=r"lacks belief_probe\.r2"):
        matched.draw([("gpt", record)], tmp_path / "matched")


def test_evidence_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    trace(tmp_path, beliefs(3))
    place = tmp_path / "trace-evidence" / "00000100" / "belief_probe.npz"
    other = beliefs(3, 50)
    np.savez(place, belief=other, predicted=other, weight=np.ones(50))
    with pytest.raises(InputError, match=r"is not the file that its record names.* delete trace\.json"):
        filmstrip.draw(tmp_path / "trace.json", tmp_path / "film")
    trace(tmp_path / "two", beliefs(3), odd=other)
    with pytest.raises(InputError, match="not of one evaluation"):
        filmstrip.draw(tmp_path / "two" / "trace.json", tmp_path / "film")
    place.unlink()
    with pytest.raises(InputError, match=r"cannot read .* delete trace\.json, and worldbench trace .* makes it again"):
        filmstrip.draw(tmp_path / "trace.json", tmp_path / "film")


def test_panels_are_spaced_in_the_log_of_the_loss() -> None:
    assert filmstrip.spaced([1.0, 0.99, 0.98, 0.1, 0.09, 0.01], 3) == [0, 3, 5]
    assert filmstrip.spaced([None] * 9, 5) == [0, 2, 4, 6, 8]
    assert filmstrip.spaced([0.5] * 7, 5) == [0, 1, 2, 3, 6]
    assert filmstrip.spaced([0.5, 0.1], 5) == [0, 1]


def test_runs_are_drawn_beside_the_frontier(tmp_path: Path) -> None:
    runs = []
    for model, seed in (("gpt", 0), ("gpt", 1), ("nextlat", 0)):
        folder = tmp_path / f"{model}{seed}"
        folder.mkdir()
        runs.append((f"{model}[x=1]", trace(folder, beliefs(3), seed, model)))
    paths = matched.draw(runs, tmp_path / "matched", title="rrxor")
    assert [p.name for p in paths] == ["matched.png", "matched.svg", "matched.csv"]
    rows = table(tmp_path / "matched.csv")
    drawn = [r for r in rows if r["kind"] == "run"]
    assert [(r["label"], r["seed"]) for r in drawn[:: len(STEPS)]] == [
        ("gpt[x=1]", "0"),
        ("gpt[x=1]", "1"),
        ("nextlat[x=1]", "0"),
    ]
    assert [(int(r["step"]), (float(r["excess"]), float(r["r2"]))) for r in drawn[: len(STEPS)]] == list(STEPS.items())
    assert [(r["k"], r["excess"], r["r2"]) for r in rows if r["kind"] == "lookup"] == [
        ("1", "0.3", "0.2"),
        ("2", "0.02", "0.7"),
        ("3", "0.0", "1.0"),
    ]
    assert {r["label"]: r["r2"] for r in rows if r["kind"] == "control"} == {"law_r2": "0.4", "r2_untrained": "0.1"}
    svg = paths[1].read_text(encoding="utf-8")
    first, second = matched.COLORS[:2]
    assert svg.count(f"stroke: {first}") > svg.count(f"stroke: {second}") > 0  # a colour a model, not a run
    before = paths[1].read_bytes()
    matched.draw(runs, tmp_path / "matched", title="rrxor")
    assert paths[1].read_bytes() == before
    without = tmp_path / "without"
    without.mkdir()
    bare = matched.draw([("gpt", trace(without, beliefs(3), lookup=False))], tmp_path / "bare")
    assert not any(r["kind"] == "lookup" for r in table(bare[2]))


def test_what_has_another_frontier_is_not_drawn_together(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    one, other = trace(tmp_path / "a", beliefs(3)), trace(tmp_path / "b", beliefs(3), evaluation="f")
    with pytest.raises(InputError, match="one world and one evaluation"):
        matched.draw([("gpt", one), ("nextlat", other)], tmp_path / "matched")
    with pytest.raises(InputError, match="no traces"):
        matched.draw([], tmp_path / "matched")


@pytest.mark.parametrize(
    ("best", "first", "earliest"),
    [
        pytest.param([0.1, 0.5, 0.95, 0.99, 1.0], 1, 20, marks=pytest.mark.slow),  # .95 of the last one
        ([0.1, 0.97, 0.5, 0.99, 1.0], 1, 90),  # lost once more after step 9
        pytest.param([0.1, 0.97, 1.0, 0.7, 0.7], 1, 9, marks=pytest.mark.slow),
        pytest.param([0.1, 0.5, 0.95, 0.2, 1.0], 1, 100, marks=pytest.mark.slow),
        ([0.1, 0.5, 0.95, 0.99, 1.0], None, None),
    ],
)
def test_the_earliest_step_with_the_state(
    tmp_path: Path, best: list[float], first: int | None, earliest: int | None
) -> None:
    points = {
        step: {
            "state_curve": metric(
                {"earliest_layer": first, "threshold": 0.95 * score, "best_untrained": 0.2},
                series={"by_layer": {"layer": ["embedding", "block 1"], "score": [0.1, score]}},
            )
        }
        for step, score in zip((1, 9, 20, 90, 100), best)
    }
    record = sample_records.trace("gpt", 0, points)
    found = state_curve.steps_of(record)
    assert found is not None
    assert (found.earliest, found.level) == (earliest, pytest.approx(0.95 * best[-1]))
    write(tmp_path / "trace.json", record)
    paths = state_curve.draw_trace(tmp_path / "trace.json", tmp_path / "steps", title="a $run")
    assert [p.name for p in paths] == ["steps.png", "steps.svg", "steps.csv"]
    rows = table(tmp_path / "steps.csv")
    assert [float(r["score"]) for r in rows if r["layer"] == "block 1"] == best
    assert {int(r["step"]) for r in rows if r["earliest_step"] == "True"} == ({earliest} if earliest else set())
    first_bytes = {p: p.read_bytes() for p in paths}
    state_curve.draw_trace(tmp_path / "trace.json", tmp_path / "steps", title="a $run")
    assert {p: p.read_bytes() for p in paths} == first_bytes


def test_a_trace_without_the_state_curve_draws_no_steps(tmp_path: Path) -> None:
    trace(tmp_path, beliefs(3))
    assert state_curve.draw_trace(tmp_path / "trace.json", tmp_path / "steps") == []
    curve = {"layer": ["a", "b"], "score": [0.5, None]}
    points = {1: {"state_curve": metric({"threshold": None}, series={"by_layer": curve})}}
    assert state_curve.steps_of(sample_records.trace("gpt", 0, points)) is None


def test_tables_at_one_place_share_a_name() -> None:
    """Tables that are as long as the documents have one loss and one belief; their names would lie on each other."""
    axes = Figure().add_subplot()
    tables = [(1.0, 0.3, 0.1), (10.0, 0.02, 0.98), (11.0, 0.02, 0.98)]
    matched._draw(axes, [("gpt", 0, [(1, 0.5, 0.1), (9, 0.01, 0.9)])], tables, {})
    assert [text.get_text() for text in axes.texts] == ["1", "10, 11"]

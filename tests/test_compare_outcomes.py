"""Outcomes that are 0 or 1 for a run, what the seeds could have seen, and scores that comparisons leave out."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from sample_records import metric, result
from scipy import stats

from worldbench.core.errors import InputError
from worldbench.core.power import POWER, detectable, detectable_share, fisher, shares_interval
from worldbench.core.proportions import wilson
from worldbench.core.statistics import paired_t
from worldbench.records import reading
from worldbench.records.compare import compare
from worldbench.records.comparison import render


def write(folder: Path, model: str, solved: list[float], accuracy: list[float] | None = None) -> None:
    for seed, hit in enumerate(solved):
        near = accuracy[seed] if accuracy is not None else 0.5 + 0.49 * hit + 0.001 * seed
        values = {"accuracy": near, "solved": hit, "chance": 0.5}
        reading.write(folder / f"result-{model}-{seed}.json", result(model, seed, {"decisions": metric(values)}))


def test_solved_is_compared_by_the_share_of_seeds(tmp_path: Path) -> None:
    write(tmp_path, "gpt", [0.0] * 9 + [1.0])
    write(tmp_path, "nextlat", [1.0] * 8 + [0.0] * 2)
    rows = {r.score: r for r in compare("gpt", "nextlat", [tmp_path])}
    assert list(rows) == ["decisions.accuracy", "decisions.solved"]
    row = rows["decisions.solved"]
    assert (row.test, rows["decisions.accuracy"].test) == ("Fisher", "paired t")
    assert row.p == pytest.approx(stats.fisher_exact([[1, 9], [8, 2]]).pvalue)
    assert row.verdict == "nextlat better"
    assert row.solved_a is not None
    assert (row.solved_a.hits, row.solved_a.n, row.solved_a.low, row.solved_a.high) == (1, 10, *wilson(1, 10))
    assert row.interval == shares_interval(1, 10, 8, 10)
    assert "1 of 10 (0.018 .. 0.404)" in render(list(rows.values()), "markdown")
    (_, flat) = csv.DictReader(io.StringIO(render(list(rows.values()), "csv")))
    assert (flat["solved_a"], flat["solved_b"], flat["test"]) == ("1 of 10", "8 of 10", "Fisher")


def test_the_words_of_outcomes_are_explained_where_the_table_has_outcomes(tmp_path: Path) -> None:
    write(tmp_path, "gpt", [0.0] * 4 + [1.0])
    write(tmp_path, "nextlat", [1.0] * 4 + [0.0])
    rows = {r.score: r for r in compare("gpt", "nextlat", [tmp_path])}
    assert "k of n" not in render([rows["decisions.accuracy"]], "table")
    assert "k of n: k of n seeds have this outcome, with Wilson's interval; their p value is that of Fisher" in render(
        [rows["decisions.solved"]], "table"
    )
    for path in tmp_path.glob("*-4.json"):
        path.unlink()
    (row,) = compare("gpt", "nextlat", [tmp_path], ["decisions.solved"])
    printed = render([row], "table")
    assert "0 of 4" in printed
    assert "k of n" in printed
    assert "Fisher" not in printed, "four seeds are too few for a test, so no p value is shown"


def test_five_seeds_cannot_separate_shares_that_are_near(tmp_path: Path) -> None:
    write(tmp_path, "gpt", [1.0, 1.0, 0.0, 0.0, 0.0])
    write(tmp_path, "nextlat", [1.0] * 5)
    (row,) = compare("gpt", "nextlat", [tmp_path], ["decisions.solved"])
    assert row.p == pytest.approx(1 / 6)  # 2 x 10 / 120 ways to place three failed runs among ten
    assert row.verdict == "no power (5 shared seeds cannot separate such shares)"


def test_runs_that_are_alike_are_the_same_and_still_count_in_the_correction(tmp_path: Path) -> None:
    solved, near = [1.0] * 5, [0.97, 0.96, 0.98, 0.99, 0.96]
    write(tmp_path, "gpt", solved, near)
    write(tmp_path, "nextlat", solved, [x + 0.01 + 0.001 * i for i, x in enumerate(near)])
    first, second = compare("gpt", "nextlat", [tmp_path])
    assert second.verdict == "the same in every seed"
    assert first.p is not None
    assert first.p_holm == pytest.approx(2 * first.p)


def test_scores_that_no_weight_changes_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "gpt", [0.0] * 4)
    write(tmp_path, "nextlat", [1.0] * 4)
    said: list[str] = []
    rows = compare("gpt", "nextlat", [tmp_path], ["decisions.chance", "decisions"], say=said.append)
    assert [r.score for r in rows] == ["decisions.accuracy"]
    assert said == ["decisions.chance is left out: it does not depend on the trained weights"]
    with pytest.raises(InputError, match="no score is left to compare"):
        compare("gpt", "nextlat", [tmp_path], ["decisions.chance"])


def test_the_words_say_what_could_have_been_seen(tmp_path: Path) -> None:
    a = [0.61, 0.58, 0.66, 0.63, 0.60]
    b = [0.64, 0.55, 0.68, 0.65, 0.57]
    write(tmp_path, "gpt", [0.0] * 5, a)
    write(tmp_path, "nextlat", [0.0] * 5, b)
    (row,) = compare("gpt", "nextlat", [tmp_path], ["decisions"])
    assert row.verdict == "not separable"
    assert row.detectable == pytest.approx(detectable([x - y for x, y in zip(a, b)], 0.05))
    assert row.words == f"not separable (no power below {row.detectable:.3f})"
    assert row.words in render([row], "markdown")


def test_differences_that_are_all_equal_are_compared_by_their_signs(tmp_path: Path) -> None:
    """A t test of equal differences has no valid p value. Five seeds then give no verdict, and ten give one."""
    for seeds, p, verdict in ((5, 0.0625, "not separable"), (10, 2**-9, "nextlat better")):
        near = [0.5 + 0.01 * i for i in range(seeds)]
        write(tmp_path, "gpt", [0.0] * seeds, near)
        write(tmp_path, "nextlat", [0.0] * seeds, [x + 0.25 for x in near])
        (row,) = compare("gpt", "nextlat", [tmp_path], ["decisions.accuracy"])
        assert (row.p, row.interval, row.detectable, row.words) == (p, None, None, verdict)
        assert "nextlat" in render([row], "csv")


def test_the_detectable_difference_is_called_as_often_as_stated() -> None:
    """Simulated: a true mean of this size, in the spread of the sample, is called in 80% of samples."""
    rng = np.random.default_rng(0)
    spread = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    for level in (0.05, 0.005):
        mean = detectable(list(spread), level)
        draws = rng.normal(mean, np.std(spread, ddof=1), (4000, 5))
        t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / 5**0.5)
        called = 2 * stats.t.sf(np.abs(t), 4) < level
        assert called.mean() == pytest.approx(POWER, abs=0.02)
    draw = rng.normal(0.3, 1, 5)
    assert paired_t(list(draw), [0.0] * 5).p == pytest.approx(stats.ttest_1samp(draw, 0).pvalue)


def test_fisher_is_scipys_and_shares_are_called_as_often_as_stated() -> None:
    for a, n, b, m in [(0, 5, 5, 5), (1, 10, 8, 10), (3, 7, 2, 9), (0, 3, 0, 3), (4, 4, 1, 6)]:
        assert fisher(a, n, b, m) == pytest.approx(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue)
        low, high = shares_interval(a, n, b, m)
        assert low <= a / n - b / m <= high
    assert shares_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)  # Newcombe 1998, Table II (a)
    found = detectable_share(0.1, 10, 0.05)
    assert found is not None
    rng = np.random.default_rng(1)
    for gap, enough in ((found, True), (found - 0.02, False)):
        pairs = np.stack([rng.binomial(10, 0.1, 8000), rng.binomial(10, 0.1 + gap, 8000)], axis=1)
        called = np.mean([fisher(int(x), 10, int(y), 10) < 0.05 for x, y in pairs])
        assert bool(called > POWER - 0.01) is enough
    assert detectable_share(0.0, 3, 0.05) is None

"""Comparison at matched loss over made-up traces, and how variants of one model are distinguished."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from sample_records import metric, result, trace
from scipy import stats

from worldbench.core.errors import InputError
from worldbench.records import reading
from worldbench.records.compare import compare
from worldbench.records.comparison import render
from worldbench.records.matched import at_matched_loss, crossing
from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace
from worldbench.records.scores import Scores
from worldbench.records.variant import Variant, distinct_labels

Curve = list[tuple[float, float | None]]
"""(excess loss, score of the metric `m`) at each checkpoint."""


def record(name: str, seed: int, **config: Any) -> Result:
    return result(name, seed, {}, **settings(config))


def settings(config: dict[str, Any]) -> dict[str, Any]:
    plain = {"data": {"documents": 0}, "train": {"steps": 8}}
    return {"world": {"world": "hmm"}, "config": plain | config}


def metrics_at(loss: float, score: float | None) -> Scores:
    return {"excess_loss": metric({"kl": loss}, direction="lower"), "m": metric({"x": score})}


def write(folder: Path, name: str, seed: int, curve: Curve, **config: Any) -> Path:
    """A run folder with a result (the last checkpoint's scores) and a trace, at steps 1, 2, 4, .."""
    run = folder / f"{name}-{seed}-{len(list(folder.glob('*')))}"
    run.mkdir()
    reading.write(run / "result.json", result(name, seed, metrics_at(*curve[-1]), **settings(config)))
    points = {2**i: metrics_at(*point) for i, point in enumerate(curve)}
    reading.write(run / "trace.json", trace(name, seed, points, **settings(config)))
    return run


def law(loss: float, rise: float = -0.1) -> float:
    """A score that is linear in the log of the loss."""
    return 0.5 + rise * math.log(loss)


A_LOSSES = [[1.0, 0.3, 0.08], [1.1, 0.28, 0.07], [0.9, 0.33, 0.075], [1.0, 0.31, 0.072], [1.05, 0.29, 0.078]]
B_LOSSES = [[1.0, 0.5, 0.2], [1.2, 0.45, 0.22], [1.0, 0.4, 0.21], [1.1, 0.48, 0.205], [1.05, 0.42, 0.215]]
LEVELS = (0.2, 0.22, 0.21, 0.205, 0.215)
"""The losses that both models reach: the last ones of B."""


def test_where_a_level_is_first_reached() -> None:
    assert crossing([1.0, 0.1], 0.1) == (1, 1.0)
    assert crossing([1.0, 0.01], 0.1) == (1, pytest.approx(0.5))
    assert crossing([1.0, 0.2, 0.6, 0.1, 0.3], 0.4) == (
        1,
        pytest.approx(math.log(2.5) / math.log(5)),
    )  # coming back up does not matter
    assert crossing([0.5, 0.2], 0.5) == (0, 1.0)
    assert crossing([0.4, 0.2], 0.5) is None
    assert crossing([0.4, 0.2], 0.1) is None
    assert crossing([math.inf, math.inf, 0.2], 0.4) == (2, 1.0)
    assert crossing([math.inf, math.inf], math.inf) is None


def test_models_on_one_curve_are_alike_at_matched_loss_only(tmp_path: Path) -> None:
    """B is behind in training, but knows as much at any loss: the plain comparison sees a difference, the matched one
    none."""
    for seed in range(5):
        write(tmp_path, "gpt", seed, [(x, law(x)) for x in A_LOSSES[seed]])
        write(tmp_path, "nextlat", seed, [(x, law(x)) for x in B_LOSSES[seed]])
    plain = {r.score: r for r in compare("gpt", "nextlat", [tmp_path])}
    assert plain["m.x"].verdict == "gpt better"
    (row,) = compare("gpt", "nextlat", [tmp_path], matched="excess_loss")
    assert row.levels == LEVELS
    assert row.difference == pytest.approx(0, abs=1e-12)
    assert row.mean_a == pytest.approx(sum(map(law, row.levels)) / 5)
    assert row.steps_b == (4,) * 5
    assert row.steps_a[0] == pytest.approx(2 + 2 * math.log(0.3 / 0.2) / math.log(0.3 / 0.08))
    assert (row.score, row.matched) == ("m.x", "excess_loss.kl")
    assert row.verdict in ("not separable", "the same in every seed")


def test_a_difference_at_matched_loss_is_scipys_test(tmp_path: Path) -> None:
    rises = [-0.2, -0.22, -0.19, -0.21, -0.2]
    for seed in range(5):
        write(tmp_path, "gpt", seed, [(x, law(x)) for x in A_LOSSES[seed]])
        write(tmp_path, "nextlat", seed, [(x, law(x, rises[seed])) for x in B_LOSSES[seed]])
    (row,) = compare("gpt", "nextlat", [tmp_path], matched="excess_loss.kl")
    theirs = stats.ttest_rel([law(x) for x in LEVELS], [law(x, r) for x, r in zip(LEVELS, rises)])
    assert row.p == pytest.approx(theirs.pvalue)
    assert row.verdict == "nextlat better"
    (turned,) = compare("nextlat", "gpt", [tmp_path], matched="excess_loss.kl")
    assert (turned.difference, turned.steps_a) == (pytest.approx(-(row.difference or 0)), row.steps_b)
    (equivalent,) = compare("gpt", "nextlat", [tmp_path], matched="excess_loss.kl", margin=1.0)
    assert equivalent.verdict == "nextlat better, but equivalent (margin 1)"


def test_what_is_printed(tmp_path: Path) -> None:
    for seed in range(2):
        write(tmp_path, "gpt", seed, [(x, law(x)) for x in A_LOSSES[seed]])
        write(tmp_path, "nextlat", seed, [(x, law(x)) for x in B_LOSSES[seed]], model={"horizon": 4})
    rows = compare("gpt", "nextlat[horizon=4]", [tmp_path], matched="excess_loss")
    message = (
        "stream: matched at the least excess_loss.kl that both reach: seed 0 0.2 (steps 3 and "
        "4), seed 1 0.22 (steps 2 and 4); mean 0.21"
    )
    for form in ("table", "markdown"):
        text = render(rows, form)
        assert text.endswith(message)
        assert "nextlat[horizon=4]" in text
    (row,) = csv.DictReader(io.StringIO(render(rows, "csv")))
    assert (row["matched"], row["levels"], row["steps_b"]) == ("excess_loss.kl", "0.2 0.22", "4.0 4.0")
    assert json.loads(render(rows, "json"))[0]["levels"] == [0.2, 0.22]


def test_a_seed_that_was_never_seen_at_the_level_is_missing(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, "gpt", seed, [(x, law(x)) for x in (A_LOSSES[seed] if seed else [0.15, 0.1])])
        write(tmp_path, "nextlat", seed, [(x, law(x)) for x in B_LOSSES[seed]])
    (row,) = compare("gpt", "nextlat", [tmp_path], matched="excess_loss")
    assert row.levels == (None, 0.22, 0.21)
    assert row.verdict == "missing: 2 of 3 shared seeds have it at the matched loss"
    assert "seed 0 not matched" in render([row], "table")


def test_infinite_losses_and_scores(tmp_path: Path) -> None:
    """A run whose loss is infinite at every checkpoint is not matched. An infinite score at one of the two checkpoints
    makes the score at the matched loss infinite, and both infinities together leave none."""
    inf = math.inf
    curves: list[Curve] = [[(inf, 0.1), (inf, 0.2)], [(1.0, inf), (0.1, 0.5)], [(1.0, inf), (0.1, -inf)]]
    for seed, curve in enumerate(curves):
        write(tmp_path, "gpt", seed, curve)
        write(tmp_path, "nextlat", seed, [(1.0, 0.1), (0.3, 0.2)])
    (row,) = compare("gpt", "nextlat", [tmp_path], matched="excess_loss")
    assert row.levels == (None, 0.3, 0.3)
    assert "seed 0 not matched (one of them is below the other's least loss" in render([row], "table")
    traces = [read(next(tmp_path.glob(f"gpt-{seed}-*")) / "trace.json", Trace) for seed in range(3)]
    other = read(next(tmp_path.glob("nextlat-0-*")) / "trace.json", Trace)
    found = [at_matched_loss({0: one}, {0: other}, "excess_loss.kl").ours[0].scores["m"].value("x") for one in traces]
    assert found == [None, inf, None]


def test_a_score_that_one_side_of_the_level_lacks_is_missing(tmp_path: Path) -> None:
    one = read(write(tmp_path, "gpt", 0, [(1.0, None), (0.1, 0.5)]) / "trace.json", Trace)
    for other, lost in (([(1.0, 0.1), (0.3, 0.2)], True), ([(1.0, 0.1), (0.1, 0.2)], False)):
        two = read(write(tmp_path, "nextlat", 0, other) / "trace.json", Trace)
        both = at_matched_loss({0: one}, {0: two}, "excess_loss.kl")
        assert (both.ours[0].scores["m"].value("x") is None) == lost
        assert both.theirs[0].scores["m"].value("x") == 0.2
    assert one.scores["m"].value("x") == 0.5  # the trace itself is as it was


def test_refusals(tmp_path: Path) -> None:
    runs = [
        write(tmp_path, model, seed, [(x, law(x)) for x in B_LOSSES[seed]])
        for model in ("gpt", "nextlat")
        for seed in range(2)
    ]
    for matched, said in (
        ("m", "matched on a loss"),
        ("excess_loss.k", "no score 'k'"),
        ("exces_loss", "did you mean 'excess_loss'"),
    ):
        with pytest.raises(InputError, match=said):
            compare("gpt", "nextlat", [tmp_path], matched=matched)
    assert compare("gpt", "nextlat", [r / "result.json" for r in runs], matched="excess_loss")[0].seeds == (0, 1)
    assert compare("gpt", "nextlat", [r / "trace.json" for r in runs], matched="excess_loss")[0].seeds == (0, 1)
    (runs[3] / "trace.json").unlink()
    first = f"first: worldbench trace {runs[3]}"
    with pytest.raises(InputError, match=rf"1 run has no trace to compare during training; {first}$"):
        compare("gpt", "nextlat", [tmp_path], matched="excess_loss")
    assert compare("gpt", "nextlat", [tmp_path])[0].seeds == (0, 1)
    write(tmp_path, "control", 0, [(1.0, 0.2)])
    with pytest.raises(InputError, match="no result of 'contrl'; did you mean 'control'"):
        compare("gpt", "contrl", [tmp_path], matched="excess_loss")


def test_a_wrong_name_is_refused_before_traces_are_asked_for(tmp_path: Path) -> None:
    """No run has a trace yet. A metric that a trace would measure is no wrong name."""
    for model in ("gpt", "nextlat"):
        (write(tmp_path, model, 0, [(0.5, 0.2)]) / "trace.json").unlink()
    for matched, said in (
        ("stepz", "'stepz' is neither a loss of the results nor steps, tokens or compute; did you mean 'steps'"),
        ("step", "did you mean 'steps'"),
        ("nonsense.kl", "there are compute, excess_loss, steps, tokens"),
        ("excess_loss.kll", "no score 'kll'; did you mean 'kl'"),
        ("m.x", "matched on a loss"),
    ):
        with pytest.raises(InputError, match=said):
            compare("gpt", "nextlat", [tmp_path], matched=matched)
    for column, said in (
        ("mm", "no result has the metric 'mm'; did you mean 'm'"),
        ("m.z", "the metric m has no score 'z'"),
    ):
        with pytest.raises(InputError, match=said):
            compare("gpt", "nextlat", [tmp_path], [column], matched="steps")
    with pytest.raises(InputError, match="2 runs have no trace"):
        compare("gpt", "nextlat", [tmp_path], ["m.x", "bits_per_byte"], matched="steps")
    for matched in ("steps", "excess_loss.kl", "bits_per_byte"):
        with pytest.raises(InputError, match="2 runs have no trace"):
            compare("gpt", "nextlat", [tmp_path], matched=matched)


def test_the_matched_score_is_left_out_with_its_reason(tmp_path: Path) -> None:
    for model in ("gpt", "nextlat"):
        write(tmp_path, model, 0, [(1.0, 0.1), (0.5, 0.2)])
    reason = r"\(excess_loss.kl: models are compared at equal excess_loss.kl\); name other scores with --columns"
    with pytest.raises(InputError, match=reason):
        compare("gpt", "nextlat", [tmp_path], ["excess_loss"], matched="excess_loss")
    said = list[str]()
    compare("gpt", "nextlat", [tmp_path], ["excess_loss", "m"], matched="excess_loss", say=said.append)
    assert said == ["excess_loss.kl is left out: models are compared at equal excess_loss.kl"]


# Variants


def test_variants_are_read() -> None:
    assert Variant.parse("nextlat").options == ()
    four = (("horizon", "4"), ("model.lambda_kl", ".1"))
    assert (
        Variant.parse("nextlat[horizon=4,model.lambda_kl=.1]").options
        == Variant.parse("nextlat horizon=4 model.lambda_kl=.1").options
        == four
    )
    assert Variant.parse(" nextlat[kinds=a,b, x=1]").options == (("kinds", "a,b"), ("x", "1"))
    assert Variant.parse("nextlat[horizon=4]").label == "nextlat[horizon=4]"
    for wrong in (
        "",
        "[horizon=4]",
        "nextlat[]",
        "nextlat[horizon]",
        "nextlat[horizon=4",
        "nextlat horizon",
        "nextlat[=4]",
    ):
        with pytest.raises(InputError, match="names no model"):
            Variant.parse(wrong)


def test_variants_are_picked_and_distinguished() -> None:
    settings = [{"horizon": h, "lambda_kl": kl, "steps": h} for h in (1, 4) for kl in (0.1, 1.0)]
    records = [record("nextlat", seed, model=options, train={"decay": True}) for options in settings for seed in (0, 1)]
    records += [record("gpt", 0)]
    assert len(Variant.parse("nextlat").of(records)) == 8
    assert len(Variant.parse("nextlat[horizon=4]").of(records)) == 4
    chosen = Variant.parse("nextlat[horizon=4,lambda_kl=1]").of(records)
    assert [(r.config["model"]["horizon"], r.config["model"]["lambda_kl"], r.seed) for r in chosen] == [
        (4, 1.0, 0),
        (4, 1.0, 1),
    ]
    assert len(Variant.parse("nextlat model.steps=4 decay=true").of(records)) == 4
    assert distinct_labels(records)[::2] == [
        f"nextlat[horizon={h},lambda_kl={kl},model.steps={h}]" for h in (1, 4) for kl in (0.1, 1)
    ] + ["gpt"]
    for label, mine in zip(distinct_labels(records), records):
        assert mine in Variant.parse(label).of(records)
    for text, said in (
        ("nextlat[horizn=4]", "did you mean 'horizon'"),
        ("nextlat[steps=4]", "can mean model.steps or train.steps; write its full name"),
    ):
        with pytest.raises(InputError, match=said):
            Variant.parse(text).of(records)
    assert Variant.parse("nextlat[horizon=4]").missing(records) is None
    assert "with model.horizon 1 and 4" in (Variant.parse("nextlat[horizon=7]").missing(records) or "")


def test_variants_are_compared(tmp_path: Path) -> None:
    for seed in range(5):
        for h in (1, 4):
            write(
                tmp_path,
                "nextlat",
                seed,
                [(x, law(x) + h / 10 + seed / 1000 * h) for x in B_LOSSES[seed]],
                model={"horizon": h},
            )
        write(tmp_path, "gpt", seed, [(x, law(x)) for x in A_LOSSES[seed]])
    for matched in (None, "excess_loss"):
        rows = {r.score: r for r in compare("nextlat[horizon=4]", "nextlat[horizon=1]", [tmp_path], matched=matched)}
        assert rows["m.x"].verdict == "nextlat[horizon=4] better"
        assert rows["m.x"].difference == pytest.approx(0.306)
    assert compare("gpt", "nextlat[horizon=4]", [tmp_path], ["m"], matched="excess_loss")[
        0
    ].difference == pytest.approx(-0.408)
    with pytest.raises(
        InputError, match=r"more than one setting .*nextlat\[horizon=1\], nextlat\[horizon=4\].*; name one"
    ):
        compare("gpt", "nextlat", [tmp_path])
    with pytest.raises(
        InputError, match=r"no result of 'nextlat\[horizon=2\]'; there is nextlat with model.horizon 1 and 4"
    ):
        compare("gpt", "nextlat[horizon=2]", [tmp_path])
    with pytest.raises(InputError, match="name the same runs"):
        compare("nextlat[horizon=4]", "nextlat model.horizon=4", [tmp_path])

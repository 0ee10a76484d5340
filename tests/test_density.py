"""The figure of scores against rides per pair, from records that are made up."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sample_records import metric, result

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.statistics import mean_interval
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.figures.density import SCORES, draw_density, points_of
from worldbench.records.reading import write
from worldbench.records.runs import Result
from worldbench.settings import shipped
from worldbench.settings.sweep import load_sweep
from worldbench.settings.sweep_jobs import jobs_of

PAIRS = 50


def scored(arrives: float | None, red: float) -> dict[str, Any]:
    return {
        "valid_trajectories": metric({"arrives_sampled": arrives}, floor="random-legal", ceiling="oracle"),
        "map_reconstruction": metric({"street_precision": 0.9, "implied_streets": red}, ceiling="oracle"),
    }


def of(model: str, seed: int | None, documents: int, arrives: float | None, red: float = 3.0, **more: Any) -> Result:
    """A result whose card counts the rides per pair; the stream (0 documents) trains on 5,000."""
    record = result(model, seed, scored(arrives, red), config={"data": {"documents": documents}}, **more)
    card = {"map": "a map", "rides_per_pair": (documents or 5000) / PAIRS}
    return msgspec.structs.replace(record, card=card)


def reference(model: str, arrives: float) -> Result:
    config = {group: values for group, values in result().config.items() if group in ("env", "eval")}
    record = result(model, None, scored(arrives, 0.0))
    return msgspec.structs.replace(record, training=None, config=config)


def study() -> list[Result]:
    """Two models at three densities, three seeds; the last density has new rides alone."""
    cells = [
        of(model, seed, documents, base + 0.1 * seed + documents / 10_000)
        for model, base in (("gpt", 0.1), ("nextlat", 0.2))
        for documents in (200, 1000, 0)
        for seed in (0, 1, 2)
    ]
    return [*cells, reference("oracle", 1.0), reference("random-legal", 0.185)]


def written(folder: Path, records: list[Result]) -> Path:
    for i, record in enumerate(records):
        (folder / str(i)).mkdir(parents=True)
        write(folder / str(i) / "result-e.json", record)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as lines:
        return list(csv.DictReader(lines))


def test_points_are_means_over_seeds_and_lines_are_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, out = written(tmp_path / "runs", study()), tmp_path / "figure"
    assert main(["figures", str(runs), "--density", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / f"density.{kind}") for kind in ("png", "svg", "csv")]
    rows = rows_of(out / "density.csv")
    assert {r["score"] for r in rows} == {"valid_trajectories.arrives_sampled", "map_reconstruction.implied_streets"}
    arrives = [r for r in rows if r["score"].startswith("valid")]
    points = {(r["model"], float(r["rides_per_pair"])): r for r in arrives if r["seeds"]}
    assert set(points) == {(m, d) for m in ("gpt", "nextlat") for d in (4.0, 20.0, 100.0)}
    expected = mean_interval([0.1 + 0.02, 0.2 + 0.02, 0.3 + 0.02])
    point = points["gpt", 4.0]
    assert expected.interval is not None
    assert (float(point["mean"]), float(point["low"]), float(point["high"])) == pytest.approx(
        (expected.value, *expected.interval)
    )
    assert (point["kind"], point["documents"], point["seeds"]) == ("fixed documents", "200", "3")
    assert (points["gpt", 100.0]["kind"], points["gpt", 100.0]["documents"]) == ("new documents", "")
    assert {(r["model"], r["kind"], float(r["mean"])) for r in arrives if not r["seeds"]} == {
        ("oracle", "ceiling", 1.0),
        ("random-legal", "floor", 0.185),
    }


def test_settings_other_than_the_documents_make_lines_of_their_own() -> None:
    wide = [of("gpt", 0, n, 0.5, evaluation="e") for n in (200, 1000)]
    narrow = [msgspec.structs.replace(r, config={**r.config, "model": {"layers": 9}}) for r in wide]
    points = points_of([*wide, *narrow])
    assert {p.label for p in points} == {"gpt[layers=2]", "gpt[layers=9]"}
    assert [p.density for p in points] == [4.0, 20.0, 4.0, 20.0]


def test_the_rule_that_chooses_weights_makes_no_line_of_its_own() -> None:
    """Where documents repeat themselves the weights of least loss are scored, else the last ones: one curve. Two rules
    at one density are two curves."""
    records = [of("gpt", 0, n, 0.5) for n in (200, 1000, 0)]
    ruled = [with_rule(r, "least_loss") if r.number("data", "documents") else r for r in records]
    assert {p.label for p in points_of(ruled)} == {p.label for p in points_of(records)} == {"gpt"}
    both = points_of([*records[:2], *ruled])
    assert len({p.label for p in both}) > 1


def with_rule(record: Result, rule: str) -> Result:
    train = {**record.config.get("train", {}), "scored_step": rule}
    return msgspec.structs.replace(record, config={**record.config, "train": train})


def test_a_point_without_a_value_in_one_seed_is_left_out_and_infinite_ones_are_marked(tmp_path: Path) -> None:
    records = [of("gpt", seed, n, v) for seed in (0, 1) for n, v in ((200, None if seed else 0.5), (1000, 0.5))]
    records += [of("gpt", seed, 2000, 0.5, red=float("inf")) for seed in (0, 1)]
    draw_density([written(tmp_path / "runs", records)], tmp_path)
    means = {(r["score"].partition(".")[0], r["rides_per_pair"]): r["mean"] for r in rows_of(tmp_path / "density.csv")}
    assert means["valid_trajectories", "4.0"] == ""
    assert means["valid_trajectories", "20.0"] == "0.5"
    assert means["map_reconstruction", "40.0"] == "inf"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([reference("oracle", 1.0)], "no result was trained in a world whose card has rides_per_pair"),
        ([of("gpt", 0, 200, 0.1), of("gpt", 1, 200, 0.1, world={"min_moves": 6})], "the results are of 2 worlds"),
        ([of("gpt", 0, 200, 0.1), of("gpt", 1, 200, 0.1, evaluation="f")], "the results are of 2 evaluations"),
        (
            [of(m, 0, 200, 0.1) for m in ("gpt", "bst")],
            "all results have one density, 4 rides per pair; name",
        ),
        ([of("gpt", 0, 200, 0.1), of("gpt", 0, 200, 0.2)], "gpt: a seed comes more than once at 4 rides per pair"),
        (
            [msgspec.structs.replace(of("gpt", 0, n, 0.1), scores={"m": metric({"x": 1.0})}) for n in (200, 400)],
            "no result has a score that is drawn; score the runs with --eval.metrics valid_trajectories split_merge",
        ),
    ],
)
def test_what_cannot_be_drawn_together_is_refused(records: list[Result], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        draw_density([written(tmp_path / "runs", records)], tmp_path)


def test_the_sweep_covers_4_and_16_rides_per_pair_and_new_rides() -> None:
    jobs = [each.job for each in jobs_of(load_sweep(shipped.find(Path("density"), "sweep")))]
    env, _ = TaxiWorld.settle(jobs[0].groups["env"])
    pairs = TaxiWorld(env).graph().n_places ** 2
    densities = {job.value("data.documents") / pairs for job in jobs}
    assert densities == {0, 4, 16}  # 0: every ride is new
    assert {job.model for job in jobs} == {"gpt", "nextlat"}
    assert {score.partition(".")[0] for score in SCORES} <= set(jobs[0].value("eval.metrics"))


@pytest.mark.pictures
@pytest.mark.slow
def test_the_picture(tmp_path: Path) -> None:
    paths = draw_density([written(tmp_path / "runs", study())], tmp_path)
    assert paths[0].read_bytes().startswith(b"\x89PNG")

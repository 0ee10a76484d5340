"""The figure of speculative decoding: its numbers are those of the records, and times of two machines never meet."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_records
from matplotlib.collections import LineCollection
from sample_decodings import arm, record

from worldbench.core.errors import InputError
from worldbench.figures.paper import plates_of
from worldbench.figures.paper.draw import draw_paper
from worldbench.figures.paper.groups import gather
from worldbench.figures.paper.plate import Plate
from worldbench.figures.style import paper_style
from worldbench.records.decoding import Decoding
from worldbench.records.decoding_lines import Way, short_words
from worldbench.records.reading import read, write

T_OF_TWO_DEGREES = 4.302652729911275
"""The .975 quantile of Student's t with two degrees of freedom, from a table."""


def drawn(*folders: Path) -> tuple[list[Plate], list[str]]:
    """The pictures, and what is said of the rest."""
    material = gather(list(folders))
    found = plates_of("decoding")(material)
    said = [line for line in found if isinstance(line, str)]
    return [plate for plate in found if isinstance(plate, Plate)], [*said, *material.left_out]


def rows_of(plate: Plate, panel: str) -> list[dict[str, Any]]:
    return [row for values in plate.rows if (row := dict(zip(plate.columns, values)))["panel"] == panel]


def test_the_file_holds_the_numbers_of_the_records(tmp_path: Path) -> None:
    """A record of any name below the folder, without results; the adaptive arm and repeats count once."""
    arms = [
        arm(1, 1.5, [1.2, 1.1, 1.4]), arm(4, 2.5, [1.5, 1.3, 1.6]),
        arm(4, 2.4, [9.0, 9.0, 9.0], 0.1, tested=[9] * 4, accepted=[9] * 4),
    ]  # fmt: skip
    record(tmp_path / "runs" / "deep" / "decode-mine.json", arms)
    paths = list(draw_paper([tmp_path / "runs"], tmp_path / "out", names=["decoding"], widths=["1col"]))
    stem = "decoding-taxi-01234567-quick-scarce"
    pictures = [f"{stem}-1col.{kind}" for kind in ("pdf", "svg", "png")]
    assert [path.name for path in paths] == [*pictures, f"{stem}.csv", "captions.md"]
    with (tmp_path / "out" / f"{stem}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    way = "greedy, batch 1, 8 prompts, at most 9 tokens, prompts of seed 0"
    assert {(row["model"], row["way"], row["seeds"]) for row in rows} == {("nextlat", way, "1")}
    points = [row for row in rows if row["panel"] == "speed-up"]
    names = ("drafts", "tokens_per_round", "tokens_low", "speed_up", "speed_up_low", "speed_up_high", "bar")
    assert [tuple(row[name] for name in names) for row in points] == [
        ("1", "1.5", "", "1.2", "1.1", "1.4", "range over repeats"),
        ("4", "2.5", "", "1.5", "1.3", "1.6", "range over repeats"),
    ]
    shares = [row for row in rows if row["panel"] == "accepted"]
    assert [(row["drafts"], row["accepted"], row["tested"], row["distinct"]) for row in shares] == [
        ("1", "200", "300", "100"), ("2", "100", "150", "50"), ("3", "66", "100", "33"), ("4", "50", "75", "25"),
    ]  # fmt: skip
    assert [float(row["accepted_share"]) for row in shares] == [200 / 300, 100 / 150, 0.66, 50 / 75]
    caption = (tmp_path / "out" / "captions.md").read_text(encoding="utf-8")
    assert "Measured on some, 1 thread; times of different machines are never in one panel." in caption


def test_seeds_give_means_with_t_intervals_of_both_coordinates(tmp_path: Path) -> None:
    tokens, speeds, accepted = [1.5, 1.7, 1.9], [1.2, 1.3, 1.7], [150, 240, 270]
    for seed in range(3):
        arms = [arm(1, tokens[seed], [speeds[seed]] * 3, accepted=[accepted[seed]])]
        arms += [arm(2, 3.0, [2.0])] if seed else []
        record(tmp_path / f"s{seed}" / "decode.json", arms, seed=seed)
    (plate,), said = drawn(tmp_path)
    (point,), (share,) = rows_of(plate, "speed-up"), rows_of(plate, "accepted")
    for name, low, high, values in (
        ("tokens_per_round", "tokens_low", "tokens_high", tokens),
        ("speed_up", "speed_up_low", "speed_up_high", speeds),
    ):
        half = T_OF_TWO_DEGREES * statistics.stdev(values) / 3**0.5
        assert point[name] == pytest.approx(statistics.mean(values))
        assert (point[low], point[high]) == pytest.approx((point[name] - half, point[name] + half))
    assert (point["drafts"], point["seeds"], point["bar"]) == (1, 3, "t interval over seeds")
    # The share comes from the longest arm of each seed: 150 of 300, then twice 200 of 300.
    assert share["accepted_share"] == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)
    way = "greedy, batch 1, 8 prompts, at most 9 tokens, prompts of seed 0"
    group = "taxi 01234567 quick scarce"
    assert said == [f"decoding: {group}: nextlat, {way}: 2 drafts per round left out, because a seed lacks them"]
    assert "mean and 95% t interval over 3 training seeds" in plate.caption


def test_ways_models_and_settings_have_lines_of_their_own(tmp_path: Path) -> None:
    arms = [arm(1, 1.5, [1.2])]
    ways_of: list[dict[str, Any]] = [{}, {"choice": "sampled"}, {"batch": 8}, {"prompts": 64}]
    for name, asked in zip("abcd", ways_of):
        record(tmp_path / name / "decode.json", arms, **asked)
    record(tmp_path / "e" / "decode.json", arms, "mtp", steps=4000)
    (plate,), said = drawn(tmp_path)
    assert said == []
    ways = ["greedy, batch 1, 8", "greedy, batch 1, 64", "greedy, batch 8, 8", "sampled, batch 1, 8"]
    rest = "prompts, at most 9 tokens, prompts of seed 0"
    models = [(row["model"], row["way"]) for row in rows_of(plate, "speed-up")]
    assert sorted(models) == sorted([("mtp", f"{ways[0]} {rest}"), *(("nextlat", f"{way} {rest}") for way in ways)])
    assert "The trainings differ in length: nextlat for 10 steps; mtp for 4,000 steps." in plate.caption
    two = [Way("greedy", 1, 8, 9, 0), Way("greedy", 1, 64, 9, 0), Way("greedy", 8, 8, 9, 0), Way("sampled", 1, 8, 9, 0)]
    assert list(short_words(two).values()) == ["greedy, 8 prompts", "greedy, 64 prompts", "greedy, batch 8", "sampled"]


@pytest.mark.parametrize("other", [{"processor": "another"}, {"threads": 2}])
def test_two_machines_make_two_pictures(tmp_path: Path, other: dict[str, Any]) -> None:
    record(tmp_path / "a" / "decode.json", [arm(1, 1.5, [1.2])], seed=0)
    record(tmp_path / "b" / "decode.json", [arm(1, 1.5, [2.2])], seed=1, **other)
    found, said = drawn(tmp_path)
    assert said == []
    assert len({plate.name for plate in found}) == 2
    speeds = {plate.caption.partition("Measured on ")[2][:7]: rows_of(plate, "speed-up") for plate in found}
    assert sorted([row["speed_up"] for row in rows] for rows in speeds.values()) == [[1.2], [2.2]]
    assert len(speeds) == 2


def test_what_is_not_drawn_is_named(tmp_path: Path) -> None:
    first = record(tmp_path / "a" / "decode.json", [arm(1, 1.5, [1.2]), arm(2, 2.0, [1.3])])
    again = record(tmp_path / "b" / "decode.json", [arm(2, 2.1, [9.0]), arm(4, 2.5, [1.4])])
    adaptive = record(tmp_path / "c" / "decode.json", [arm(2, 2.1, [9.0], 0.5)])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "decode.json").write_text("{}", encoding="utf-8")
    (plate,), said = drawn(tmp_path)
    assert [(row["drafts"], row["speed_up"]) for row in rows_of(plate, "speed-up")] == [(1, 1.2), (2, 1.3), (4, 1.4)]
    assert said[0].startswith(f"left out: '{tmp_path / 'd' / 'decode.json'}' is not a")
    assert said[1:] == [
        f"left out: 2 drafts per round of '{again}', because '{first}' measures them too",
        f"left out: '{adaptive}' has no arm with a fixed number of drafts per round",
    ]
    none = drawn(adaptive)[1]
    assert none[0].startswith("decoding: not drawn, because no record of worldbench decode can be drawn; worldbench")


def test_records_without_decoding_and_of_tuning_seeds_are_refused(tmp_path: Path) -> None:
    write(path := tmp_path / "result-0123456789.json", sample_records.result())
    line = "decoding: not drawn, because there is no decode record; worldbench decode RUN makes one"
    assert drawn(path) == ([], [line])
    with pytest.raises(InputError, match=rf"no figure can be drawn .*{line}"):
        list(draw_paper([path], tmp_path / "out", names=["decoding"]))
    made = record(tmp_path / "decode.json", [arm(1, 1.5, [1.2])], seed=1_000_000)
    with pytest.raises(InputError, match="is one of tuning's"):
        drawn(made)


def test_the_published_records_are_drawn() -> None:
    """Every record of results/decoding is in a picture, with its best number of drafts."""
    folder = Path(__file__).parents[1] / "results" / "decoding"
    found, said = drawn(folder)
    assert said == []
    rows = [row for plate in found for row in rows_of(plate, "speed-up")]
    for path in folder.glob("*.json"):
        made = read(path, Decoding)
        best = {mine.length: mine.speed_up.median for mine in made.arms if not mine.threshold}[made.best.length]
        who = made.model.name, Way.of(made).whole, made.best.length
        assert best in [row["speed_up"] for row in rows if (row["model"], row["way"], row["drafts"]) == who], path


def test_the_picture_shows_the_points_and_the_line_of_free_drafts(tmp_path: Path) -> None:
    """An infinite speed-up is a mark at the edge. A panel without enough drafts says so."""
    arms = [arm(1, 1.5, [float("inf")]), arm(2, 2.5, [1.5, 1.7, 2.0], tested=[30, 20], accepted=[20, 10])]
    record(tmp_path / "decode.json", arms)
    (plate,), _ = drawn(tmp_path)
    with paper_style():
        speed, shares, *_ = plate.draw(6.75).axes
    lines = {line.get_label(): line for line in speed.get_lines() if len(np.asarray(line.get_xdata()))}
    across, up = np.array(lines["free drafts"].get_data())
    assert (across == up).all()
    drawn_at = [tuple(map(float, xy)) for line in speed.get_lines() for xy in np.column_stack(line.get_data())]
    assert (2.5, 1.7) in drawn_at
    assert (1.5, 1.0) in drawn_at, "the mark of the infinite speed-up, at the upper edge"
    bars = [tuple(segment[:, 1]) for bar in speed.findobj(LineCollection) for segment in bar.get_segments()]
    assert (1.5, 2.0) in bars, "the range over repeats"
    assert [text.get_text() for text in speed.texts] == ["2"]
    assert [text.get_text() for text in shares.texts] == ["fewer than 30 drafts\nat each position"]

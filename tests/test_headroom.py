"""`worldbench headroom`: which models lie clearly between floor and ceiling."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sample_records import metric, result

from worldbench.cli.main import main
from worldbench.core.statistics import mean_interval
from worldbench.records.board_building import board_of
from worldbench.records.headroom import Room, rooms
from worldbench.records.reading import write

SCORE, LOSS = "detours.arrives_p0.5", "excess_loss.kl"
HIGHER = {
    "gpt": [0.5, 0.6, 0.7],  # clear
    "nextlat": [0.97, 1.0, 0.98],  # at the ceiling: the interval reaches it
    "bst": [0.1, 0.2, 0.11],  # at the floor
    "mtp": [0.2, 0.9, 0.5],  # the interval reaches both
    "jtp": [0.6],  # one seed
}


def scored(name: str, seed: int | None, values: dict[str, float]) -> Any:
    """A result with detours, which have a floor and a ceiling, and with excess loss, which has a ceiling only."""
    ends = {"floor": "random-legal", "ceiling": "oracle"}
    scores = {"detours": metric({"arrives_p0.5": values[SCORE]}, **ends)}
    scores["excess_loss"] = metric({"kl": values[LOSS]}, direction="lower", ceiling="oracle")
    return result(name, seed, scores)


def sources(without: str = "") -> list[tuple[Path, Any]]:
    """Results of five models and of two references. without: a reference that has none."""
    ends = {"random-legal": {SCORE: 0.12, LOSS: 0.1}, "oracle": {SCORE: 1.0, LOSS: 0.0}}
    found = [scored(name, None, values) for name, values in ends.items() if name != without]
    for name, values in HIGHER.items():
        found += [scored(name, seed, {SCORE: v, LOSS: (1 - v) / 10}) for seed, v in enumerate(values)]
    return [(Path(f"{record.model.name}-{record.seed}/result.json"), record) for record in found]


def by_score(without: str = "") -> tuple[dict[str, Room], dict[str, str]]:
    ((_, found, left_out),) = rooms(board_of(sources(without)))
    return {room.column.name: room for room in found}, left_out


def test_every_model_has_its_place() -> None:
    found, left_out = by_score()
    assert not left_out
    room = found[SCORE]
    assert {s.row.label: s.place for s in room.models} == {
        "gpt": "clear", "nextlat": "ceiling", "bst": "floor", "mtp": "both", "jtp": "unknown",
    }  # fmt: skip
    for standing in room.models:
        mean = mean_interval(HIGHER[standing.row.label])
        assert standing.share == pytest.approx((mean.value - 0.12) / 0.88)
    assert room.floor is not None
    assert (room.floor.model, room.floor.value) == ("random-legal", 0.12)


def test_a_score_with_one_end_alone() -> None:
    """Lower is better, and the oracle has 0: the same models are at the ceiling, and none can be at the floor."""
    room = by_score()[0][LOSS]
    assert room.floor is None
    assert {s.row.label: s.place for s in room.models} == {
        "gpt": "clear", "nextlat": "ceiling", "bst": "clear", "mtp": "ceiling", "jtp": "unknown",
    }  # fmt: skip
    assert all(s.share is None for s in room.models)


def test_what_has_no_end_is_named() -> None:
    found, left_out = by_score(without="oracle")
    assert set(found) == {SCORE}
    assert found[SCORE].ceiling is None
    assert left_out == {LOSS: "there is no finite score of a floor or of a ceiling"}


def test_it_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, record in sources():
        (tmp_path / path).parent.mkdir()
        write(tmp_path / path, record)
    assert main(["headroom", str(tmp_path), "--format", "markdown"]) == 0
    printed = capsys.readouterr().out
    wanted = "| 0.120 random-legal | 1.000 oracle | 0.137 (2%) bst | 0.983 (98%) nextlat | 1 of 5 | mtp, nextlat |"
    assert f"| {SCORE} {wanted} bst, mtp | jtp |" in printed
    assert main(["headroom", str(tmp_path), "--columns", LOSS]) == 0
    printed = capsys.readouterr().out
    assert SCORE not in printed
    assert "share (%)" not in printed, "no share is in the table, because the loss has no floor"
    assert "unknown: fewer than two seeds" in printed
    assert main(["headroom", str(tmp_path), "--columns", SCORE]) == 0
    assert "share (%): where the mean lies" in capsys.readouterr().out
    for path in tmp_path.glob("jtp-*/result.json"):
        path.unlink()
    assert main(["headroom", str(tmp_path)]) == 0
    assert "clear: models whose" in (printed := capsys.readouterr().out)
    assert "unknown: " not in printed
    for path, record in sources():
        write(tmp_path / path, record)
    assert main(["headroom", str(tmp_path), "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main(["headroom", str(tmp_path), "--format", "json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert len(lines) == len(models) == 2 * len(HIGHER)
    for line, other in zip(lines, models):
        assert {k: str(v) for k, v in other.items()} == line
    (gpt,) = [line for line in lines if (line["model"], line["score"]) == ("gpt", SCORE)]
    assert (gpt["place"], gpt["floor"], gpt["ceiling"], gpt["seeds"]) == ("clear", "0.12", "1.0", "3")
    assert (float(gpt["low"]), float(gpt["high"])) == pytest.approx(mean_interval(HIGHER["gpt"]).interval)


def test_references_alone_have_no_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "result.json", sources()[0][1])
    assert main(["headroom", str(tmp_path)]) == 0
    assert "no trained model is among these results" in capsys.readouterr().out
    assert main(["headroom", str(tmp_path / "nowhere")]) == 2


def test_the_floor_without_a_reference_is_the_untrained_network() -> None:
    """Its mean over the seeds."""
    found = []
    for name, values in {"gpt": [0.5, 0.52, 0.51], "bst": [0.31, 0.29, 0.3]}.items():
        for seed, value in enumerate(values):
            probed = metric({"r2": value, "r2_untrained": 0.3 + seed / 100})
            found.append((Path(f"{name}-{seed}/result.json"), result(name, seed, {"belief_probe": probed})))
    ((_, (room,), _),) = rooms(board_of(found))
    assert room.floor is not None
    assert (room.floor.model, room.floor.value) == ("untrained", pytest.approx(0.31))
    assert {s.row.label: s.place for s in room.models} == {"gpt": "clear", "bst": "floor"}

"""The board of `worldbench decode`: means over training seeds of what the records hold; times of two machines never
meet, and nothing is taken silently."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_records
from msgspec.structs import replace
from sample_decodings import arm, record

from worldbench.cli.main import main
from worldbench.records.reading import write

T_OF_ONE_DEGREE = 12.706204736432095
"""The .975 quantile of Student's t with one degree of freedom, from a table."""


def table(capsys: pytest.CaptureFixture[str], *folders: Path) -> tuple[list[dict[str, str]], str]:
    """The rows of the board, and what is said beside them."""
    capsys.readouterr()
    assert main(["decode", "--board", *map(str, folders), "--format", "markdown"]) == 0
    out, err = capsys.readouterr()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line.startswith("|")]
    head = lines[0]
    rows = [dict(zip(head, line)) for line in lines if line != head and set("".join(line)) != {"-"}]
    return rows, out + err


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["decode", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
    return err


def test_rows_are_means_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, (tokens, speed, accepted) in enumerate([(2.0, 1.5, 1.0), (2.4, 1.9, 1.4)]):
        mine = replace(arm(2, tokens, [speed]), accepted_per_round=accepted, drafted_per_round=2.0)
        record(tmp_path / f"s{seed}" / "decode.json", [mine], seed=seed)
    (row,), said = table(capsys, tmp_path)
    assert (row["model"], row["drafts"], row["seeds"]) == ("nextlat", "2", "2")
    half = T_OF_ONE_DEGREE * 0.2  # two values that differ by .4: the standard error of their mean is .2
    assert row["tokens per round"] == f"2.20 ±{half:.2f}"
    assert row["speed-up"] == f"1.70 ±{half:.2f}"
    assert row["accepted"] == f"0.600 ±{half / 2:.3f}"
    assert "95% t interval over training seeds" in said
    assert "for a single seed" not in said


def test_one_seed_shows_its_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "decode.json", [arm(1, 1.5, [1.1, 1.3, 1.2]), arm(4, 2.5, [1.4]), arm(8, 3.0, [9.0], 0.5)])
    rows, said = table(capsys, tmp_path)
    assert [(row["drafts"], row["speed-up"]) for row in rows] == [
        ("1", "1.20 (1.10 .. 1.30)"),
        ("4", "1.40 (1.40 .. 1.40)"),
    ]
    assert "for a single seed: the range over repeats" in said
    assert "t interval" not in said


def test_nothing_is_drafted_where_a_round_is_the_last_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = replace(arm(1, 1.0, [1.0]), accepted_per_round=0.0, drafted_per_round=0.0)
    record(tmp_path / "decode.json", [mine])
    (row,), _ = table(capsys, tmp_path)
    assert row["accepted"] == "0.000"


def test_machines_have_their_own_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "a" / "decode.json", [arm(2, 2.0, [1.5])], processor="first kind")
    record(tmp_path / "b" / "decode.json", [arm(2, 2.0, [1.9])], processor="second kind")
    rows, said = table(capsys, tmp_path)
    assert [row["seeds"] for row in rows] == ["1", "1"]
    assert "first kind" in said
    assert "second kind" in said


def test_a_number_of_drafts_that_a_seed_lacks_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "a" / "decode.json", [arm(2, 2.0, [1.5]), arm(4, 3.0, [1.6])])
    record(tmp_path / "b" / "decode.json", [arm(2, 2.0, [1.9])], seed=1)
    rows, said = table(capsys, tmp_path)
    assert [row["drafts"] for row in rows] == ["2"]
    assert "4 drafts per round left out, because a seed lacks them" in said


def test_the_board_goes_with_folders_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "decode.json", [arm(2, 2.0, [1.5])])
    board = ["--board", str(tmp_path)]
    assert "leave --repeats out" in refused(capsys, *board, "--repeats", "3")
    assert "leave --greedy out" in refused(capsys, *board, "--greedy")
    assert "leave run out" in refused(capsys, "run", *board)
    assert "--format belongs to --board" in refused(capsys, "run", "--format", "markdown")
    assert main(["decode", *board, "--quiet"]) == 0


def test_a_folder_without_measurements_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no result or decode file below" in refused(capsys, "--board", str(tmp_path))
    write(tmp_path / "result.json", sample_records.result())
    assert "worldbench decode RUN makes one" in refused(capsys, "--board", str(tmp_path))


def test_seeds_of_tuning_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "decode.json", [arm(2, 2.0, [1.5])], seed=1_000_000)
    assert "is one of tuning's" in refused(capsys, "--board", str(tmp_path))

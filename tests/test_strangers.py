"""Results in a folder that a board cannot show: each is one sentence, the others stay; a file that was named is an
error."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sample_records import metric, result

from worldbench.core.errors import InputError
from worldbench.records.board_building import build
from worldbench.records.reading import write
from worldbench.records.runs import Result
from worldbench.records.strangers import LONGEST_TEXT, MOST_METRICS

KL = {"m": metric({"x": 0.5})}
OTHER = {"m": metric({"x": 0.75})}
BAD: dict[str, tuple[Result, str]] = {
    "many": (result(seed=3, scores={f"m{i}": KL["m"] for i in range(MOST_METRICS + 1)}), "it has 202 metrics"),
    "long": (
        msgspec.structs.replace(result(seed=3, scores=KL), command="x" * (LONGEST_TEXT + 1)),
        "its command is longer than 20,000",
    ),
    "tuning": (result(seed=1_000_000, scores=KL), "its results are never reported"),
    "same": (result(seed=0, scores=KL), "comes more than once: .*result-0.json' has the same scores"),
    "other": (result(seed=0, scores=OTHER), "comes more than once: .*result-0.json' has other scores"),
    "no seed": (result(seed=None, scores=KL), "has no seed, unlike .*result-0.json"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_result_is_one_sentence(name: str, tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / f"result-{seed}.json", result(seed=seed, scores=KL))
    bad, words = BAD[name]
    write(tmp_path / "result-bad.json", bad)
    board = build([tmp_path])
    (row,) = board
    assert (row.seeds, row.cells["m.x"].value) == ((0, 1), 0.5)
    (line,) = board.left_out
    assert line.startswith(f"left out: {str(tmp_path / 'result-bad.json')!r}")
    with pytest.raises(InputError, match=words):
        build([tmp_path / "result-0.json", tmp_path / "result-bad.json"])


def test_a_reference_that_was_scored_twice_is_one_row(tmp_path: Path) -> None:
    for number, scores in enumerate((KL, KL, OTHER)):
        write(tmp_path / f"result-{number}.json", result("oracle", None, scores))
    board = build([tmp_path])
    (row,) = board
    assert row.cells["m.x"].value == 0.5
    (line,) = board.left_out
    assert "result-2.json' has other scores than" in line

"""Processes, mazes and small tables that once failed: read, or refused in one sentence, in little time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import tiny_runs
from fuzz_readers import walk
from isolation import in_worker
from shared_cases import each

from worldbench.core.errors import InputError
from worldbench.envs.maze.text_format import read

PROCESSES = {
    "hmm/counts.json": "divide the weights of each state by their sum", "hmm/dupwords.json": "two tokens of one name, 'a'",
    "hmm/fewwords.json": "3 matrices and 2 words", "hmm/gen_reducible.json": "give phi", "hmm/gen_reducible_start.json": "give phi",
    "hmm/nan.json": "transition[0][0][0] is nan", "hmm/negative.json": "negative probability", "hmm/none.json": "is null",
    "hmm/start0.json": "is no belief", "hmm/start2d.json": "start[0] is a list", "hmm/strings.json": "is text",
    "hmm/transposed2.json": "are transposed", "hmm/words.json": "'a b' cannot name a token", "hmm/zerorow.json": "sum to 0 and not to 1",
    "hmm/zerorow_start.json": "sum to 0 and not to 1", "hmm-give-phi/mine.json": "give phi", "hmm-transposed/mine.json": "are transposed",
}  # fmt: skip
"""Those that are refused, and what is said. All others are processes."""
METRICS = ("next_token", "excess_loss", "split_merge")
MAZES = {
    "csv.txt": "line 1", "empty.txt": "no mazes", "endash.txt": "did you mean '<-->'?", "json.txt": "line 1", "latin.txt": "UTF-8",
    "nopath.txt": "line 1", "twice.txt": "joined twice",
}  # fmt: skip
"""Files that are refused, and what is said."""
COUNTS = {"crlf.txt": 3, "dup.txt": 5}
"""Mazes of a file that has several."""


@each("hmm/*.json", "hmm-*/*.json", "bom/process.json")
def test_processes(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.draw_nothing(monkeypatch)
    started = time.process_time()
    few = ["--eval.documents", "20", "--eval.trials", "20", "--env.length", "10", "--eval.metrics", *METRICS]
    code, said = tiny_runs.call("run", "hmm", "--model", "oracle", "--env.process", case, *few, "--out", tmp_path)
    words = PROCESSES.get(f"{case.parent.name}/{case.name}")
    if words is None:
        assert code == 0, said
        assert list(tmp_path.glob("hmm-oracle-*/result-*.json"))
    else:
        assert code == 2
        (line,) = said.splitlines()
        assert str(case) in line
        assert words in line
    assert time.process_time() - started < 10


@each("maze/*.txt", "maze-split-cells/*", "bom/maze.txt")
def test_mazes(case: Path) -> None:
    words = MAZES.get(case.name)
    if words is None:
        assert len(read(case, 2, 2)) == COUNTS.get(case.name, 1)
        return
    with pytest.raises(InputError) as caught:
        read(case, 2, 2)
    assert case.name in str(caught.value)
    assert words in str(caught.value)


@each("run-files/table-*")
def test_tables_on_which_nothing_can_be_held_out(case: Path) -> None:
    def said() -> None:
        with pytest.raises(InputError, match=r"no pair .* is held out .* set env\.held_out_share to"):
            walk(case)

    report = in_worker(lambda probe: probe(case.name, said))
    assert not report.faults, report.told()

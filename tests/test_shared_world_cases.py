"""Every process, maze and table that once failed, where the cases lie beside the checkout: read, or refused in one
sentence, in little time and memory."""

from __future__ import annotations

import signal
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from shared_cases import CASES
from some_cases import others_slow

from worldbench.core.errors import InputError
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld

PROCESSES = sorted((*CASES.glob("hmm/*.json"), *CASES.glob("hmm-*/*.json"), *CASES.glob("bom/process.json")))
MAZES = sorted((*CASES.glob("maze/*.txt"), *CASES.glob("maze-*/*.txt"), *CASES.glob("bom/maze.txt")))
TABLES = sorted((*CASES.glob("run-files/table-*HANG*"), *CASES.glob("run-files/table-*slow*")))
NO_PROCESS = {
    "hmm/counts.json": r"state 0 .* sum to 102 and not to 1; divide",
    "hmm/dupwords.json": "two tokens with the name 'a'",
    "hmm/fewwords.json": "3 matrices and 2 words;",
    "hmm/gen_reducible.json": "give phi, one number per state",
    "hmm/gen_reducible_start.json": "give phi, one number per state",
    "hmm/nan.json": r"transition\[0\]\[0\]\[0\] is nan",
    "hmm/negative.json": "negative probability, -0.333",
    "hmm/none.json": r"transition\[0\]\[0\]\[0\] is null",
    "hmm/start0.json": "not a belief, 0, 0, 0; give one probability per state",
    "hmm/start2d.json": r"start\[0\] is a list",
    "hmm/strings.json": "is text; .* without quotation marks",
    "hmm/transposed2.json": "are transposed",
    "hmm/words.json": "the word 'a b' cannot name a token",
    "hmm/zerorow.json": r"state 3 .* sum to 0 and not to 1; if no state follows it",
    "hmm/zerorow_start.json": r"state 3 .* sum to 0 and not to 1; if no state follows it",
    "hmm-give-phi/mine.json": "give phi, one number per state",
    "hmm-transposed/mine.json": "are transposed",
}
"""hmm/transposed.json is read: its rows sum to 1 as its columns do, so that nothing tells it from a process."""
NO_MAZES = {
    "maze/csv.txt": "csv.txt, line 1: 'input,output' is not a word of a maze; a line reads",
    "maze/empty.txt": "empty.txt: there are no mazes in it; write one per line",
    "maze/endash.txt": "endash.txt, line 1: .* did you mean '<-->'",
    "maze/json.txt": "json.txt, line 1: .* is not a word of a maze; a line reads",
    "maze/latin.txt": "is not UTF-8 text .*; save it as UTF-8",
    "maze/nopath.txt": "nopath.txt, line 1: it must end with '<PATH_END>'",
    "maze/twice.txt": "twice.txt, line 1: .* is listed twice; leave one",
}


def case(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


COSTLY = (
    "hmm/s70.json", "hmm/v10s5.json", "hmm/v12.json", "hmm/v18s5.json", "hmm/v100.json", "hmm-many-tokens/mine.json",
)  # fmt: skip
"""Processes that take a second or more."""
BY_DEFAULT = [path for path in PROCESSES if case(path) not in COSTLY]


def absent(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not paths, reason="the inputs that once failed are not beside this checkout (../shared/cases)"
    )


@contextmanager
def bounded() -> Iterator[None]:
    """At most ten seconds of work, a minute by the clock, and a gigabyte of arrays."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    started = time.process_time()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 1e9
        assert time.process_time() - started < 10
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(message: str, make: type, config: object) -> None:
    with pytest.raises(InputError, match=message) as error:
        make(config)
    assert "\n" not in str(error.value)


@absent(PROCESSES)
@pytest.mark.parametrize("path", others_slow(PROCESSES, *BY_DEFAULT) or [CASES], ids=case)
def test_a_process_that_once_failed(path: Path) -> None:
    config = HMMConfig(process=str(path), length=16)
    with bounded():
        if case(path) in NO_PROCESS:
            refused(rf"^'{path}': .*{NO_PROCESS[case(path)]}", HMM, config)
            return
        world = HMM(config)
        card = world.card(100)
        assert card["bayes_loss"] is not None or "too many to compute" in card["left_out"]["bayes_loss"]
        assert world.summary(100).startswith(world.process.name)
        documents = world.sample(0, "test", 0, 500)
        states = world.after(documents)
        assert (world.outcome(states) == 1).all()
        assert world.process.beliefs(documents.tokens[:, 1:] - 2)[:, -1] == pytest.approx(states.belief, abs=1e-9)


@absent(MAZES)
@pytest.mark.parametrize("path", MAZES or [CASES], ids=case)
def test_a_maze_that_once_failed(path: Path) -> None:
    config = SolveConfig(rows=2, file=str(path), held_out_share=0.4)
    with bounded():
        if case(path) in NO_MAZES:
            refused(NO_MAZES[case(path)], SolveWorld, config)
            return
        world = SolveWorld(config)
        documents = world.sample(0, "test", 0, 20)
        assert (world.outcome(world.after(documents)) == 1).all()


@absent(TABLES)
@pytest.mark.parametrize("path", TABLES or [CASES], ids=case)
def test_a_table_that_once_hung(path: Path) -> None:
    with bounded():
        refused(
            "no pair .* of its 3 places is held out .*; set env.held_out_share to", TaxiWorld, TaxiConfig(map=str(path))
        )


@absent(TABLES)
@pytest.mark.parametrize("path", TABLES or [CASES], ids=case)
def test_a_table_that_once_hung_has_rides_at_another_share(path: Path) -> None:
    with bounded():
        world = TaxiWorld(TaxiConfig(map=str(path), held_out_share=0.6))
        assert len(world.sample(0, "test", 0, 1000)) == 1000
        assert len(world.prompts(0, 100)[0]) > 0

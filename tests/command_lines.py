"""Words of short runs of taxi, and what the command line says to a person."""

from __future__ import annotations

import pytest
from tiny_runs import SMALL_EVAL

from worldbench.cli.main import main

RIDES = ["--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"]
TINY = [*RIDES, *SMALL_EVAL]
FEW = [*RIDES, "--eval.metrics", "next_token", "effective_rank", "--eval.documents", "20"]
"""The same rides, scored by two metrics."""
SHORT = [
    *("--train.steps", "4", "--train.batch", "8", "--train.threads", "1", "--train.curve_documents", "20"),
    *("--data.documents", "0", "--train.row_tokens", "0"),
]
SHORT += ["--model.layers", "1", "--model.width", "16", "--model.heads", "2"]


def tell(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = main(list(argv))
    return code, capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    """The one sentence that a mistake is answered with. code: of the process."""
    capsys.readouterr()
    got, message = tell(capsys, *argv)
    assert got == code, message
    lines = [line for line in message.splitlines() if line.startswith("worldbench: ")]
    assert len(lines) == 1
    assert message.splitlines()[-1] == lines[0]
    assert "Traceback" not in message
    return lines[0].removeprefix("worldbench: ")

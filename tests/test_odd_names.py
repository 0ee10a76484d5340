"""Names that no file can have, wherever a file is named on the command line: one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldbench.cli.main import main

LONG = "x" * 300
COMMANDS = {
    "recipe": ["run", "hmm", "--config", LONG],
    "plugin": ["run", "hmm", "--plugin", f"{LONG}.py"],
    "process": ["run", "hmm", "--env.process", LONG, "--print-config"],
    "map": ["run", "taxi", "--env.map", f"{LONG}.csv"],
    "callable": ["score", "hmm", "--callable", f"{LONG}.py:f"],
    "run": ["eval", LONG],
    "traced": ["trace", LONG],
    "decoded": ["decode", LONG],
    "results": ["leaderboard", LONG],
    "pairs": ["compare", "a", "b", LONG],
    "drawn": ["figures", LONG],
    "checked": ["validate", LONG],
    "routes": ["reconstruct", LONG, "--map", "city:40"],
    "table": ["reconstruct", LONG, "--map", f"{LONG}.csv"],
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_name_that_is_too_long(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, message = main(COMMANDS[what]), capsys.readouterr().err
    assert code == (0 if what == "process" else 2), message
    assert len(message.splitlines()) == code // 2
    assert "traceback" not in message

"""Whatever is raised: one sentence, a file with the traceback, an exit code that is not 0."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
import tiny_runs
from hostile import acting

from worldbench.cli import ls
from worldbench.cli.main import main


class Strange(BaseException):
    pass


def deep(_: object = None) -> None:
    deep()


RAISED: dict[str, tuple[BaseException | None, int, str]] = {
    "recursion": (None, 70, "RecursionError"),
    "memory": (MemoryError(), 1, "out of memory"),
    "unicode": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), 70, "UnicodeDecodeError"),
    "system exit": (SystemExit(0), 1, "sys.exit(0)"),
    "system exit with words": (SystemExit("done\x1b[2J"), 1, "sys.exit('done"),
    "key": (KeyError("no such\nkey\x9b31m"), 70, "KeyError"),
    "assertion": (AssertionError(), 70, "AssertionError"),
    "disk": (OSError(28, "No space left on device", "a\nfile"), 1, "the system refused 'a\\nfile': No space left"),
    "pipe": (BrokenPipeError(32, "Broken pipe"), 1, "Broken pipe"),
    "base": (Strange("x" * 10_000), 70, "Strange"),
    "generator": (GeneratorExit(), 70, "GeneratorExit"),
}


@pytest.mark.parametrize("name", RAISED)
def test_a_sentence_a_trace_and_a_code(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error, code, said = RAISED[name]

    def verb(arguments: object) -> int:
        if error is None:
            deep()
        raise error or ValueError

    monkeypatch.setattr(ls, "run", verb)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["ls"]) == code
    out, message = capsys.readouterr()
    assert out == ""
    assert acting(message) == []
    assert said in message
    assert message.startswith("worldbench: ")
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    (path,) = tmp_path.glob("worldbench-*.txt")
    assert str(path) in message
    trace = path.read_text()
    assert "worldbench ls" in trace
    assert "Traceback" in trace
    assert acting(trace) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size < 100_000


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def verb(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(ls, "run", verb)
    assert main(["ls"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_without_a_folder_for_the_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(ls, "run", lambda arguments: {}["x"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert main(["ls"]) == 70
    assert "WORLDBENCH_DEBUG=1" in capsys.readouterr().err


def test_the_trace_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLDBENCH_DEBUG", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(ls, "run", lambda arguments: {}["x"])
    assert main(["ls"]) == 70
    assert "Traceback" in capsys.readouterr().err
    assert main(["runn"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("WORLDBENCH_DEBUG", "0")
    assert main(["runn"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_and_version_are_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main(["leaderboard", "--help"]) == 0
    assert main(["--version"]) == 0
    assert re.search(r"worldbench \d", capsys.readouterr().out)


PLUGIN = """
import sys
from worldbench.core.registry import models
from worldbench.baselines.references import Oracle

class Quitter(Oracle):
    def logits(self, tokens):
        {body}

models.add("quitter", "ends early", Quitter, trained=False)
"""


@pytest.mark.parametrize(
    ("body", "code", "said"), [("sys.exit(0)", 1, "sys.exit(0)"), ("raise KeyError('x')", 70, "KeyError")]
)
def test_a_plugin_that_ends_early_is_no_success(
    body: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quitter.py").write_text(PLUGIN.format(body=body))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    few = ["--eval.trials", "5", "--eval.documents", "20", "--eval.metrics", "next_token"]
    got, message = tiny_runs.call("run", "hmm", "--model", "quitter", "--plugin", "quitter.py", *few)
    assert got == code, message
    last = message.splitlines()[-1]
    assert said in last
    assert "quitter.py:8" in last
    assert list(tmp_path.glob("worldbench-*.txt"))
    assert not list(tmp_path.glob("runs/*quitter*/result-*.json"))
    assert "Traceback" not in message

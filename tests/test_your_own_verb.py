"""The verb of docs/your-own-verb.md, added as the page says, does what the page says."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from worldbench.cli import table
from worldbench.cli.main import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "your-own-verb.md"


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module and the line of the table, as they stand on the page."""
    code, line = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = types.ModuleType("worldbench.cli.documents")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    verbs = dict(table.VERBS)
    exec(line, {"VERBS": verbs})
    (name,) = set(verbs) - set(table.VERBS)
    monkeypatch.setitem(table.VERBS, name, verbs[name])


def test_it_prints_documents(capsys: pytest.CaptureFixture[str]) -> None:
    command = re.search(r"worldbench (documents .*)", PAGE.read_text(encoding="utf-8"))
    assert command is not None
    assert main(command[1].split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"<start>( [ABC])+", line) for line in lines), lines


def test_it_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "print documents that a world draws" in capsys.readouterr().out
    assert main(["documents", "hmm", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--count" in text
    assert "--env.process" in text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cuont", "3"], "did you mean '--count'"),
        (["--count", "0"], "--count must be at least 1, not 0"),
        (["--env.proces", "mess3"], "did you mean '--env.process'"),
    ],
)
def test_mistakes_are_one_sentence(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["documents", "hmm", *options]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert reason in sentence

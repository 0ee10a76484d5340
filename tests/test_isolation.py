"""What tries the fuzz inputs: it sees every way in which one can fail, and says which one it was."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable

import isolation
import pytest
from isolation import Probe, Report, in_worker
from mutation import FORMS, generator, mutant

from worldbench.core.errors import InputError, RunError


def tried(attempt: Callable[[], object]) -> Report:
    """A harmless input, and then one that may not be."""

    def work(probe: Probe) -> None:
        probe("the first", lambda: None)
        probe("the second", attempt)

    return in_worker(work)


def fault(attempt: Callable[[], object]) -> str:
    (message,) = tried(attempt).faults
    assert message.startswith("the second\n")
    return message


def refuse(sentence: str, cause: BaseException | None = None) -> None:
    raise InputError(sentence) from cause


def test_what_is_read_and_what_is_refused() -> None:
    report = tried(lambda: refuse("it is not so"))
    assert (report.read, report.refused, report.faults) == (1, 1, [])
    assert report.peak > 1 << 20


def test_a_traceback() -> None:
    message = fault(lambda: {}["gone"])
    assert "KeyError: 'gone'" in message
    assert "test_isolation.py" in message
    assert "UserWarning: look" in fault(lambda: warnings.warn("look", stacklevel=2))


def test_the_end_of_the_process() -> None:
    assert "SIGSEGV" in fault(lambda: os.kill(os.getpid(), signal.SIGSEGV))
    assert "exit code 3" in fault(lambda: os._exit(3))
    assert "SystemExit" in fault(lambda: exit(3))


def test_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 0.2)

    def hang() -> None:
        while True:
            pass

    message = fault(hang)
    assert "more than 0.2 s of the processor" in message
    assert "in hang" in message
    monkeypatch.setattr(isolation, "WAIT", 0.2)
    assert "it waited longer than 0.2 s" in fault(lambda: time.sleep(60))


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "MEMORY", 64 << 20)
    assert "MemoryError" in fault(lambda: bytearray(1 << 30))

    def hide() -> None:
        try:
            bytearray(1 << 30)
        except MemoryError:
            raise RunError("it cannot be read") from None

    assert "memory ran out" in fault(hide)


@pytest.mark.parametrize("sentence", ["", " ", "long " * 2000])
def test_a_refusal_that_is_no_sentence(sentence: str) -> None:
    assert "the sentence is" in fault(lambda: refuse(sentence))


@pytest.mark.parametrize("form", ["text", "bytes", "json", "toml"])
def test_damage_is_the_same_again_and_never_none(form: str) -> None:
    whole = b'a = 1\nb = ["x", 2.5]\n' if form != "json" else b'{"a": 1, "b": ["x", 2.5]}'
    damaged = [mutant(whole, generator("a reader", i), form) for i in range(200)]
    assert damaged == [mutant(whole, generator("a reader", i), form) for i in range(200)]
    assert len(set(damaged)) > 120
    assert whole not in damaged
    assert set(FORMS) == {"json", "toml", "npz", "safetensors"}

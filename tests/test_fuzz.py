"""More than ten thousand damaged inputs, seeded, over all readers: each is used, or refused in one sentence.

None may end in a traceback, take 10 s of the processor, or take a process above 4 GB. Each reader is tried in a forked
process; what fails is named with its reader and index, from which `damaged(name, index)` of its reader makes it again.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest
from fuzz_figures import figures
from fuzz_reader import Reader
from fuzz_readers import READERS
from fuzz_strategies import ARGUMENTS, FILES
from fuzz_words import answer, boards, in_folder, line_of, prepared_folder, words
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from isolation import Probe, Report, in_worker
from matplotlib.figure import Figure
from sample_machines import examined
from tiny_runs import changed

from worldbench.cli.table import VERBS
from worldbench.core import streams
from worldbench.records.reading import KINDS
from worldbench.studies.doctor import examination

LINES = 500
"""Command lines that are tried."""


def tried(name: str, count: int, inputs: Callable[[int], tuple[str, Callable[[], object]]]) -> Report:
    """Asserts that each of `count` inputs is used or refused, and that some are refused.

    inputs: says an input in words, and uses it.
    """

    def work(probe: Probe) -> None:
        for index in range(count):
            said, attempt = inputs(index)
            probe(f"input {index} of {name!r}: {said:.500}", attempt)

    report = in_worker(work)
    if report.faults:
        pytest.fail(report.messages(), pytrace=False)
    assert report.read + report.refused == count
    assert report.refused > 0, f"no damaged input of {name!r} is refused"
    return report


def try_files(name: str, reader: Reader, folder: Path) -> None:
    def put(file: str, raw: bytes) -> Path:
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(raw)
        return path

    def damaged(index: int) -> tuple[str, Callable[[], object]]:
        file, raw = reader.damaged(name, index)
        return f"{file} {raw!r}", partial(reader.read, put(file, raw))

    for file in reader.wholes:
        reader.read(put(file, reader.whole(file)))
    tried(name, reader.count, damaged)


@pytest.mark.slow
@pytest.mark.parametrize("group", READERS)
def test_damaged_files(group: str, tmp_path: Path) -> None:
    for name, reader in READERS[group]().items():
        try_files(name, reader, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("which", FILES, ids=lambda which: which[1])
def test_made_up_files(which: tuple[str, str, str], tmp_path: Path) -> None:
    (group, name, file), (strategy, count) = which, FILES[which]
    reader, path = READERS[group]()[name], tmp_path / file

    def use(raw: bytes) -> object:
        path.write_bytes(raw)
        return reader.read(path)

    made(f"{file} of {name}", strategy, count, use)


def made(name: str, strategy: st.SearchStrategy[Any], count: int, use: Callable[[Any], object]) -> None:
    """Asserts that what hypothesis makes is used or refused."""

    def work(probe: Probe) -> None:
        numbers = itertools.count()

        @seed(streams.integer("fuzz", name) % 2**32)
        @settings(
            max_examples=count, derandomize=False, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(strategy)
        def each(content: Any) -> None:
            probe(f"made-up input {next(numbers)} of {name!r}: {content!r:.500}", partial(use, content))

        each()

    report = in_worker(work)
    if report.faults:
        pytest.fail(report.messages(), pytrace=False)
    assert report.refused + report.read >= count // 2


@pytest.mark.slow
def test_boards_over_damaged_records(tmp_path: Path) -> None:
    for name, reader in boards(tmp_path).items():
        try_files(name, reader, tmp_path)


@pytest.mark.slow
def test_figures_of_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out, as for a picture, and not painted."""

    def lay_out(figure: Figure, file: IO[bytes], **_: object) -> None:
        figure.draw_without_rendering()
        file.write(b"a picture")

    monkeypatch.setattr(Figure, "savefig", lay_out)
    for name, reader in figures(tmp_path).items():
        try_files(name, reader, tmp_path)


@pytest.mark.slow
def test_damaged_words(tmp_path: Path) -> None:
    for name, form in words().items():
        for text in form.texts:
            form.read(text)
        tried(
            name,
            form.count,
            lambda index, name=name, form=form: (repr(t := form.damaged(name, index)), partial(form.read, t)),
        )


@pytest.mark.slow
def test_damaged_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "down"
    prepared_folder(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with in_folder(folder):
        tried("words", LINES, lambda index: (repr(line := line_of(index)), partial(answer, line)))


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "ls"])
def test_made_up_words_after_a_verb(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # `doctor` needs no further words, and its checks take half a minute.
    monkeypatch.setattr(examination, "examine", lambda needed, report: changed(examined(), ready=True))
    with in_folder(tmp_path):
        made(verb, ARGUMENTS, 20, lambda words: answer([verb, *words]))


def test_there_are_more_than_ten_thousand_inputs_and_readers_of_every_kind(tmp_path: Path) -> None:
    files = {name: reader for group in READERS.values() for name, reader in group().items()}
    of_files = sum(reader.count for reader in (*files.values(), *boards(tmp_path).values()))
    of_files += sum(count for _, count in FILES.values())
    assert of_files + sum(form.count for form in words().values()) + LINES > 10_000
    assert {f"{kind.kind} record" for kind in KINDS} <= files.keys()

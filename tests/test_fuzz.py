"""More than ten thousand damaged inputs, seeded, over all readers: each is used, or refused in one sentence.

None may end in a traceback, take 10 s of the processor, or take a process above 4 GB. Each reader is tried in a forked
process; what fails is named with its reader and index, from which `damaged(name, index)` of its reader makes it again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_readers import READERS, Reader
from isolation import Probe, in_worker


def tried(name: str, reader: Reader, folder: Path) -> None:
    """Asserts that every damaged input is read or refused, and that there are some of both."""

    def work(probe: Probe) -> None:
        for file in reader.wholes:
            path = folder / file
            path.write_bytes(reader.whole(file))
            reader.read(path)
        for index in range(reader.count):
            file, raw = reader.damaged(name, index)
            path = folder / file
            path.write_bytes(raw)
            probe(f"input {index} of {name!r}, {file}: {raw!r:.500}", lambda path=path: reader.read(path))

    report = in_worker(work)
    assert not report.faults, report.told()
    assert report.read + report.refused == reader.count
    assert report.refused > 0
    assert (report.read == 0) if reader.signed else (report.read > 0)


@pytest.mark.slow
@pytest.mark.parametrize("group", READERS)
def test_damaged_files(group: str, tmp_path: Path) -> None:
    for name, reader in READERS[group]().items():
        tried(name, reader, tmp_path)

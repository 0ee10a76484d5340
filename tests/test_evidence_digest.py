"""Evidence is drawn where it has the digest that its record has for it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sample_records
from sample_records import metric

from worldbench.core.arrays import Array, npz
from worldbench.core.errors import InputError
from worldbench.core.files import sha256
from worldbench.figures import evidence
from worldbench.records.finding import evidence_digest
from worldbench.records.reading import write

NEEDED = {"x": Array("int", ("N",))}
KINDS = {
    "result.json": "evidence/m.npz",
    "result-0123456789.json": "evidence-0123456789/m.npz",
    "trace.json": "trace-evidence/00000004/m.npz",
    "trace-0123456789.json": "trace-evidence-0123456789/00000004/m.npz",
    "reconstruction.json": "evidence/m.npz",
}


def written(folder: Path, record: str, digest: str | None) -> None:
    scores = {"m": metric({"x": 0.5}, evidence_sha256=digest), "other": metric({"x": 0.5})}
    if record.startswith("result"):
        write(folder / record, sample_records.result(scores=scores))
    elif record.startswith("trace"):
        first = {"m": metric({"x": 0.5}, evidence_sha256="0" * 64), "other": metric({"x": 0.5})}
        write(folder / record, sample_records.trace(points={1: first, 4: scores}))
    else:
        from msgspec.structs import replace

        write(folder / record, replace(sample_records.reconstructed(), evidence_sha256=digest))


@pytest.mark.parametrize("record", KINDS)
def test_a_file_is_held_against_its_record(record: str, tmp_path: Path) -> None:
    path = tmp_path / KINDS[record]
    path.parent.mkdir(parents=True)
    path.write_bytes(npz({"x": np.arange(3)}))
    assert evidence_digest(path) is None  # nothing is beside it
    assert evidence.names(path) == {"x"}
    written(tmp_path, record, sha256(path))
    assert evidence_digest(path) == sha256(path)
    assert evidence.read(path, NEEDED)["x"].tolist() == [0, 1, 2]
    path.write_bytes(npz({"x": np.arange(3) + 1}))  # whole, and another
    for look in (lambda: evidence.read(path, NEEDED), lambda: evidence.names(path)):
        with pytest.raises(
            InputError,
            match="is not the file that its record names: it was changed, or belongs to another evaluation; ",
        ):
            look()


@pytest.mark.parametrize("record", [name for name in KINDS if name != "reconstruction.json"])
def test_a_file_that_no_record_names(record: str, tmp_path: Path) -> None:
    path = tmp_path / KINDS[record]
    path.parent.mkdir(parents=True)
    path.write_bytes(npz({"x": np.arange(3)}))
    written(tmp_path, record, None)
    for there in (path, path.with_name("other.npz"), path.with_name("absent.npz")):
        with pytest.raises(InputError, match=f"does not belong to '{record}', which has no digest of it; delete "):
            evidence_digest(there)
    if record.startswith("trace"):
        with pytest.raises(InputError, match="has no digest of it"):
            evidence_digest(path.parent.parent / "00000009" / "m.npz")


def test_a_record_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "evidence" / "m.npz"
    path.parent.mkdir()
    path.write_bytes(npz({"x": np.arange(3)}))
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(InputError, match=r"result\.json' is not a result file"):
        evidence.read(path, NEEDED)

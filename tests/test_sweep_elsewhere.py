"""Cells of a sweep that work on another machine: what is sent, what stays there, and what comes home. (With Ray:
test_sweep_ray.py.)"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from worldbench.core.errors import RunError
from worldbench.runs.display import Display
from worldbench.runs.one_run import one_run
from worldbench.runs.prepared import Prepared, prepare
from worldbench.settings.called import job_of
from worldbench.studies.sweep.elsewhere import Arrived, Returned, Sent, bring_home, files_of, score_elsewhere


def prepared(trials: int) -> Prepared:
    """A tiny run, whose evaluation has some trials."""
    options = {**tiny_runs.OPTIONS, "eval": {"metrics": ["next_token"], "documents": 12, "trials": trials}}
    return prepare(job_of("hmm", "gpt", options, preset="small"), Display(quiet=True))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files of the other machine."""
    tiny_runs.draw_nothing(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "machine"))
    (tmp_path / "machine").mkdir()
    return tmp_path / "machine"


def arrived(cell: Prepared, out: Path) -> Arrived:
    """What the other machine gets of the folder of a cell, as Ray makes it."""
    kind, values = Sent(cell.folder(out)).__reduce__()
    return kind(*values)


def test_a_cell_comes_home_with_the_bytes_of_a_run_here(machine: Path, tmp_path: Path) -> None:
    cell = prepared(12)
    here = one_run(cell, tmp_path / "here", Display(quiet=True))
    back = score_elsewhere(cell, arrived(cell, tmp_path / "home"), cell.identity, "sweep")
    result = bring_home(cell, back, tmp_path / "home")
    assert result.read_bytes() == here.read_bytes()
    assert tiny_runs.tree(result.parent) == tiny_runs.tree(here.parent)
    assert not back.removed
    assert not [path for path in machine.rglob("*") if path.is_file()], "nothing stays on the other machine"


def test_two_evaluations_of_the_same_weights_at_the_same_time(machine: Path, tmp_path: Path) -> None:
    """Both were sent before either came home. Neither removes what the other one wrote, there or here."""
    home = tmp_path / "home"
    one_run(prepared(12), home, Display(quiet=True))
    two = [prepared(11), prepared(10)]
    sent = [arrived(cell, home) for cell in two]
    first = machine / f"worldbench-cells-{os.getuid()}" / "sweep" / two[1].identity.file_key
    left = two[1].folder(first) / "left"
    left.parent.mkdir(parents=True)
    left.write_text("what the second cell has written when the first one ends")
    backs = [score_elsewhere(two[0], sent[0], two[0].identity, "sweep")]
    assert left.exists()
    backs.append(score_elsewhere(two[1], sent[1], two[1].identity, "sweep"))
    results = [bring_home(cell, back, home) for cell, back in zip(two, backs)]
    assert all(path.exists() for path in results)
    assert len(list(results[0].parent.glob("result-*.json"))) == 3


def test_what_a_cell_removed_goes_here_too(machine: Path, tmp_path: Path) -> None:
    cell, home = prepared(12), tmp_path / "home"
    one_run(cell, home, Display(quiet=True))
    folder = cell.folder(home)
    files = files_of(folder)
    gone = "metrics.jsonl"
    bring_home(cell, Returned({k: v for k, v in files.items() if k != gone}, frozenset({gone, "never"})), home)
    assert files_of(folder).keys() == files.keys() - {gone}


@pytest.mark.parametrize("name", ["../outside", "/outside"])
def test_no_file_is_written_outside_the_folder(name: str, machine: Path, tmp_path: Path) -> None:
    back: Any = Returned({name: b"x"}, frozenset())
    with pytest.raises(RunError, match="lies outside its folder"):
        bring_home(prepared(12), back, tmp_path / "home")

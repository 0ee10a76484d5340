"""A sweep that is stopped or killed in mid-run, and repeated, ends in the bytes of an undisturbed sweep."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import tree

from worldbench.settings import shipped

TINY = shipped.find(Path("ci"), "sweep").read_text(encoding="utf-8")
STEPS = 300  # long enough that no training ends before its process has noticed that the sweep was killed
RECIPE = TINY.replace('["gpt", "nextlat"]', '"gpt"').replace("steps = 4", f"steps = {STEPS}\nsave_every = 0.0")


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    (folder / "mine.toml").write_text(RECIPE, encoding="utf-8")
    words = ["sweep", str(folder / "mine.toml"), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "worldbench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def in_training(out: Path) -> bool:
    """Whether a training has saved its state, and no weights of its last step."""
    return any(not list(state.parent.glob(f"step-{STEPS:08}.*")) for state in out.glob("*/checkpoint/state*"))


@pytest.mark.slow
def test_a_sweep_that_was_cut_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole = start(tmp_path, tmp_path / "whole")
    said, errors = whole.communicate(timeout=300)
    assert (whole.returncode, said.splitlines()[-1]) == (0, "4 cells: 4 done now"), errors
    for number in (signal.SIGTERM, signal.SIGKILL):
        out = tmp_path / number.name
        cut = start(tmp_path, out)
        deadline = time.monotonic() + 200
        while not in_training(out):
            assert cut.poll() is None, "it ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        cut.send_signal(number)
        cut.communicate(timeout=200)
        assert cut.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL)
        assert len(list(out.glob("*-gpt-*/result-*.json"))) < 2, "it was stopped in mid-run"
        again = start(tmp_path, out)  # at once: processes of a killed sweep may still be saving their state
        said, errors = again.communicate(timeout=300)
        assert again.returncode == 0, errors
        assert tree(out) == tree(tmp_path / "whole")

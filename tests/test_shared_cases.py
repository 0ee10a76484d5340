"""Every input that once failed is tried by a test, where the folder lies beside the checkout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import sample_records
import terminals
import tiny_runs
from shared_cases import CASES, each, folder

from worldbench.records.reading import write

COVERED = {
    "bom/maze.txt": "test_shared_world_cases",
    "bom/process.json": "test_shared_world_cases",
    "bom/recipe.toml": "test_shared_cases",
    "callable/*": "test_user_code",
    "callable-module/*": "test_user_code",
    "hmm/*": "test_shared_world_cases",
    "hmm-*/mine.json": "test_shared_world_cases",
    "leaderboard-stranger/*": "test_shared_cases",
    "map-*/*": "test_shared_map_cases",
    "matplotlibrc-usetex/*": "test_output",
    "maze/*.txt": "test_shared_world_cases",
    "maze-*/*": "test_shared_world_cases",
    "moved-map/*": "test_moved_files",
    "narrow-terminal/*": "test_output",
    "non-utf8-folder/*": "test_output",
    "plugin-edited/*": "test_moved_files",
    "routes/*": "test_route_files",
    "routes-outside-part/*": "test_route_files",
    "table-dead-end/*": "test_route_files",
    "run-files/config-*": "test_shared_run_files",
    "run-files/decode-*": "test_shared_run_files",
    "run-files/kept-steps-*": "test_checkpoint",
    "run-files/kill-before-last-curve-point.sh": "test_shared_cases",
    "run-files/manifest-*": "test_curve",
    "run-files/metrics-figure-*": "test_shared_run_files",
    "run-files/metrics-resume-*": "test_curve_of_stopped_runs",
    "run-files/npz-*": "test_damaged_evidence",
    "run-files/recipe-*": "test_shared_run_files",
    "run-files/result-*": "test_shared_run_files",
    "run-files/special-*": "test_shared_map_cases",
    "run-files/table-*": "test_shared_world_cases",
    "run-files/trace-*": "test_shared_run_files",
    "run-files/trial-*": "test_shared_run_files",
    "run-files/tuning-*": "test_shared_run_files",
}
"""Files, and the module whose tests try them."""
MAKERS = ("README.md", "make.py", "mk.py")
"""Files that are no inputs: they describe the others, or have made them."""


def test_every_case_is_covered() -> None:
    if not CASES.is_dir():
        pytest.skip("the reduced inputs are not beside this checkout (../shared/cases)")
    inputs = {path.relative_to(CASES) for path in CASES.rglob("*") if path.is_file() and path.name not in MAKERS}
    missing = sorted(str(path) for path in inputs if not any(path.match(pattern) for pattern in COVERED))
    assert not missing, f"no test tries {', '.join(missing)}: write one, and name its module here"
    for pattern in COVERED:
        assert any(path.match(pattern) for path in inputs), f"there is no input {pattern}"


@pytest.mark.parametrize("pattern", COVERED)
def test_the_module_names_the_cases_that_it_tries(pattern: str) -> None:
    """The folder, or how the name begins among those of run-files/."""
    text = (Path(__file__).parent / f"{COVERED[pattern]}.py").read_text(encoding="utf-8")
    room, _, name = pattern.partition("/")
    assert (name.rstrip("*-") if room == "run-files" else room.rstrip("*")) in text


@each("bom/recipe.toml")
def test_a_recipe_with_a_byte_order_mark(case: Path) -> None:
    code, said = tiny_runs.call("run", "--config", case, "--print-config")
    assert (code, said) == (0, "")


def test_a_foreign_file_below_a_folder_is_left_out(tmp_path: Path) -> None:
    foreign = folder("leaderboard-stranger") / "results_2026.json"
    write(tmp_path / "result-1.json", sample_records.result())
    (tmp_path / foreign.name).write_bytes(foreign.read_bytes())
    code, said = tiny_runs.call("leaderboard", tmp_path)
    assert code == 0
    assert "left out" in said
    assert foreign.name in said
    assert tiny_runs.call("leaderboard", tmp_path / "result-1.json", foreign)[0] == 2


@pytest.mark.slow
@each("hmm/v100.json", "hmm/s70.json", "hmm-many-tokens/*.json")
def test_a_run_over_a_large_process(case: Path, tmp_path: Path) -> None:
    run_over(case, tmp_path)


@pytest.mark.slow
@each("hmm/v*.json", without=("v100.json",))
def test_a_run_over_a_process_of_many_tokens(case: Path, tmp_path: Path) -> None:
    run_over(case, tmp_path)


def run_over(case: Path, tmp_path: Path) -> None:
    """From the card to the figures."""
    started = time.process_time()
    words = ["run", "hmm", "--model", "oracle", "--env.process", case, "--env.length", "10", "--eval.documents", "20"]
    words += ["--eval.trials", "20", "--eval.pairs", "50", "--eval.metrics", "next_token", "excess_loss", "split_merge"]
    code, said = tiny_runs.call(*words, "--out", tmp_path)
    assert code == 0, said
    assert list(tmp_path.glob("hmm-oracle-*/result-*.json"))
    assert time.process_time() - started < 10


@pytest.mark.slow
@each("run-files/kill-before-last-curve-point.sh")
def test_a_kill_before_the_last_point_of_the_curve(case: Path, tmp_path: Path) -> None:
    """The same command again ends in the bytes of a run that was not stopped."""
    with subprocess.Popen(
        ["bash", str(case), str(tmp_path / "out")],
        cwd=tmp_path,
        env=terminals.with_command(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert "the same command again: rc 0" in said
    whole, stopped = (next((tmp_path / "out" / name).glob("hmm-gpt-*/result-*.json")).read_bytes() for name in "ab")
    assert whole == stopped
    assert len(json.loads(whole)["training"]["curve"]) == 1

"""A sweep on a real Ray cluster of a head and two nodes. A node, or a worker, is killed in mid-run; or the sweep is
stopped."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_processes import free_port
from test_sweep import printed, recipe
from tiny_runs import tree

from worldbench.settings import shipped
from worldbench.studies.sweep.elsewhere import sweep_key

HAVE_RAY = importlib.util.find_spec("ray") is not None
NEEDS_RAY = pytest.mark.skipif(not HAVE_RAY, reason="the package ray is not installed (extra `ray`)")
STEPS, LONGER = 150, 600
PLUGIN = """
from worldbench.core.registry import metrics
from worldbench.metrics.next_token import NextToken


class Mine(NextToken):
    name = "mine"


metrics.add("mine", "a metric of a plugin", Mine())
"""


class Cluster:
    """A head without cores, and nodes with one core each. Each is a group of processes."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.groups: list[int] = []
        self.folder = folder
        head = ["--head", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}"]
        self._start(*head, f"--port={self.address.rpartition(':')[2]}")

    def node(self) -> int:
        """Start a node. Returns its group of processes."""
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *words: str) -> int:
        common = ["--node-ip-address=127.0.0.1", "--disable-usage-stats", "--object-store-memory=100000000"]
        ray = Path(sys.executable).with_name("ray")
        quick = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
        process = subprocess.Popen(
            [str(ray), "start", *words, *common], env={**os.environ, **quick}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        self.groups.append(process.pid)
        assert process.wait(timeout=120) == 0, process.stdout.read()
        return process.pid

    def kill(self, group: int) -> None:
        self.groups.remove(group)
        os.killpg(group, signal.SIGKILL)

    def kill_worker(self) -> None:
        """Kill one process of this cluster that computes a cell. Waits for one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for process in Path("/proc").glob("[0-9]*"):
                if words_of(process).startswith(b"ray::run_cell") and self._owns(process):
                    os.kill(int(process.name), signal.SIGKILL)
                    return
            time.sleep(0.02)
        raise AssertionError("no worker computed a cell")

    def _owns(self, process: Path) -> bool:
        try:
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            return False
        return str(self.folder).encode() in words_of(Path("/proc") / parent)

    def close(self) -> None:
        for group in list(self.groups):
            self.kill(group)


def words_of(process: Path) -> bytes:
    """The command line of a process; empty if the process is gone."""
    try:
        return process.joinpath("cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(Path("/tmp") / f"wb-ray-{os.getpid()}")  # Ray refuses a long path, because sockets lie below it
    try:
        yield made
    finally:
        made.close()


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, errors = printed("sweep", "ci", "--ray", "127.0.0.1:1", "--out", tmp_path, "--seeds", "0")
    assert code == 2
    assert "--ray needs the package ray" in errors
    assert "pip install 'worldbench[ray]'" in errors
    code, _, errors = printed("sweep", "ci", "--ray", "auto", "--workers", "2")
    assert (code, "leave one out" in errors) == (2, True)


def sweep_words(folder: Path, seeds: str, steps: int) -> list[str]:
    """The command of a sweep of GPT that needs a plugin."""
    text = shipped.find(Path("ci"), "sweep").read_text(encoding="utf-8")
    for old, new in {
        "steps = 4": f"steps = {steps}",
        '["next_token"': '["mine", "next_token"',
        '["gpt", "nextlat"]': '"gpt"',
        "seeds = [0, 1]": f'{seeds}\nplugin = "mine.py"',
    }.items():
        assert old in text
        text = text.replace(old, new)
    plugin = folder / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    return [sys.executable, "-m", "worldbench", "sweep", str(recipe(folder, text)), "--plugin", str(plugin)]


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.parametrize("killed", ["node", "worker"])
def test_a_node_or_a_worker_that_is_killed_loses_nothing(cluster: Cluster, tmp_path: Path, killed: str) -> None:
    words = sweep_words(tmp_path, "seeds = [0, 1, 2]", STEPS)
    whole = subprocess.run([*words, "--out", str(tmp_path / "whole")], capture_output=True, text=True, timeout=900)
    assert whole.returncode == 0, whole.stderr

    cluster.node()
    doomed = cluster.node()
    out = tmp_path / "ray"
    sweep = subprocess.Popen(
        [*words, "--out", str(out), "--ray", cluster.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    while not list(out.glob("*/result-*.json")):
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if killed == "node":
        cluster.kill(doomed)
    else:
        cluster.kill_worker()
    said, errors = sweep.communicate(timeout=900)
    assert sweep.returncode == 0, errors
    assert said.splitlines()[-1] == "5 cells: 5 done now"
    assert errors.count("done (") == 5, "each cell came once"
    assert tree(out) == tree(tmp_path / "whole")
    again = subprocess.run([*words, "--out", str(out), "--ray", "127.0.0.1:1"], capture_output=True, text=True)
    assert again.returncode == 0, "a sweep that is done needs no cluster"


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sweep_that_is_stopped_brings_its_states_home(cluster: Cluster, tmp_path: Path, number: int) -> None:
    words = sweep_words(tmp_path, "seeds = [0, 1]", LONGER)
    whole = subprocess.run([*words, "--out", str(tmp_path / "whole")], capture_output=True, text=True, timeout=900)
    assert whole.returncode == 0, whole.stderr

    cluster.node()
    cluster.node()
    out = tmp_path / "ray"
    there = Path(tempfile.gettempdir()) / f"worldbench-cells-{os.getuid()}" / sweep_key(out)
    sweep = subprocess.Popen(
        [*words, "--out", str(out), "--ray", cluster.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    while not list(there.glob("*/*/checkpoint/step-*")):
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sweep.send_signal(number)
    _, errors = sweep.communicate(timeout=200)
    assert sweep.returncode == 130, errors
    assert "the same command goes on with what is missing" in errors
    assert list(out.glob("*/checkpoint/state*")), "the state of a training came back"
    assert len(list(out.glob("*-gpt-*/result-*.json"))) < 2, "it was stopped in mid-run"
    shutil.rmtree(there)  # the next machine has none of these files
    where = ["--ray", cluster.address] if number == signal.SIGTERM else []
    again = subprocess.run([*words, "--out", str(out), *where], capture_output=True, text=True, timeout=900)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1].startswith("4 cells: 2 done already, 2 done now"), again.stdout
    assert tree(out) == tree(tmp_path / "whole")
    assert not there.exists()

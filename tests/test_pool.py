"""Plans and pools: the same outcomes in this process and in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from worldbench.core.errors import InputError, Interrupted, RunError
from worldbench.core.plugins import load_plugin
from worldbench.runs.beside import Beside
from worldbench.runs.pool import Cell, Here, Pool
from worldbench.runs.processes import Processes


def double(x: int) -> int:
    return 2 * x


def refuse(x: int) -> int:
    raise InputError(f"{x} is refused")


def crash() -> None:
    raise ZeroDivisionError("by nothing")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note(folder: Path, name: str, after: str | None) -> str:
    """Write a file; the file of the cell before must be there."""
    assert after is None or (folder / after).exists()
    (folder / name).touch()
    return name


@pytest.fixture(params=["here", "processes", "beside"])
def pool(request: pytest.FixtureRequest) -> Pool:
    pools: dict[str, Pool] = {"here": Here(), "processes": Processes(2), "beside": Beside()}
    return pools[request.param]


def test_values_come_in_the_order_of_the_plan(pool: Pool) -> None:
    assert pool.results([Cell(str(i), double, (i,)) for i in range(5)]) == [0, 2, 4, 6, 8]


def test_a_cell_runs_after_those_that_it_needs(pool: Pool, tmp_path: Path) -> None:
    cells = [
        Cell("last", note, (tmp_path, "last", "first"), after=("first",)),
        Cell("first", note, (tmp_path, "first", None)),
    ]
    assert pool.results(cells) == ["last", "first"]


def test_a_failure_stops_what_needs_it_and_nothing_else(pool: Pool) -> None:
    cells = [Cell("bad", refuse, (7,)), Cell("good", double, (1,)), Cell("late", double, (2,), after=("bad",))]
    outcomes = {o.cell.name: o for o in pool.run(cells)}
    assert isinstance(outcomes["bad"].error, InputError)
    assert str(outcomes["bad"].error) == "7 is refused"
    assert outcomes["good"].value == 2
    assert str(outcomes["late"].error) == "late was not run, because bad failed"
    with pytest.raises(InputError, match="7 is refused"):
        pool.results(cells)


def test_a_process_that_dies_is_reported() -> None:
    outcomes = {
        o.cell.name: o for o in Processes(2).run([Cell("dead", die), Cell("wrong", crash), Cell("fine", double, (4,))])
    }
    assert outcomes["fine"].value == 8
    with pytest.raises(RunError, match=r"dead ended without an answer \(signal 9\).*fewer --workers"):
        outcomes["dead"].result()
    with pytest.raises(RunError, match=r"wrong failed: ZeroDivisionError: by nothing \(test_pool.py:\d+\)"):
        outcomes["wrong"].result()


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([Cell("a", crash), Cell("a", crash)], "two cells of the plan have the name 'a'"),
        ([Cell("a", crash, after=("b",))], "'a' needs 'b', which is not in the plan"),
        ([Cell("a", crash, after=("b",)), Cell("b", crash, after=("a",))], "wait for one another: a, b"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(pool: Pool, cells: list[Cell], says: str) -> None:
    with pytest.raises(InputError, match=says):
        pool.run(cells)
    with pytest.raises(InputError, match="at least 1, not 0"):
        Processes(0)


STOPPED = """
import sys, time, signal
from worldbench.core.errors import Interrupted
from worldbench.runs.pool import Cell
from worldbench.runs.processes import Processes

def save_and_stop(path):
    def stop(number, frame):
        open(path + ".saved", "w").close()
        raise Interrupted("saved")
    signal.signal(signal.SIGTERM, stop)
    open(path, "w").close()
    time.sleep(30)

try:
    list(Processes(2).run([Cell(str(i), save_and_stop, (sys.argv[1] + f"/{i}",)) for i in range(4)]))
except Interrupted as error:
    print(error)
    sys.exit(130)
"""


def test_a_signal_reaches_the_processes_which_save(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not ((tmp_path / "0").exists() and (tmp_path / "1").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    message, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on with what is missing" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "0.saved", "1", "1.saved"]


PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    size: int

    def double(self):
        return 2 * self.size
"""


def doubled(options: Any) -> int:
    return options.double()


@pytest.mark.slow
def test_a_process_that_is_started_afresh_runs_the_plugins_first(tmp_path: Path) -> None:
    """What a cell holds may be of a class of a plugin."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    plugin = load_plugin(path)
    options = sys.modules[f"worldbench_plugin_mine_{plugin.sha256[:8]}"].Options
    cells = [Cell(str(i), doubled, (options(i),)) for i in range(2)]
    assert Processes(2, [path], "spawn").results(cells) == [0, 2]
    pool = Processes(1, [path], "spawn")
    path.write_text(PLUGIN + "# changed")
    with pytest.raises(InputError, match="has changed since the command was started"):
        pool.results(cells)


def test_the_first_failure_stops_what_runs(tmp_path: Path) -> None:
    cells = [Cell("bad", refuse, (7,)), Cell("long", time.sleep, (60,)), Cell("late", double, (1,))]
    for pool in (Here(), Processes(2)):
        started = time.monotonic()
        with pytest.raises(InputError, match="7 is refused"):
            list(pool.finished(cells if pool.__class__ is Processes else cells[:1]))
        assert time.monotonic() - started < 20


ORPHAN = """
import os, sys, time
from worldbench.runs.pool import Cell
from worldbench.runs.processes import Processes

def note(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)

list(Processes(2).run([Cell("a", note, (sys.argv[1],))]))
"""


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    """Even where it is killed, and cannot say so."""
    path = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", ORPHAN, str(path)])
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    while alive(int(path.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_signal_that_comes_while_a_process_is_started_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = multiprocessing.context.ForkProcess.start

    def start(process: multiprocessing.context.ForkProcess) -> None:
        real(process)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(multiprocessing.context.ForkProcess, "start", start)
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        list(Processes(2).run([Cell("long", time.sleep, (60,))]))
    assert time.monotonic() - begun < 50


HERE = """
import sys, time
from worldbench.runs.pool import Cell, Here

def wait(path):
    open(path, "w").close()
    time.sleep(60)

try:
    list(Here().run([Cell("a", wait, (sys.argv[1],))]))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_sigterm_in_this_process_is_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "started"
    process = subprocess.Popen([sys.executable, "-c", HERE, str(path)])
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 130
    before = signal.getsignal(signal.SIGTERM)
    assert Here().results([Cell("a", double, (2,))]) == [4]
    assert signal.getsignal(signal.SIGTERM) is before

"""A kill before, and in the middle of, every change that a command makes to the disk.

The same command again ends in the same bytes, prints the same, and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

HERE = Path(__file__).resolve().parent


class Server:
    """See kill_server.py."""

    def __init__(self, cache: Path) -> None:
        environment = {**os.environ, "WORLDBENCH_CACHE": str(cache)}
        words = [sys.executable, str(HERE / "kill_server.py")]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def command(self, argv: list[str], root: Path, at: int | None = None, half: bool = False) -> dict[str, Any]:
        return self.ask(argv=argv, root=str(root), at=at, half=half)

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def server(cache: Path) -> Iterator[Server]:
    server = Server(cache)
    yield server
    server.close()


@dataclass(frozen=True)
class Scenario:
    """first: commands that come before, undisturbed. then: the command that is killed. OUT stands for the folder.

    files: what lies in the folder at the start.
    """

    then: str
    first: tuple[str, ...] = ()
    files: dict[str, str] | None = None


RUN = " ".join([*tiny_runs.RUN, *tiny_runs.SETTINGS, "--out", "OUT"])
TUNE = RUN.replace("run hmm --model gpt", "tune hmm --models gpt").replace("--train.checkpoints 3", "--trials 2")
LINE = "node,direction,to,x,y\n" + "".join(
    f"{i},E,{i + 1},{i * 100},0\n{i + 1},W,{i},{(i + 1) * 100},0\n" for i in range(4)
)
ROUTES = "0 2 E E end\n1 0 W end\n0 4 E E W E E E end\n"
SCENARIOS = {
    "run": Scenario(RUN),
    "run with a saved state": Scenario(
        RUN.replace("next_token", "effective_rank") + " --train.save_every 0 --train.log_every 1"
    ),
    "tune": Scenario(TUNE),
    "eval": Scenario("eval OUT/hmm-gpt-* --eval.trials 11 --eval.metrics next_token effective_rank", (RUN,)),
    "trace": Scenario("trace OUT/hmm-gpt-*", (RUN,)),
    "reconstruct": Scenario(
        "reconstruct OUT/routes.txt --map OUT/line.csv --out OUT", files={"line.csv": LINE, "routes.txt": ROUTES}
    ),
}


class Stage:
    """A scenario in a folder that always has the same path, as paths are printed."""

    def __init__(self, server: Server, scenario: Scenario, folder: Path) -> None:
        self.server, self.scenario, self.out, self.start = server, scenario, folder / "out", folder / "start"
        self.start.mkdir()
        for name, text in (scenario.files or {}).items():
            (self.start / name).write_text(text)
        self.reset()
        for command in scenario.first:
            assert server.ask(warm=self.words(command))["code"] == 0
        shutil.rmtree(self.start)
        shutil.copytree(self.out, self.start)
        warm = server.ask(warm=self.words(scenario.then))
        assert warm["code"] == 0, warm["said"]
        self.reset()
        self.whole = server.command(self.words(scenario.then), self.out)
        assert self.whole["code"] == 0, self.whole["said"]
        self.tree = tiny_runs.tree(self.out)

    def words(self, command: str) -> list[str]:
        """With OUT, and * after it, filled in."""
        words = [word.replace("OUT", str(self.out)) for word in command.split()]
        return [str(next(Path("/").glob(word[1:]))) if "*" in word else word for word in words]

    def reset(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.start, self.out)

    def kills(self) -> list[tuple[int, bool]]:
        """The number of a change, and whether it is half made: every write is killed twice."""
        changes = enumerate(self.whole["changes"])
        return [(at, half) for at, change in changes for half in (False, True)[: 1 + change.startswith("write ")]]

    def kill(self, at: int, half: bool) -> None:
        self.reset()
        words, where = self.words(self.scenario.then), f"{'in' if half else 'before'} {self.whole['changes'][at]}"
        assert self.server.command(words, self.out, at, half) == {"killed": True}, where
        again = self.server.command(words, self.out)
        assert again["code"] == 0, f"killed {where}: {again['said']}"
        assert (again["unseen"], again["escaped"]) == ([], []), where
        assert again["printed"] == self.whole["printed"], where
        assert tiny_runs.tree(self.out) == self.tree, where


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_change(name: str, server: Server, tmp_path: Path) -> None:
    """And no file is written that the count of changes does not see."""
    stage = Stage(server, SCENARIOS[name], tmp_path)
    assert (stage.whole["unseen"], stage.whole["escaped"]) == ([], [])
    kills = stage.kills()
    assert len(kills) > 20
    for at, half in kills:
        stage.kill(at, half)


# The count itself

TRY = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from traced_files import Tracer
root = Path({root!r})
tracer = Tracer(root, {at}, half={half})
tracer.install()
{code}
from traced_files import content
there = content(root)
print([tracer.changes, tracer.unseen, tracer.expected == there])
"""
SEEN = """
(root / "a").mkdir()
handle = os.open(root / "a" / "x", os.O_WRONLY | os.O_CREAT)
os.write(handle, b"0123456789")
os.ftruncate(handle, 7)
os.write(handle, b"!")
os.rename(root / "a", root / "b")
os.write(handle, b"end")
os.unlink(root / "old")
(root / "old").unlink(missing_ok=True)
(root / "b").mkdir(exist_ok=True)
"""
CHANGES = [
    "os.mkdir a",
    "create a/x",
    "write a/x",
    "os.truncate a/x",
    "write a/x",
    "os.rename b",
    "write b/x",
    "os.remove old",
]


def tried(root: Path, code: str, at: int | None = None, half: bool = False) -> subprocess.CompletedProcess[str]:
    (root / "old").write_text("old")
    text = TRY.format(here=str(HERE), root=str(root), at=at, half=half, code=code)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)


def test_each_change_is_seen_and_what_is_not_seen_is_noticed(tmp_path: Path) -> None:
    done = tried(tmp_path, SEEN)
    assert done.stdout == f"{[CHANGES, [], True]}\n", done.stderr
    assert (tmp_path / "b" / "x").read_bytes() == b"0123456\0\0\0!end"
    other = tried(tmp_path, "Path(root / 'y').write_text('text')")
    assert eval(other.stdout)[1:] == [["open y as 'w'"], False]
    raw = tried(tmp_path, "os.pwrite(os.open(root / 'z', os.O_WRONLY | os.O_CREAT), b'text', 0)")
    assert eval(raw.stdout)[1:] == [[], False]


def test_a_kill_before_a_change_and_in_the_middle_of_a_write(tmp_path: Path) -> None:
    assert tried(tmp_path, SEEN, at=2).returncode == -9
    assert (tmp_path / "a" / "x").read_bytes() == b""
    (tmp_path / "a" / "x").unlink()
    (tmp_path / "a").rmdir()
    assert tried(tmp_path, SEEN, at=2, half=True).returncode == -9
    assert (tmp_path / "a" / "x").read_bytes() == b"01234"

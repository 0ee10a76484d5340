"""What the fuzz tests try on the command line: damaged words of every verb, and boards over damaged records."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np
import sample_records as samples
from fuzz_reader import Reader
from fuzz_world_files import ROUTES, TABLE
from mutation import damaged_text, generator
from mutation_values import WORDS, pick

from worldbench.cli import last_net
from worldbench.cli.main import main
from worldbench.core.budget import Budget
from worldbench.core.errors import InputError, WorldbenchError
from worldbench.records.reading import text
from worldbench.records.variant import Variant

# The command line


class Understood(WorldbenchError):
    """The words were understood, and the work would begin."""

    exit_code = 0


WORK = (
    "runs.run.run",
    "runs.own.named_function",
    "runs.own.hugging_face_model",
    "runs.prepared.prepare",
    "studies.tune.tuning.tune",
    "studies.bench.timing.measure",
    "studies.maps.write",
)
"""Functions that would begin the work of a verb."""
RUN = ["run", "hmm", "--model", "nextlat", "--preset", "quick", "--seed", "1", "--print-config"]
LINES: tuple[list[str], ...] = (
    [*RUN, "--model.horizon", "4", "--train.steps", "20", "--eval.metrics", "next_token", "excess_loss"],
    ["run", "taxi", "--print-config", "--env.map", "city:40", "--env.region", "30@0,0", "--data.documents", "800"],
    [
        *("run", "maze", "--print-config", "--env.held_out_share", "0.5", "--train.learning_rate=1e-3"),
        *("--train.threads", "1"),
    ],
    ["run", "--config", "recipe.toml", "--tuned", "16x2,excess_loss.kl,0123456789abcdef", "--print-config"],
    ["run", "maze-solve", "--help"],
    ["tune", "hmm", "--models", "gpt", "nextlat", "--trials", "2", "--criterion", "loss", "--train.steps", "5"],
    ["check", "taxi", "--corruptions", "2", "--severities", "1", "--workers", "1", "--env.map", "city:40"],
    ["score", "hmm", "--callable", "mine.py:f", "--batch-limit", "8", "--env.process", "mess3(x=0.15, a=0.6)"],
    ["score", "hmm", "--hf", "a-model", "--tokens", "ids", "--device", "cpu", "--name", "mine", "--env.length", "8"],
    ["push", "runs/a-run", "--dry-run", "--license", "mit", "--repo", "ada/taxi", "--out", "built"],
    ["bench", "--threads", "1", "--repeats", "2", "--models", "gpt"],
    ["eval", "runs/a-run", "--eval.trials", "6", "--env.map", "map.csv"],
    ["trace", "runs/a-run", "runs/another", "--eval.metrics", "next_token", "--quiet"],
    ["decode", "runs/a-run", "--lengths", "1", "2", "--adaptive", "0.5", "--sampled"],
    ["leaderboard", "runs", "--columns", "m.x", "m", "--format", "csv"],
    ["leaderboard", "runs", "--format", "table"],
    ["compare", "gpt", "nextlat[steps=10]", "runs", "--columns", "m.y", "--margin", "0.1", "--format", "json"],
    ["compare", "gpt", "nextlat", "runs", "--matched", "m.x"],
    ["claims", "runs", "--claims", "nextlat-valid", "--format", "csv"],
    ["claims", "--list"],
    ["headroom", "runs", "--columns", "m.x", "--format", "csv"],
    ["show", "runs/a-run", "--all"],
    ["show", "runs/result-gpt-0.json", "--json"],
    ["validate", "runs", "runs/result-gpt-0.json"],
    ["figures", "runs/a-run"],
    ["figures", "runs/a-run", "--together", "drawn"],
    [
        *("reconstruct", "none.txt", "--map", "map.csv", "--degree", "3", "--orders", "1", "--directions", "up"),
        *("--seed", "1"),
    ],
    ["map", "map.csv", "--region", "all", "--city-seed", "1"],
    ["ls"],
    ["--version"],
)
"""Commands whose every word can be replaced; the folder is that of `prepared_folder`."""
OPTIONS = tuple(word for line in LINES for word in line if word.startswith("-"))
NAMES = tuple(word for line in LINES for word in line if not word.startswith("-"))
ODD = tuple(word for word in WORDS if "\0" not in word and "\ud800" not in word)
"""An argument of a process holds neither of them."""


def answer(argv: Sequence[str]) -> None:
    """Ask the command line. Raises InputError for a refusal, what was unforeseen, and AssertionError for odd output."""

    def caught(error: BaseException, argv: list[str]) -> int:
        raise error

    said, printed = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
        mock.patch.object(last_net, "caught", caught),
    ):
        code = main(list(argv))
    message, out = (stream.buffer.getvalue().decode() for stream in (said, printed))  # type: ignore[attr-defined]
    assert code in (0, 1, 2), f"exit code {code}: {message}"
    assert all(line.isprintable() for line in (message + out).split("\n")), f"{message!r} {out!r:.2000}"
    if code:
        assert message.splitlines()[-1].startswith("worldbench: "), message
        raise InputError(message.splitlines()[-1])


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """There, with no work begun."""

    def begin(*_: object, **__: object) -> None:
        raise Understood("the words are understood")

    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.ExitStack() as stack:
            for name in WORK:
                stack.enter_context(mock.patch(f"worldbench.{name}", begin))
            yield
    finally:
        os.chdir(before)


def results() -> dict[str, bytes]:
    """A board of two models on three seeds."""
    out = {}
    for model in ("gpt", "nextlat"):
        for seed in range(3):
            value = 0.5 + 0.1 * seed + (0.2 if model == "gpt" else 0.0)
            scores = {
                "m": samples.metric({"x": value, "y": None}),
                "n": samples.metric({"z": value}, direction="lower"),
            }
            out[f"result-{model}-{seed}.json"] = text(samples.result(model, seed, scores)).encode()
    return out


def prepared_folder(folder: Path) -> None:
    """A table, routes, a board and a foreign file."""
    (folder / "runs" / "a-run").mkdir(parents=True)
    for name, content in results().items():
        (folder / "runs" / name).write_bytes(content)
    (folder / "runs" / "results_2026.json").write_text('{"results": {}}', encoding="utf-8")
    (folder / "runs" / "trace.json").write_text(text(samples.trace()), encoding="utf-8")
    (folder / "map.csv").write_text(TABLE, encoding="utf-8")
    (folder / "routes.txt").write_text(ROUTES["routes.txt"], encoding="utf-8")
    (folder / "recipe.toml").write_text('world = "hmm"\n[train]\nsteps = 20\n', encoding="utf-8")


def line_of(index: int) -> list[str]:
    """Damaged words, input `index`: one to three words lost, doubled, replaced, put in, moved or changed."""
    rng = generator("words", index)
    line = list(LINES[index % len(LINES)])
    for _ in range(1 + int(rng.integers(3))):
        at = int(rng.integers(len(line) + 1))
        kind = int(rng.integers(6))
        new = pick((OPTIONS, NAMES, ODD)[int(rng.integers(3))], rng)
        if kind == 0 and at < len(line):
            del line[at]
        elif kind == 1 and at < len(line):
            line[at:at] = [line[at]]
        elif kind == 2 and at < len(line):
            line[at] = new
        elif kind == 3 and line:
            line.append(line.pop(int(rng.integers(len(line)))))
        elif kind == 4 and at < len(line):
            line[at] = "".join(c for c in damaged_text(line[at], rng) if c not in "\0\ud800")
        else:
            line[at:at] = [new]
    return line


# Boards and figures over damaged records


def boards(folder: Path) -> dict[str, Reader]:
    """A damaged record among whole ones: named, it is refused or used; below a folder it may be left out."""
    (folder / "board").mkdir()
    for name, content in results().items():
        (folder / "board" / name).write_bytes(content)
    among = folder / "board"

    def asked(*argv: str) -> Callable[[Path], None]:
        return lambda path: answer([str(path) if word == "FILE" else word for word in argv])

    def of_folder(*argv: str) -> Callable[[Path], None]:
        """Asked of the folder, which leaves the file out or counts it, and of the file by name, which decides."""

        def ask(path: Path) -> None:
            with contextlib.suppress(InputError):
                answer([*argv, str(among)])
            answer([*argv, str(path), *(str(among / name) for name in results() if name != path.name)])

        return ask

    result = {"board/result-gpt-0.json": results()["result-gpt-0.json"]}
    losses = {"gpt": (1.0, 0.5, 0.25), "nextlat": (0.75, 0.5, 0.125)}
    traces = {model: text(samples.trace(model, 0, traced(values))).encode() for model, values in losses.items()}
    (folder / "other.json").write_bytes(traces["nextlat"])
    matched = asked("compare", "gpt", "nextlat", "FILE", str(folder / "other.json"), "--matched", "loss.x")
    return {
        "leaderboard": Reader(result, of_folder("leaderboard"), 250, "json"),
        "columns": Reader(result, of_folder("leaderboard", "--columns", "m.x", "n", "--format", "csv"), 100, "json"),
        "compare": Reader(result, of_folder("compare", "gpt", "nextlat[steps=10]", "--margin", "0.1"), 200, "json"),
        "headroom": Reader(result, of_folder("headroom", "--format", "json"), 100, "json"),
        "claims": Reader(result, of_folder("claims", "--format", "json"), 100, "json"),
        "markdown": Reader(result, asked("leaderboard", "FILE", "--format", "markdown"), 150, "json"),
        "matched": Reader({"trace.json": traces["gpt"]}, matched, 200, "json"),
        "validate": Reader(result | {"trace.json": traces["gpt"]}, asked("validate", "FILE"), 150, "json"),
    }


def traced(losses: Sequence[float]) -> dict[int, dict[str, samples.Metric]]:
    """Scores by step."""
    return {
        4**i: {"loss": samples.metric({"x": loss}, direction="lower"), "m": samples.metric({"y": 1 - loss})}
        for i, loss in enumerate(losses)
    }


# Words that have a form of their own


@dataclass(frozen=True)
class Words:
    """texts: that are read as they are. read: raises a WorldbenchError for any other, or uses it."""

    texts: tuple[str, ...]
    read: Callable[[str], object]
    count: int

    def damaged(self, name: str, index: int) -> str:
        rng: np.random.Generator = generator(name, index)
        return damaged_text(self.texts[index % len(self.texts)], rng)


def words() -> dict[str, Words]:
    from worldbench.envs.hmm.library import named
    from worldbench.envs.taxi.maps import city_size
    from worldbench.envs.taxi.regions import parse_region

    records = [samples.result(model, seed) for model in ("gpt", "nextlat") for seed in range(2)]
    tuned = msgspec.structs.replace(records[0], tuning=Budget(16, 2, "excess_loss.kl", "0123456789abcdef"))

    def budget(text: str) -> None:
        assert str(Budget.parse(text)) == text

    def variant(text: str) -> None:
        found = Variant.parse(text)
        assert bool(found.missing([*records, tuned])) == (not found.of([*records, tuned]))

    return {
        "budget": Words(("16x2,excess_loss.kl,0123456789abcdef", "1x1,loss,aaaaaaaaaaaaaaaa"), budget, 300),
        "variant": Words(
            ("nextlat[layers=2,steps=10]", "gpt train.steps=10 model.layers=2", "gpt[tuned=16x2]", "gpt"), variant, 400
        ),
        "process by name": Words(
            ("mess3(x=0.15, a=0.6)", "mixture(0.2*coin, 0.8*z1r)", "product(coin, z1r)", "rrxor"), named, 400
        ),
        "region": Words(("50@40.7355,-74.0000", "40.7,-74,40.8,-73.9", "all"), parse_region, 200),
        "city": Words(("city:500", "city:48"), city_size, 100),
    }

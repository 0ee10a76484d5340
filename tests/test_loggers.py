"""TensorBoard and Weights & Biases get the numbers of metrics.jsonl and of the result, and change nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from worldbench.records.lines import Line, TrainLine, read_lines
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs import one_run
from worldbench.training import loggers

LOGGED = ("config.json", "tensorboard", "wandb")
"""What the option may change in a run folder: its own value, and the logger's files."""


class Kept(loggers.Sink):
    """Keeps what it gets, and fails at a step."""

    def __init__(self, fails: int | None = None) -> None:
        self.got: list[tuple[int, dict[str, float]]] = []
        self.begun: list[int] = []
        self.closed, self.fails = 0, fails

    def begin(self, done: int) -> None:
        self.begun.append(done)

    def send(self, values: Mapping[str, float], step: int) -> None:
        if step == self.fails:
            raise OSError("no room\non the device")
        self.got.append((step, dict(values)))

    def close(self) -> None:
        self.closed += 1


def expected(folder: Path) -> dict[tuple[str, int], float]:
    """Name and step -> number, from the files of worldbench."""
    out: dict[tuple[str, int], float] = {}
    for line in read_lines(folder / "metrics.jsonl"):
        out |= {(name, line.step): value for name, value in values_of(line).items()}
    scores = read(tiny_runs.result(folder), Result).scores
    last = tiny_runs.OPTIONS["train"]["steps"]
    for metric, measured in scores.items():
        out |= {(f"{metric}/{n}", last): s.value for n, s in measured.scores.items() if s.value is not None}
    return out


def values_of(line: Line) -> dict[str, float]:
    if isinstance(line, TrainLine):
        return {f"train/{n}": v for n, v in line.loss.items()} | {"train/learning_rate": line.learning_rate}
    found = {"loss": line.loss, "bayes": line.bayes, "excess": line.excess}
    return {f"held_out/{n}": v for n, v in found.items() if v is not None}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.draw_nothing(patch)
        out = tmp_path_factory.mktemp("plain")
        assert tiny_runs.run(out)[0] == 0
    return out


def logged(out: Path, plain: Path, kind: str, patch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """The folder of the run with a logger, and what was said. Nothing else differs."""
    tiny_runs.draw_nothing(patch)
    code, said = tiny_runs.run(out, "--train.log", kind)
    assert code == 0, said
    ours, theirs = ({k: v for k, v in tiny_runs.tree(o).items() if not own(k)} for o in (out, plain))
    assert ours == theirs
    one, two = (json.loads((tiny_runs.folder(o) / "config.json").read_text()) for o in (out, plain))
    assert (one["groups"]["train"].pop("log"), two["groups"]["train"].pop("log")) == (kind, "none")
    assert one == two
    return tiny_runs.folder(out), said


def own(path: Any) -> bool:
    return any(part in LOGGED for part in Path(path).parts)


def test_tensorboard(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs the optional package tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = logged(tmp_path, plain, "tensorboard", monkeypatch)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    found = {(tag, e.step): e.value for tag in events.Tags()["scalars"] for e in events.Scalars(tag)}
    assert found == {key: pytest.approx(value, rel=1e-6) for key, value in expected(folder).items()}


@pytest.mark.slow
def test_wandb_offline(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the optional package wandb")
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    folder, said = logged(tmp_path, plain, "wandb", monkeypatch)
    assert "wandb sync" in said
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2  # of the training and of the scores, with one id
    history: dict[tuple[str, int], float] = {}
    for file in files:
        history |= numbers(file)
    wanted = {key: pytest.approx(value, rel=1e-6) for key, value in expected(folder).items()}
    assert {key: value for key, value in history.items() if key in wanted} == wanted


def numbers(file: Path) -> dict[tuple[str, int], float]:
    """Name and step -> number, from the file of an offline run; of the summary, the last step."""
    from wandb.proto import wandb_internal_pb2

    out: dict[tuple[str, int], float] = {}
    for raw in records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(raw)
        step = record.history.step.num
        for item in record.history.item:
            out[item.key or "/".join(item.nested_key), step] = json.loads(item.value_json)
        for item in record.summary.update:
            name = item.key or "/".join(item.nested_key)
            out[name, tiny_runs.OPTIONS["train"]["steps"]] = json.loads(item.value_json)
    return out


def records(raw: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: pieces with a checksum, a length and a type, in blocks of 32
    KiB."""
    at, parts = 7, []
    while at + 7 <= len(raw):
        if (1 << 15) - at % (1 << 15) < 7:
            at += -at % (1 << 15)
            continue
        _, length, kind = struct.unpack("<IHB", raw[at : at + 7])
        parts.append(raw[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last piece
            yield b"".join(parts)
            parts = []


def test_a_logger_that_fails_stops_nothing(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message, and no further call; the sinks are closed."""
    sinks: list[Kept] = []

    def make(*_: object) -> Kept:
        sinks.append(Kept(fails=2))
        return sinks[-1]

    monkeypatch.setattr(loggers, "TensorBoard", make)
    monkeypatch.setattr(one_run, "require", lambda kind: None)
    monkeypatch.setattr(loggers, "require", lambda kind: None)
    folder, said = logged(tmp_path, plain, "tensorboard", monkeypatch)
    assert said.count("train.log tensorboard failed and is switched off; the run goes on (OSError: no room on the") == 1
    assert [step for step, _ in sinks[0].got] == [1, 1]  # the loss and the point of the curve of step 1
    assert sinks[0].begun == [0]
    wanted = {name: value for (name, step), value in expected(folder).items() if name.startswith("next_token")}
    assert sinks[1].got == [(4, wanted)]
    assert sinks[1].closed == 1


def test_a_logger_that_cannot_begin_stops_nothing(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise SystemExit("no")

    monkeypatch.setattr(loggers, "WandB", fails)
    monkeypatch.setattr(one_run, "require", lambda kind: None)
    monkeypatch.setattr(loggers, "require", lambda kind: None)
    assert "train.log wandb failed and is switched off" in logged(tmp_path, plain, "wandb", monkeypatch)[1]


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_package_that_is_absent(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    code, said = tiny_runs.run(tmp_path, "--train.log", kind)
    assert code == 2
    assert f"train.log {kind} needs the package {kind}, which is not installed; install it with pip install" in said
    assert not list(tmp_path.glob("hmm-gpt-*"))


def test_a_training_that_goes_on_says_from_where() -> None:
    sink, said = Kept(), []
    logger = loggers.Logger("tensorboard", lambda: sink, said.append)
    logger.begin(7)
    logger.line(TrainLine(step=8, loss={"loss": float("inf"), "other": 1.0}, learning_rate=0.5))
    logger.close()
    logger.close()
    assert (sink.begun, sink.closed, said) == ([7], 1, [])
    assert sink.got == [(8, {"train/other": 1.0, "train/learning_rate": 0.5})]

"""Training losses, learning curve and final scores of a run, sent to TensorBoard or to Weights & Biases.

`metrics.jsonl` and the result hold the same numbers, with or without a logger. A logger that fails never stops a run:
one message says why, and the run goes on without the logger.
"""

from __future__ import annotations

import abc
import contextlib
import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, WorldbenchError, describe
from worldbench.records.lines import Line, TrainLine
from worldbench.records.scores import Scores

NONE, TENSORBOARD, WANDB = "none", "tensorboard", "wandb"
PACKAGES = {TENSORBOARD: "tensorboard", WANDB: "wandb"}
PROJECT = "worldbench"

Say = Callable[[str], None]


def require(kind: str) -> None:
    """Raises InputError if the package of a logger is not installed."""
    package = PACKAGES.get(kind)
    if package is not None and importlib.util.find_spec(package) is None:
        raise InputError(
            f"train.log {kind} needs the package {package}, which is not installed; install it with pip install "
            f"'worldbench[{kind}]', or leave train.log out"
        )


class Sink(abc.ABC):
    """Where numbers go."""

    @abc.abstractmethod
    def begin(self, done: int) -> None:
        """Training begins, or continues after `done` steps: numbers of later steps will come again."""

    @abc.abstractmethod
    def send(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name, after a step."""

    def scores(self, values: Mapping[str, float], step: int) -> None:
        """The final scores, after the last step."""
        self.send(values, step)

    @abc.abstractmethod
    def close(self) -> None:
        """Everything was sent."""


class Logger:
    """Sends numbers to a sink (None: nowhere). After the first error nothing is sent any more."""

    def __init__(self, kind: str, make: Callable[[], Sink] | None, say: Say) -> None:
        self.kind, self.say, self.sink = kind, say, None
        self._guarded(lambda: setattr(self, "sink", None if make is None else make()))

    def begin(self, done: int) -> None:
        self._guarded(lambda: self.sink and self.sink.begin(done))

    def line(self, line: Line) -> None:
        """A training loss or a point of the learning curve."""
        values: dict[str, float | None]
        if isinstance(line, TrainLine):
            values = {f"train/{name}": value for name, value in line.loss.items()}
            values["train/learning_rate"] = line.learning_rate
        else:
            values = {"held_out/loss": line.loss, "held_out/bayes": line.bayes, "held_out/excess": line.excess}
        finite = _finite(values)
        self._guarded(lambda: self.sink and self.sink.send(finite, line.step))

    def scores(self, scores: Scores, step: int) -> None:
        """The scores of the trained model."""
        found = {f"{m}/{name}": s.value for m, metric in scores.items() for name, s in metric.scores.items()}
        finite = _finite(found)
        self._guarded(lambda: self.sink and self.sink.scores(finite, step))

    def close(self) -> None:
        self._guarded(lambda: self.sink and self.sink.close())
        self.sink = None

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except WorldbenchError:  # a second signal asks to stop
            raise
        except (Exception, SystemExit) as error:
            self.sink = None
            self.say(f"train.log {self.kind} failed and is switched off; the run goes on ({describe(error)})")


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


@contextlib.contextmanager
def opened(kind: str, folder: Path, config: Mapping[str, Any], say: Say) -> Iterator[Logger]:
    """The logger of a run folder. config: the settings of the run, for people.

    Raises InputError if its package is not installed.
    """
    require(kind)
    makes: dict[str, Callable[[], Sink]] = {
        TENSORBOARD: lambda: TensorBoard(folder / TENSORBOARD),
        WANDB: lambda: WandB(folder, config, say),
    }
    logger = Logger(kind, makes.get(kind), say)
    try:
        yield logger
    finally:
        logger.close()


class TensorBoard(Sink):
    """Event files in `tensorboard/` of the run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.writer = folder, None

    def begin(self, done: int) -> None:
        self.writer = self._open(done + 1 if done else 0)

    def send(self, values: Mapping[str, float], step: int) -> None:
        self.writer = self.writer or self._open(None)
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _open(self, purge: int | None) -> Any:
        """A new event file. purge: the first step whose earlier numbers TensorBoard is to forget."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder), purge_step=purge)


class WandB(Sink):
    """A run of Weights & Biases with the name of the run folder, in `wandb/` of the folder. WANDB_MODE=online sends
    while training; otherwise files are written, and `wandb sync` sends them."""

    def __init__(self, folder: Path, config: Mapping[str, Any], say: Say) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        mode: Any = os.environ.get("WANDB_MODE") or "offline"
        settings = wandb.Settings(
            silent=True, console="off", save_code=False, disable_git=True, disable_code=True, x_disable_meta=True,
            x_disable_stats=True, x_disable_machine_info=True, init_timeout=30.0,
        )  # fmt: skip
        place = Path(os.environ.get("WANDB_DIR") or folder).absolute()
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT, id=folder.name, name=folder.name, dir=str(place),
            mode=mode, resume="allow", config=dict(config), settings=settings,
        )  # fmt: skip
        if mode == "offline":
            say(f"Weights & Biases writes files alone; to send them: wandb sync {place / 'wandb'}/offline-run-*")

    def begin(self, done: int) -> None:
        self.run.summary["resumed_after"] = done

    def send(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def scores(self, values: Mapping[str, float], step: int) -> None:
        self.run.summary.update(dict(values))

    def close(self) -> None:
        self.run.finish()

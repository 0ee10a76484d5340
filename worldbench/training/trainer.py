"""The trainer of every objective, on CPU or CUDA. A resumed run gives the same bits as one that never stopped."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.objective import Objective
from worldbench.baselines.products import use_products
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import Diverged, Interrupted, RunError
from worldbench.core.files import make_folder, remove
from worldbench.core.model import refuse_impossible
from worldbench.core.text import counted
from worldbench.core.world import Documents, World
from worldbench.records.lines import EvalLine, Line, TrainLine
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training import checkpoint, curve, training_log
from worldbench.training.ahead import Ahead
from worldbench.training.arithmetic import guard, resolve_device, resolve_products, set_up
from worldbench.training.compiled import Compiled, toolchain
from worldbench.training.loggers import Logger
from worldbench.training.memory import automatic_parts
from worldbench.training.optimizer import apply_gradients, learning_rate, make_optimizer, set_rates
from worldbench.training.parallel import ALONE, Lost, Together
from worldbench.training.precision import computing, refuse_precision
from worldbench.training.stream import TrainingStream
from worldbench.training.training_log import TrainingLog

NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""Words of torch's errors of the allocators of CUDA and of the CPU."""


class Trainer:
    """Trains one objective in one run folder. It continues where an earlier process stopped.

    report: called at each logged step with (steps done, steps, losses, tokens, seconds). together: the processes that
    train together; only one of them works in the folder, and sends to `logger`.
    """

    def __init__(
        self,
        world: World,
        objective: Objective,
        data: DataConfig,
        config: TrainConfig,
        seed: int,
        folder: Path,
        *,
        report: Any = None,
        together: Together = ALONE,
        logger: Logger | None = None,
    ) -> None:
        refuse_impossible(objective, world)
        self.device = resolve_device(config.device)
        refuse_precision(config.precision, self.device)
        set_up(config.threads)
        if config.accumulate == 0:
            settled = replace(config, device=self.device)
            config = replace(config, accumulate=automatic_parts(world, objective, data, settled, seed).parts)
        self.world, self.config, self.folder, self.report, self.together = world, config, folder, report, together
        self.logger = logger
        self.objective = objective.to(self.device)
        self.products = resolve_products(config.products, self.device, config.precision)
        use_products(self.objective, self.products)
        self.compiled = Compiled(self.objective, self.device) if config.compile else None
        self.optimizer = make_optimizer(self.objective, config)
        self.stream = TrainingStream(world, data, config, seed)
        self.held_out: Documents = curve.documents(world, config.curve_documents)
        self.choosing = curve.choosing(world, config.curve_documents) if config.scored_step == "least_loss" else None
        self.points = curve.log_spaced(config.steps, config.checkpoints)
        self.interrupted = False
        self.tokens = 0
        # On the CPU a thread would take the processor from the step. (A batch takes about 0.4% of the time of a step.)
        self.ahead = self.device == "cuda"
        self._prepared = Ahead(self._prepare)
        if together.leads:
            make_folder(folder / "checkpoint")

    # One step

    def batches(self, step: int) -> list[Batch]:
        """The rows of a step that this process computes, in the memory of the CPU, split into `accumulate` parts.

        The parts of all processes in order are those of one process that accumulates them all.
        """
        documents, c, t = self.stream.documents(step), self.config, self.together
        cuts = np.linspace(0, c.batch, t.size * c.accumulate + 1).round().astype(int)
        cuts = cuts[t.rank * c.accumulate : (t.rank + 1) * c.accumulate + 1]
        first, rows = int(cuts[0]), int(cuts[-1] - cuts[0])
        if t.size > 1:
            per_row = self.stream.per_row
            documents = documents.take(np.arange(first * per_row, (first + rows) * per_row))
        own = pack(documents, rows, self.stream.width, step * c.batch + first)
        return [own.rows(int(low) - first, int(high) - first) for low, high in itertools.pairwise(cuts)]

    def _prepare(self, step: int) -> tuple[list[Batch], dict[str, Any], int]:
        """The batches of a step on the device, the total of each term, and the number of tokens."""
        parts = self.batches(step)
        # The rows are read here, on the CPU, so that no operation of the step waits for the device.
        counts = [self.objective.prepare(part) for part in parts]
        totals = {name: sum(c[name] for c in counts) for name in counts[0]}
        tokens = sum(int(part.valid.sum()) for part in parts)
        return [part.to(self.device) for part in parts], totals, tokens

    def step(self, step: int) -> dict[str, torch.Tensor]:
        """Do one optimizer step. Returns the mean of each term of the loss, detached and on the device. Raises RunError
        if the objective uses an operation whose last digits vary from run to run."""
        try:
            return self._step(step)
        except RuntimeError as error:
            if any(words in str(error) for words in NO_MEMORY):
                raise RunError(
                    f"{self.device} has too little memory for a step of {counted(self.config.batch, 'row')} in "
                    f"{counted(self.config.accumulate, 'part')}; use a higher --train.accumulate (0: worldbench "
                    "chooses it), or a smaller --train.batch"
                ) from error
            if "does not have a deterministic implementation" not in str(error):
                raise
            operation = str(error).split(" ", 1)[0]
            raise RunError(
                f"the objective {self.objective.name!r} uses {operation} on {self.device}, whose last digits vary from "
                "run to run; use another operation, or train on another device (--train.device)"
            ) from error

    def _step(self, step: int) -> dict[str, torch.Tensor]:
        parts, totals, tokens = self._prepared.take(step)
        *counts, tokens = self.together.sum_numbers([*totals.values(), tokens])
        totals = dict(zip(totals, counts))
        self.tokens += tokens
        if not self.objective.training:  # a point of the learning curve was computed before
            self.objective.train()
        sums: dict[str, torch.Tensor] = {}
        with self._prepared.beside(step + 1 if self.ahead and step + 1 < self.config.steps else None):
            for part in parts:
                for name, value in self._gradients(part, totals).items():
                    sums[name] = sums.get(name, 0) + value
            sums = self.together.sum_gradients(list(self.objective.parameters()), sums)
            set_rates(self.optimizer, self.config, step)
            apply_gradients(self.objective, self.optimizer, self.config)
        return sums

    def _gradients(self, part: Batch, totals: dict[str, Any]) -> dict[str, torch.Tensor]:
        compiled = self.compiled.used() if self.compiled else contextlib.nullcontext()
        with computing(self.config.precision, self.device), compiled:
            return self.objective.backward(part, totals)

    def _compile(self) -> None:
        """Compile on the rows of the first step, whichever step comes next. See compiled.py."""
        parts, totals, _ = self._prepare(0)
        self.objective.train()
        for part in parts:
            self._gradients(part, totals)
        self.objective.zero_grad(set_to_none=True)

    # The whole run

    def train(self) -> None:
        """Train up to the last step.

        Raises Interrupted when the process is asked to stop (the state is saved), and Diverged when a loss or a weight
        is not a finite number (the last good state is kept). Raises Lost when another process of the training ended.
        """
        c, leads = self.config, self.together.leads
        with contextlib.closing(self._prepared), self._opened() as (done, log):
            done = self.together.share(done, self.objective, self.optimizer)
            if self.compiled:
                self._compile()
            if self.logger is not None:
                self.logger.begin(done)
            started = saved = time.monotonic()
            for step in range(done, c.steps):
                try:
                    losses = self.step(step)
                except Lost as error:
                    raise self._after(error, done, log) from error
                done = step + 1
                point, now = done in self.points, time.monotonic()
                due, stop, lost = self.together.agree(now - saved > c.save_every and done < c.steps, self.interrupted)
                if lost is not None and self.device == "cuda":
                    raise self._after(lost, done, log) from lost
                if point or due or stop or done % c.log_every == 0 or done == 1:
                    values = {name: float(v) for name, v in losses.items()}
                    self._check_finite(values, done)
                    if done % c.log_every == 0 or done == 1:
                        rate = learning_rate(c, step)
                        self._write(log, TrainLine(step=done, loss=values, learning_rate=rate))
                    if self.report is not None:
                        self.report(done, c.steps, values, self.tokens, now - started)
                if point and not lost and not self.together.same(self.objective):
                    raise RunError(
                        f"the processes no longer hold the same weights after step {done}; the last saved state is "
                        "kept; start all processes on machines and cards of one kind"
                    )
                if point and leads:
                    self._check_weights(done)
                    self._write(log, self.evaluate(done))
                    log.flush()
                    about = checkpoint.About(done, curve=log.curve)
                    checkpoint.save_weights(self.folder, about, self.objective)
                if lost is not None and done < c.steps:
                    raise self._after(lost, done, log) from lost
                if (due or stop) and done < c.steps:
                    self._save(done, log)
                    saved = time.monotonic()
                if stop and done < c.steps:
                    self.together.wait()
                    raise Interrupted(
                        f"stopped after step {done} of {c.steps}, all saved; the same command goes on from there"
                    )
        if leads:
            remove(checkpoint.state_path(self.folder))

    def _write(self, log: TrainingLog, line: Line) -> None:
        """A line to metrics.jsonl, and then to the logger."""
        log.write(line)
        if self.logger is not None and self.together.leads:
            self.logger.line(line)

    def _save(self, done: int, log: TrainingLog) -> None:
        """Save the whole training state after a step."""
        if self.together.leads:
            self._check_weights(done)
            about = checkpoint.About(done, log=log.flush())
            checkpoint.save_state(self.folder, about, self.objective, self.optimizer)

    def _after(self, lost: Lost, done: int, log: TrainingLog) -> Lost:
        """The error for a training of which another process is gone. The state after the last whole step is saved,
        except on CUDA, where reading the weights could wait for ever for the other process."""
        saved = self.device == "cpu" and 0 < done < self.config.steps
        if saved:
            self._save(done, log)
        if not saved:
            return Lost(lost.reason)
        return Lost(lost.reason, f"after step {done} of {self.config.steps}, all saved")

    def evaluate(self, step: int) -> EvalLine:
        """The point of the learning curve for the present weights, on documents that training never draws."""
        model = TrainedModel(self.objective, self.device)
        return curve.point(self.world, model, self.held_out, step, self.choosing)

    # Files

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, TrainingLog]]:
        """The number of steps done, and metrics.jsonl as it was after them: those of the saved state, else 0 and an
        empty file. Processes that write no files get 0 and a log without a file."""
        if not self.together.leads:
            yield 0, training_log.Unwritten()
            return
        path, state = self.folder / "metrics.jsonl", checkpoint.state_path(self.folder)
        compiler = toolchain(self.device) if self.compiled else ""
        guard(self.folder, self.device, state.exists(), self.products, self.config.precision, compiler)
        about = checkpoint.load_state(self.folder, self.objective, self.optimizer)
        if about is None or about.log is None:
            # The presence of the last weights means that training is complete, which it no longer is.
            remove(checkpoint.weights_path(self.folder, self.config.steps))
            with training_log.started(path) as log:
                yield 0, log
            return
        self._check_state(about, state)
        with training_log.resumed(path, about.log, state) as log:
            yield about.step, log

    def _check_state(self, about: checkpoint.About, state: Path) -> None:
        """Raises RunError if a saved state does not belong to this training, or if weights from before it are gone."""
        again = f"or delete {str(state)!r} and run the same command again, which then trains from the first step on"
        if not 0 < about.step < self.config.steps:
            raise RunError(
                f"the saved state is of step {about.step} of {self.config.steps}; put the right file back, {again}"
            )
        gone = [
            step
            for step in self.points
            if step <= about.step and not checkpoint.weights_path(self.folder, step).exists()
        ]
        if gone:
            raise RunError(
                f"the weights of {curve.named(gone)} are gone, but training had passed them; put them back, {again}"
            )

    def _rates(self) -> str:
        return (
            "--train.muon_rate and --train.learning_rate"
            if self.config.optimizer == "muon"
            else "--train.learning_rate"
        )

    def _check_finite(self, losses: dict[str, float], step: int) -> None:
        if not all(math.isfinite(v) for v in losses.values()):
            terms = ", ".join(f"{k} {v}" for k, v in losses.items())
            raise Diverged(
                f"the loss is not a number at step {step} ({terms}); the last good checkpoint is kept, "
                f"lower {self._rates()}"
            )

    def _check_weights(self, step: int) -> None:
        """Raises Diverged if the weights that are about to be saved are not finite. The loss does not show this: it
        belongs to the weights before the step."""
        if not all(bool(torch.isfinite(p).all()) for p in self.objective.parameters()):
            raise Diverged(
                f"the weights are not numbers after step {step}; the last good checkpoint is kept, "
                f"lower {self._rates()}"
            )

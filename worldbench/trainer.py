"""The one trainer: any objective, CPU or CUDA, fp32, resumable to the bit."""

from __future__ import annotations

import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldbench import checkpoint
from worldbench.arithmetic import guard, resolve_device, set_up
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.objective import Objective
from worldbench.baselines.trained import TrainedModel
from worldbench.configuration import DataConfig, TrainConfig
from worldbench.core.errors import Diverged, Interrupted, RunError
from worldbench.core.files import to_json, write_atomic
from worldbench.core.model import SequenceModel, refuse_impossible
from worldbench.core.world import Documents, World
from worldbench.stream import TrainingStream

FLOOR = 0.01
"""What a falling schedule falls to, as a share of the peak."""


def log_spaced(steps: int, count: int) -> list[int]:
    """At most `count` distinct steps from about steps / 200 to steps, evenly spaced in their logarithm; the last is always `steps`."""
    if count == 1:
        return [steps]
    first = max(1, steps // 200)
    points = {round(first * (steps / first) ** (k / (count - 1))) for k in range(count)}
    return sorted(points | {steps})


def learning_rate(config: TrainConfig, step: int) -> float:
    """Of a step (0-based)."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    shape = (1 + math.cos(math.pi * progress)) / 2 if config.schedule == "cosine" else 1 - progress
    return config.learning_rate * (FLOOR + (1 - FLOOR) * shape)


def make_optimizer(objective: Objective, config: TrainConfig) -> torch.optim.Optimizer:
    parameters = list(objective.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def apply_gradients(objective: Objective, optimizer: torch.optim.Optimizer, config: TrainConfig) -> None:
    """The end of a step: clip the gradients, change the weights, forget the gradients."""
    if config.clip:
        for parameters in objective.clip_groups():
            torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


class Trainer:
    """Trains one objective in one run folder, from wherever an earlier process left it."""

    def __init__(
        self,
        world: World,
        objective: Objective,
        data: DataConfig,
        config: TrainConfig,
        seed: int,
        folder: Path,
        *,
        evaluation_seed: int = 0,
        report: Any = None,
    ) -> None:
        refuse_impossible(objective, world)
        self.world, self.config, self.folder, self.report = world, config, folder, report
        self.device = resolve_device(config.device)
        set_up(config.threads)
        self.objective = objective.to(self.device)
        self.optimizer = make_optimizer(self.objective, config)
        self.stream = TrainingStream(world, data, config, seed)
        self.held_out: Documents = world.sample(evaluation_seed, "test", 0, config.curve_documents)
        self.points = log_spaced(config.steps, config.checkpoints)
        self.interrupted = False
        self.tokens = 0
        (folder / "checkpoint").mkdir(exist_ok=True)

    # One step

    def batches(self, step: int) -> list[Batch]:
        """The step's batch, in `accumulate` parts of whole rows."""
        documents, c = self.stream.documents(step), self.config
        whole = pack(documents, c.batch, self.stream.width, step * c.batch)
        self.tokens += int(whole.valid.sum())
        cuts = np.linspace(0, c.batch, c.accumulate + 1).round().astype(int)
        return [whole.rows(int(low), int(high)).to(self.device) for low, high in itertools.pairwise(cuts)]

    def step(self, step: int) -> dict[str, torch.Tensor]:
        """One optimiser step; the mean of each loss term (detached, on the device)."""
        parts = self.batches(step)
        counts = [self.objective.counts(part) for part in parts]
        totals = {name: sum(c[name] for c in counts) for name in counts[0]}
        sums: dict[str, torch.Tensor] = {}
        for part in parts:
            for name, value in self.objective.backward(part, totals).items():
                sums[name] = sums.get(name, 0) + value
        rate = learning_rate(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        apply_gradients(self.objective, self.optimizer, self.config)
        return sums

    # The whole run

    def train(self) -> None:
        """Go on to the last step. Raises Interrupted (state saved), or Diverged when the loss is not a number (last good state kept)."""
        c = self.config
        guard(self.folder, self.device, checkpoint.state_path(self.folder).exists())
        done = checkpoint.load_state(self.folder, self.objective, self.optimizer)
        records = self._cut_back(done)
        started = saved = time.monotonic()
        with records.open("a", encoding="utf-8") as log:
            for step in range(done, c.steps):
                losses = self.step(step)
                done = step + 1
                point, now = done in self.points, time.monotonic()
                due = now - saved > c.save_every and done < c.steps
                if point or due or self.interrupted or done % c.log_every == 0 or done == 1:
                    values = {name: float(v) for name, v in losses.items()}
                    self._check_finite(values, done)
                    if done % c.log_every == 0 or done == 1:
                        self._write(log, {"kind": "train", "step": done, "loss": values, "learning_rate": learning_rate(c, step)})
                    if self.report is not None:
                        self.report(done, c.steps, values, self.tokens, now - started)
                if point:
                    self._check_weights(done)
                    checkpoint.save_weights(self.folder, done, self.objective)
                    self._write(log, {"kind": "eval", "step": done, **self.evaluate()})
                if (due or self.interrupted) and done < c.steps:
                    self._check_weights(done)
                    checkpoint.save_state(self.folder, done, self.objective, self.optimizer)
                    saved = time.monotonic()
                if self.interrupted and done < c.steps:
                    raise Interrupted(f"stopped after step {done} of {c.steps}, all saved; the same command goes on from there")
        checkpoint.state_path(self.folder).unlink(missing_ok=True)

    def evaluate(self) -> dict[str, float]:
        """Held-out loss, the loss of the exact law on the same documents (Bayes), and the excess, on streams that training never draws from."""
        from worldbench.core.world import World as Base
        from worldbench.metrics.excess_loss import divergences

        model = TrainedModel(self.objective, self.device)
        if type(self.world).law is Base.law:
            return {"loss": mean_loss(model, self.held_out)}
        _, _, kl, entropy, loss = divergences(self.world, model, self.held_out)
        return {"loss": float(loss.mean()), "bayes": float(entropy.mean()), "excess": float(kl.mean())}

    # Files

    def _cut_back(self, step: int) -> Path:
        """metrics.jsonl without what was written after the state that training goes on from."""
        path = self.folder / "metrics.jsonl"
        kept = [r for r in read_records(path) if r["step"] <= step] if step else []
        write_atomic(path, "".join(to_json(r, indent=None) + "\n" for r in kept))
        return path

    @staticmethod
    def _write(log: Any, record: dict[str, Any]) -> None:
        try:
            log.write(to_json(record, indent=None) + "\n")
            log.flush()
        except OSError as error:
            raise RunError(f"cannot write {log.name!r} ({error.strerror}); the last saved state is intact, make room and run the same command again") from error

    def _check_finite(self, losses: dict[str, float], step: int) -> None:
        if not all(math.isfinite(v) for v in losses.values()):
            told = ", ".join(f"{k} {v}" for k, v in losses.items())
            raise Diverged(f"the loss is not a number at step {step} ({told}); the last good checkpoint is kept, lower --train.learning_rate")

    def _check_weights(self, step: int) -> None:
        """A loss is that of the weights before the step: look at those that are about to be saved."""
        if not all(bool(torch.isfinite(p).all()) for p in self.objective.parameters()):
            raise Diverged(f"the weights are not numbers after step {step}; the last good checkpoint is kept, lower --train.learning_rate")


def mean_loss(model: SequenceModel, documents: Documents) -> float:
    """Mean -log p of what is asked for, for worlds without an exact law."""
    from worldbench.metrics.evaluation import chunks

    total, count = 0.0, 0
    for part in chunks(documents):
        targets = part.targets
        row, at = np.nonzero(targets >= 0)
        z = model.logits(part.inputs).astype(np.float64)[row, at]
        z -= z.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(row)), targets[row, at]]).sum())
        count += len(row)
    return total / count


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that a killed process left unfinished is not one."""
    if not path.exists():
        return []
    out = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            out.append(json.loads(line))
        except ValueError:
            break
    return out

"""Transitions between hidden states of a trained model: NextLat's own dynamics, and a probe that can be fitted to any
model after its training.

The probe is the dynamics MLP of NextLat, h' = h + f(norm([e(x) ; h])), with hidden size 128 round(2D / 128) and initial
weights from N(0, 0.02^2). It is trained on a frozen trunk, one step ahead, by AdamW on the smooth L1 loss (beta 1)
between h' and h_{t+1} (Teoh et al. 2025, arXiv 2511.05963, equation 4 with d = 1). MLP, loss, batches and steps are the
same for every model, so that differences come from the hidden states.

Shape letters: N documents, T tokens, M pairs of neighboring positions, D width.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from worldbench.baselines.backbone import initialize
from worldbench.baselines.nextlat import Dynamics
from worldbench.baselines.objective import Objective
from worldbench.core import streams
from worldbench.core.world import Documents

BATCH = 512
"""Pairs of hidden states per step."""
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
WARMUP = 0.05
"""Share of the steps over which the learning rate rises."""
AT_ONCE = 1 << 16
"""Largest number of hidden states in one call of the MLP."""


class LatentDynamics:
    """A dynamics MLP and the token embedding of its model, for numpy arrays."""

    def __init__(self, objective: Objective, module: Dynamics, device: str = "cpu") -> None:
        self.objective, self.module, self.device = objective, module, device

    @torch.inference_mode()
    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        out = [np.empty((0, hidden.shape[1]), np.float32)]
        for i in range(0, len(hidden), AT_ONCE):
            h = torch.from_numpy(np.ascontiguousarray(hidden[i : i + AT_ONCE], dtype=np.float32)).to(self.device)
            x = torch.from_numpy(np.ascontiguousarray(tokens[i : i + AT_ONCE], dtype=np.int64)).to(self.device)
            out.append(self.module(h, self.objective.embed(x)).cpu().numpy())
        return np.concatenate(out)


def neighbors(documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (t, t + 1) of inputs of one document, from the last prompt token on: their rows and their t, each int
    [M]."""
    t = np.arange(documents.tokens.shape[1])[None, :]
    row, place = np.nonzero((t >= documents.prompt_length[:, None] - 1) & (t + 1 < documents.input_length[:, None]))
    return row, place


def fit_dynamics(
    objective: Objective, hidden: np.ndarray, documents: Documents, steps: int, seed: int, device: str = "cpu"
) -> Dynamics:
    """Fit the probe to the hidden states [N, T or T - 1, D] of the inputs of documents. Where no document has two of
    them, the probe keeps its initial weights.

    Random numbers: the stream ("dynamics probe", seed). The learning rate rises linearly over the first twentieth of
    the steps, then falls to 0 along a cosine.
    """
    row, t = neighbors(documents)
    width = objective.width
    # torch's modules draw their first weights from the global generator, whose state is restored afterwards.
    with torch.random.fork_rng(devices=[]):
        module = Dynamics(width, max(128, 128 * round(2 * width / 128)))
    initialize(module, streams.integer("dynamics probe", seed))
    module.to(device)
    if not len(row):
        return module
    before, after, token = (
        torch.from_numpy(x).to(device)
        for x in (hidden[row, t], hidden[row, t + 1], documents.tokens[row, t + 1].astype(np.int64))
    )
    with torch.no_grad():
        embedding = objective.embed(torch.arange(objective.vocabulary, device=device)).clone()
    matrices, rest = ([p for p in module.parameters() if (p.ndim >= 2) == kind] for kind in (True, False))
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95), eps=1e-8)
    rng, warmup = streams.generator("dynamics probe", seed), max(1, round(WARMUP * steps))
    for i in range(steps):
        done = (i - warmup) / max(steps - warmup, 1)
        rate = LEARNING_RATE * ((i + 1) / warmup if i < warmup else 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.from_numpy(rng.integers(0, len(row), BATCH)).to(device)
        optimizer.zero_grad(set_to_none=True)
        F.smooth_l1_loss(module(before[chosen], embedding[token[chosen]]), after[chosen]).backward()
        optimizer.step()
    return module

"""Losses written out by hand: document by document, position by position."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.core.world import Documents


def by_hand(objective: Objective, documents: Documents) -> dict[str, torch.Tensor]:
    """The terms of the next-token objectives and of NextLat on documents with labels, which are read to their last
    token."""
    asked: list[torch.Tensor] = []
    smooth: dict[int, list[torch.Tensor]] = {}
    kl: dict[int, list[torch.Tensor]] = {}
    horizon = objective.config.horizon if isinstance(objective, NextLat) else 0
    assert documents.labels is not None
    for n in range(len(documents)):
        tokens = torch.from_numpy(documents.tokens[n, : documents.length[n]].astype(np.int64))
        h, label = objective.encode(tokens[None])[0], documents.labels[n]
        asked += [
            F.cross_entropy(objective.head(h[t]), torch.tensor(int(label[t])))
            for t in range(len(tokens))
            if label[t] >= 0
        ]
        for t in range(len(tokens)):
            state = h[t]
            for i in range(1, horizon + 1):
                if t + i >= len(tokens):
                    break
                state = objective.dynamics(state, objective.embed(tokens[t + i]))  # type: ignore[operator]
                smooth.setdefault(i, []).append(F.smooth_l1_loss(state, h[t + i].detach()))
                if label[t + i] >= 0:
                    teacher, student = (F.log_softmax(objective.head(x), dim=-1) for x in (h[t + i].detach(), state))
                    kl.setdefault(i, []).append((teacher.exp() * (teacher - student)).sum())
    out = {"next_token": torch.stack(asked).mean()}
    if horizon:
        out |= {
            name: sum(torch.stack(x).mean() for x in terms.values()) / horizon
            for name, terms in (("next_h", smooth), ("kl", kl))
        }
    return out

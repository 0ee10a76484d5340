"""NextLat: next-latent prediction (Teoh et al. 2025, arXiv 2511.05963, equations 3-5).

L = L_ntp + lambda_h L_next_h + lambda_kl L_kl
    h'_{t+1} = p_psi(h_t, x_{t+1}) = h_t + f(norm([e(x_{t+1}) ; h_t]));   h'_{t+i} = p_psi(h'_{t+i-1}, x_{t+i}),   i = 1 .. d
    L_next_h = (1/d) sum_i SmoothL1(stopgrad(h_{t+i}), h'_{t+i})
    L_kl     = (1/d) sum_i KL( head(stopgrad(h_{t+i})) || head_frozen(h'_{t+i}) )
Each of the d terms is a mean over its own positions: those (t, i) for which t+i is an input of the same document as t; for L_kl also one whose next token is
scored.
A rollout therefore never crosses the end of a document, at any later step either.

Shape letters: B rows, T tokens, D width, V vocabulary, M = positions of one term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.backbone import RMSNorm, document_mask
from worldbench.baselines.batch import Batch
from worldbench.baselines.gpt import GPTConfig
from worldbench.baselines.objective import Count, Objective, safe
from worldbench.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class NextLatConfig(GPTConfig):
    """The shared backbone's shape, and the latent objective."""

    horizon: int = 4
    """Latent steps d that are rolled out and supervised."""
    lambda_h: float = 1.0
    """Weight of the latent regression."""
    lambda_kl: float = 0.1
    """Weight of the divergence between the laws read off the true and the predicted latent."""
    dynamics_factor: float = 1.0
    """Hidden size of the dynamics MLP: 128 round(factor 2D / 128)."""
    stop_target: bool = True
    """Stop the gradient into the target latents."""
    stop_head: bool = True
    """Stop the gradient of the divergence into the head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon < 1:
            raise InputError(f"model.horizon must be at least 1, not {self.horizon}")
        for name in ("lambda_h", "lambda_kl"):
            if getattr(self, name) < 0:
                raise InputError(f"model.{name} must be 0 or more, not {getattr(self, name)}")
        if not self.dynamics_factor > 0:
            raise InputError(f"model.dynamics_factor must be above 0, not {self.dynamics_factor}")

    @property
    def dynamics_width(self) -> int:
        return max(128, 128 * round(self.dynamics_factor * 2 * self.width / 128))


class Dynamics(nn.Module):
    """p_psi: the next latent from a latent and the embedding of the token that follows."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = RMSNorm(2 * width)
        self.mlp = nn.Sequential(
            nn.Linear(2 * width, hidden, bias=False), nn.GELU(), nn.Linear(hidden, hidden, bias=False), nn.GELU(), nn.Linear(hidden, width, bias=False)
        )

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        return h + self.mlp(self.norm(torch.cat([embedding, h], dim=-1)))


class NextLat(Objective):
    """The shared backbone, trained on the next token and on its own next latents. Prediction uses the trunk alone."""

    name = "nextlat"
    config: NextLatConfig

    def add_parts(self) -> None:
        self.dynamics = Dynamics(self.config.width, self.config.dynamics_width)

    def counts(self, batch: Batch) -> dict[str, Count]:
        out: dict[str, Count] = {"next_token": batch.scored.sum()}
        for i, inside in enumerate(self._inside(batch), start=1):
            out[f"next_h_{i}"] = inside.sum()
            out[f"kl_{i}"] = (inside & batch.scored[:, i:]).sum()
        return out

    def _inside(self, batch: Batch) -> list[Tensor]:
        """For each step i, bool [B, T - i]: t and t + i lie in one document."""
        d = batch.document
        return [(d[:, :-i] == d[:, i:]) & (d[:, i:] >= 0) for i in range(1, min(self.config.horizon, d.shape[1] - 1) + 1)]

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """One pass back through the trunk: the rollout is first taken back to detached copies of the latents and embeddings, whose gradients then enter it."""
        embedded = self.embed(batch.tokens)
        h = self.trunk(embedded, None, None) if batch.single else self.trunk(embedded, batch.position, document_mask(batch.document))
        leaf_h, leaf_e = h.detach().requires_grad_(), embedded.detach().requires_grad_()
        terms = self._latent_backward(leaf_h, leaf_e, batch, totals)
        next_token = self.next_token_sum(h, batch.targets) / safe(totals["next_token"])
        roots: list[Tensor] = [next_token]
        gradients: list[Tensor] = [torch.ones_like(next_token)]
        for tensor, leaf in ((h, leaf_h), (embedded, leaf_e)):
            if leaf.grad is not None:
                roots.append(tensor)
                gradients.append(leaf.grad)
        torch.autograd.backward(roots, gradients)
        return {"next_token": next_token.detach(), **terms}

    def _latent_backward(self, h_BTD: Tensor, e_BTD: Tensor, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """Gradients of both latent terms, left on the leaves h and e and on the parameters; the terms, detached.

        Each step's divergence is taken back to that step's predicted latents at once, so that one step's logits exist at a time.
        """
        c = self.config
        target_h = h_BTD.detach() if c.stop_target else h_BTD
        with torch.no_grad():
            teacher = F.log_softmax(self.head(h_BTD), dim=-1) if c.lambda_kl else None
        regression, divergence = h_BTD.new_zeros(()), h_BTD.new_zeros(())
        roots: list[Tensor] = []
        gradients: list[Tensor] = []
        predicted = h_BTD
        for i, inside in enumerate(self._inside(batch), start=1):
            predicted = self.dynamics(predicted[:, : h_BTD.shape[1] - i], e_BTD[:, i:])
            difference = F.smooth_l1_loss(predicted[inside], target_h[:, i:][inside], reduction="sum")
            regression = regression + difference / (c.width * safe(totals[f"next_h_{i}"]) * c.horizon)
            if teacher is not None:
                scored = inside & batch.scored[:, i:]
                student = predicted[scored]
                value, gradient = self._divergence_backward(student, teacher[:, i:][scored], safe(totals[f"kl_{i}"]) * c.horizon)
                divergence = divergence + value
                roots.append(student)
                gradients.append(gradient)
        if regression.requires_grad:
            torch.autograd.backward([c.lambda_h * regression, *roots], [torch.ones_like(regression), *gradients])
        return {"next_h": regression.detach()} | ({"kl": divergence} if teacher is not None else {})

    def _divergence_backward(self, h_MD: Tensor, teacher_MV: Tensor, total: Count) -> tuple[Tensor, Tensor]:
        """Sum of KL(teacher || head(h)) over `total`, and the gradient of lambda_kl times it in h; that in the head is added to it unless stopped."""
        leaf = h_MD.detach().requires_grad_()
        head = self.trunk.head.weight.detach() if self.config.stop_head else self.trunk.head.weight
        student = F.log_softmax(F.linear(leaf, head), dim=-1)
        kl = F.kl_div(student, teacher_MV, reduction="sum", log_target=True) / total
        (self.config.lambda_kl * kl).backward()
        assert leaf.grad is not None
        return kl.detach(), leaf.grad

"""NextLat: next-latent prediction (Teoh et al. 2025, arXiv 2511.05963, equations 3-5).

L = L_ntp + lambda_h L_next_h + lambda_kl L_kl
    h'_{t+1} = p_psi(h_t, x_{t+1}) = h_t + f(norm([e(x_{t+1}) ; h_t]))
    h'_{t+i} = p_psi(h'_{t+i-1}, x_{t+i}),   i = 1 .. d
    L_next_h = (1/d) sum_i SmoothL1(stopgrad(h_{t+i}), h'_{t+i})
    L_kl     = (1/d) sum_i KL(head(stopgrad(h_{t+i})) || head_frozen(h'_{t+i}))
Each of the d terms is a mean over its own positions (t, i): t+i must be an input of the same document as t, and for
L_kl something must be asked for at t+i. So no rollout crosses the end of a document. Options change these terms or
remove parts of them. The ablation controls keep the computation and remove what the terms can teach.

Shape letters: B rows, T tokens, S columns of a rollout (usually T, see rollout.py), D width, V vocabulary, M positions
of one term.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from worldbench.baselines.backbone import RMSNorm
from worldbench.baselines.batch import Batch
from worldbench.baselines.gpt import GPTConfig
from worldbench.baselines.objective import Count, Objective, at, matrices, safe
from worldbench.baselines.products import Linear, unrounded
from worldbench.baselines.rollout import Rollout, other_places, pick, rollout
from worldbench.core.errors import InputError, not_among
from worldbench.core.options import LATER


@dataclass(frozen=True, kw_only=True)
class NextLatConfig(GPTConfig):
    """The shape of the shared backbone, and the latent terms."""

    horizon: int = 4
    """Number d of latent steps that are predicted and trained."""
    lambda_h: float = 1.0
    """Weight of the latent regression; with 0 this term is not computed."""
    lambda_kl: float = 0.1
    """Weight of the divergence between two next-token distributions, which the head reads from the true latent and from
    the predicted latent; with 0 this term is not computed."""
    dynamics_factor: float = 1.0
    """Hidden size of the dynamics MLP: 128 round(factor 2D / 128)."""
    stop_target: bool = True
    """Stop the gradient of the regression before it reaches the target latents. (The divergence never sends a gradient
    to its target distribution.)"""
    stop_head: bool = True
    """Stop the gradient of the divergence before it reaches the weights of the head."""
    mask: Literal["cumulative", "landing"] = field(default="cumulative", metadata=LATER)
    """What a rollout does at the end of a document in a packed row. cumulative: the rollout ends there. landing (the
    rule of the released code): the rollout continues into the next document of the row, and only the step that lands on
    the last token of the first document is left out."""
    mask_prompts: bool = field(default=False, metadata=LATER)
    """Some steps land on a token whose next token is part of the prompt. The divergence always leaves these steps out.
    True: the regression leaves them out too."""
    residual: bool = field(default=True, metadata=LATER)
    """True: the dynamics add to the latent, h' = h + f(..). False: h' = f(..)."""
    state: Literal["normed", "residual"] = field(default="normed", metadata=LATER)
    """The latent. normed: the output of the final norm. residual: the residual stream before that norm, which is then
    part of the head."""
    control: Literal["none", "cut", "shuffled"] = field(default="none", metadata=LATER)
    """Ablation control with the same amount of computation. cut: the latent terms train only the dynamics, and the
    transformer is trained exactly as in gpt. shuffled: the targets are latents of other positions of the row. They come
    from another document if the row has several."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon < 1:
            raise InputError(f"model.horizon must be at least 1, not {self.horizon}")
        for name in ("lambda_h", "lambda_kl"):
            if getattr(self, name) < 0:
                raise InputError(f"model.{name} must be 0 or more, not {getattr(self, name)}")
        if not self.dynamics_factor > 0:
            raise InputError(f"model.dynamics_factor must be above 0, not {self.dynamics_factor}")
        hints = typing.get_type_hints(NextLatConfig)
        for name in ("mask", "state", "control"):
            allowed, value = typing.get_args(hints[name]), getattr(self, name)
            if value not in allowed:
                raise not_among(f"model.{name}", value, allowed)
        for name in ("stop_target", "stop_head"):
            if self.control == "cut" and not getattr(self, name):
                raise InputError(
                    f"model.{name} must be true with model.control 'cut', which lets no gradient into the transformer"
                )

    @property
    def dynamics_width(self) -> int:
        """Hidden size of the dynamics MLP."""
        return max(128, 128 * round(self.dynamics_factor * 2 * self.width / 128))


class Dynamics(nn.Module):
    """p_psi: the next latent [.., D] from a latent [.., D] and the embedding [.., D] of the token that follows it."""

    def __init__(self, width: int, hidden: int, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.norm = RMSNorm(2 * width)
        self.mlp = nn.Sequential(
            Linear(2 * width, hidden),
            nn.GELU(),
            Linear(hidden, hidden),
            nn.GELU(),
            Linear(hidden, width),
        )

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        change = self.mlp(self.norm(torch.cat([embedding, h], dim=-1)))
        return h + change if self.residual else change


class NormedHead(nn.Module):
    """A head that applies the final norm to the residual stream before it computes the logits."""

    def __init__(self, norm: nn.Module, linear: nn.Module) -> None:
        super().__init__()
        self.norm, self.linear = norm, linear

    def forward(self, h: Tensor) -> Tensor:
        return self.linear(self.norm(h))


class NextLat(Objective):
    """The shared backbone, trained on the next token and on its own next latents. Predictions use the trunk alone."""

    name = "nextlat"
    serves_labels = True
    config: NextLatConfig

    def add_trunk(self) -> None:
        super().add_trunk()
        if self.config.state == "residual":
            self.trunk.head, self.trunk.norm = NormedHead(self.trunk.norm, self.trunk.head), nn.Identity()  # type: ignore[assignment]
            self.hidden_name = "residual stream (its norm is the head's)"  # type: ignore[misc]

    def add_parts(self) -> None:
        self.dynamics = Dynamics(self.config.width, self.config.dynamics_width, self.config.residual)

    def inner_matrices(self) -> list[nn.Parameter]:
        """Those of the blocks and of the dynamics."""
        return super().inner_matrices() + matrices(self.dynamics)

    def compiled_parts(self) -> list[tuple[nn.Module, bool]]:
        """The blocks, and the dynamics, which get one column less in each step of a rollout."""
        return [*super().compiled_parts(), (self.dynamics, True)]

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """With the control `cut` the gradient of the transformer is clipped without that of the dynamics, as GPT's
        is."""
        if self.config.control == "cut":
            return [list(self.trunk.parameters()), list(self.dynamics.parameters())]
        return super().clip_groups()

    def counts(self, batch: Batch) -> dict[str, Count]:
        if self.config.control == "shuffled":
            self._other_places(batch)
        out: dict[str, Count] = {"next_token": len(batch.scored_places)}
        for i, step in enumerate(self._rollout(batch).steps, start=1):
            out[f"next_h_{i}"] = len(step.scored if self.config.mask_prompts else step.inside)
            out[f"kl_{i}"] = len(step.scored)
        return out

    def _rollout(self, batch: Batch) -> Rollout:
        return batch.derived(rollout, self.config.horizon, self.config.mask == "landing")

    def _other_places(self, batch: Batch) -> Tensor:
        return batch.derived(other_places, "control", self.seed)

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """As `Objective.backward`. The gradient of the rollout is computed first, down to detached copies of the
        latents and embeddings; then the trunk is differentiated once, starting from these gradients."""
        c = self.config
        embedded = self.embed(batch.tokens)
        h = self.trunk.over(embedded, batch)
        terms: dict[str, Tensor] = {}
        leaves: list[tuple[Tensor, Tensor]] = []
        if c.lambda_h or c.lambda_kl:
            columns = self._rollout(batch)
            if columns.source is not None:  # behind the inputs, the last token of every document
                embedded = torch.cat(
                    [embedded, self.embed(batch.following.masked_fill(batch.following < 0, self.pad))], dim=1
                )
            leaves = [(tensor, tensor.detach().requires_grad_(c.control != "cut")) for tensor in (h, embedded)]
            terms = self._latent_backward(leaves[0][1], leaves[1][1], batch, columns, totals)
        next_token = self.next_token_sum(h, batch) / safe(totals["next_token"])
        roots: list[Tensor] = [next_token]
        gradients: list[Tensor] = [torch.ones_like(next_token)]
        for tensor, leaf in leaves:
            if leaf.grad is not None:
                roots.append(tensor)
                gradients.append(leaf.grad)
        torch.autograd.backward(roots, gradients)
        return {"next_token": next_token.detach(), **terms}

    def _latent_backward(
        self, h_BTD: Tensor, e_BUD: Tensor, batch: Batch, columns: Rollout, totals: dict[str, Count]
    ) -> dict[str, Tensor]:
        """Add the gradients of both latent terms to the leaves h and e and to the parameters. Returns the terms,
        detached.

        The divergence of each step is propagated back to the predicted latents of that step at once, so that the logits
        of only one step are in memory.
        """
        c = self.config
        target = h_BTD.detach() if c.stop_target else h_BTD
        if c.control == "shuffled":
            target = pick(target, self._other_places(batch))
        target, h, e = columns.latents(target), columns.latents(h_BTD), columns.tokens(e_BUD)
        with torch.no_grad():
            teacher = F.log_softmax(unrounded(self.head(target)), dim=-1) if c.lambda_kl else None
        regression, divergence = h_BTD.new_zeros(()), h_BTD.new_zeros(())
        roots: list[Tensor] = []
        gradients: list[Tensor] = []
        predicted = h
        for i, step in enumerate(columns.steps, start=1):
            predicted = self.dynamics(predicted[:, : h.shape[1] - i], e[:, i:])
            if c.lambda_h:
                own, other = (step.scored, step.scored_target) if c.mask_prompts else (step.inside, step.inside_target)
                difference = F.smooth_l1_loss(at(predicted, own), at(target, other), reduction="sum")
                regression = regression + difference / (c.width * safe(totals[f"next_h_{i}"]) * c.horizon)
            if teacher is not None:
                student = at(predicted, step.scored)
                value, gradient = self._divergence_backward(
                    student, at(teacher, step.scored_target), safe(totals[f"kl_{i}"]) * c.horizon
                )
                divergence = divergence + value
                roots.append(student)
                gradients.append(gradient)
        if regression.requires_grad:
            roots.insert(0, c.lambda_h * regression)
            gradients.insert(0, torch.ones_like(regression))
        if roots:
            torch.autograd.backward(roots, gradients)
        return ({"next_h": regression.detach()} if c.lambda_h else {}) | (
            {"kl": divergence} if teacher is not None else {}
        )

    def _divergence_backward(self, h_MD: Tensor, teacher_MV: Tensor, total: Count) -> tuple[Tensor, Tensor]:
        """The sum of KL(teacher || head(h)), divided by `total`, and the gradient of lambda_kl times this in h [M, D].
        The gradient in the head is added to its parameters, unless `stop_head` is set."""
        leaf = h_MD.detach().requires_grad_()
        frozen = {name: p.detach() for name, p in self.trunk.head.named_parameters()}
        logits = functional_call(self.trunk.head, frozen, (leaf,)) if self.config.stop_head else self.trunk.head(leaf)
        student = F.log_softmax(unrounded(logits), dim=-1)
        kl = F.kl_div(student, teacher_MV, reduction="sum", log_target=True) / total
        (self.config.lambda_kl * kl).backward()
        assert leaf.grad is not None
        return kl.detach(), leaf.grad

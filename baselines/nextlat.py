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

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from worldbench.baselines.backbone import RMSNorm
from worldbench.baselines.batch import Batch
from worldbench.baselines.objective import Count, Objective, at, matrices, safe
from worldbench.baselines.options import NextLatConfig
from worldbench.baselines.products import Linear, unrounded
from worldbench.baselines.rollout import Rollout, other_places, pick, rollout


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
            head = NormedHead(self.trunk.norm, self.trunk.head)
            self.trunk.head, self.trunk.norm = head, nn.Identity()  # type: ignore[assignment]
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

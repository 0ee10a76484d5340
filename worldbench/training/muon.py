"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for the matrices inside a network, AdamW for the rest.

For a matrix W [m, n] with gradient g:
    b <- mu b + (1 - mu) g;   u = (1 - mu) g + mu b   (Nesterov);   o = orthogonalized(u)
    W <- (1 - rate decay) W - rate sqrt(max(1, m / n)) o
These are the formulas of `torch.optim.Muon`, which computes products in bf16, one matrix after another. Here matrices
of equal shape are stacked and orthogonalized together, in fp32 or in bf16, which changes an update by 2 to 30%
(`train.precision` and the device decide).

Shape letters: S matrices of a stack, R rows, C columns, R <= C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3, x^5 in the odd polynomial that each iteration applies to the singular values."""
ITERATIONS = 5
EPS = 1e-7
"""Least norm that a matrix is divided by."""
foreach: Any = torch
"""torch's operations on lists of tensors, which its own optimizers use and its types leave out."""
BUFFER = "momentum_buffer"
"""What Muon keeps for each matrix, by the name that torch uses."""


def orthogonalized(x_SRC: Tensor, rounds: bool = False) -> Tensor:
    """U V^T of each matrix U S V^T of a stack [S, R, C], R <= C, with singular values in about 0.7 to 1.2 instead of 1.

    Iterates X <- (a + b XX^T + c (XX^T)^2) X from X / |X|. Where C is at least 1.5 R, the products of the polynomials
    are formed from XX^T [R, R] alone and applied to X once, which takes two thirds of the operations or less. rounds:
    compute the products in bf16, in which the polynomials of XX^T would be far off: small singular values can grow
    a hundredfold. So they are not formed alone there.
    """
    x = x_SRC / torch.linalg.vector_norm(x_SRC, dim=(-2, -1), keepdim=True).clamp(min=EPS)
    if rounds:
        return _iterated(x.bfloat16()).to(x_SRC.dtype)
    return _through_gram(x) if 2 * x.shape[-1] >= 3 * x.shape[-2] else _iterated(x)


def _iterated(x: Tensor) -> Tensor:
    a, b, c = POLYNOMIAL
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _through_gram(x: Tensor) -> Tensor:
    """With P = a + b G + c G^2 for G = XX^T, the next X is P X, and the next G is P G P."""
    a, b, c = POLYNOMIAL
    gram = x @ x.mT
    product: Tensor | None = None
    for i in range(ITERATIONS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if i + 1 < ITERATIONS:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product @ x


class Muon(torch.optim.Optimizer):
    """Muon for `inside`, torch's AdamW for the parameter groups `rest`. One list of groups, one state.

    inside: matrices. rest: groups with their weight decay. rate, rest_rate: the learning rates. rounds: whether
    products are in bf16. The groups of `rest` are those of AdamW itself, so that a rate that is set in `param_groups`
    applies to both.
    """

    def __init__(
        self,
        inside: Iterable[nn.Parameter],
        rest: list[dict[str, Any]],
        rate: float,
        rest_rate: float,
        weight_decay: float,
        rounds: bool = False,
        **adamw: Any,
    ) -> None:
        super().__init__([{"params": list(inside), "lr": rate, "weight_decay": weight_decay, "muon": True}], {})
        self.rounds = rounds
        self.adamw = torch.optim.AdamW(rest, lr=rest_rate, **adamw) if rest else None
        if self.adamw is not None:
            self.adamw.state = self.state
            self.param_groups += self.adamw.param_groups

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. closure: not supported."""
        assert closure is None, "the losses are computed before the step"
        for group in self.param_groups:
            if group.get("muon"):
                self._orthogonal_step(group)
        if self.adamw is not None:
            self.adamw.step()

    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        gradients = [p.grad for p in parameters]
        for p in parameters:
            if BUFFER not in self.state[p]:
                self.state[p][BUFFER] = torch.zeros_like(p)
        buffers = [self.state[p][BUFFER] for p in parameters]
        foreach._foreach_lerp_(buffers, gradients, 1 - MOMENTUM)
        updates = foreach._foreach_lerp(gradients, buffers, MOMENTUM)
        foreach._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for shape in dict.fromkeys(p.shape for p in parameters):
            chosen = [i for i, p in enumerate(parameters) if p.shape == shape]
            stack = torch.stack([updates[i] for i in chosen])
            tall = shape[0] > shape[1]
            stack = orthogonalized(stack.mT if tall else stack, self.rounds)
            scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
            foreach._foreach_add_(
                [parameters[i] for i in chosen], list((stack.mT if tall else stack).unbind()), alpha=-scale
            )

"""The backbone of every transformer here: RMSNorm before each part, rotary positions, causal attention, SwiGLU, no
biases, and an embedding and a head with separate weights.

The hyperparameters are those of NextLat's released code (arXiv 2511.05963, appendix).

Shape letters: B rows, T tokens, D width, H heads, C head size, F hidden size of the MLP, V vocabulary, S keys (cached
and new).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.attention import Cache, Mask, Step, attend, own_documents
from worldbench.baselines.batch import Batch
from worldbench.baselines.products import Linear, unrounded
from worldbench.core import streams

NORM_EPS = 1e-5
"""Added to the mean square in every norm."""
ROTARY_THETA = 10_000.0
"""Base of the rotary frequencies."""
INIT_SD = 0.02
"""Standard deviation of the initial matrices."""


def swiglu_width(width: int) -> int:
    """The usual hidden size of a SwiGLU: 8 width / 3, rounded to a multiple of 128, at least 128."""
    return max(128, 128 * round(8 * width / 3 / 128))


class _RMSNorm(torch.autograd.Function):
    """y = x r w with r = (mean x^2 + eps)^-1/2.

    The backward pass is that of torch's LayerNorm with a mean of 0. The term that LayerNorm subtracts because its mean
    depends on x is added back. This pass reads and writes memory a third as often as one made of elementwise
    operations.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(NORM_EPS).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (x * r).mul_(weight)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, weight, r = ctx.saved_tensors
        d = x.shape[-1]
        grad_x, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
            g, x, [d], torch.zeros_like(r), r, weight, None, [True, True, False]
        )
        # torch.mv is faster on the CPU. On CUDA, autocast would round its inputs to bf16.
        summed = (g * weight).sum(-1, keepdim=True) if g.is_cuda else torch.mv(g.reshape(-1, d), weight).view(r.shape)
        return grad_x.add_(summed.mul_(r).div_(d)), grad_weight


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis (Zhang & Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # The compiler derives a backward pass of its own.
            x = unrounded(x)
            return x * (x.square().mean(-1, keepdim=True) + NORM_EPS).rsqrt() * self.weight
        return _RMSNorm.apply(unrounded(x), self.weight)  # type: ignore[return-value]


def rotary_table(length: int, head_size: int, device: torch.device | str | None = None) -> Tensor:
    """Rotary factors exp(i position theta^(-2k/C)), fp32 [length, C / 2, 2]: real and imaginary part (Su et al. 2021,
    arXiv 2104.09864)."""
    frequency = ROTARY_THETA ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency[None, :]
    return torch.view_as_real(torch.polar(torch.ones_like(angle), angle).to(torch.complex64)).to(device)


def rotate(x_BTHC: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the pairs of channels of x by `rotation`, broadcast over [B, T, H, C / 2, 2]."""
    pairs = unrounded(x_BTHC).unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():  # The compiler generates no code for complex numbers.
        (a, b), (c, s) = pairs.unbind(-1), rotation.unbind(-1)
        return torch.stack([a * c - b * s, a * s + b * c], dim=-1).flatten(-2)
    return torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(rotation)).flatten(-2)


class Block(nn.Module):
    """A transformer block: x + attention(norm x), then x + MLP(norm x)."""

    def __init__(self, width: int, heads: int, head_size: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.hidden, self.head_size = heads, hidden, head_size
        self.norm_attention, self.norm_mlp = RMSNorm(width), RMSNorm(width)
        self.qkv = Linear(width, 3 * heads * head_size)
        self.out = Linear(heads * head_size, width)
        self.gate_up = Linear(width, 2 * self.hidden)
        self.down = Linear(self.hidden, width)

    def forward(
        self, x_BTD: Tensor, rotation: Tensor, mask: Mask, cache: Cache | None = None, step: Step | None = None
    ) -> Tensor:
        b, t, _ = x_BTD.shape
        qkv = self.qkv(self.norm_attention(x_BTD)).view(b, t, 3 * self.heads, self.head_size)
        # Not by slices: the gradient of a slice is a tensor of zeros of the whole size, and these are added up.
        q, k, v = qkv.split(self.heads, dim=2)
        x_BTD = x_BTD + self.out(attend(rotate(q, rotation), rotate(k, rotation), v, mask, cache, step))
        gate, up = self.gate_up(self.norm_mlp(x_BTD)).chunk(2, dim=-1)
        return x_BTD + self.down(F.silu(gate) * up)


class Encoder(nn.Module):
    """Blocks and a final norm, which map embedded tokens to hidden states."""

    def __init__(self, width: int, layers: int, heads: int, head_width: int = 0, mlp_width: int = 0) -> None:
        """head_width 0: width / heads; mlp_width 0: `swiglu_width`."""
        super().__init__()
        self._build(width, layers, heads, head_width, mlp_width)

    def _build(self, width: int, layers: int, heads: int, head_width: int, mlp_width: int) -> None:
        self.width, self.heads, self.layers = width, heads, layers
        self.head_size = head_width or width // heads
        self.blocks = nn.ModuleList(
            Block(width, heads, self.head_size, mlp_width or swiglu_width(width)) for _ in range(layers)
        )
        self.norm: nn.Module = RMSNorm(width)
        self._rotation: Tensor | None = None

    def rotation(self, length: int, device: torch.device) -> Tensor:
        """Rotary factors of positions 0 .. length - 1, or more, [.., C / 2, 2]."""
        if self._rotation is None or len(self._rotation) < length or self._rotation.device != device:
            # A table made during prediction is also used in training, where autograd cannot save inference tensors.
            with torch.inference_mode(False):
                self._rotation = rotary_table(max(length, 128), self.head_size, device)
        return self._rotation

    def rotation_at(self, t: int, position: Tensor | None, device: torch.device, longest: int | None = None) -> Tensor:
        """Rotary factors of T tokens, to broadcast over [B, T, H, C / 2, 2].

        position: int [B, T], below `longest` (None: below T); None: 0 .. T - 1.
        """
        table = self.rotation(longest or t, device)
        return table[:t, None] if position is None else table[position][:, :, None]

    def over(self, embedded_BTD: Tensor, batch: Batch) -> Tensor:
        """Hidden states [B, T, D] of the embedded tokens of a batch."""
        position = None if batch.single else batch.position
        return self(embedded_BTD, position, own_documents(batch, self.head_size))

    def forward(
        self,
        embedded_BTD: Tensor,
        position: Tensor | None,
        mask: Mask,
        caches: list[Cache] | None = None,
        step: Step | None = None,
        longest: int | None = None,
        replace: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Hidden states [B, T, D] of embedded tokens [B, T, D].

        position: int [B, T]; None: 0 .. T - 1. mask: as `attend` takes it; None: causal. caches, step: for decoding.
        replace: (layer, states [B, T, D]) replaces the output of a layer: 0 is the embedding, i is block i, and the
        number of blocks + 1 is the final norm.
        """
        rotation = self.rotation_at(embedded_BTD.shape[1], position, embedded_BTD.device, longest)
        swap, other = replace if replace is not None else (-1, embedded_BTD)
        x = other if swap == 0 else embedded_BTD
        for i, block in enumerate(self.blocks):
            x = block(x, rotation, mask, None if caches is None else caches[i], step)
            x = other if swap == i + 1 else x
        return other if swap == self.layers + 1 else self.norm(x)


class Backbone(Encoder):
    """Embedding, blocks, final norm and head. The hidden state is the output of the final norm, which the head
    reads."""

    def __init__(
        self, vocabulary: int, width: int, layers: int, heads: int, head_width: int = 0, mlp_width: int = 0
    ) -> None:
        nn.Module.__init__(self)
        self.embedding = nn.Embedding(vocabulary, width)
        self._build(width, layers, heads, head_width, mlp_width)
        self.head = Linear(width, vocabulary)


def initialize(module: nn.Module, seed: int) -> None:
    """Draw every matrix of a module from N(0, 0.02^2), by the stream ("init", seed). Vectors, such as the weights of
    norms, keep their values."""
    generator = torch.Generator().manual_seed(streams.integer("init", seed))
    for parameter in module.parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, 0.0, INIT_SD, generator=generator)

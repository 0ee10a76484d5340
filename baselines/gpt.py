"""GPT: next-token prediction.

L = mean over scored positions of -log p(x_{t+1} | h_t).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from worldbench.baselines.backbone import check_shape
from worldbench.baselines.objective import NextToken
from worldbench.core.options import LATER


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of the shared backbone."""

    layers: int = 6
    """Number of transformer blocks."""
    heads: int = 4
    """Number of attention heads."""
    width: int = 64
    """Width D of the residual stream."""
    head_width: int = field(default=0, metadata=LATER)
    """Size of an attention head; 0: width / heads."""
    mlp_width: int = field(default=0, metadata=LATER)
    """Hidden size of the SwiGLU; 0: 8 width / 3, rounded to a multiple of 128."""

    def __post_init__(self) -> None:
        check_shape(self.layers, self.heads, self.width, self.head_width, self.mlp_width)


class GPT(NextToken):
    """The shared backbone trained on the next token alone."""

    name = "gpt"
    config: GPTConfig

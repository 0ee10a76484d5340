"""GPT: next-token prediction.

L = mean over scored positions of -log p(x_{t+1} | h_t).
"""

from __future__ import annotations

from worldbench.baselines.objective import NextToken
from worldbench.baselines.options import GPTConfig


class GPT(NextToken):
    """The shared backbone trained on the next token alone."""

    name = "gpt"
    config: GPTConfig

"""The options of the objectives and recurrent networks (`--model.NAME`), with their checks.

This file loads no torch: help texts, tables and comparisons need options, and no network.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from worldbench.core.errors import InputError, not_among
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
        for name, weight, term in (
            ("stop_target", "lambda_h", "regression"),
            ("stop_head", "lambda_kl", "divergence"),
        ):
            if not getattr(self, name) and not getattr(self, weight):
                raise InputError(
                    f"model.{name} False has no effect with model.{weight} 0, because the {term} is not computed; "
                    f"leave model.{name} at True, or set model.{weight} above 0"
                )
            if self.control == "cut" and not getattr(self, name):
                raise InputError(
                    f"model.{name} must be true with model.control 'cut', which lets no gradient into the transformer"
                )

    def require_used(self, row_tokens: int) -> None:
        """Raises InputError for an option without effect in the rows of training (`train.row_tokens`)."""
        if self.mask == "landing" and not row_tokens:
            raise InputError(
                "model.mask landing has no effect with one document per row (train.row_tokens 0), where no rollout can "
                "continue into a next document; leave model.mask at cumulative, or set train.row_tokens"
            )

    @property
    def dynamics_width(self) -> int:
        """Hidden size of the dynamics MLP."""
        return max(128, 128 * round(self.dynamics_factor * 2 * self.width / 128))


@dataclass(frozen=True, kw_only=True)
class BSTConfig(GPTConfig):
    """The shape of the shared backbone, for each of the two encoders, and the pairs of prefix and suffix."""

    pairs: float = 1.0
    """Share of the pairs of prefix and suffix that each step uses; pairs with the empty suffix are all used."""
    min_gap: int = 2
    """Smallest distance s - t from the last token of the prefix to the first token of the suffix."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.pairs <= 1:
            raise InputError(f"model.pairs must lie between 0 and 1, not {self.pairs}")
        if self.min_gap < 1:
            raise InputError(f"model.min_gap must be at least 1, not {self.min_gap}")


@dataclass(frozen=True, kw_only=True)
class MTPConfig(GPTConfig):
    """The shape of the shared backbone, and the heads after the first one."""

    horizon: int = 4
    """Number d of heads after the first one. They predict the d tokens after the next one, one token each."""
    lambda_mtp: float = 1.0
    """Weight of the mean loss of these heads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_horizon(self, "lambda_mtp")


@dataclass(frozen=True, kw_only=True)
class JTPConfig(GPTConfig):
    """The shape of the shared backbone, and the planning sequence."""

    horizon: int = 4
    """Number d of tokens after the next one that are predicted, each from the true tokens before it."""
    lambda_jtp: float = 1.0
    """Weight of the mean loss of the tokens after the next one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_horizon(self, "lambda_jtp")


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """The shape of a recurrent network."""

    layers: int = 2
    """Number of recurrent layers."""
    width: int = 64
    """Width D of embeddings and states."""

    def __post_init__(self) -> None:
        for name in ("layers", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} must be at least 1, not {getattr(self, name)}")


def check_shape(layers: int, heads: int, width: int, head_width: int = 0, mlp_width: int = 0) -> None:
    """Raises InputError for a shape that no backbone can have."""
    for name, value in {"layers": layers, "heads": heads, "width": width}.items():
        if value < 1:
            raise InputError(f"model.{name} must be at least 1, not {value}")
    for name, value in {"head_width": head_width, "mlp_width": mlp_width}.items():
        if value < 0:
            raise InputError(f"model.{name} must be 0 (the usual) or more, not {value}")
    if head_width % 2:
        raise InputError(f"model.head_width must be even (channels are rotated in pairs), not {head_width}")
    if not head_width and width % (2 * heads):
        raise InputError(
            f"model.width must be a multiple of twice model.heads (an even head size), not {width} with {heads} heads"
        )


def check_horizon(config: Any, weight: str) -> None:
    """Raises InputError unless the horizon is at least 1 and the option `weight` of the terms ahead is 0 or more."""
    if config.horizon < 1:
        raise InputError(f"model.horizon must be at least 1, not {config.horizon}")
    if not getattr(config, weight) >= 0:
        raise InputError(f"model.{weight} must be 0 or more, not {getattr(config, weight)}")

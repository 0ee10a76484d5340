"""What `worldbench bench` measures: the shape of the rows and the backbone, which models, how often, on what."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from worldbench.core.errors import InputError, unknown

REFERENCE = "gpt"
"""What the others are compared with; always measured."""
PROMPT, END = 2, 1
"""Tokens of a random document that are given, and that end it."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The backbone, and the rows it is trained on.

    preset: of the taxi world, for each model's further options. shortest, longest: documents in tokens, prompt and end
    included.
    """

    preset: str
    layers: int
    heads: int
    width: int
    vocabulary: int
    tokens: int
    batch: int
    shortest: int
    longest: int

    def __post_init__(self) -> None:
        for name, low in {
            "layers": 1,
            "heads": 1,
            "width": 1,
            "vocabulary": 2,
            "tokens": 2,
            "batch": 1,
            "shortest": PROMPT + END,
        }.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name} must be at least {low}, not {getattr(self, name)}")
        if self.longest < self.shortest:
            raise InputError(f"--longest ({self.longest}) must be at least --shortest ({self.shortest})")


SHAPES = {
    "small": Shape(
        preset="small", layers=4, heads=4, width=64, vocabulary=54, tokens=64, batch=38, shortest=8, longest=31
    ),
    "256": Shape(
        preset="standard", layers=6, heads=8, width=256, vocabulary=4590, tokens=256, batch=8, shortest=5, longest=102
    ),
    "manhattan": Shape(
        preset="paper", layers=48, heads=8, width=384, vocabulary=4590, tokens=256, batch=2, shortest=5, longest=102
    ),
}
"""The village at preset small; Manhattan's vocabulary and rides at width 256; the published shape (Teoh et al. 2025,
Table 5) in rows that fit a CPU's time."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. changes: fields of the shape that the command line names. world: rows and vocabulary are a
    world's at `preset`, not the shape's.

    plugins: path and SHA-256 of each plugin file, which other processes run too.
    """

    labels: tuple[str, ...]
    shape: str = "256"
    changes: dict[str, int] = field(default_factory=dict)
    world: str | None = None
    preset: str = ""
    plugins: tuple[tuple[str, str], ...] = ()
    repeats: int = 5
    threads: int = 1
    device: str = "auto"
    clock: Literal["auto", "processor", "wall"] = "auto"

    def __post_init__(self) -> None:
        for name in ("repeats", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1, not {getattr(self, name)}")
        if self.shape not in SHAPES:
            raise unknown("shape", self.shape, SHAPES)
        if self.world is not None and (
            fixed := [k for k in self.changes if k not in ("layers", "heads", "width", "batch")]
        ):
            raise InputError(f"--{fixed[0]} does not go with --world: the world has its own")
        if self.clock == "processor" and self.device == "cuda":
            raise InputError("--clock processor does not see what a GPU does; use wall")
        if twice := [label for label in self.labels if self.labels.count(label) > 1]:
            raise InputError(f"{twice[0]!r} is named twice; give it other options, such as 'nextlat[horizon=1]'")

    def sized(self) -> Shape:
        """The shape, as changed; of use where no world is named."""
        return dataclasses.replace(SHAPES[self.shape], **self.changes)

    def clock_on(self, device: str) -> Literal["processor", "wall"]:
        """`processor` with one thread on the CPU: the time of another process on the same core is not the model's; else
        `wall`."""
        if self.clock != "auto":
            return self.clock
        return "processor" if device == "cpu" and self.threads == 1 else "wall"

    def config(self, label: str) -> tuple[str, Any]:
        """The model's name and its options: those of the preset, the shape, and the label, in this order. Raises
        InputError for any that it does not have."""
        from worldbench.core.registry import models
        from worldbench.records.variant import Variant
        from worldbench.settings.options import parse_options
        from worldbench.settings.resolve import group_types, preset_groups

        variant = Variant.parse(label)
        if not models[variant.model].trained or models[variant.model].weights_of:
            raise InputError(
                f"{variant.model!r} has no training of its own; there are "
                f"{', '.join(e.name for e in models if e.trained and not e.weights_of)}"
            )
        world, preset, shape = self.world or "", self.preset, self.changes
        if self.world is None:
            world, preset, shape = "taxi", self.sized().preset, dataclasses.asdict(self.sized())
        types_ = {"model": group_types(world, variant.model)["model"]}
        base = preset_groups(types_, world, variant.model, preset)["model"]
        known = {f.name for f in dataclasses.fields(base)}
        base = dataclasses.replace(
            base, **{k: shape[k] for k in ("layers", "heads", "width") if k in shape and k in known}
        )
        words = [word for name, value in variant.options for word in (f"--model.{name.removeprefix('model.')}", value)]
        return variant.model, parse_options(types_, {"model": base}, words, "worldbench bench")["model"]

"""What `worldbench bench` measures: the shape of the rows and the backbone, the models, the number of rounds, the
device."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from worldbench.core.errors import InputError, unknown

REFERENCE = "gpt"
"""The model that the others are compared with. It is always measured."""
PLAIN = "plain GPT"
"""The label of the GPT of nanoGPT's shape (`plain.py`). It is always measured."""
PROMPT, END = 2, 1
"""Tokens of the prompt of a random document, and tokens that end it."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The backbone, and the rows that it is trained on.

    preset: a preset of the taxi world, for the other options of each model.
    layers, heads, width: of the backbone. vocabulary: number of words.
    tokens: tokens per row. batch: rows per step.
    shortest, longest: tokens of a document, prompt and end included.
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
"""small: the sizes of the village at preset small. 256: the vocabulary and routes of Manhattan at width 256.
manhattan: the published shape (Teoh et al. 2025, Table 5), with fewer rows so that a CPU can measure it."""


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What is measured.

    labels: models with their options.
    shape: a key of SHAPES. changes: fields of the shape that the command line sets.
    world: a world that gives rows and vocabulary, at its preset `preset`. None: random rows of the shape.
    plugins: path and SHA-256 of each plugin file. Other processes run the plugins too.
    repeats: timed rounds. clock: which time is shown.
    products, precisions: the ways of computing a step that are compared (`ways.py`); products empty: all that the
    device has. compiled: each of them also with compiled parts.
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
    products: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32",)
    compiled: bool = False

    def __post_init__(self) -> None:
        for name in ("repeats", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1, not {getattr(self, name)}")
        if self.shape not in SHAPES:
            raise unknown("shape", self.shape, SHAPES)
        if self.world is not None and (
            fixed := [k for k in self.changes if k not in ("layers", "heads", "width", "batch")]
        ):
            raise InputError(f"--{fixed[0]} cannot be combined with --world: the world sets it")
        if not self.precisions:
            raise InputError("--precision needs at least one precision: fp32, bf16 or tf32")
        if self.clock == "processor" and self.device == "cuda":
            raise InputError("--clock processor does not measure the time of a GPU; use --clock wall")
        if twice := [label for label in self.labels if self.labels.count(label) > 1]:
            raise InputError(f"{twice[0]!r} is named twice; give it other options, such as 'nextlat[horizon=1]'")

    def content(self) -> dict[str, Any]:
        """What decides the name of the folder: every field but the device, with plugins by their digests."""
        fields = dataclasses.asdict(self) | {"plugins": sorted(sha256 for _, sha256 in self.plugins)}
        return {name: value for name, value in fields.items() if name != "device"}

    def sized(self) -> Shape:
        """The shape with its changes. Used where no world is named."""
        return dataclasses.replace(SHAPES[self.shape], **self.changes)

    def clock_on(self, device: str) -> Literal["processor", "wall"]:
        """The clock for a device. `auto` means `processor` for one thread on the CPU, so that other processes on the
        same core do not count, and `wall` otherwise."""
        if self.clock != "auto":
            return self.clock
        return "processor" if device == "cpu" and self.threads == 1 else "wall"

    def config(self, label: str) -> tuple[str, Any]:
        """The name of a labelled model and its options. The label overrides the shape, and the shape overrides the
        preset. Raises InputError for options that the model does not have."""
        from worldbench.core.registry import models
        from worldbench.records.variant import Variant
        from worldbench.settings.options import parse_options
        from worldbench.settings.resolve import group_types, preset_groups

        variant = Variant.parse(label)
        if not models[variant.model].trained:
            raise InputError(
                f"{variant.model!r} is not trained, so it cannot be measured; there are "
                f"{', '.join(e.name for e in models if e.trained)}"
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

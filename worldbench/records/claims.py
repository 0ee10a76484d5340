"""Claims of papers as data: what is claimed, where it was published, which score of which runs decides it.

The claims that come with worldbench are TOML files in `settings/claims/`, each with a list of `[[claim]]`. The first
line of a file is a comment that describes it. `claim_verdicts.py` compares them with records.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from worldbench.core.errors import InputError
from worldbench.core.files import read_text
from worldbench.records.parts import Part

FOLDER = Path(__file__).parent.parent / "settings" / "claims"
LIMIT = 1 << 20
"""Largest file of claims in bytes."""
Expects = Literal["a higher", "a lower", "equal"]


class Arm(Part, frozen=True, kw_only=True):
    """One side of a claim: the runs of a model, or a number.

    model: a name, with options as in `worldbench compare` ("gpt[layers=8]"). world: parts of the world's identity in
    which the two sides differ ({"rides": "shortest"}). score: where it is not the score of the claim. lookup: the score
    is what a table of the last tokens has at the excess loss of the run (`belief_probe`). value: a number that the
    other side is compared with; the arm then has no runs.
    """

    model: str = ""
    world: Mapping[str, Any] = {}
    score: str = ""
    lookup: bool = False
    value: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) == (not self.model):
            raise ValueError("an arm has either a `model` or a `value`")

    @property
    def name(self) -> str:
        """What tables call the arm."""
        return self.label or (self.model if self.value is None else f"{self.value:g}")


class Claim(Part, frozen=True, kw_only=True):
    """A claim, and how it is decided.

    name: short and unique. claim: one sentence. source: paper, table or figure. published: arm -> number as published
    (shares between 0 and 1). setting: in which setting the numbers were published. score: `metric.score`, the one
    primary score of the claim. world: name of the world. where: parts of its identity that records must have. expects:
    how a is to b in this score. margin: the smallest difference that matters, in units of the score. sweep: the sweep
    recipe that makes the records. then: a command that is needed after the sweep.
    """

    name: str
    claim: str
    source: str
    score: str
    world: str
    a: Arm
    b: Arm
    expects: Expects
    margin: float
    sweep: str
    then: str = ""
    published: Mapping[str, float] = {}
    setting: str = ""
    where: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"the margin of the claim {self.name!r} must be above 0")
        if "." not in self.score:
            raise ValueError(f"the score of the claim {self.name!r} must be METRIC.SCORE")
        if self.a.value is not None:
            raise ValueError(f"arm a of the claim {self.name!r} must have runs")

    @property
    def command(self) -> str:
        """The command that makes the records of the claim."""
        return f"worldbench sweep {self.sweep}{self.then and ' && '}{self.then}"

    @property
    def effect(self) -> float | None:
        """The published difference a - b; None where the paper does not state both numbers."""
        values = [self.published.get(side) for side in ("a", "b")]
        return None if values[0] is None or values[1] is None else values[0] - values[1]


class _File(Part, frozen=True, kw_only=True):
    claim: list[Claim]


def load(paths: list[Path] | None = None) -> list[Claim]:
    """The claims of some files, in their order; None: those that come with worldbench. Raises InputError for a file
    that cannot be read, and for a name that occurs twice."""
    out: dict[str, Claim] = {}
    for path in sorted(FOLDER.glob("*.toml")) if paths is None else paths:
        try:
            found = msgspec.convert(tomllib.loads(read_text(path, LIMIT)), _File).claim
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors too
            raise InputError(f"the file of claims {str(path)!r} cannot be used: {error}") from error
        for claim in found:
            if claim.name in out:
                raise InputError(f"two claims are named {claim.name!r}; rename the one in {str(path)!r}")
            out[claim.name] = claim
    return list(out.values())

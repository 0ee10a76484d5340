"""What a run folder says of itself: `config.json`, from which its job is read again, and `manifest.json`, the processes
that worked in it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from worldbench.core.budget import Budget
from worldbench.records.parts import Count, Environment, Identity, Part, Real, Record, Settings


class Config(Record, frozen=True, kw_only=True):
    """Every setting of a run, resolved.

    world, model: by name. given: what differs from the preset, as `group.field`. plugins: the files that define parts
    of the run. groups: the options, by group. identity: of the run's own evaluation, the one that its last `worldbench
    run` asked for.
    """

    kind: ClassVar[str] = "config"
    marks: ClassVar[tuple[str, ...]] = ("groups", "given")
    remedy: ClassVar[str] = "repeat the command of the run, with another --out"

    world: str
    model: str
    preset: str
    seed: Count
    given: dict[str, Any]
    plugins: list[str]
    groups: Settings
    identity: Identity
    tuning: Budget | None = None


class Session(Part, frozen=True, kw_only=True):
    """A process that worked in the folder. outcome: "done", "killed", or the error. seconds: None while it works, and
    where it was killed.
    """

    argv: list[str]
    pid: Count
    started: str
    environment: Environment
    outcome: str
    seconds: Real | None = None


class Manifest(Record, frozen=True, kw_only=True):
    """For people: nothing in it is part of a result."""

    kind: ClassVar[str] = "manifest"
    marks: ClassVar[tuple[str, ...]] = ("sessions",)
    remedy: ClassVar[str] = "delete the file: it is for people, and no part of a result"

    sessions: list[Session]

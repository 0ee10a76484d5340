"""Registries of worlds, models, metrics and figures: a name, one line of text, and the place to import each from.

`ls` and `--help` read names and lines only. A name that is missing is looked up in the entry points of installed
packages (group `worldbench.<kind>s`). If it is missing there too, it is refused, with the nearest valid name. A
`--plugin FILE.py` registers by calling `worlds.add(...)`, `models.add(...)`, `metrics.add(...)` or `figures.add(...)`
(plugins.py).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from worldbench.core.errors import InputError, unknown


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered thing.

    target: `module:attribute`, imported when first wanted, or the object itself (plugins).
    config: the dataclass of its options, in the same form. trained: whether the model is trained. seeded: whether a
    model that is not trained depends on the seed of the run.
    reads: the model whose runs this model is scored with. This model has no runs of its own; it takes the weights and
    options of those runs (`worldbench eval RUN --as NAME`).
    presets: the presets of a world, {name: worldbench.core.presets.Preset} with the default first, or the
    `module:attribute` of this dict. plugin: the SHA-256 of the plugin file that registered it, or the name and version
    of the installed package; "" for what is built in.
    """

    name: str
    line: str
    target: str | Any
    config: str | Any = None
    trained: bool = True
    seeded: bool = False
    reads: str = ""
    presets: str | Any = None
    plugin: str = ""

    @property
    def reference(self) -> bool:
        """Is it a model that is there without training?"""
        return not self.trained and not self.reads

    def load(self) -> Any:
        return _resolve(self.target)

    def load_config(self) -> Any:
        return _resolve(self.config)

    def load_presets(self) -> Any:
        """Those declared; None for a world that declares none."""
        return _resolve(self.presets)


def _resolve(target: Any) -> Any:
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry:
    """Entries of one kind, by name; iterates in the order of registration. `room`: the package whose import registers
    the built-in ones."""

    def __init__(self, kind: str, room: str = "") -> None:
        self.kind, self._room = kind, room
        self._entries: dict[str, Entry] = {}

    def _open(self) -> None:
        if self._room and self._room not in sys.modules:
            importlib.import_module(self._room)

    def add(
        self,
        name: str,
        line: str,
        target: Any,
        *,
        config: Any = None,
        trained: bool = True,
        seeded: bool = False,
        reads: str = "",
        presets: Any = None,
    ) -> None:
        """Register; a name that is taken is refused."""
        if name in self._entries:
            raise InputError(
                f"{self.kind} {name!r} is registered already ({self._entries[name].target}); choose another name"
            )
        self._entries[name] = Entry(
            name=name,
            line=line,
            target=target,
            config=config,
            trained=trained and not reads,
            seeded=seeded or (trained and not reads),
            reads=reads,
            presets=presets,
        )

    def claim(self, names: set[str], plugin: str) -> None:
        """Note the plugin file or the package that registered these names."""
        for name in names:
            self._entries[name] = replace(self._entries[name], plugin=plugin)

    def remove(self, names: set[str]) -> None:
        """Forget these names, where they are registered."""
        for name in names:
            self._entries.pop(name, None)

    def __iter__(self) -> Iterator[Entry]:
        self._open()
        return iter(self._entries.values())

    def names(self) -> list[str]:
        self._open()
        return list(self._entries)

    def __getitem__(self, name: str) -> Entry:
        entry = self.find(name)
        if entry is None:
            raise unknown(self.kind, name, self._entries)
        return entry

    def find(self, name: str) -> Entry | None:
        """The entry of a name; None if neither worldbench nor a loaded plugin nor an installed package registers it."""
        self._open()
        if name not in self._entries:
            for point in _installed(f"worldbench.{self.kind}s", name):
                before = set(self._entries)
                point.load()(self)
                package = "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
                self.claim(set(self._entries) - before, package)
        return self._entries.get(name)


def _installed(group: str, name: str) -> Iterator[importlib.metadata.EntryPoint]:
    """The entry points of installed packages. They are read once, and again if a folder of packages has changed."""
    folders = tuple((folder, _changed(folder or ".")) for folder in sys.path)
    return (point for point in _entry_points(group, folders) if point.name == name)


@functools.lru_cache(maxsize=8)
def _entry_points(group: str, folders: tuple[tuple[str, int], ...]) -> list[importlib.metadata.EntryPoint]:
    """Those of a group. folders: the folders that Python searches now, and when each was changed."""
    return list(importlib.metadata.entry_points(group=group))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


@dataclass(frozen=True, kw_only=True)
class Figure(Entry):
    """A registered figure. target: a function `draw(source, stem, *, title)` that writes files and returns their paths.

    source: what the function reads: "evidence" (the .npz file of a metric), "curve" (metrics.jsonl) or "trace" (each
    trace file). metric, arrays: whose evidence, and which arrays must be in it. stem: the files' name without ending.
    """

    source: str = "evidence"
    metric: str = ""
    arrays: tuple[str, ...] = ()
    stem: str = ""


SOURCES = ("evidence", "curve", "trace")


class Figures(Registry):
    """The figures of a run."""

    def __iter__(self) -> Iterator[Figure]:
        return (entry for entry in super().__iter__() if isinstance(entry, Figure))

    def add(  # type: ignore[override]
        self,
        name: str,
        line: str,
        target: Any,
        *,
        metric: str = "",
        arrays: tuple[str, ...] = (),
        source: str = "evidence",
        stem: str = "",
    ) -> None:
        """Register; see `Figure`. stem: the figure's name where it is left out.

        Raises InputError for a name that is taken, for an unknown source, and for a figure of evidence that names no
        metric.
        """
        if source not in SOURCES:
            raise InputError(f"the figure {name!r} reads {source!r}; a figure reads one of {', '.join(SOURCES)}")
        if (source == "evidence") != bool(metric):
            what = "must name the metric whose evidence it reads" if source == "evidence" else "has no use for a metric"
            raise InputError(f"the figure {name!r} reads the source {source!r} and {what}")
        super().add(name, line, target)
        entry = self._entries[name]
        self._entries[name] = Figure(
            name=name, line=line, target=entry.target, source=source, metric=metric, arrays=arrays, stem=stem or name
        )


worlds = Registry("world", "worldbench.envs")
models = Registry("model", "worldbench.baselines")
metrics = Registry("metric", "worldbench.metrics")
figures = Figures("figure", "worldbench.figures")
ALL = (worlds, models, metrics, figures)

"""Registries of worlds, models and metrics: a name, one line of text, and where to import it from when it is wanted.

`ls` and `--help` read names and lines only. A name that is not there is looked for in the installed packages' entry points (group `worldbench.<kind>s`) before
it is refused with the nearest valid name. A `--plugin FILE.py` registers by calling `worlds.add(...)`, `models.add(...)` or `metrics.add(...)`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, unknown


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered thing.

    target: `module:attribute`, imported when first wanted, or the object itself (plugins).
    config: the same for its dataclass of options.
    trained: a model that training makes; else one that is there at once. seeded: a model that is not trained, but depends on the run's seed.
    weights_of: the model whose runs, under the same options, train this one's weights.
    """

    name: str
    line: str
    target: str | Any
    config: str | Any = None
    trained: bool = True
    seeded: bool = False
    weights_of: str = ""

    def load(self) -> Any:
        return _resolve(self.target)

    def load_config(self) -> Any:
        return _resolve(self.config)


def _resolve(target: Any) -> Any:
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry:
    """Entries of one kind, by name; iterates in the order of registration. `room`: the package whose import registers the built-in ones."""

    def __init__(self, kind: str, room: str = "") -> None:
        self.kind, self._room = kind, room
        self._entries: dict[str, Entry] = {}

    def _open(self) -> None:
        if self._room and self._room not in sys.modules:
            importlib.import_module(self._room)

    def add(self, name: str, line: str, target: Any, *, config: Any = None, trained: bool = True, seeded: bool = False, weights_of: str = "") -> None:
        """Register; a name that is taken is refused."""
        if name in self._entries:
            raise InputError(f"{self.kind} {name!r} is registered already ({self._entries[name].target}); choose another name")
        self._entries[name] = Entry(name=name, line=line, target=target, config=config, trained=trained, seeded=seeded or trained, weights_of=weights_of)

    def __iter__(self) -> Iterator[Entry]:
        self._open()
        return iter(self._entries.values())

    def names(self) -> list[str]:
        self._open()
        return list(self._entries)

    def __getitem__(self, name: str) -> Entry:
        self._open()
        if name not in self._entries:
            for point in importlib.metadata.entry_points(group=f"worldbench.{self.kind}s", name=name):
                point.load()(self)
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]


worlds = Registry("world", "worldbench.envs")
models = Registry("model", "worldbench.baselines")
metrics = Registry("metric", "worldbench.metrics")


def load_plugin(path: Path) -> None:
    """Run a user's file, which registers its worlds, models or metrics."""
    if not path.is_file():
        raise InputError(f"there is no plugin file {str(path)!r}")
    name = f"worldbench_plugin_{path.stem}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path.resolve()):
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise InputError(f"the plugin {str(path)!r} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"the plugin {str(path)!r} failed while loading: {type(error).__name__}: {error}") from error

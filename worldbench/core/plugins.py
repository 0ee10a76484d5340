"""Plugins: Python files of the user that register worlds, models, metrics or figures.

A plugin is run only where the user named it on the command line, never because a file of a run or a recipe names it.
Its bytes are read once: what is run is what the digest is of. The digest covers that file alone, not what it imports.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from worldbench.core.errors import InputError, WorldbenchError, describe
from worldbench.core.eval_config import eval_config_type
from worldbench.core.files import read_regular
from worldbench.core.registry import ALL, figures, metrics

LIMIT = 1 << 24
"""The most bytes of a plugin file: 16 MiB."""


@dataclass(frozen=True)
class Plugin:
    """A plugin file that was run.

    path: as it was named. sha256: of the bytes that were run. registers: what it added, as (kind, name).
    """

    path: str
    sha256: str
    registers: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Of the file, without its folder."""
        return Path(self.path).name

    @property
    def trains(self) -> bool:
        """May training depend on the plugin? It does not where the plugin registers metrics and figures alone."""
        return not self.registers or any(kind not in ("metric", "figure") for kind, _ in self.registers)

    def serves(self, world: str, model: str) -> bool:
        """Does a run of that model in that world need the plugin: for the world, the model, metrics, or unknown
        ends?"""
        needed = {("world", world), ("model", model)}
        return not self.registers or any(kind == "metric" or (kind, name) in needed for kind, name in self.registers)


@dataclass(frozen=True)
class Source:
    """A plugin file that was read and not run."""

    path: Path
    text: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text).hexdigest()

    def run(self) -> Plugin:
        """Run the file, which registers its parts; once in a process, and again where its text has changed.

        Raises InputError where the file fails; what it had registered by then is taken back.
        """
        known = _run.get(self.sha256)
        if known is not None and _there(known):
            return Plugin(str(self.path), known.sha256, known.registers)
        for old in [plugin for plugin in _run.values() if Path(plugin.path).resolve() == self.path.resolve()]:
            forget(old)
        plugin = self._execute()
        _run[plugin.sha256] = plugin
        return plugin

    def _execute(self) -> Plugin:
        before = [set(registry.names()) for registry in ALL]
        name = _module(str(self.path), self.sha256)
        spec = importlib.util.spec_from_loader(name, None, origin=str(self.path))
        assert spec is not None  # without a loader there is nothing that could refuse
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(self.path.resolve())
        sys.modules[name] = module
        try:
            exec(compile(self.text, module.__file__, "exec", dont_inherit=True), module.__dict__)
            if len(metrics.names()) > len(before[ALL.index(metrics)]):
                eval_config_type()  # refuses options that clash with those of other metrics
            for figure in figures:
                if figure.name not in before[ALL.index(figures)] and figure.metric:
                    _ = metrics[figure.metric]  # refuses a figure of a metric that nobody knows
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            for registry, names in zip(ALL, before):
                registry.remove(set(registry.names()) - names)
            if isinstance(error, WorldbenchError):
                raise
            raise InputError(f"the plugin {str(self.path)!r} failed while loading: {describe(error)}") from error
        registers = []
        for registry, names in zip(ALL, before):
            new = set(registry.names()) - names
            registry.claim(new, self.sha256)
            registers += [(registry.kind, name) for name in sorted(new)]
        return Plugin(str(self.path), self.sha256, tuple(registers))


_run: dict[str, Plugin] = {}
"""What was run in this process, by digest."""


def read_plugin(path: Path, sha256: str | None = None) -> Source:
    """Read a plugin file, without running it.

    sha256: what the file must hold, where another process has run it.
    Raises InputError for what is not a Python file that can be read, and for another content.
    """
    if not os.path.exists(path):
        raise InputError(f"there is no plugin file {str(path)!r}")
    if path.suffix != ".py":
        raise InputError(f"the plugin {str(path)!r} is not a Python file; its name must end in .py")
    source = Source(path, read_regular(path, LIMIT))
    if sha256 is not None and source.sha256 != sha256:
        raise InputError(f"the plugin {str(path)!r} has changed since the command was started; start it again")
    return source


def load_plugin(path: Path) -> Plugin:
    """Read a user's file and run it. Raises InputError as `read_plugin` and `Source.run` do."""
    return read_plugin(path).run()


def load_plugins(paths: Iterable[Path]) -> tuple[Plugin, ...]:
    """Run several, each once."""
    return tuple({plugin.sha256: plugin for plugin in map(load_plugin, paths)}.values())


def forget(plugin: Plugin) -> None:
    """Take back what a plugin registered."""
    for registry in ALL:
        registry.remove({name for kind, name in plugin.registers if kind == registry.kind})
    _run.pop(plugin.sha256, None)
    sys.modules.pop(_module(plugin.path, plugin.sha256), None)


def _there(plugin: Plugin) -> bool:
    return all(name in registry.names() for registry in ALL for kind, name in plugin.registers if kind == registry.kind)


def _module(path: str, sha256: str) -> str:
    """The name of a plugin's module: two files of one name are two modules."""
    return f"worldbench_plugin_{Path(path).stem}_{sha256[:8]}"

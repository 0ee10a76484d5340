"""Plugins: Python files of the user that register worlds, models, metrics or figures.

A plugin is run only if the user named it on the command line, never because a run or a recipe names it. The file is
read once, and the bytes that are run are the bytes that the digest covers. The digest covers this file only, not its
imports.
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
"""The largest plugin file in bytes: 16 MiB."""


@dataclass(frozen=True)
class Plugin:
    """A plugin file that was run.

    path: as given on the command line. sha256: digest of the bytes that were run.
    registers: what the plugin registered, as (kind, name).
    """

    path: str
    sha256: str
    registers: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return Path(self.path).name

    @property
    def trains(self) -> bool:
        """True if training may depend on the plugin: it registers a world or a model, or nothing at all."""
        return not self.registers or any(kind not in ("metric", "figure") for kind, _ in self.registers)

    def serves(self, world: str, model: str) -> bool:
        """True if a run of that model in that world needs the plugin: for its world, its model, or metrics. Also
        true if the plugin registers nothing, because its purpose is then not known."""
        needed = {("world", world), ("model", model)}
        return not self.registers or any(kind == "metric" or (kind, name) in needed for kind, name in self.registers)


@dataclass(frozen=True)
class Source:
    """A plugin file that was read but not run."""

    path: Path
    text: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text).hexdigest()

    def run(self) -> Plugin:
        """Runs the file, which registers its parts. A file is run once per process, and again after its content has
        changed.

        Raises InputError if the file fails. Everything that it had registered is then removed.
        """
        known = _run.get(self.sha256)
        if known is not None and _registered(known):
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
        assert spec is not None  # holds because no loader is given
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(self.path.resolve())
        sys.modules[name] = module
        try:
            exec(compile(self.text, module.__file__, "exec", dont_inherit=True), module.__dict__)
            if len(metrics.names()) > len(before[ALL.index(metrics)]):
                eval_config_type()  # raises for options that conflict with other metrics
            for figure in figures:
                if figure.name not in before[ALL.index(figures)] and figure.metric:
                    _ = metrics[figure.metric]  # raises for a figure of an unknown metric
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
"""Plugins that were run in this process, by digest."""


def read_plugin(path: Path, sha256: str | None = None) -> Source:
    """Reads a plugin file without running it.

    sha256: the expected digest, if another process has run the file. Raises InputError if the path is not a readable
    Python file, or if its digest differs.
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
    """Reads a plugin file and runs it. Raises InputError as `read_plugin` and `Source.run` do."""
    return read_plugin(path).run()


def load_plugins(paths: Iterable[Path]) -> tuple[Plugin, ...]:
    """Runs several plugin files, each once."""
    return tuple({plugin.sha256: plugin for plugin in map(load_plugin, paths)}.values())


def forget(plugin: Plugin) -> None:
    """Removes everything that a plugin registered."""
    for registry in ALL:
        registry.remove({name for kind, name in plugin.registers if kind == registry.kind})
    _run.pop(plugin.sha256, None)
    sys.modules.pop(_module(plugin.path, plugin.sha256), None)


def _registered(plugin: Plugin) -> bool:
    return all(name in registry.names() for registry in ALL for kind, name in plugin.registers if kind == registry.kind)


def _module(path: str, sha256: str) -> str:
    """The name of a plugin's module. Two files with the same name get different module names."""
    return f"worldbench_plugin_{Path(path).stem}_{sha256[:8]}"

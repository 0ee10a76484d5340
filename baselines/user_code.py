"""A function or network of the user, found by its name: `module:function` or `FILE.py:function`, where the function may
also be an nn.Module."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, describe, nearest
from worldbench.core.files import read_regular

LIMIT = 1 << 24
"""Largest source file in bytes: 16 MiB."""


@dataclass(frozen=True)
class UserFunction:
    """A function or network of the user.

    call: a function of tokens int64 [B, T]. name: its name on the command line, without folders. sha256: digest of the
    source file; None without one. network: whether it is an nn.Module. value: the object itself.
    """

    call: Callable[[np.ndarray], Any]
    name: str
    sha256: str | None = None
    network: bool = False
    value: Any = None


def load_callable(spec: str) -> UserFunction:
    """Import the function, network or class that `MODULE:NAME` or `FILE.py:NAME` names. A class is called without
    arguments, and the object that it makes is used.

    Raises InputError, with file and line of the user's code, where this fails.
    """
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise InputError(f"--callable takes MODULE:FUNCTION or FILE.py:FUNCTION, not {spec!r}")
    is_file = place.endswith(".py") or "/" in place
    module = _from_file(spec, Path(place)) if is_file else _imported(spec, place)
    value = getattr(module, name, None)
    if value is None:
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(f"--callable {spec!r}: {place!r} has no {name!r}{nearest(name, names)}")
    if inspect.isclass(value):
        with_arguments = f"--callable {spec!r}: {name!r} is a class, and making one without arguments failed"
        value = _guarded(value, with_arguments)
    if not callable(value):
        raise InputError(f"--callable {spec!r}: {name!r} is a {type(value).__name__}, not a function or an nn.Module")
    file, short = getattr(module, "__file__", None), f"{Path(place).name if is_file else place}:{name}"
    digest = getattr(module, "__sha256__", None)
    if digest is None and file and Path(file).is_file():
        digest = hashlib.sha256(read_regular(Path(file))).hexdigest()
    return user_function(value, short, digest)


def user_function(value: Callable[..., Any], name: str, sha256: str | None = None) -> UserFunction:
    """A Python function or an nn.Module, to be called on tokens int64 [B, T]."""
    network = _is_network(value)
    return UserFunction(_of_network(value) if network else _of_function(value), name, sha256, network, value)


def _imported(spec: str, name: str) -> ModuleType:
    """The module, imported by Python, from the current folder or the installed packages."""
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0]:
            raise InputError(f"--callable {spec!r}: importing it failed: {describe(error)}") from error
        raise InputError(
            f"--callable {spec!r}: there is no module {error.name!r} in this folder or among the installed packages; "
            f"a file elsewhere is named FOLDER/FILE.py:FUNCTION"
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"--callable {spec!r}: importing it failed: {describe(error)}") from error


def _from_file(spec: str, path: Path) -> ModuleType:
    """The module that the file defines. Its folder is added to the places from which it can import."""
    if path.suffix != ".py":
        raise InputError(f"--callable {spec!r}: {str(path)!r} is not a Python file; name it FILE.py:FUNCTION")
    if not os.path.exists(path):
        raise InputError(f"--callable {spec!r}: there is no file {str(path)!r}")
    text, file = read_regular(path, LIMIT), str(path.resolve())
    _search(path.resolve().parent)
    name = path.stem if path.stem not in sys.modules else f"worldbench_callable_{path.stem}"
    spec_ = importlib.util.spec_from_loader(name, None, origin=file)
    assert spec_ is not None
    module = importlib.util.module_from_spec(spec_)
    module.__dict__.update(__file__=file, __sha256__=hashlib.sha256(text).hexdigest())
    sys.modules[name] = module

    def execute() -> None:
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)

    try:
        _guarded(execute, f"--callable {spec!r}: running {path.name} failed")
    except InputError:
        del sys.modules[name]
        raise
    return module


def _guarded(work: Callable[[], Any], what: str) -> Any:
    try:
        return work()
    except (Exception, SystemExit) as error:
        raise InputError(f"{what}: {describe(error)}") from error


def _search(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _is_network(value: Any) -> bool:
    import torch

    return isinstance(value, torch.nn.Module)


def _of_function(function: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
    import torch

    def call(tokens: np.ndarray) -> Any:
        with torch.no_grad():
            return function(tokens)

    return call


def _of_network(network: Any) -> Callable[[np.ndarray], Any]:
    """A call of the network in eval mode and without gradients, on its own device, with tokens as a LongTensor."""
    import itertools

    import torch

    network.eval()
    where = next((t.device for t in itertools.chain(network.parameters(), network.buffers())), torch.device("cpu"))

    def call(tokens: np.ndarray) -> Any:
        with torch.no_grad():
            return network(torch.from_numpy(tokens).to(where))

    return call


def parts(value: Any, network: bool) -> tuple[Any, Any]:
    """Logits, and hidden states or None, from what the function or network returned.

    The logits are the value itself, its attribute `logits`, its entry "logits", or the first value of a tuple. The
    hidden states are the second value of a tuple from a function, unless this is a single number (a loss). A network's
    second value is never taken as hidden states: many networks return caches or losses there.
    """
    if isinstance(value, Mapping) and "logits" in value:
        return value["logits"], None
    if not isinstance(value, np.ndarray) and not hasattr(value, "detach") and hasattr(value, "logits"):
        output: Any = value
        return output.logits, None
    if not isinstance(value, tuple):
        return value, None
    first, second = (*value, None, None)[:2]
    is_loss = isinstance(second, (int, float)) or getattr(second, "ndim", None) == 0
    return first, None if network or is_loss else second

"""Digests of a model that is a Python object: of its code and of its weights."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from worldbench.baselines.user_code import UserFunction
from worldbench.core.files import read_regular


def object_digest(model: Any) -> str:
    """The SHA-256 of the code and of the networks of a function, a network or a `SequenceModel`.

    Code: the source file of the function or class; if it has none (a notebook), its byte code. Networks: the weights of
    every `nn.Module` that the object is, holds as an attribute, or refers to as a function.
    """
    own = getattr(model, "sha256", None)
    if isinstance(own, str):
        return own
    digest = hashlib.sha256(_code(model))
    for network in _networks(model):
        digest.update(f"{network!r} {weights_digest(network)}".encode())
    return digest.hexdigest()


def user_digest(user: UserFunction) -> str | None:
    """The digest of the source file of a function; of a network, the SHA-256 of this digest and of the weights."""
    if not user.network:
        return user.sha256
    return hashlib.sha256(f"{user.sha256} {weights_digest(user.value)}".encode()).hexdigest()


def weights_digest(network: Any) -> str:
    """The SHA-256 of the names, types, shapes and values of a network's parameters and buffers."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{name} {value!r}\n".encode())
            continue
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {flat.dtype} {tuple(value.shape)}\n".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(model: Any) -> Any:
    """The function or class whose code a model runs."""
    while isinstance(model, functools.partial):
        model = model.func
    model = inspect.unwrap(model) if callable(model) else model
    return model if inspect.isroutine(model) or inspect.isclass(model) else type(model)


def _code(model: Any) -> bytes:
    plain = _plain(model)
    try:
        file = inspect.getsourcefile(plain)
        if file is not None:
            return f"{plain.__qualname__}\n".encode() + read_regular(Path(file))
    except (TypeError, OSError, ValueError):
        pass  # without a file: the byte code is taken
    functions = [plain] if hasattr(plain, "__code__") else [v for v in vars(plain).values() if hasattr(v, "__code__")]
    return repr([(f.__qualname__, list(_of_code(f.__code__))) for f in functions]).encode()


def _of_code(code: CodeType) -> Iterator[Any]:
    """What the byte code does, without file names and lines."""
    yield code.co_code
    yield code.co_names
    for constant in code.co_consts:
        yield list(_of_code(constant)) if isinstance(constant, CodeType) else constant


def _networks(model: Any) -> list[Any]:
    """The networks that a model holds, each once."""
    import torch

    held = [
        model,
        getattr(model, "__self__", None),
        *getattr(model, "args", ()),
        *getattr(model, "__dict__", {}).values(),
    ]
    if inspect.isfunction(model):
        closed = inspect.getclosurevars(model)
        held += [*closed.nonlocals.values(), *closed.globals.values()]
    modules = {id(value): value for value in held if isinstance(value, torch.nn.Module)}
    return [model] if id(model) in modules else list(modules.values())

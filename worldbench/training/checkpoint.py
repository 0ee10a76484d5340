"""Checkpoints: safetensors files, written whole or not at all, and checked before their content is used. No pickle.

`checkpoint/state.safetensors` holds what training needs to continue with the same bits: the weights and what the
optimizer keeps for each of them. The file is removed when training is complete.
`checkpoint/step-00000123.safetensors` holds the weights after a step. The steps are log-spaced and include the last.

The metadata of each file has one key, `worldbench`, with JSON (`About`): the step, what metrics.jsonl held then, and a
digest of this and of all tensors. Files of older versions have a key `step` instead, and no digest. Such weights are
read, and such a state is refused.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from worldbench.core.errors import InputError, RunError
from worldbench.core.files import read_regular, read_start, write_atomic
from worldbench.training.optimizer import kept
from worldbench.training.training_log import Prefix

HEADER = 1 << 24
"""Largest header of a file (names, shapes and metadata) in bytes: 16 MiB."""
LARGEST = 1 << 36
"""Largest file of weights in bytes that is verified: 64 GiB."""
KEY = "worldbench"
AGAIN = "run the same command again"

Tensors = dict[str, torch.Tensor]


class Damaged(RunError):
    """A checkpoint is not what was saved."""


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The metadata of a file. Files of older versions have the step alone.

    step: number of steps done. curve: in a file of weights, the digest of the learning curve up to this step. log: in a
    saved state, the length and digest of metrics.jsonl. sha256: digest of these fields and of the tensors.
    """

    step: int
    curve: str | None = None
    log: Prefix | None = None
    sha256: str | None = None


def weights_path(folder: Path, step: int) -> Path:
    return folder / "checkpoint" / f"step-{step:08d}.safetensors"


def state_path(folder: Path) -> Path:
    return folder / "checkpoint" / "state.safetensors"


def kept_steps(folder: Path) -> list[int]:
    """The steps whose weights a run folder keeps, in order. Files with other names are ignored."""
    names = (path.name for path in (folder / "checkpoint").glob("step-*.safetensors"))
    return sorted(int(found[1]) for name in names if (found := re.fullmatch(r"step-([0-9]{8,18})\.safetensors", name)))


def save_weights(folder: Path, about: About, module: torch.nn.Module) -> None:
    """Save the weights of a module after `about.step` steps. Raises RunError if they cannot be written."""
    _write(weights_path(folder, about.step), _of_module(module), about)


def load_weights(path: Path, module: torch.nn.Module, again: str = AGAIN) -> About:
    """Load the weights of a file into `module`. again: how the weights can be made again, for the error.

    Raises Damaged unless the file holds exactly the tensors of the module, with their shapes, all values finite, after
    the step in the name of the file.
    """
    step = int(path.stem.removeprefix("step-"))
    expected = _of_module(module)

    def check(tensors: Tensors, about: About) -> None:
        _require(tensors, expected)
        if about.step != step:
            raise ValueError(f"it holds weights of step {about.step}")

    tensors, about = _read(path, _bytes(expected), check, f"delete it and {again}")
    module.load_state_dict(tensors)
    return about


def verify(path: Path) -> None:
    """Raises Damaged unless a file of weights is what was saved: its digest fits its content."""
    _read(path, LARGEST, lambda tensors, about: None, f"delete it and {AGAIN}")


def read_about(path: Path) -> About:
    """The metadata of a file, from its header alone; the digest is not checked. Raises Damaged."""
    try:
        return _about(_metadata(read_start(path, 8 + HEADER)))
    except InputError as error:
        raise Damaged(str(error)) from error
    except ValueError as error:
        raise Damaged(f"{str(path)!r} is damaged ({error})") from error


def save_state(folder: Path, about: About, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Save weights and moments of the optimizer. Raises RunError if they cannot be written."""
    tensors = {f"weights.{name}": tensor for name, tensor in _of_module(module).items()}
    for name, p in module.named_parameters():
        for key, value in optimizer.state.get(p, {}).items():
            tensors[f"{key}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    _write(state_path(folder), tensors, about)


def load_state(folder: Path, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> About | None:
    """Load the saved state into module and optimizer. Returns its metadata; None if there is no saved state.

    Raises Damaged unless the file holds every weight of the module, for each parameter all moments or none, no other
    tensor, and finite values only.
    """
    path = state_path(folder)
    if not path.exists():
        return None
    weights = {f"weights.{name}": tensor for name, tensor in _of_module(module).items()}
    moments = _moments(module, optimizer)
    everything = weights | {name: tensor for group in moments.values() for name, tensor in group.items()}

    def check(tensors: Tensors, about: About) -> None:
        untouched = [group for group in moments.values() if not group.keys() & tensors.keys()]
        _require(tensors, {name: t for name, t in everything.items() if not any(name in group for group in untouched)})
        if None in (about.log, about.sha256):
            raise ValueError("an older worldbench saved it, without a digest")

    way = f"delete it and {AGAIN}, which then trains from the first step on"
    tensors, about = _read(path, _bytes(everything), check, way)
    module.load_state_dict({name.removeprefix("weights."): tensors[name] for name in weights})
    fused = {p for group in optimizer.param_groups if group.get("fused") for p in group["params"]}
    keys = kept(optimizer)
    for name, p in module.named_parameters():
        state = {key: tensors[f"{key}.{name}"] for key in keys[p] if f"{key}.{name}" in tensors}
        if state:
            optimizer.state[p] = {
                key: value.to(p.device) if key != "step" or p in fused else value for key, value in state.items()
            }
    return about


def _of_module(module: torch.nn.Module) -> Tensors:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _moments(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensors]:
    """For each parameter, tensors with the names, types and shapes of the moments that the optimizer may keep."""
    keys = kept(optimizer)
    return {
        name: {
            f"{key}.{name}": torch.empty((), dtype=torch.float32) if key == "step" else p.detach() for key in keys[p]
        }
        for name, p in module.named_parameters()
        if keys[p]
    }


def _write(path: Path, tensors: Tensors, about: About) -> None:
    signed = msgspec.structs.replace(about, sha256=_digest(tensors, about))
    write_atomic(path, save(tensors, {KEY: msgspec.json.encode(signed).decode()}))


def _bytes(expected: Tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in expected.values())


def _read(path: Path, size: int, check: Callable[[Tensors, About], None], way: str) -> tuple[Tensors, About]:
    """Tensors and metadata of a file. size: the most bytes of its tensors. check: raises ValueError for tensors that
    cannot be used. way: what to do about a damaged file, for the error.

    Raises Damaged if the file cannot be read, its digest is wrong, or the check fails.
    """
    try:
        raw = read_regular(path, 8 + HEADER + size)
        about = _about(_metadata(raw))
        tensors = load(raw)
        if about.sha256 is not None and about.sha256 != _digest(tensors, about):
            raise ValueError("its content has changed: the digest that it holds does not match")
        check(tensors, about)
    except InputError as error:
        raise Damaged(f"{error}; {way}") from error
    except (SafetensorError, ValueError) as error:
        raise Damaged(f"{str(path)!r} is damaged ({error}); {way}") from error
    return tensors, about


def _metadata(raw: bytes) -> dict[str, str]:
    """The metadata in the first bytes of a safetensors file. Raises ValueError."""
    (size,) = struct.unpack("<Q", raw[:8].ljust(8, b"\xff"))
    if size > HEADER or 8 + size > len(raw):
        raise ValueError("its header is incomplete")
    try:
        header = msgspec.json.decode(raw[8 : 8 + size], type=dict[str, Any])
        return msgspec.convert(header.get("__metadata__", {}), dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its header cannot be read: {error}") from error


def _about(metadata: dict[str, str]) -> About:
    """The metadata as `About`. Raises ValueError for metadata that worldbench did not write."""
    try:
        if KEY in metadata:
            return msgspec.json.decode(metadata[KEY], type=About)
        return About(int(metadata["step"]))
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise ValueError("its metadata do not say what it holds") from error


def _digest(tensors: Tensors, about: About) -> str:
    """The digest of the metadata (without the digest) and of the name, type, shape and bytes of every tensor."""
    digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(about, sha256=None)))
    for name, tensor in sorted(tensors.items()):
        digest.update(msgspec.json.encode([name, str(tensor.dtype), tensor.shape]))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _require(tensors: Tensors, expected: Tensors) -> None:
    """Raises ValueError unless names, types and shapes are as expected and all values are finite."""
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"it lacks {_some(missing)}")
    if other := sorted(tensors.keys() - expected.keys()):
        raise ValueError(f"it holds {_some(other)}, which this model does not have")
    for name, tensor in tensors.items():
        if (tensor.dtype, tensor.shape) != (expected[name].dtype, expected[name].shape):
            kinds = (f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in (tensor, expected[name]))
            raise ValueError(f"{name!r} is {', not '.join(kinds)}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name!r} holds values that are not numbers")


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

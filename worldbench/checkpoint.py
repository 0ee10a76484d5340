"""Checkpoints: safetensors and JSON, written whole or not at all. No pickle.

`checkpoint/state.safetensors` holds everything training needs to go on to the bit (weights, Adam's moments; the step in its metadata); it is gone once training
is complete. `checkpoint/step-000123.safetensors` holds weights alone, for log-spaced steps and the last.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from worldbench.core.errors import RunError
from worldbench.core.files import write_atomic


def weights_path(folder: Path, step: int) -> Path:
    return folder / "checkpoint" / f"step-{step:08d}.safetensors"


def state_path(folder: Path) -> Path:
    return folder / "checkpoint" / "state.safetensors"


def kept_steps(folder: Path) -> list[int]:
    """The steps whose weights a run folder keeps, in order."""
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder / "checkpoint").glob("step-*.safetensors"))


def save_weights(folder: Path, step: int, module: torch.nn.Module) -> None:
    tensors = {name: p.detach().cpu().contiguous() for name, p in module.state_dict().items()}
    write_atomic(weights_path(folder, step), save(tensors, {"step": str(step)}))


def load_weights(path: Path, module: torch.nn.Module) -> None:
    tensors, _ = _read(path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{str(path)!r} holds weights of another model; delete the run's folder to train again") from error


def save_state(folder: Path, step: int, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Weights and optimiser moments after `step` steps."""
    tensors = {f"weights.{name}": p.detach().cpu().contiguous() for name, p in module.state_dict().items()}
    for name, p in module.named_parameters():
        for key, value in optimizer.state.get(p, {}).items():
            tensors[f"{key}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    write_atomic(state_path(folder), save(tensors, {"step": str(step)}))


def load_state(folder: Path, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Go on from the saved state; the number of steps done (0 where nothing was saved)."""
    path = state_path(folder)
    if not path.exists():
        return 0
    tensors, metadata = _read(path)
    step = int(metadata["step"])
    module.load_state_dict({k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")})
    for name, p in module.named_parameters():
        state = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors.get(f"{key}.{name}")
            if value is not None:
                state[key] = value.to(p.device) if key != "step" or optimizer.param_groups[0].get("fused") else value
        if state:
            optimizer.state[p] = state
    return step


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    import json
    import struct

    try:
        raw = path.read_bytes()
        tensors = load(raw)
        (size,) = struct.unpack("<Q", raw[:8])
        return tensors, json.loads(raw[8 : 8 + size]).get("__metadata__", {})
    except (OSError, SafetensorError, ValueError, struct.error) as error:
        raise RunError(f"{str(path)!r} cannot be read ({error}); delete it and run the same command again") from error

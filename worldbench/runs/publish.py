"""The publishable folder of a trained run: the last weights, the settings, the records, the figures and a card.

What people wrote on their machine stays there: paths are replaced by file names, and the manifest with its command
lines is left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from worldbench.core.errors import InputError, RunError, describe
from worldbench.core.files import cannot_write, make_folder, read_regular, write_atomic
from worldbench.records.bounds import bounds_beside, references
from worldbench.records.finding import own_result
from worldbench.records.folder import Config
from worldbench.records.reading import read, read_any, write
from worldbench.records.runs import Result
from worldbench.runs.card import Published, card
from worldbench.runs.config_file import saved_config

SUMS = "SHA256SUMS"
"""The digests of all files, in the format of sha256sum. Its presence says that the folder was made here."""
RECORDS = ("result*.json", "trace*.json")
PICTURES = "figures*"
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
LARGEST = 1 << 36
"""Largest file in bytes that is published: 64 GiB."""


def build(run: Path, out: Path, license: str | None) -> Path:
    """Builds the publishable folder of a run below `out`, in place of an earlier one. Returns its path.

    license: as Hugging Face writes it, such as mit; None: the card says `other`. Raises InputError for a folder that is
    not a trained run with a result and weights.
    """
    if license is not None and not LICENSE.fullmatch(license):
        raise InputError(
            f"--license {license!r} is not the name of a license on Hugging Face, such as mit or apache-2.0"
        )
    config, result = saved_config(run), own_result(run)
    if result is None:
        raise InputError(f"{str(run)!r} has no result to publish; finish the run with its command first")
    record, step = read(result, Result), _step(run, config)
    folder = _emptied(make_folder(out) / run.resolve().name)
    _copy(run / "metrics.jsonl", folder)
    for name in (f"step-{step:08d}.safetensors", "arithmetic.json"):
        if (run / "checkpoint" / name).exists():  # runs of older versions have no arithmetic.json
            _copy(run / "checkpoint" / name, folder / "checkpoint")
    write(folder / "config.json", _without_paths(config))
    for pattern in RECORDS:
        for path in sorted(run.glob(pattern)):
            read_any(path)  # a damaged record is not published
            _copy(path, folder)
    for place in sorted(run.glob(PICTURES)):
        for path in sorted(p for p in place.rglob("*") if p.is_file()):
            _copy(path, folder / path.parent.relative_to(run))
    for path in _references(result, record):
        _copy(path, folder / "references" / path.parent.name)
    files = {name: _sum(folder / name) for name in _names(folder)}
    pictures = [name for name in files if name.startswith("figures/") and name.endswith(".png")]
    text = card(Published(record, bounds_beside(result, record), files, pictures, step, license))
    write_atomic(folder / "README.md", text)
    files["README.md"] = _sum(folder / "README.md")
    write_atomic(folder / SUMS, "".join(f"{digest}  {name}\n" for name, (_, digest) in sorted(files.items())))
    return folder


def require_hub(repository: str) -> Any:
    """The package that uploads. Raises InputError without it, and for a name that is no repository."""
    if not REPOSITORY.fullmatch(repository):
        raise InputError(f"--repo must be OWNER/NAME, such as ada/taxi-gpt, not {repository!r}")
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"an upload needs the package huggingface_hub ({error}); install it with pip install 'worldbench[hf]', or "
            "use --dry-run"
        ) from error
    return huggingface_hub


def upload(folder: Path, repository: str, private: bool) -> str:
    """Uploads a publishable folder to the Hugging Face hub. Returns the address of the model.

    Raises InputError as `require_hub` does, and RunError if the upload fails.
    """
    hub = require_hub(repository)
    try:
        api = hub.HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True, repo_type="model")
        message = f"worldbench push: {folder.name}"
        api.upload_folder(folder_path=str(folder), repo_id=repository, repo_type="model", commit_message=message)
    except Exception as error:
        raise RunError(
            f"the upload to {repository} failed ({describe(error)}); the folder {str(folder)!r} is complete: log in "
            "with `hf auth login` and repeat the command"
        ) from error
    return str(address)


def _step(run: Path, config: Config) -> int:
    """The last step of a run, whose weights are whole. Raises InputError without them."""
    from worldbench.training import checkpoint

    step = config.number("train", "steps")
    if step is None:
        raise InputError(f"{str(run)!r} has no weights to publish: {config.model} is not trained")
    weights = checkpoint.weights_path(run, step)
    if checkpoint.state_path(run).exists() or not weights.exists():
        raise InputError(
            f"{str(run)!r} has no weights of its last step {step}: training was stopped, or they were removed; "
            "repeat the command of the run first"
        )
    checkpoint.verify(weights)
    return step


def _without_paths(config: Config) -> Config:
    """The settings with the names of files in place of their paths."""

    def short(value: Any) -> Any:
        if isinstance(value, str) and os.path.isabs(value):
            return Path(value).name
        if isinstance(value, (list, tuple)):
            return [short(item) for item in value]
        return {key: short(item) for key, item in value.items()} if isinstance(value, dict) else value

    plugins = [msgspec.structs.replace(plugin, path=Path(plugin.path).name) for plugin in config.plugins]
    return msgspec.structs.replace(config, given=short(config.given), groups=short(config.groups), plugins=plugins)


def _references(result: Path, record: Result) -> list[Path]:
    """The results beside a run that are its floors and ceilings."""
    out = []
    for path in sorted(result.absolute().parent.parent.glob(f"*/result-{record.identity.evaluation[:10]}.json")):
        try:
            other = read(path, Result)
        except InputError:
            continue  # such a file is the reference of nothing, as in boards
        if other.model.name in references(record) and other.world == record.world and other.tuning is None:
            out += [path] if other.seed in (None, record.seed) else []
    return out


def _emptied(folder: Path) -> Path:
    """The folder, without the files of an earlier build. Raises InputError if something else is in it."""
    if folder.exists() and not (folder / SUMS).is_file() and any(folder.iterdir()):
        raise InputError(f"{str(folder)!r} exists, and worldbench push did not make it; name another folder with --out")
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return make_folder(folder)


def _copy(path: Path, folder: Path) -> None:
    write_atomic(make_folder(folder) / path.name, read_regular(path, LARGEST))


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _sum(path: Path) -> tuple[int, str]:
    raw = read_regular(path, LARGEST)
    return len(raw), hashlib.sha256(raw).hexdigest()

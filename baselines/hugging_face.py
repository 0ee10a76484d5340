"""Reads a causal language model of the package transformers from a folder: weights from safetensors files alone, and
nothing from the network."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worldbench.baselines.digests import weights_digest
from worldbench.baselines.hugging_face_model import HuggingFaceModel, id_count
from worldbench.baselines.word_ids import Tokens, word_ids
from worldbench.core.errors import InputError, describe
from worldbench.core.world import World

PACKAGE = "transformers"
INSTALL = "pip install 'worldbench[hf]'"
SAVE = "save the whole causal language model with model.save_pretrained(FOLDER)"
READ = ("config.json", "model.safetensors.index.json")
"""Files whose content decides what the network computes, beside the weights."""


def hugging_face(
    model: Any, world: World, *, tokens: Tokens = None, batch_limit: int | None = None, device: str = "cpu"
) -> HuggingFaceModel:
    """A causal language model as a model of a world.

    model: a folder with `config.json` and safetensors files; the name of a model that was downloaded before; or a
    PreTrainedModel. tokens: see `word_ids`. name: for tables (None: the name of the folder). device: for a folder or a
    name; a PreTrainedModel stays where it is.
    Raises InputError, in one sentence, if the model cannot be read, if a word of the world has no id, or if the model
    reads fewer tokens than documents of the world have.
    """
    transformers = _package()
    if isinstance(model, (str, Path)):
        folder, short = _folder(str(model)), str(model).rstrip("/").rpartition("/")[2] or "model"
        network, tokenizer, digest = _network(transformers, folder).to(device), _tokenizer(folder), _digest_of(folder)
        words = ["--hf", str(model) if "/" in str(model) and not os.path.exists(model) else short]
        words += [] if tokens is None else ["--tokens", Path(str(tokens)).name]
        words = words if tokens is None or isinstance(tokens, (str, Path)) else []
    elif isinstance(model, transformers.PreTrainedModel):
        network, tokenizer, short, words = model, None, type(model).__name__, []
        digest = weights_digest(model) + model.config.to_json_string()
    else:
        raise InputError(
            f"a Hugging Face model is a folder, a name or a PreTrainedModel, not {type(model).__name__}; for another "
            "network use wb.score or wb.measure with the network"
        )
    _require_length(network, world)
    try:
        size = id_count(network)
    except Exception as error:
        raise InputError(f"{short} cannot be called as a causal language model: {describe(error)}") from error
    ids = word_ids(world.vocabulary, tokens, tokenizer, size)
    sha256 = hashlib.sha256(f"{digest}{ids.tolist()}".encode()).hexdigest()
    made = HuggingFaceModel(
        network, world.vocabulary, ids, f"hf:{short}", rows=batch_limit, sha256=sha256, words=tuple(words)
    )
    made.remarks = _remarks(made, world)
    return made


def _remarks(model: HuggingFaceModel, world: World) -> list[str]:
    """What a person should know before the scores."""
    remarks = []
    if (reason := model.check_cache(world, 0)) is not None:
        remarks.append(f"{model.name} decodes without a cache, which takes longer: {reason}")
    if (left_out := model.left_out(world, 0)) > 0:
        remarks.append(
            f"{model.name} gives {left_out:.2%} of the probability to ids that are no word of the world; scores are of "
            "the probabilities of the words, divided by their sum"
        )
    return remarks


def _package() -> Any:
    try:
        import transformers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(f"--hf needs the package {PACKAGE} ({error}); install it with {INSTALL}") from error
    return transformers


def _folder(place: str) -> Path:
    """The folder of a model: itself, or the folder of a name that was downloaded before."""
    if os.path.isdir(place):
        return Path(place)
    if place.startswith((".", "/", "~")) or place.count("/") > 1 or os.path.exists(place):
        raise InputError(f"--hf {place!r}: there is no such folder; a model is a folder with config.json")
    from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]

    try:
        return Path(snapshot_download(place, local_files_only=True))
    except Exception as error:
        raise InputError(
            f"--hf {place!r}: there is no such folder, and no model of this name was downloaded; worldbench does not "
            f"download models: run `hf download {place}` first"
        ) from error


def _network(transformers: Any, folder: Path) -> Any:
    """The network of a folder in float32, from safetensors files alone. Code in the folder is not run."""
    if not (folder / "config.json").is_file():
        raise InputError(f"--hf {str(folder)!r} has no config.json; {SAVE}")
    if not list(folder.glob("*.safetensors")):
        raise InputError(
            f"--hf {str(folder)!r} has no *.safetensors file; other files of weights can run code when they are read, "
            f"so they are refused; {SAVE}"
        )
    import torch

    try:
        with _silent(transformers):
            network, found = transformers.AutoModelForCausalLM.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32, output_loading_info=True,
            )  # fmt: skip
    except Exception as error:
        raise InputError(
            f"--hf {str(folder)!r} cannot be read as a causal language model: {describe(error)}"
        ) from error
    for what, names in (("are missing", found["missing_keys"]), ("have another shape", found["mismatched_keys"])):
        if names:
            first = sorted(map(str, names))[0]
            raise InputError(
                f"--hf {str(folder)!r}: {len(names)} of the weights {what}, such as {first}, so the model would be "
                f"partly random; {SAVE}"
            )
    return network


def _tokenizer(folder: Path) -> Mapping[str, int] | None:
    """Token -> id, from tokenizer.json. None without this file."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]

    try:
        return Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
    except Exception as error:
        raise InputError(f"{str(path)!r} cannot be read as a tokenizer: {describe(error)}") from error


def _digest_of(folder: Path) -> str:
    """The SHA-256 of the files that decide what the network computes."""
    digest = hashlib.sha256()
    for path in sorted({*folder.glob("*.safetensors"), *(folder / name for name in READ)}):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _require_length(network: Any, world: World) -> None:
    most = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(most, int) and most < world.input_length:
        raise InputError(
            f"the model reads at most {most} tokens (max_position_embeddings), and documents of this world have "
            f"{world.input_length} tokens to read; make the documents shorter by options of the world, or take another "
            "model"
        )


@contextlib.contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """No progress bars and no warnings of the package: what matters raises an error here."""
    logs = transformers.utils.logging
    before, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(before)
        if bars:
            logs.enable_progress_bar()

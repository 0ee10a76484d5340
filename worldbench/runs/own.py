"""Scores a model that worldbench did not train: a function, a network, or a model of another package."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.core.errors import InputError, RunError, not_among
from worldbench.core.files import identity_hash, lock, make_folder, read_regular, write_atomic
from worldbench.core.model import SequenceModel
from worldbench.core.registry import models
from worldbench.core.world import World
from worldbench.records.finding import evidence_folder, result_path
from worldbench.records.reading import read, write
from worldbench.records.runs import Result
from worldbench.records.scores import Metric, Scores
from worldbench.runs.display import Display
from worldbench.runs.one_run import done, draw, record, score_and_write
from worldbench.runs.prepared import Prepared, prepare
from worldbench.settings.job import PYTHON, Job

if TYPE_CHECKING:
    from worldbench.baselines.hugging_face_model import HuggingFaceModel

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Own:
    """A model of the user. name: for tables. sha256: the digest of its code and weights; None if it is not known.

    words: the words after `worldbench score WORLD` that name the model, or PYTHON for an object. kind: a part of the
    name of the folder. fixed: whether equal digests mean equal scores, so that a result is not computed again.
    """

    model: SequenceModel
    name: str
    sha256: str | None
    words: tuple[str, ...]
    kind: str = "callable"
    fixed: bool = False


Make = Callable[[World, Display], Own]


def prepare_own(job: Job, make: Make, display: Display, threads: int) -> tuple[Prepared, Own]:
    """Loads the world and the model, and checks that the model is a next-token model.

    The name and the digest of the model are the training identity, so an edited model has another identity.
    """
    from worldbench.baselines.causality import require_next_token_model
    from worldbench.training.arithmetic import set_up

    prepared = prepare(job, display)
    set_up(threads)
    own = make(prepared.world, display)
    if own.name in models.names():
        raise InputError(
            f"{own.name!r} is the name of a model of worldbench; give your model another name (name=, or --name)"
        )
    require_next_token_model(own.model, prepared.world, job.groups["eval"].seed)
    content = {**prepared.content, "model": own.name, "file": own.sha256}
    job = dataclasses.replace(prepared.job, model=own.name, own=own.words)
    return dataclasses.replace(prepared, job=job, content=content, training=identity_hash(content)), own


def score_own(prepared: Prepared, own: Own, out: Path, display: Display, threads: int) -> Path:
    """Scores a prepared model of the user. Returns the path of the result file. Raises RunError if a result with other
    scores would be replaced."""
    from worldbench.training.arithmetic import set_up

    set_up(threads)
    folder = make_folder(make_folder(out) / f"{prepared.job.world}-{own.kind}-{prepared.training[:10]}")
    with lock(folder):
        result = result_path(folder, prepared.identity)
        scored = done(result, prepared)
        if scored and own.fixed:
            display.say(f"done already: {result}")
        elif scored:
            _score_again(prepared, own, folder, result, display)
        else:
            score_and_write(prepared, own.model, folder, result, display)
        draw(folder, display, result)
    return result


def _score_again(prepared: Prepared, own: Own, folder: Path, result: Path, display: Display) -> None:
    """Scores a model that has a result. No file of the result changes until the scores are known to be the same."""
    from worldbench.runs.scoring import score

    earlier = read(result, Result)
    with tempfile.TemporaryDirectory() as beside:
        arrays = Path(beside) / "evidence"
        with display.task("scoring") as announce:
            scored = score(prepared.world, own.model, prepared.job.groups["eval"], arrays, announce)
        if (other := _other_scores(earlier.scores, scored.scores)) is not None:
            raise RunError(
                f"{str(result)!r} has other scores of a model with this name and the same code ({other}), and it is "
                "kept; give this model another name (--name, or name= in Python), or choose another folder with --out"
            )
        for file in sorted(arrays.glob("*.npz")):
            write_atomic(make_folder(evidence_folder(result)) / file.name, read_regular(file))
    write(result, record(prepared, own.model, folder, scored, display))


def _other_scores(earlier: Scores, now: Scores) -> str | None:
    """What differs first between two results of one evaluation, with both values; None if the scores are the same."""
    for name in sorted({*earlier, *now}):
        if name not in earlier or name not in now:
            return f"{name} applies only {'now' if name in now else 'there'}"
        old, new = earlier[name], now[name]
        for score in sorted({*old.scores, *new.scores}):
            if old.value(score) != new.value(score):
                return f"{name}.{score} is {old.value(score)} there and {new.value(score)} now"
        if _other_arrays(old, new):
            return f"the outcomes of trials of {name} differ"
    return None


def _other_arrays(old: Metric, new: Metric) -> bool:
    return None not in (old.evidence_sha256, new.evidence_sha256) and old.evidence_sha256 != new.evidence_sha256


def named_function(spec: str, rows: int | None, name: str | None = None) -> Make:
    """The function or network that `MODULE:NAME` or `FILE.py:NAME` names. It is imported now.

    rows: the most rows per call. name: for tables; None: the last part of `spec`. Such a function is always scored
    again, because its computation is not known.
    """
    from worldbench.baselines.callable import CallableModel
    from worldbench.baselines.digests import user_digest
    from worldbench.baselines.user_code import load_callable

    user = load_callable(spec)
    words = ("--callable", user.name, *(("--name", name) if name else ()))

    def make(world: World, display: Display) -> Own:
        model = CallableModel(user.call, world.vocabulary, user.name, rows, user.network)
        return Own(model, name or user.name, user_digest(user), words)

    return make


def python_object(model: Any, name: str | None, rows: int | None) -> Make:
    """A function, a network or a `SequenceModel` of the calling program. name: for tables; None: its own."""

    def make(world: World, display: Display) -> Own:
        from worldbench.baselines.digests import object_digest
        from worldbench.baselines.hugging_face_model import HuggingFaceModel

        made = sequence_model(model, world, rows, name)
        if isinstance(made, HuggingFaceModel):
            return _of_package(made, name, display)
        return Own(made, name or made.name, object_digest(model), (PYTHON,))

    return make


def hugging_face_model(place: str, tokens: str | None, rows: int | None, device: str, name: str | None) -> Make:
    """A causal language model of the package transformers, from its folder or its name."""

    def make(world: World, display: Display) -> Own:
        from worldbench.baselines.hugging_face import hugging_face

        model = hugging_face(place, world, tokens=tokens, batch_limit=rows, device=device_of(device))
        return _of_package(model, name, display)

    return make


def _of_package(model: HuggingFaceModel, name: str | None, display: Display) -> Own:
    for line in model.remarks:
        display.say(line)
    words = (*model.words, "--name", name) if model.words and name else model.words
    return Own(model, name or model.name, model.sha256, words or (PYTHON,), "hf", fixed=True)


def device_of(name: str) -> str:
    """`cpu` or `cuda`, for the device of a model of the user. Raises InputError for another name."""
    from worldbench.training.arithmetic import resolve_device

    if name not in DEVICES:
        raise not_among("--device", name, DEVICES)
    return resolve_device(name, "--device")


def sequence_model(model: Any, world: World, rows: int | None, name: str | None = None) -> SequenceModel:
    """A function, a network or a `SequenceModel` of the user as a model of a world. Functions are not checked here."""
    from worldbench.baselines.callable import CallableModel
    from worldbench.baselines.user_code import user_function

    if isinstance(model, SequenceModel):
        if rows is not None:
            raise InputError(
                "batch_limit is for functions and networks; a SequenceModel decides how many rows it takes"
            )
        return model
    if not callable(model):
        raise InputError(f"a model must be a function, an nn.Module or a SequenceModel, not {type(model).__name__}")
    user = user_function(model, name or getattr(model, "__name__", type(model).__name__))
    return CallableModel(user.call, world.vocabulary, user.name, rows, user.network)

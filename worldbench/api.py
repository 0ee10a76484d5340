"""The Python interface: `import worldbench as wb`. It does the work of the command line as functions with typed
results.

Settings have the names of the command line, and the same checks: `--train.steps 200` is `train={"steps": 200}`. Nothing
is printed unless `verbose=True`. Every function raises InputError for an input that cannot be used, and RunError if the
work fails; the message is one sentence (`worldbench.core.errors`).

A call that computes sets the number of threads of torch and switches to deterministic operators, for the whole process.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.core import registry
from worldbench.core.errors import InputError
from worldbench.core.plugins import load_plugins
from worldbench.core.process import set_environment
from worldbench.settings.called import PathLike, Settings, job_of, model_of, paths_of, words_of

if TYPE_CHECKING:
    from worldbench.core.model import SequenceModel
    from worldbench.core.world import World
    from worldbench.records.board import Board
    from worldbench.records.comparison import Comparison
    from worldbench.records.parts import Record
    from worldbench.records.runs import Result
    from worldbench.records.scores import Metric
    from worldbench.runs.display import Display
    from worldbench.settings.job import Job

set_environment()

_JOBS: weakref.WeakKeyDictionary[World, tuple[Job, tuple[Path, ...]]] = weakref.WeakKeyDictionary()
"""The job and the plugin files of each world that `world` made, so that `score` can record the options."""


@dataclass(frozen=True)
class Run:
    """A finished run. folder: the run folder. file: the result file. record: the content of the file, typed."""

    folder: Path
    file: Path
    record: Result

    @property
    def figures(self) -> list[Path]:
        """The paths of the figures (PNG) in the folder."""
        return sorted((self.folder / "figures").glob("*.png"))


def run(
    world: str | None = None, *, model: str | Settings | None = None, preset: str | None = None,
    seed: int | None = None, out: PathLike = "runs", config: PathLike | None = None, env: Settings | None = None,
    data: Settings | None = None, train: Settings | None = None, eval: Settings | None = None,
    tuned: str | None = None, plugins: Sequence[PathLike] = (), workers: int = 1, verbose: bool = False,
) -> Run:  # fmt: skip
    """`worldbench run`: train a model in a world and score the model. Parts that are done already are not repeated.

    The command line with the same settings writes the same folder, with the same bytes in its files.
    world, model, preset, seed: None stands for the value in the recipe, else for gpt, the first preset of the world,
    and 0. model: a name, or a mapping with `name` and the options of the model, like [model] in a recipe. config: a
    recipe file, or the name of a recipe of `worldbench ls`; the other arguments take precedence. tuned: the budget with
    which the settings were tuned. workers: as --workers; with more than 1 the program is forked, so it should have no
    other threads; where there is a graphics card, processes are started afresh, and a script needs `if __name__ ==
    "__main__":`.
    """
    from worldbench.runs import run as runs

    name, options = model_of(model)
    groups = {"env": env, "data": data, "model": options, "train": train, "eval": eval}
    job = job_of(world, name, groups, preset=preset, seed=seed, config=config, tuned=tuned, plugins=plugins)
    return _finished(runs.run(job, Path(out), _display(verbose), workers))


def score(
    world: str | World, model: str | SequenceModel | Callable[..., Any], *, metrics: Sequence[str] | None = None,
    name: str | None = None, preset: str | None = None, out: PathLike = "runs", config: PathLike | None = None,
    env: Settings | None = None, eval: Settings | None = None, batch_limit: int | None = None, threads: int = 1,
    plugins: Sequence[PathLike] = (), verbose: bool = False,
) -> Run:  # fmt: skip
    """`worldbench score`: score a model that worldbench did not train with every metric, and record the result.

    world: a name, or a world from `world`, whose options are then used. model: `FILE.py:NAME` or `MODULE:NAME`; or an
    object of this program, as for `measure`, or from `hugging_face`. The digest of its code and its weights enters the
    record. metrics: names of metrics (None: all). name: for tables. batch_limit: the largest number of rows in one call
    of the model. threads: CPU threads of torch.
    """
    from worldbench.runs import own
    from worldbench.runs import run as runs

    for option, value in {"batch_limit": batch_limit, "threads": threads}.items():
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1, not {value}")
    if metrics is not None:
        if eval is not None and "metrics" in eval:
            raise InputError("metrics is given twice; leave `metrics` out of eval")
        eval = {**(eval or {}), "metrics": list(metrics)}
    if isinstance(model, str):
        make = own.named_function(model, batch_limit, name)
    else:
        make = own.python_object(model, name, batch_limit)
    if isinstance(world, str):
        job = job_of(world, "oracle", {"env": env, "eval": eval}, preset=preset, config=config, plugins=plugins)
    else:
        job = _job_in(world, eval, {"preset": preset, "config": config, "env": env, "plugins": plugins})
    return _finished(runs.score(job, make, Path(out), _display(verbose), threads=threads))


def hugging_face(
    model: Any, world: World, *, tokens: str | Path | Mapping[str, Any] | None = None, batch_limit: int | None = None,
    device: str = "auto",
) -> SequenceModel:  # fmt: skip
    """A causal language model of Hugging Face as a model of a world, for `score` and `measure`.

    model: a folder with `config.json` and safetensors files, the name of a model that was downloaded before, or a
    PreTrainedModel. tokens: how words of the world become ids: "ids" (the model has the ids of the world), "words"
    (each word is a token of the model's tokenizer), or a mapping or JSON file from words to ids or tokens. None:
    "words" if the model has a tokenizer, else "ids". batch_limit: the largest number of rows in one call of the model.
    device: cpu, cuda or auto, for a folder or a name.
    Raises InputError, with the word, if a word of the world has no id, and for a model that cannot be read.
    """
    from worldbench.baselines.hugging_face import hugging_face
    from worldbench.runs.own import device_of

    return hugging_face(model, world, tokens=tokens, batch_limit=batch_limit, device=device_of(device))


def evaluate(
    run: Run | PathLike, *, eval: Settings | None = None, env: Settings | None = None,
    plugins: Sequence[PathLike] = (), reading: str | None = None, workers: int = 1, verbose: bool = False,
) -> Run:  # fmt: skip
    """`worldbench eval`: score a finished run again, under other evaluation options. Training is not touched.

    reading: another model that reads the weights of the run, such as "nextlat-rnn" for a nextlat run (`--as`).
    env: the new path of a file that has moved, such as `{"map": "maps/manhattan.graphml.gz"}`. workers: as of `run`.
    """
    from worldbench.runs import run as runs

    words = [*words_of("env", env), *words_of("eval", eval)]
    return _finished(runs.evaluate(_folder(run), words, _display(verbose), paths_of(plugins), reading, workers))


def load(run: PathLike) -> Run:
    """A finished run, from its folder (with the result of its own evaluation) or from one of its result files."""
    from worldbench.records.finding import own_result

    path = Path(run)
    file = own_result(path) if path.is_dir() else path
    if file is None:
        raise InputError(
            f"{str(path)!r} is not a finished run: it has no result; finish it with its command, or name another folder"
        )
    return _finished(file)


def record(file: PathLike) -> Record:
    """The content of any JSON file that worldbench wrote, as a typed record (`worldbench.records`)."""
    from worldbench.records.reading import read_any

    return read_any(Path(file))


def model(
    run: Run | PathLike, *, step: int | None = None, env: Settings | None = None, plugins: Sequence[PathLike] = ()
) -> SequenceModel:
    """The model of a finished run, with the weights of `step` (None: the weights that were scored).

    env: the new path of a file of the run that has moved. Raises InputError for a step whose weights are not kept.
    """
    from worldbench.runs.one_run import reference, reopen
    from worldbench.runs.weights import at_step, points, scored_step

    folder = _folder(run)
    prepared = reopen(folder, words_of("env", env), _display(), paths_of(plugins))
    if not prepared.job.trained:
        if step is not None:
            raise InputError(f"{prepared.job.model} is not trained, so it has no step {step}")
        return reference(prepared)
    kept = points(prepared)
    if step is not None and step not in kept:
        steps = ", ".join(map(str, kept))
        raise InputError(f"{str(folder)!r} keeps no weights of step {step}; it keeps those of the steps {steps}")
    return at_step(prepared, folder, scored_step(prepared, folder, _display().say) if step is None else step)


def world(
    name: str | Run, /, *, preset: str | None = None, plugins: Sequence[PathLike] = (), verbose: bool = False,
    **options: Any,
) -> World:  # fmt: skip
    """A world by its name, with options that replace those of the preset: `world("hmm", process="mess3")`.

    name: the name of a world; or a run, for the world of the run. With a run, the only options are new paths of files
    that have moved.
    """
    from worldbench.runs.config_file import load_job
    from worldbench.runs.prepared import prepare

    if isinstance(name, Run):
        if preset is not None:
            raise InputError(f"the run {str(name.folder)!r} already has a preset; leave out preset={preset!r}")
        job = load_job(name.folder, words_of("env", options), paths_of(plugins))
    else:
        job = job_of(name, "oracle", {"env": options}, preset=preset, plugins=plugins)
    made = prepare(job, _display(verbose)).world
    _JOBS[made] = (job, tuple(paths_of(plugins)))
    return made


def measure(
    metric: str, world: World, model: SequenceModel | Callable[..., Any], *, eval: Settings | None = None,
    batch_limit: int | None = None, threads: int = 1,
) -> Metric:  # fmt: skip
    """Measure one metric on a model of your own; writes no file. Example: `measure("excess_loss", world,
    f).value("kl")`.

    model: a function from tokens int64 [B, T] to logits [B, T, V] (numpy or torch), or to a pair of logits and hidden
    states [B, T, D]; an nn.Module; or a SequenceModel. A function is first tested: later tokens must not change its
    output. eval: evaluation options; the others keep their defaults. batch_limit: the largest number of rows in one
    call of the function. threads: CPU threads of torch.
    Raises InputError, with the reason, if the metric does not apply.
    """
    from worldbench.core.eval_config import eval_config_type, require_used
    from worldbench.runs.scoring import score
    from worldbench.settings.options import parse_options
    from worldbench.training.arithmetic import set_up

    _ = registry.metrics[metric]
    if eval is not None and "metrics" in eval:
        raise InputError("the first argument of measure names the metric; leave `metrics` out of eval")
    words = ["--eval.metrics", metric, *words_of("eval", eval)]
    kind = eval_config_type()
    settings = parse_options({"eval": kind}, {"eval": kind()}, words, "worldbench eval RUN")["eval"]
    require_used(settings, words)
    set_up(threads)
    scored = score(world, _sequence_model(model, world, settings.seed, batch_limit), settings, None)
    if metric not in scored.scores:
        raise InputError(f"{metric} does not apply: {scored.not_applicable[metric]}")
    return scored.scores[metric]


def leaderboard(paths: PathLike | Sequence[PathLike], *, columns: Sequence[str] | None = None) -> Board:
    """`worldbench leaderboard`: groups of one world and one evaluation, with a row per model and settings, and means
    over seeds. To iterate over a board gives its rows.

    columns: names of the form METRIC or METRIC.SCORE. A file in a folder that cannot be read is left out, with a
    warning.
    """
    from worldbench.records.board_building import build

    board = build(paths_of(paths), list(columns) if columns else None)
    for line in board.left_out:
        _warn(line)
    return board


def compare(
    a: str, b: str, paths: PathLike | Sequence[PathLike], *, columns: Sequence[str] | None = None,
    margin: float | None = None, matched: str | None = None,
) -> list[Comparison]:  # fmt: skip
    """`worldbench compare`: paired differences of two models over shared seeds; one row per world, evaluation and
    score.

    a, b: names of models; if the results have a model with several settings, the name with its options:
    `nextlat[horizon=4]`. margin: also test whether the models differ by less than this. matched: compare at equal loss,
    from traces: the name of the loss, such as "excess_loss.kl"; or after equal "steps", "tokens" or "compute".
    """
    from worldbench.records.compare import compare

    return compare(a, b, paths_of(paths), list(columns) if columns else None, margin, matched, _warn)


def world_names(plugins: Sequence[PathLike] = ()) -> dict[str, str]:
    """Name -> one-line description of each registered world, those of the plugin files included."""
    return _names(registry.worlds, plugins)


def model_names(plugins: Sequence[PathLike] = ()) -> dict[str, str]:
    """Name -> one-line description of each registered model, those of the plugin files included."""
    return _names(registry.models, plugins)


def metric_names(plugins: Sequence[PathLike] = ()) -> dict[str, str]:
    """Name -> one-line description of each registered metric, those of the plugin files included."""
    return _names(registry.metrics, plugins)


def _names(entries: registry.Registry, plugins: Sequence[PathLike]) -> dict[str, str]:
    load_plugins(paths_of(plugins))
    return {entry.name: entry.line for entry in entries}


def _job_in(world: World, eval: Settings | None, beside: Mapping[str, Any]) -> Job:
    """The job of a world that `world` made. beside: arguments that such a world has already."""
    if world not in _JOBS:
        raise InputError(
            f"score takes the name of a world, or a world from wb.world(..), not a {type(world).__name__} made "
            "otherwise: a record names the options of its world"
        )
    if given := [name for name, value in beside.items() if value]:
        raise InputError(f"the world has its options already; leave out {given[0]}, or give the name of the world")
    job, plugins = _JOBS[world]
    options = {key.removeprefix("env."): value for key, value in job.given.items() if key.startswith("env.")}
    return job_of(job.world, "oracle", {"env": options, "eval": eval}, preset=job.preset, plugins=plugins)


def _sequence_model(
    model: SequenceModel | Callable[..., Any], world: World, seed: int, rows: int | None
) -> SequenceModel:
    from worldbench.baselines.causality import require_next_token_model
    from worldbench.runs.own import sequence_model

    made = sequence_model(model, world, rows)
    if made is not model:
        require_next_token_model(made, world, seed)
    return made


def _finished(file: Path) -> Run:
    from worldbench.records.reading import read
    from worldbench.records.runs import Result

    return Run(file.parent, file, read(file, Result))


def _folder(run: Run | PathLike) -> Path:
    return run.folder if isinstance(run, Run) else Path(run)


def _display(verbose: bool = False) -> Display:
    from worldbench.runs.display import Display

    return Display(quiet=not verbose)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=3)

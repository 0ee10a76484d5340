"""The figures of a run folder: every registered figure, drawn from the files in the folder that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from worldbench.core.errors import InputError, RunError, WorldbenchError, describe
from worldbench.core.registry import Figure, figures
from worldbench.core.text import counted
from worldbench.records.finding import PATTERNS, evidence_folder, own_result
from worldbench.records.folder import Config
from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace

Drawing = Callable[[], list[Path]]
"""Draws one figure; the files written."""


def draw_run(folder: Path, result: Path | None = None) -> list[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; the files written. See `drawn`."""
    return list(drawn(folder, result))


def drawable(folder: Path) -> bool:
    """Whether a folder has any file that figures are drawn from."""
    return any(any(folder.glob(name)) for name in ("evidence*", "metrics.jsonl", PATTERNS["trace"]))


def drawn(folder: Path, result: Path | None = None) -> Iterator[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; each file as soon as it is written.

    result: the evaluation whose evidence is drawn; None: the run's own (`own_result`), and each of the others into
    `<folder>/figures-<evaluation>`. A figure whose file is damaged, or a figure of a plugin that fails, does not keep
    the others from being drawn.
    Errors: InputError, after all the others are drawn, that says what is wrong with each; RunError where nothing can be
    written.
    """
    return _drawn(folder, folder / "figures", partial(_of_run, folder, result))


def drawn_beside(folder: Path, result: Path) -> Iterator[Path]:
    """Draw the evidence of another evaluation than the run's own into `<folder>/figures-<evaluation>`.

    Errors as of `drawn`.
    """
    return _drawn(folder, figures_beside(result), partial(_of_evaluation, result))


def _drawn(folder: Path, out: Path, drawings: Callable[[], Iterator[Drawing]]) -> Iterator[Path]:
    problems: list[str] = []
    written = 0
    try:
        for drawing in drawings():
            try:
                for path in drawing():
                    written += 1
                    yield path
            except InputError as error:
                problems.append(str(error))
    except OSError as error:
        raise RunError(
            f"cannot draw into {str(out)!r} ({error.strerror or error}); the result is safe, "
            f"worldbench figures {folder} draws again"
        ) from error
    if problems:
        others = f"; the other figures are in {str(out)!r}" if written else ""
        raise InputError("; ".join(dict.fromkeys(problems)) + others)


def _of_run(folder: Path, result: Path | None) -> Iterator[Drawing]:
    """The figures of one evaluation, of training and of the traces; where no evaluation is chosen, those of all."""
    out, title = folder / "figures", _title(folder)
    out.mkdir(exist_ok=True)
    own = own_result(folder) if result is None else result
    yield from _of_evidence(folder / "evidence" if own is None else evidence_folder(own), out, title)
    for figure in _reading("curve"):
        if (folder / "metrics.jsonl").exists():
            yield partial(_draw, figure, folder / "metrics.jsonl", out / figure.stem, title)
    for trace in sorted(folder.glob(PATTERNS["trace"])):
        ending = trace.stem.removeprefix("trace")
        for figure in _reading("trace"):
            yield partial(_of_trace, figure, trace, out / f"{figure.stem}{ending}")
    if result is None:
        for other in sorted(folder.glob(PATTERNS["result"])):
            if other != own and evidence_folder(other).is_dir():
                yield from _of_evaluation(other)


def _of_evaluation(result: Path) -> Iterator[Drawing]:
    out = figures_beside(result)
    out.mkdir(exist_ok=True)
    yield from _of_evidence(evidence_folder(result), out, _title(result.parent, read(result, Result).model.name))


def figures_beside(result: Path) -> Path:
    """The folder for the figures of an evaluation that is not the run's own."""
    named = result.stem.removeprefix("result-")
    evaluation = read(result, Result).identity.evaluation[:10] if named == result.stem else named
    return result.with_name(f"figures-{evaluation}")


def _of_evidence(evidence: Path, out: Path, title: str) -> Iterator[Drawing]:
    for figure in _reading("evidence"):
        path = evidence / f"{figure.metric}.npz"
        if path.exists():
            yield partial(_of_arrays, figure, path, out / figure.stem, title)


def _of_trace(figure: Figure, trace: Path, stem: Path) -> list[Path]:
    return _draw(figure, trace, stem, _title(trace.parent, read(trace, Trace).model.name))


def _of_arrays(figure: Figure, path: Path, stem: Path, title: str) -> list[Path]:
    """Evidence of an older version, without the arrays that the figure needs, is passed over."""
    from worldbench.figures.evidence import names

    if figure.arrays and not set(figure.arrays) <= names(path):
        return []
    return _draw(figure, path, stem, title)


def _reading(source: str) -> list[Figure]:
    return [figure for figure in figures if figure.source == source]


def _draw(figure: Figure, source: Path, stem: Path, title: str) -> list[Path]:
    try:
        return [Path(path) for path in figure.load()(source, stem, title=title)]
    except (WorldbenchError, OSError):
        raise
    except Exception as error:
        if not figure.plugin:
            raise
        raise InputError(f"the figure {figure.name!r} of a plugin failed: {describe(error)}") from error


def _title(folder: Path, model: str | None = None) -> str:
    """Who drew it: model, preset and seed, from the folder's config. model: None for the run's own."""
    path = folder / "config.json"
    if not path.exists():
        return folder.name
    config = read(path, Config)
    seed = f", seed {config.seed}" if "train" in config.groups else ""
    documents = config.number("data", "documents")
    arm = "" if documents is None else (f", {counted(documents, 'document')}" if documents else ", unlimited documents")
    return f"{model or config.model} ({config.preset}{arm}{seed})"

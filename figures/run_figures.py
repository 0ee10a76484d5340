"""The figures of a run folder, each drawn from the files in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, RunError
from worldbench.core.text import counted
from worldbench.records.finding import PATTERNS, evidence_folder, own_result
from worldbench.records.folder import Config
from worldbench.records.reading import read
from worldbench.records.runs import Trace

Figure = Callable[[], list[Path]]
"""Draws one figure; the files written."""


def draw_run(folder: Path, result: Path | None = None) -> list[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; the files written. See `drawn`."""
    return list(drawn(folder, result))


def drawable(folder: Path) -> bool:
    """Whether a folder has any file that figures are drawn from."""
    return any(any(folder.glob(name)) for name in ("evidence*", "metrics.jsonl", PATTERNS["trace"]))


def drawn(folder: Path, result: Path | None = None) -> Iterator[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; each file as soon as it is written.

    result: the evaluation whose evidence is drawn; None: the run's own (`own_result`). A figure whose file is damaged
    does not keep the others from being drawn.
    Errors: InputError, after all the others are drawn, that says what is wrong with each damaged file; RunError where
    nothing can be written.
    """
    out = folder / "figures"
    problems: list[str] = []
    written = 0
    try:
        out.mkdir(exist_ok=True)
        title = _title(folder)
        result = own_result(folder) if result is None else result
        evidence = folder / "evidence" if result is None else evidence_folder(result)
        for figure in (*_evidence_figures(evidence, out, title), *_training_figures(folder, out, title)):
            try:
                for path in figure():
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


def _evidence_figures(evidence: Path, out: Path, title: str) -> Iterator[Figure]:
    """What the evidence of single metrics allows; evidence of an older version, without what a figure needs, is passed
    over."""
    from worldbench.figures import (
        belief_distances,
        belief_simplex,
        interactive_map,
        maze_gallery,
        maze_map,
        position_loss,
        spectra,
        street_map,
    )
    from worldbench.figures.evidence import names

    for metric, needed, draw, stem in (
        ("map_reconstruction", "", street_map.draw, "map"),
        ("map_reconstruction", "", interactive_map.draw, "map"),
        ("map_reconstruction", "", maze_map.draw, "maze"),
        ("belief_probe", "predicted", belief_simplex.draw, "beliefs"),
        ("belief_probe", "distance_belief", belief_distances.draw, "belief-distances"),
        ("excess_loss", "by_exact_bayes", position_loss.draw, "position-loss"),
        ("effective_rank", "singular_values", spectra.draw, "spectra"),
        ("solved_paths", "", maze_gallery.draw, "gallery"),
    ):
        path = evidence / f"{metric}.npz"

        def figure(path: Path = path, needed: str = needed, draw: Any = draw, stem: str = stem) -> list[Path]:
            return draw(path, out / stem, title=title) if not needed or needed in names(path) else []

        if path.exists():
            yield figure


def _training_figures(folder: Path, out: Path, title: str) -> Iterator[Figure]:
    """The learning curve and what was traced."""
    from worldbench.figures import learning_curves

    if (folder / "metrics.jsonl").exists():
        yield lambda: learning_curves.draw(folder / "metrics.jsonl", out / "learning", title=title)
    for trace in sorted(folder.glob(PATTERNS["trace"])):
        yield from (partial(draw, trace, out, title) for draw in (_filmstrip, _matched))


def _filmstrip(trace: Path, out: Path, title: str) -> list[Path]:
    from worldbench.figures import filmstrip

    ending = trace.stem.removeprefix("trace")
    if not evidence_folder(trace).is_dir():
        return []
    return filmstrip.draw(trace, out / f"filmstrip{ending}", title=title)


def _matched(trace: Path, out: Path, title: str) -> list[Path]:
    from worldbench.figures import matched

    record = read(trace, Trace)
    if not matched.applies(record):
        return []
    ending = trace.stem.removeprefix("trace")
    return matched.draw([(record.model.name, record)], out / f"matched{ending}", title=title)


def _title(folder: Path) -> str:
    """Who drew it: model, preset and seed, from the folder's config."""
    path = folder / "config.json"
    if not path.exists():
        return folder.name
    config = read(path, Config)
    seed = f", seed {config.seed}" if "train" in config.groups else ""
    documents = config.number("data", "documents")
    arm = "" if documents is None else (f", {counted(documents, 'document')}" if documents else ", unlimited documents")
    return f"{config.model} ({config.preset}{arm}{seed})"

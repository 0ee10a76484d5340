"""A paragraph about how results were made, in LaTeX, written from the settings that the records hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worldbench.core.eval_config import unused
from worldbench.core.text import counted
from worldbench.figures.paper.groups import is_reference
from worldbench.records.differences import plain
from worldbench.records.parts import Environment
from worldbench.records.runs import Result
from worldbench.studies.paper.sources import OF_METRICS, OF_MODELS, OF_WORLDS, cited
from worldbench.studies.paper.tex import code, joined, option, text

TRAIN = ("steps", "batch", "row_tokens", "optimizer", "learning_rate", "schedule", "warmup", "weight_decay", "clip")
"""Options of training that have a place in the sentence about training; the others follow as name = value."""
EXECUTION = ("checkpoints", "curve_documents", "device", "threads", "processes", "log_every", "save_every")
"""Options of training that change no weights, or that `software` states."""
AUTOMATIC = ("head_width", "mlp_width")
"""Options of models that follow from others where they are 0."""


def paragraphs(title: str, records: Sequence[Result]) -> str:
    """The protocol of results of one world and evaluation, as a paragraph under a heading. title: the world in words.

    Everything comes from the records. Every name from a record is escaped.
    """
    trained = [r for r in records if not is_reference(r.model.name)]
    references = list(dict.fromkeys(r.model.name for r in records if is_reference(r.model.name)))
    first = (trained or list(records))[0]
    parts = [
        _world(first), _data(trained), *_models(trained), *_training(trained), _seeds(trained), _tuning(trained),
        _references(references), _metrics(records), _statistics(), _software(records),
    ]  # fmt: skip
    return "\n".join([f"\\paragraph{{{text(title)}.}}", *filter(None, parts)])


def _options(options: dict[str, Any], *without: str) -> str:
    """The options that have a value, without those named in `without`."""
    kept = {name: value for name, value in options.items() if name not in without and value not in (None, "", [])}
    return ", ".join(option(name, value) for name, value in kept.items())


def _world(record: Result) -> str:
    version = f" (version {text(record.world['version'])})" if "version" in record.world else ""
    options = _options(record.config.get("env", {}))
    said = f" with the options {options}" if options else ""
    source = cited([record.world_name], OF_WORLDS)
    return f"The world is {code(record.world_name)}{version}{source}{said}."


def _data(trained: Sequence[Result]) -> str:
    """How many documents models were trained on."""
    numbers = sorted({n for r in trained if (n := r.number("data", "documents")) is not None})
    if not numbers:
        return ""
    fixed = [f"{n:,}" for n in numbers if n]
    said = [f"on a fixed set of {joined(fixed)} documents, which every epoch reads in a new order"] if fixed else []
    said += ["on new documents at every step"] if 0 in numbers else []
    separately = " (in separate runs)" if len(numbers) > 1 else ""
    return f"Models were trained {joined(said)}{separately}."


def _alike(records: Sequence[Result], group: str) -> list[tuple[list[str], dict[str, Any]]]:
    """The settings of a group of options, each with the names of the models that have them."""
    out: list[tuple[list[str], dict[str, Any]]] = []
    for record in records:
        settings = {k: v for k, v in record.config.get(group, {}).items() if group != "train" or k not in EXECUTION}
        names = next((names for names, found in out if found == settings), None)
        if names is None:
            out.append(([record.model.name], settings))
        elif record.model.name not in names:
            names.append(record.model.name)
    return out


def _models(trained: Sequence[Result]) -> list[str]:
    """The size of each model, and its other options."""
    out = []
    for names, options in _alike(trained, "model"):
        of = [r for r in trained if r.model.name == names[0] and r.config.get("model", {}) == options]
        parameters = of[0].model.parameters
        sizes = ""
        if parameters is not None and len(names) == 1:
            sizes = f" ({parameters.training:,} parameters in training, {parameters.inference:,} for predictions)"
        shown = _options(options, *(name for name in AUTOMATIC if not options.get(name)))
        who = [f"{code(n)}{cited([n], OF_MODELS)}" for n in names]
        verb = "has" if len(names) == 1 else "have"
        out += [f"{joined(who)} {verb} {shown}{sizes}."] if shown else []
    return out


def _training(trained: Sequence[Result]) -> list[str]:
    groups = _alike(trained, "train")
    out = []
    for names, options in groups:
        who = "Every model" if len(groups) == 1 else joined([code(n) for n in names])
        rows, tokens = options.get("batch"), options.get("row_tokens")
        batch = "" if rows is None else f" in batches of {counted(rows, 'row')}"
        batch += f" of {counted(tokens, 'token')}" if batch and tokens else " of one document" if batch else ""
        rate = options.get("learning_rate")
        how = [
            *([f"the optimizer {text(options['optimizer'])}"] if "optimizer" in options else []),
            *([f"peak learning rate {text(plain(rate))}"] if rate is not None else []),
            *([f"a {text(options['schedule'])} schedule"] if "schedule" in options else []),
            *([counted(options["warmup"], "step") + " of warm-up"] if options.get("warmup") else []),
            *([f"weight decay {text(plain(options['weight_decay']))}"] if "weight_decay" in options else []),
            *([f"gradients clipped at {text(plain(options['clip']))}"] if options.get("clip") else []),
        ]
        idle = () if options.get("optimizer") == "muon" else ("muon_rate",)
        more = _options(options, *TRAIN, *idle)
        steps = f" for {counted(options['steps'], 'step')}" if isinstance(options.get("steps"), int) else ""
        further = f" Further options: {more}." if more else ""
        were = "was" if len(groups) == 1 or len(names) == 1 else "were"
        out.append(f"{who} {were} trained{steps}{batch}, with {joined(how)}.{further}" if how else "")
    return [sentence for sentence in out if sentence]


def _seeds(trained: Sequence[Result]) -> str:
    by_model: dict[str, set[int]] = {}
    for record in trained:
        if record.seed is not None:
            by_model.setdefault(record.model.name, set()).add(record.seed)
    if not by_model:
        return ""
    sets = {tuple(sorted(seeds)) for seeds in by_model.values()}
    if len(sets) == 1:
        (seeds,) = sets
        return f"Training seeds: {', '.join(map(str, seeds))} ($n = {len(seeds)}$ for each model)."
    said = [f"{code(n)} {', '.join(map(str, sorted(s)))}" for n, s in by_model.items()]
    return f"Training seeds: {'; '.join(said)}."


def _tuning(trained: Sequence[Result]) -> str:
    """Which settings were tuned, and how."""
    tuned = {r.model.name: r.tuning for r in trained if r.tuning is not None}
    rest = list(dict.fromkeys(r.model.name for r in trained if r.tuning is None))
    said = [
        f"The settings of {code(name)} were tuned in {budget.words} by {code(budget.criterion)}, "
        "on seeds that no result uses."
        for name, budget in tuned.items()
    ]
    if rest and tuned:
        said.append(f"The settings of {joined([code(n) for n in rest])} were not tuned.")
    return " ".join(said) if tuned else "No setting was tuned." if rest else ""


def _references(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"References, which are not trained: {joined([code(n) for n in names])}."


def _metrics(records: Sequence[Result]) -> str:
    """The metrics with their versions, and the options of the evaluation."""
    versions = {name: metric.version for record in records for name, metric in record.scores.items()}
    said = [f"{code(n)} {v}{cited([n], OF_METRICS)}" for n, v in versions.items()]
    idle = unused(list(versions))
    options = _options(records[0].config.get("eval", {}), "metrics", *idle)
    evaluation = f" Options of the evaluation: {options}." if options else ""
    return f"Metrics, each with its version: {', '.join(said)}.{evaluation}"


def _statistics() -> str:
    return (
        "Tables show means over training seeds, $\\pm$ half of the 95\\% interval of Student's $t$ over these seeds. "
        "Rows of one seed have no interval."
    )


def _software(records: Sequence[Result]) -> str:
    """Versions and processors."""
    found = dict.fromkeys(map(_environment, (record.environment for record in records)))
    return f"Software: {text('; '.join(found))}."


def _environment(e: Environment) -> str:
    commit = f" (commit {e.commit[:10]}{', with local changes' if e.dirty else ''})" if e.commit else ""
    return f"worldbench {e.worldbench}{commit}, Python {e.python}, torch {e.torch}, numpy {e.numpy}, on {e.processor}"

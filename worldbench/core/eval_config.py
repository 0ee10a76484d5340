"""The options of an evaluation, composed of the common ones and of those that each registered metric declares.

A metric declares its options as a frozen dataclass in its own file: each field has a default and a docstring,
`__post_init__` checks the values. The metric is registered with that class (`metrics.add(.., config=ItsOptions)`).
Metrics that share options name one class, or subclasses of that class. Together the classes make one flat dataclass:
`--eval.NAME` on the command line, a key of [eval] in a recipe, `evaluation.settings.NAME` in a metric.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.options import identity_fields, require_at_least, small
from worldbench.core.registry import metrics as registered

DOC = "How a trained model is scored. These options do not affect training."


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every evaluation has."""

    metrics: tuple[str, ...] = ()
    """Names of the metrics to score. If no name is given: all metrics (worldbench trace: those that take seconds)."""
    trials: int = dataclasses.field(default=1000, metadata=small(200))
    """Number of held-out prompts that the model continues, once for each way of decoding; fewer if the world has fewer
    prompts."""
    documents: int = dataclasses.field(default=1000, metadata=small(200))
    """Number of held-out documents for the metrics that feed true tokens to the model (teacher forcing)."""
    seed: int = 0
    """Seed of the evaluation. It decides the prompts and all random draws, which depend neither on the model nor on
    the training seed."""

    def __post_init__(self) -> None:
        for name in self.metrics:
            _ = registered[name]
        require_at_least(self, "eval", 1, "trials", "documents")
        if self.seed < 0:
            raise InputError(f"eval.seed must be 0 or more, not {self.seed}")


def eval_config_type(of: Collection[str] | None = None) -> type[CommonOptions]:
    """The dataclass of all options: the common ones, then those of each registered metric. of: of these metrics alone.

    Raises InputError where a metric declares something that is no options class, or an option that another metric
    declares differently.
    """
    chosen = [entry for entry in registered if entry.config is not None and (of is None or entry.name in of)]
    return _compose(tuple((entry.name, entry.load_config()) for entry in chosen))


def eval_config(**values: Any) -> Any:
    """The options with these values, the others at their defaults. Raises InputError for a value out of range."""
    return eval_config_type()(**values)


def owners() -> dict[str, tuple[str, ...]]:
    """Option -> the registered metrics that declare the option. Common options are left out."""
    out: dict[str, tuple[str, ...]] = {}
    common = {f.name for f in dataclasses.fields(CommonOptions)}
    for entry in registered:
        for f in dataclasses.fields(entry.load_config()) if entry.config is not None else ():
            if f.name not in common:
                out[f.name] = (*out.get(f.name, ()), entry.name)
    return out


def unused(scored: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The options that none of the scored metrics has, with the metrics that have them. scored: () stands for all."""
    return {option: names for option, names in owners().items() if scored and not set(scored) & set(names)}


def require_used(settings: Any, words: list[str]) -> None:
    """Raises InputError for an option of the command line that belongs to metrics which are not scored."""
    given = {word.split("=", 1)[0] for word in words if word.startswith("--eval.")}
    for option, names in unused(settings.metrics).items():
        if f"--eval.{option}" in given:
            whose = f"the metric {names[0]}" if len(names) == 1 else f"the metrics {', '.join(names)}"
            raise InputError(
                f"--eval.{option} belongs to {whose}, and eval.metrics ({', '.join(settings.metrics)}) leaves "
                f"{'it' if len(names) == 1 else 'them'} out; add --eval.metrics {names[0]}, or leave the option out"
            )


def foreign(settings: Any) -> set[str]:
    """The options of plugins' metrics that are not scored: they are no part of this evaluation."""
    return {
        option for option, names in unused(settings.metrics).items() if all(registered[name].plugin for name in names)
    }


def evaluation_fields(settings: Any) -> dict[str, Any]:
    """The options that enter the evaluation identity.

    Options of built-in metrics always enter. An option of a plugin's metric enters where that metric is scored, so
    that a plugin changes the identity of no evaluation but its own.
    """
    left_out = foreign(settings)
    return {name: value for name, value in identity_fields(settings).items() if name not in left_out}


@cache
def _compose(declared: tuple[tuple[str, type], ...]) -> type[CommonOptions]:
    known: dict[str, tuple[str, Any]] = {}
    classes: list[type] = [CommonOptions]
    for metric, options in (("", CommonOptions), *declared):
        _require_options(metric, options)
        hints = typing.get_type_hints(options)
        for f in dataclasses.fields(options):
            what = (hints[f.name], f.default, f.default_factory, dict(f.metadata))
            other, before = known.setdefault(f.name, (metric, what))
            if what != before:
                whose = f"the metric {other!r}" if other else "the options of every evaluation"
                raise InputError(
                    f"the metric {metric!r} declares the option eval.{f.name} differently from {whose}; "
                    "give the option another name, or share one options class"
                )
        classes.append(options)
    # A dataclass takes its fields from the last base to the first.
    bases = [c for c in reversed(dict.fromkeys(classes)) if not any(c is not d and issubclass(d, c) for d in classes)]
    try:
        namespace = {"__module__": __name__, "__doc__": DOC, "__reduce__": _reduced}
        composed: Any = type("EvalConfig", tuple(bases), {**namespace, "__post_init__": _check_all})
        return dataclass(frozen=True, kw_only=True)(composed)
    except TypeError as error:
        names = ", ".join(metric for metric, _ in declared)
        raise InputError(f"the options of the metrics {names} cannot be put together: {error}") from error


def _require_options(metric: str, options: Any) -> None:
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        raise InputError(f"the options of the metric {metric!r} must be a dataclass, not {options!r}")
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise InputError(f"the options of the metric {metric!r} must be a frozen dataclass: @dataclass(frozen=True)")
    for f in dataclasses.fields(options):
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise InputError(f"the option eval.{f.name} of the metric {metric!r} has no default; give it one")


def _check_all(self: Any) -> None:
    """The `__post_init__` of every class that has one: each class checks its own options."""
    for cls in reversed(type(self).__mro__[1:]):
        if (check := vars(cls).get("__post_init__")) is not None:
            check(self)


def _reduced(self: Any) -> tuple[Any, ...]:
    """How the options are copied into another process, where the class is composed again."""
    return _restored, ({f.name: getattr(self, f.name) for f in dataclasses.fields(self)},)


def _restored(values: dict[str, Any]) -> Any:
    return eval_config(**values)

"""Typed options of the command line, such as `--train.steps 200`, which tyro parses. Its errors become one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.registry import metrics, models
from worldbench.settings.option_errors import refusal
from worldbench.settings.renamed import hint


def option_names(types_: dict[str, type]) -> list[str]:
    """`--group.field` for every field of the dataclasses of some option groups."""
    return [f"--{group}.{f.name}" for group, cls in types_.items() for f in dataclasses.fields(cls)]


def parse_options(
    types_: dict[str, type], defaults: dict[str, Any], options: list[str], program: str
) -> dict[str, Any]:
    """The defaults with the options of a command line put over them: option group -> dataclass.

    types_: option group -> its dataclass. options: words of the command line. program: the command, for help and
    errors. Raises InputError for an unknown option, and for a value that tyro refuses.
    """
    if not options:
        return defaults
    known = [*option_names(types_), "--help"]
    switches = {
        f"--{group}.{f.name}"
        for group, cls in types_.items()
        for f in dataclasses.fields(cls)
        if f.type in (bool, "bool")
    }
    options = [
        o.capitalize() if before in switches and o in ("true", "false") else o
        for before, o in zip(["", *options], options)
    ]  # true and false may be written as in recipes
    for option in options:
        name = option.split("=", 1)[0]
        if name.startswith("--") and name not in known:
            raise InputError(unknown_option(name, types_, known))
    container = dataclasses.make_dataclass("Options", list(types_.items()), frozen=True, kw_only=True)
    container.__doc__ = f"Options of `{program}`; the defaults shown are those of the chosen preset."
    if "--help" in options:
        parse_words(container, ["--help"], defaults, program)
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message), contextlib.redirect_stdout(message):
            parsed = parse_words(container, options, defaults, program)
    except SystemExit as stop:
        raise InputError(refusal(message.getvalue(), types_, options)) from stop
    return {group: getattr(parsed, group) for group in types_}


def parse_words(container: type, options: list[str], defaults: dict[str, Any], program: str) -> Any:
    """What tyro makes of the options: an instance of `container`. tyro prints help and errors, then exits."""
    import tyro

    return tyro.cli(
        container,
        args=options,
        default=container(**defaults),
        prog=program,
        use_underscores=True,
        # Help comes from docstrings. To look for comments, tyro would read the source anew for every command.
        config=(tyro.conf.FlagConversionOff, tyro.conf.HelptextFromCommentsOff),
    )


def register_metrics(words: list[str], table: dict[str, Any]) -> None:
    """Register the named metrics that come with installed packages, so that their options are known.

    words: options of the command line. table: the values of [eval]. Names that nobody knows are refused later.
    """
    names, named = table.get("metrics", ()), False
    names = [name for name in names if isinstance(name, str)] if isinstance(names, (list, tuple)) else []
    for word in words:
        if word.startswith("--"):
            option, _, value = word.partition("=")
            named = option == "--eval.metrics"
            names += [value] if named and value else []
        elif named:
            names.append(word)
    for name in names:
        with contextlib.suppress(InputError):
            _ = metrics[name]


def unknown_option(name: str, types_: dict[str, type], known: list[str]) -> str:
    """The error sentence for an option that is not among those known."""
    group = name[2:].split(".", 1)[0]
    if group in ("data", "model", "train") and group not in types_:
        return f"option {name} does not apply: the chosen model has no such options"
    if group == "model" and (others := _models_with(name.partition(".")[2])):
        return f"option {name} does not apply: the chosen model has no such option; models that have it: {others}"
    close = hint(name, known)
    return f"unknown option {name}{'; see --help' if close.startswith('; there are') else close or '; see --help'}"


def _models_with(option: str) -> str:
    """The trained models that have an option, with commas between them."""
    entries = {name: models[name] for name in models.names()}
    with_options = {name: entry.load_config() for name, entry in entries.items() if entry.config is not None}
    found = [n for n, cls in with_options.items() if option in {f.name for f in dataclasses.fields(cls)}]
    return ", ".join(name for name in found if not entries[name].reference)

"""The parser of a verb. argparse reads the plain options (`--seed 3`); tyro reads the typed ones (`--train.steps 200`).

A verb that takes typed options has no positional arguments in argparse, because argparse cannot distinguish a name from
the value of a typed option. The words that argparse does not know keep their order: first names, then typed options.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import re
from collections.abc import Sequence
from typing import NoReturn

from worldbench.core.errors import InputError
from worldbench.settings.renamed import hint


class Finished(Exception):
    """--help or --version has printed its text, and the program ends. code: the exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one sentence (InputError), and which may leave typed options to tyro.

    groups: the groups of typed options that the verb takes, such as env and eval. suggested: the groups from which the
    nearest option is suggested for a misspelt one; empty: all. takes: the names before the options, for errors.
    """

    groups: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    takes: str = "one name"

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Finished(status)  # not SystemExit, which a plugin may raise as well

    def error(self, message: str) -> NoReturn:
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message and not missing.startswith("-"):
            message += " (names come before the options)"
        raise InputError(f"{_plain(message)}; see {self.prog} --help")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The plain options. For a verb with typed options, also `names`, `options` (words) and `parser`.

        Raises InputError for an option that the verb does not have, before anything is loaded.
        """
        arguments, rest = self.parse_known_args(words)
        if not self.groups:
            if rest and not rest[0].startswith("-"):
                raise InputError(f"unexpected {rest[0]!r}: {self.prog} takes no further names; see {self.prog} --help")
            if rest:
                raise self._unknown(arguments, rest[0])
            return arguments
        names = list(itertools.takewhile(lambda word: not word.startswith("-"), rest))
        arguments.names, arguments.options, arguments.parser = names, rest[len(names) :], self
        for word in arguments.options:
            if word.startswith("--") and word[2:].partition(".")[0] not in self.groups:
                raise self._unknown(arguments, word)
        if self.takes == "one name" and len(names) > 1:
            what = f"{self.prog} takes {self.takes}, then options{self._model_option(names[1])}"
            raise InputError(f"unexpected {names[1]!r}: {what}; see {self.prog} --help")
        return arguments

    def format_usage(self) -> str:
        """argparse writes the names behind the options, where an option with several values would take them."""
        return self._names_first(super().format_usage())

    def format_help(self) -> str:
        return self._names_first(super().format_help())

    def _names_first(self, text: str) -> str:
        names = [action for action in self._actions if not action.option_strings]
        if self.usage is not None or not names:
            return text
        usage, empty, rest = text.partition("\n\n")
        shown = " ".join(_metavar(action) for action in names)
        return f"usage: {self.prog} {shown} [options]{empty}{rest}" if usage.startswith("usage:") else text

    def refuse_beside(self, option: str, arguments: argparse.Namespace, beside: Sequence[str]) -> None:
        """Raise InputError if the words hold names, typed options, or plain options other than `option` and `beside`,
        with values that are not their defaults."""
        kept = {option, *beside}
        given = [
            action.option_strings[-1]
            for action in self._actions
            if action.option_strings
            and not kept & set(action.option_strings)
            and getattr(arguments, action.dest, action.default) != action.default
        ]
        if other := [*arguments.names, *arguments.options, *given]:
            raise InputError(f"{option} cannot be combined with {other[0]}; leave {other[0]} out")

    def _model_option(self, name: str) -> str:
        """The end of an error: how to choose a model, if `name` is the name of a model; else an empty text."""
        from worldbench.core.registry import models

        plain = {option for action in self._actions for option in action.option_strings}
        option = next((option for option in ("--model", "--models") if option in plain), None)
        return f"; to choose a model, write {option} {name}" if option and name in models.names() else ""

    def _unknown(self, arguments: argparse.Namespace, word: str) -> InputError:
        name = word.split("=")[0]
        plain = [option for action in self._actions for option in action.option_strings if option != "--help"]
        one_letter_apart = [o for o in plain if difflib.SequenceMatcher(None, o, name).ratio() > 0.9]
        # --seed is closer to --seeds of the verb than to --eval.seed, which changes the evaluation of every run
        close = hint(name, one_letter_apart or [*plain, *_typed(arguments, self.suggested or self.groups)])
        named = close and not close.startswith("; there are")
        return InputError(f"unknown option {name}{close if named else f'; see {self.prog} --help'}")


def _metavar(action: argparse.Action) -> str:
    """A name in a usage line: RUN, RUNS.., or [RUNS..]."""
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    several = f"{name}.." if action.nargs in ("+", "*") else name
    return f"[{several}]" if action.nargs in ("*", "?") else several


def _plain(message: str) -> str:
    """An error of argparse in the words of the other errors."""
    if match := re.fullmatch(r"argument (\S+): invalid (int|float) value: (.*)", message):
        return f"{match[1]} must be {'a whole number' if match[2] == 'int' else 'a number'}, not {match[3]}"
    if match := re.fullmatch(r"argument (\S+): invalid choice: (.*) \(choose from (.*)\)", message):
        return f"{match[1]} must be one of {match[3].replace(chr(39), '')}, not {match[2]}"
    if match := re.fullmatch(r"argument (\S+): expected (one|at least one) argument", message):
        return f"{match[1]} needs a value"
    return message


def _typed(arguments: argparse.Namespace, groups: Sequence[str]) -> list[str]:
    """The names of the typed options of the groups, as far as the world and the model are known."""
    if not groups:
        return []
    from worldbench.core.eval_config import eval_config_type
    from worldbench.settings.options import option_names
    from worldbench.settings.resolve import group_types
    from worldbench.settings.train import DataConfig, TrainConfig

    types_: dict[str, type] = {"data": DataConfig, "train": TrainConfig, "eval": eval_config_type()}
    model = next(iter(getattr(arguments, "models", None) or []), None) or getattr(arguments, "model", None) or "gpt"
    with contextlib.suppress(InputError):  # an unknown world or model is refused later
        types_ = group_types(next(iter(getattr(arguments, "names", [])), ""), model)
    return option_names({group: cls for group, cls in types_.items() if group in groups})

"""The command line: which verb, and what a person sees when something goes wrong."""

from __future__ import annotations

import itertools
import os
import sys

from worldbench.cli import last_net, verbs
from worldbench.cli.arguments import FOLDERS, NAMED, VERBS, Finished, parsers, unknown_flag
from worldbench.core.console import steady
from worldbench.core.errors import InputError, WorldbenchError, unknown


def main(argv: list[str] | None = None) -> int:
    """Run the command line. The exit code: 0 done, 1 the work failed, 2 the input is wrong, 70 unforeseen, 130
    stopped."""
    # libgomp's idle threads spin by default, which slows two threads four- to twentyfold beside another busy process.
    # Both are read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    argv = sys.argv[1:] if argv is None else argv
    with steady() as (output, errors):
        code = _answered(argv)
        output.flush()
        if (lost := output.loss()) is not None and output.used:
            last_net.complain(
                f"cannot write to standard output ({lost}), so what was to be printed is lost; every file is whole"
            )
            code = code if output.closed_before else code or 1
        errors.flush()
    return code


def _answered(argv: list[str]) -> int:
    try:
        return _dispatch(argv)
    except Finished as finished:
        return finished.code
    except WorldbenchError as error:
        last_net.complain(str(error))
        last_net.show_in_debug(error)
        return error.exit_code
    except KeyboardInterrupt as error:
        last_net.complain("stopped; the same command goes on from the last saved state")
        last_net.show_in_debug(error)
        return 130
    except (
        BaseException
    ) as error:  # the last net: whatever a fault here or in a plugin raises, a person gets a sentence
        return last_net.caught(error, argv)


def _dispatch(argv: list[str]) -> int:
    top, _ = parsers()
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        raise unknown("verb", argv[0], VERBS)
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), argv[1:]))
    folders = words if argv and argv[0] in FOLDERS else []
    named = bool(words) and argv[0] in NAMED
    arguments, rest = top.parse_known_args(
        [argv[0], *argv[1 + max(len(folders), named) :]] if folders or named else argv
    )
    arguments.subject, arguments.folders = words[0] if named else None, folders
    if not named and arguments.verb in NAMED and rest and not rest[0].startswith("-"):
        arguments.subject = rest.pop(0)
    if arguments.verb is None:
        if rest:
            raise InputError(f"unknown option {rest[0]}; see worldbench --help")
        top.print_help()
        return 0
    if rest and arguments.verb not in (*NAMED, *FOLDERS):
        raise unknown_flag(arguments, rest[0])
    return getattr(verbs, f"{arguments.verb}_verb")(arguments, rest)

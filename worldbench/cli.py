"""The command line: which verb, and what a person sees when something goes wrong."""

from __future__ import annotations

import itertools
import os
import sys

from worldbench import verbs
from worldbench.arguments import FOLDERS, NAMED, VERBS, flags, parsers
from worldbench.core.errors import InputError, WorldbenchError, nearest, unknown


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code: 0 done, 1 the work failed, 2 the input is wrong, 130 stopped."""
    # libgomp's idle threads spin by default, which slows two threads four- to twentyfold beside another busy process. Read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except WorldbenchError as error:
        print(f"worldbench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("worldbench: stopped; the same command goes on from the last saved state", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        print(f"worldbench: the system refused{where}: {error.strerror or error}; what was saved before is intact", file=sys.stderr)
        return 1
    except MemoryError:
        print("worldbench: out of memory; a smaller --train.batch or --eval.trials needs less", file=sys.stderr)
        return 1


def _dispatch(argv: list[str]) -> int:
    top, _ = parsers()
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        raise unknown("verb", argv[0], VERBS)
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), argv[1:]))
    folders = words if argv and argv[0] in FOLDERS else []
    named = bool(words) and argv[0] in NAMED
    arguments, rest = top.parse_known_args([argv[0], *argv[1 + max(len(folders), named) :]] if folders or named else argv)
    arguments.subject, arguments.folders = words[0] if named else None, folders
    if not named and arguments.verb in NAMED and rest and not rest[0].startswith("-"):
        arguments.subject = rest.pop(0)
    if arguments.verb is None:
        top.print_help()
        return 0
    if rest and arguments.verb not in (*NAMED, *FOLDERS):
        raise InputError(f"unknown option {rest[0]}{nearest(rest[0], flags(arguments.verb))}")
    return getattr(verbs, f"{arguments.verb}_verb")(arguments, rest)

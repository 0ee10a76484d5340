"""The command line: chooses the verb, and prints one sentence when something goes wrong."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from worldbench.cli import last_net
from worldbench.cli.parser import Finished, Parser
from worldbench.cli.table import VERBS, load
from worldbench.core.console import steady
from worldbench.core.errors import InputError, WorldbenchError, unknown
from worldbench.core.process import Launch, set_environment
from worldbench.core.version import TITLE, __version__

IN_PROCESSES = "run"
"""The verb that several processes, started by torchrun, do together."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0 done, 1 the work failed, 2 wrong input, 70 unforeseen error, 130
    stopped."""
    set_environment()
    argv = sys.argv[1:] if argv is None else argv
    with steady() as (output, errors), _quiet_beside_the_first():
        code = _answered(argv)
        output.flush()
        if (lost := output.loss()) is not None and output.used:
            last_net.complain(
                f"cannot write to standard output ({lost}), so printed text is lost; all files are complete"
            )
            code = code if output.closed_before else code or 1
        errors.flush()
    return code


@contextlib.contextmanager
def _quiet_beside_the_first() -> Iterator[None]:
    """Of several processes that torchrun started, only the first prints. With WORLDBENCH_DEBUG=1, all print to standard
    error."""
    try:
        quiet = not Launch.here().leads
    except InputError:
        quiet = False
    if not quiet:
        yield
        return
    with contextlib.ExitStack() as stack:
        nothing = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
        stack.enter_context(contextlib.redirect_stdout(nothing))
        if os.environ.get("WORLDBENCH_DEBUG", "0") in ("", "0"):
            stack.enter_context(contextlib.redirect_stderr(nothing))
        yield


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
    except BaseException as error:  # a fault here or in a plugin: it becomes one sentence
        return last_net.caught(error, argv)


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        return _without_verb(argv)
    if argv[0] not in VERBS:
        raise unknown("verb", argv[0], VERBS)
    if argv[0] != IN_PROCESSES and (size := Launch.here().size) > 1:
        raise InputError(
            f"worldbench {argv[0]} works in one process, and {size} were started; start it without torchrun "
            f"(torchrun is for worldbench {IN_PROCESSES})"
        )
    verb = load(argv[0])
    parser = Parser(prog=f"worldbench {argv[0]}", description=verb.LINE, allow_abbrev=False, add_help=False)
    verb.add_arguments(parser)
    if not parser.groups:  # verbs with typed options have a --help of their own
        parser.add_argument("-h", "--help", action="help", help="print this help")
    return verb.run(parser.read(argv[1:]))


def _without_verb(argv: list[str]) -> int:
    """--help, --version, or an error."""
    top = Parser(
        prog="worldbench", description=TITLE, allow_abbrev=False,
        epilog="worldbench VERB --help shows the options of a verb; to begin: worldbench run hmm --preset small",
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"worldbench {__version__}")
    verbs = top.add_subparsers(metavar="VERB", parser_class=Parser)
    for name in VERBS:
        verbs.add_parser(name, help=load(name).LINE)
    _, rest = top.parse_known_args(argv)
    if rest:
        raise InputError(f"unknown option {rest[0]}; see worldbench --help")
    top.print_help()
    return 0

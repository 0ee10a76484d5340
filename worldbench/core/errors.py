"""Errors that a person reads. Each one says what was wrong, the value, and what to do next."""

from __future__ import annotations

import difflib
import functools
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from worldbench.core.text import visible, with_short_words


class WorldbenchError(Exception):
    """An error that the command line reports as one sentence, without a traceback.

    The sentence may quote text from any file. So invisible characters and line breaks become escapes, and very long
    words are cut.
    """

    exit_code = 1

    def __init__(self, sentence: str) -> None:
        super().__init__(visible(with_short_words(sentence)))


class InputError(WorldbenchError, ValueError):
    """The user's input (an option, a file, a name) cannot be used."""

    exit_code = 2


class RunError(WorldbenchError, RuntimeError):
    """The work itself failed: a full disk, a loss that is NaN or infinite, a run that another process holds."""


class Diverged(RunError):
    """The loss or a gradient of the training became NaN or infinite."""


class Interrupted(WorldbenchError):
    """The run was asked to stop. It saved its state first."""

    exit_code = 130


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an error sentence: `"; did you mean 'taxi'?"` for the closest of `names`, or, where none is close,
    `"; there are a, b, c"`.

    A name can have two parts (`--train.steps`, `detours.arrives_p0.5`). It also counts as close where only the second
    part is close.
    """
    known = sorted(set(names))
    short = _part(name)
    same = [k for k in known if _part(k) == short]
    if same and "." not in name:
        return f"; did you mean {' or '.join(map(repr, same[:3]))}?"
    close = max(same or known, key=lambda k: _likeness(name, k), default=None)
    if close is not None and (same or _likeness(name, close) >= 0.6):
        return f"; did you mean {close!r}?"
    return f"; there are {', '.join(known)}" if known else ""


def _part(name: str) -> str:
    """The text after the first dot, or the whole name. Leading dashes are dropped, inner dashes become underscores."""
    return (name.partition(".")[2] or name).lstrip("-").replace("-", "_")


def _likeness(name: str, other: str) -> float:
    pairs = ((name[:200], other), (_part(name)[:200], _part(other)))
    return max(difflib.SequenceMatcher(None, b, a).ratio() for a, b in pairs)


def not_among(what: str, value: object, allowed: Iterable[str]) -> InputError:
    """The error for a value that is not one of a few strings. what: the option that has the value."""
    allowed = list(allowed)
    close = nearest(str(value)[:100], allowed)
    close = "" if close.startswith("; there are") else close
    return InputError(f"{what} must be one of {', '.join(allowed)}, not {value!r}{close}")


def unknown(kind: str, name: str, names: Iterable[str]) -> InputError:
    """The error for a name that is not registered."""
    return InputError(f"unknown {kind} {name!r}{nearest(name, names)}")


LONGEST_MESSAGE = 300
"""Most characters that are repeated from the message of another program."""


def describe(error: BaseException) -> str:
    """Describes an error in the user's own code: its type, its message, and the file and line where it arose."""
    message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE].rstrip() + ".."
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SystemExit):
        what = f"the code ends the program ({what})"
    place = own_place(error)
    return f"{what} ({place[0]}, line {place[1]})" if place else what


def own_place(error: BaseException) -> tuple[str, int] | None:
    """File name and line of the user's code where an error arose.

    The innermost frame counts that belongs neither to worldbench nor to an installed package. None where there is none.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return Path(error.filename).name, error.lineno
    own = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__) if _is_own(f)]
    return (Path(own[-1][0]).name, own[-1][1]) if own else None


def _is_own(frame: FrameType) -> bool:
    module, file = frame.f_globals.get("__name__") or "", frame.f_code.co_filename
    ours = module == "worldbench" or module.startswith("worldbench.")
    # Packages can also come from other folders than this Python's own, such as those of the user or of Debian.
    package = any(f"/{folder}/" in file for folder in ("site-packages", "dist-packages"))
    return not (ours or package or file.startswith("<") or any(file.startswith(folder) for folder in _installed()))


@functools.cache
def _installed() -> tuple[str, ...]:
    """The folders of this Python and of its installed packages."""
    return tuple({sysconfig.get_path(name) + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})

"""What an author's exception says: its kind, its message, and the author's line that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from . import log
from .errors import PluginError


@contextmanager
def guarded(source: str, as_error: Callable[[str], PluginError]) -> Iterator[None]:
    """Makes what the author's code throws without meaning to an error with its place, and logs it. ``source`` is as for
    :func:`describe`."""
    try:
        yield
    except PluginError:
        raise
    # `SystemExit` and `KeyboardInterrupt` too: nothing that a plugin does ends more than its call.
    except BaseException as error:
        message = describe(error, source)
        log.error(message)
        raise as_error(message) from error


def describe(error: BaseException, source: str) -> str:
    """Returns ``<kind>: <message> (<file>:<line> in <function>)``.

    ``source`` is the folder of the author's files. The place is the innermost one in it, with the file relative to the
    folder; without one it is left out.
    """
    kind, message = type(error).__name__, _message(error)
    said = f"{kind}: {message}" if message else kind
    place = _place(error.__traceback__, source)
    if isinstance(error, SyntaxError) and error.filename:
        # The line that cannot be read, not the line that imports it.
        file = _relative(error.filename, source)
        place = f"{file}:{error.lineno}" if file else place
    return f"{said} ({place})" if place else said


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    try:
        return str(error)
    # The author's own `__str__` may fail as anything else may.
    except Exception:
        return ""


def _place(traceback: TracebackType | None, source: str) -> str | None:
    place = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = _relative(code.co_filename, source)
        if file is not None:
            place = (file, traceback.tb_lineno, code.co_qualname)
        traceback = traceback.tb_next
    return "{}:{} in {}".format(*place) if place else None


def _relative(file: str, source: str) -> str | None:
    folder = source.rstrip("/") + "/"
    return file[len(folder) :] if file.startswith(folder) else None

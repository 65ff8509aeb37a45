"""The plugin's log, with limits on lines and bytes per call. In unit tests it goes to stderr.

Printed lines go there too: ``print`` as info, ``sys.stderr`` as warn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from .text import crossing


def debug(message: object) -> None:
    """Logs a message for the plugin's author."""
    _write(0, message)


def info(message: object) -> None:
    """Logs a message that an operator may want to read."""
    _write(1, message)


def warn(message: object) -> None:
    """Logs a message that an operator should read."""
    _write(2, message)


def error(message: object) -> None:
    """Logs a failure."""
    _write(3, message)


def send_to(sink: Callable[[int, str], None]) -> None:
    """Sends the log to ``sink``, which takes the level's number in the contract, from 0 for debug to 3 for error, and
    the message. Only the component calls it."""
    global _sink
    _sink = sink


def _write(level: int, message: object) -> None:
    _sink(level, crossing(str(message)))


def _to_stderr(level: int, message: str) -> None:
    print(f"{('Debug', 'Info', 'Warn', 'Error')[level]}: {message}", file=sys.stderr)


_sink: Callable[[int, str], None] = _to_stderr

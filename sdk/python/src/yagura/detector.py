"""Detectors: classes and functions that authors write, by the rules that they serve."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import repeat
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from .batch import Batch
from .errors import ConfigError
from .findings import Finding, Findings
from .rule import Rule

Author = TypeVar("Author", bound=Callable[..., Any])


class Detector(Protocol):
    """The methods of a detector's class. All but the first two are optional, and ``on_batch`` is optional too if
    there is an ``on_wake`` or an ``on_watermark``.

    A class need not inherit from it: the type is for type checkers and readers.
    """

    def __init__(self, rule: Rule) -> None:
        """Looks up columns and configuration. Runs once for each rule, before all other methods.

        Raises :class:`yagura.ConfigError` if the detector cannot serve the rule.
        """

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        """Evaluates one batch. The same events may come in any number of batches.

        After a :class:`yagura.DataError`, the host skips the events and reports them; after a
        :class:`yagura.RetryError`, it tries once more.
        """

    def on_wake(self, time: int, findings: Findings) -> None:
        """Handles a wake-up that a partition key requested by :func:`yagura.state.wake`, with exactly the requested
        time: no event of the key before it can follow. ``yagura.state`` is the state of the key.

        Without this method, the host calls :meth:`on_watermark`. Exceptions are as for :meth:`on_batch`.
        """

    def on_watermark(self, time: int, findings: Findings) -> None:
        """Called when no event before ``time``, in microseconds since 1970-01-01T00:00:00Z, can follow.

        There is no other source of time. Exceptions are as for :meth:`on_batch`.
        """

    def snapshot(self) -> bytes:
        """Returns the detector's own memory, in its own encoding; empty if it has none. Use :mod:`yagura.state` for
        the state of a partition key."""

    def restore(self, state: bytes) -> None:
        """Restores an earlier :meth:`snapshot`; not called if that was empty.

        Raises :class:`yagura.DataError` if the snapshot cannot be read.
        """


class Entry(NamedTuple):
    """A detector and the rule that it serves."""

    id: str
    author: Callable[..., Any]


REGISTERED: list[Entry] = []
"""What was decorated, in order."""


def detector(*ids: str) -> Callable[[Author], Author]:
    """Makes a class or a function the detector of the rules with these ids; each rule gets its own instance.

    A class is a :class:`Detector`. A function runs once for each event, as ``function(event)`` or
    ``function(event, rule)``, and returns a :class:`yagura.Finding`, ``True`` for one with the values of the rule,
    and ``False`` or ``None`` for none.
    """
    if not ids or not all(isinstance(id, str) for id in ids):
        raise TypeError('a detector names the rules that it serves: @detector("rule-id")')

    def register(author: Author) -> Author:
        REGISTERED.extend(Entry(id, author) for id in ids)
        return author

    return register


def open_detector(author: Callable[..., Any], rule: Rule) -> Opened:
    """Makes the detector of a class or function for one rule.

    Raises the exceptions of the class, and :class:`ConfigError` for a value that cannot be a detector.
    """
    if not isinstance(author, type):
        return Opened(_Function(author, rule))
    instance = author(rule)
    if not any(hasattr(instance, name) for name in ("on_batch", "on_wake", "on_watermark")):
        raise ConfigError(f"the detector `{author.__qualname__}` has neither `on_batch` nor `on_watermark`")
    return Opened(instance)


class Opened:
    """A detector of any form, with the methods that it left out."""

    __slots__ = ("detector", "on_batch", "on_wake", "on_watermark", "restore", "snapshot")

    def __init__(self, instance: Any) -> None:
        self.detector = instance
        """The author's own object."""
        self.on_batch: Callable[[Batch, Findings], None] = getattr(instance, "on_batch", _nothing)
        self.on_watermark: Callable[[int, Findings], None] = getattr(instance, "on_watermark", _nothing)
        self.on_wake: Callable[[int, Findings], None] = getattr(instance, "on_wake", self.on_watermark)
        self.snapshot: Callable[[], bytes] = getattr(instance, "snapshot", bytes)
        self.restore: Callable[[bytes], None] = getattr(instance, "restore", _nothing)


def _nothing(*_: object) -> None:
    pass


class _Function:
    """A function as a detector."""

    __slots__ = ("_function", "_rule")

    def __init__(self, function: Callable[..., Any], rule: Rule) -> None:
        parameters = inspect.signature(function).parameters.values()
        places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if len(places) not in (1, 2) or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            raise ConfigError(f"the detector `{function.__name__}` is to take `event`, or `event` and `rule`")
        self._function = function
        self._rule = rule if len(places) == 2 and places[1].default is inspect.Parameter.empty else None

    def on_batch(self, batch: Batch, findings: Findings) -> None:
        answers = map(self._function, batch, *([repeat(self._rule)] if self._rule else []))
        for row, answer in enumerate(answers):
            if answer is None or answer is False:
                continue
            if answer is True:
                findings.row(row)
            elif isinstance(answer, Finding):
                findings.add(answer, row)
            else:
                name = cast(Any, self._function).__name__
                raise TypeError(
                    f"`{name}` returned {type(answer).__name__} where a Finding, True, False or None is wanted"
                )

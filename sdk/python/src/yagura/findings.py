"""The findings of a detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from operator import index as to_index

from .batch import Event
from .text import crossing

Text = str | int | float | bool | None
"""What a fact may be given as. Truth values become ``true`` and ``false``, numbers their shortest decimal text."""


class Severity(Enum):
    """The severity of a finding, with the contract's numbers."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Observable(Enum):
    """The kinds of observables, with their names in the contract."""

    IP = "ip"
    """IP address."""
    DOMAIN = "domain"
    """Domain name."""
    USER = "user"
    """User or other identity."""
    HOST = "host"
    """Host or machine."""
    HASH = "hash"
    """Hash of a file."""
    URL = "url"
    """URL."""
    EMAIL = "email"
    """Mail address."""
    PROCESS = "process"
    """Process."""


class Finding:
    """One finding. Title, severity and key come from the rule unless they are set.

    Absent and empty values of observables and context are left out when the finding is passed to the host.
    """

    __slots__ = ("context", "key", "observables", "rows", "severity", "title")

    def __init__(
        self,
        *,
        title: str | None = None,
        severity: Severity | None = None,
        key: str | None = None,
        observables: Iterable[tuple[Observable, Text]] = (),
        context: Mapping[str, Text] | None = None,
    ) -> None:
        self.rows: list[int] = []
        """The places in their batch of the events that the finding is about; empty until it is added."""
        self.title = title
        """Replaces the rule's title."""
        self.severity = severity
        """Replaces the rule's severity."""
        self.key = key
        """Replaces the values of the rule's key columns: findings of equal key share an alert."""
        self.observables: list[tuple[Observable, Text]] = list(observables)
        """Values worth searching for."""
        self.context: dict[str, Text] = dict(context) if context else {}
        """Facts for the reader, by name, in order."""

    def finish(self) -> None:
        """Brings the finding into the form that crosses to the host: text without what is absent.

        Raises :class:`TypeError` for a severity or an observable of no such kind.
        """
        if self.severity is not None and not isinstance(self.severity, Severity):
            raise TypeError(f"the severity of a finding is {self.severity!r} where a yagura.Severity is wanted")
        if self.title is not None:
            self.title = _text(self.title)
        if self.key is not None:
            self.key = _text(self.key)
        if self.observables:
            kept = []
            for kind, value in self.observables:
                if not isinstance(kind, Observable):
                    raise TypeError(f"the kind of an observable is {kind!r} where a yagura.Observable is wanted")
                if value is not None and value != "":
                    kept.append((kind, _text(value)))
            self.observables = [*kept]
        if self.context:
            self.context = {
                _text(name): _text(value)
                for name, value in self.context.items()
                if value is not None and value != ""
            }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Finding):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        said = ", ".join(
            f"{name}={value!r}" for name in self.__slots__ if (value := getattr(self, name)) not in (None, [], {})
        )
        return f"Finding({said})"


class Findings:
    """The findings of one call, in order."""

    __slots__ = ("_batch_rows", "_list")

    def __init__(self, batch_rows: int = 0) -> None:
        self._list: list[Finding] = []
        self._batch_rows = batch_rows

    def row(
        self,
        event: Event | int,
        *,
        title: str | None = None,
        severity: Severity | None = None,
        key: str | None = None,
        observables: Iterable[tuple[Observable, Text]] = (),
        context: Mapping[str, Text] | None = None,
    ) -> Finding:
        """Adds a finding about one event, or about the event with an index in the batch, and returns it.

        You can change the returned :class:`Finding` later.
        Raises :class:`IndexError` for a row outside the batch.
        """
        return self._make([self._place(event)], title, severity, key, observables, context)

    def rows(
        self,
        events: Iterable[Event | int],
        *,
        title: str | None = None,
        severity: Severity | None = None,
        key: str | None = None,
        observables: Iterable[tuple[Observable, Text]] = (),
        context: Mapping[str, Text] | None = None,
    ) -> Finding:
        """Adds a finding about several events of the batch, at least one, and returns it.

        Raises as :meth:`row`, and :class:`ValueError` if there are no events.
        """
        rows = list(map(self._place, events))
        if not rows:
            raise ValueError("a finding about several events needs at least one")
        return self._make(rows, title, severity, key, observables, context)

    def at_watermark(
        self,
        *,
        title: str | None = None,
        severity: Severity | None = None,
        key: str | None = None,
        observables: Iterable[tuple[Observable, Text]] = (),
        context: Mapping[str, Text] | None = None,
    ) -> Finding:
        """Adds a finding from ``on_watermark``, without events, and returns it."""
        return self._make([], title, severity, key, observables, context)

    def add(self, finding: Finding, event: Event | int) -> None:
        """Adds a copy of a finding, about one event. So one :class:`Finding` can be added for many events.

        Raises as :meth:`row`.
        """
        said = (finding.title, finding.severity, finding.key, finding.observables, finding.context)
        self._make([self._place(event)], *said)

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._list)

    def finish(self) -> list[Finding]:
        """Returns the findings in the form that crosses to the host: see :meth:`Finding.finish`."""
        for finding in self._list:
            finding.finish()
        return self._list

    def _make(
        self,
        rows: list[int],
        title: str | None,
        severity: Severity | None,
        key: str | None,
        observables: Iterable[tuple[Observable, Text]],
        context: Mapping[str, Text] | None,
    ) -> Finding:
        # Past `Finding.__init__`, whose keywords cost as much as all the rest.
        finding = Finding.__new__(Finding)
        finding.rows = rows
        finding.title = title
        finding.severity = severity
        finding.key = key
        finding.observables = list(observables) if observables else []
        finding.context = dict(context) if context else {}
        self._list.append(finding)
        return finding

    def _place(self, event: Event | int) -> int:
        row = event.index if type(event) is Event else to_index(event)  # type: ignore[arg-type]
        if not 0 <= row < self._batch_rows:
            raise IndexError(f"row {row} of a batch of {self._batch_rows}")
        return row


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return crossing(str(value))

"""Runs detectors natively, in the unit tests of their folder: from plain values to findings."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .. import state
from ..batch import Batch
from ..detector import open_detector
from ..findings import Finding, Findings
from ..memory import Memory
from ..rule import Rule
from ..schema import DataType, Schema

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class _Field(NamedTuple):
    name: str
    data_type: DataType
    nullable: bool


class _Column(NamedTuple):
    validity: bytes
    offsets: bytes
    values: bytes


class _Batch(NamedTuple):
    rows: int
    columns: list[_Column]


class Events:
    """Events for a test, column by column. Every column has a value, or ``None``, for each event.

    ``Events().text("user_type", ["Root", None]).int64("port", [22, 443])``; or event by event, with the types taken
    from the values: ``Events.of([{"user_type": "Root", "port": 22}, {"port": 443}])``. Every method that adds a column
    returns the events, and raises :class:`ValueError` if the number of values differs from earlier columns.
    """

    def __init__(self) -> None:
        self._rows: int | None = None
        self._fields: list[_Field] = []
        self._columns: list[_Column] = []

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]], times: Iterable[str] = ()) -> Events:
        """Returns events from one mapping each. A missing key is ``None``.

        The type of a column is that of its values; a column without any is text. ``datetime`` values make a column of
        times, and so does its name in ``times``, with values in microseconds since 1970-01-01T00:00:00Z.

        Raises :class:`TypeError` for a column with values of different types, or of none of the contract's.
        """
        listed = list(events)
        names = list(dict.fromkeys(name for event in listed for name in event))
        as_times = set(times)
        made = cls()
        made._rows = len(listed)
        for name in names:
            values = [event.get(name) for event in listed]
            data_type = DataType.TIME if name in as_times else _type_of(name, values)
            made._add_values(name, data_type, values)
        return made

    def text(self, name: str, values: Iterable[str | None]) -> Events:
        """Adds a text column."""
        return self._add_values(name, DataType.TEXT, values)

    def binary(self, name: str, values: Iterable[bytes | None]) -> Events:
        """Adds a column of bytes."""
        return self._add_values(name, DataType.BINARY, values)

    def int64(self, name: str, values: Iterable[int | None]) -> Events:
        """Adds a column of whole numbers."""
        return self._add_values(name, DataType.INT64, values)

    def float64(self, name: str, values: Iterable[float | None]) -> Events:
        """Adds a column of floating-point numbers."""
        return self._add_values(name, DataType.FLOAT64, values)

    def time(self, name: str, values: Iterable[int | datetime.datetime | None]) -> Events:
        """Adds a column of times: microseconds since 1970-01-01T00:00:00Z, or ``datetime`` values with a time zone."""
        return self._add_values(name, DataType.TIME, values)

    def boolean(self, name: str, values: Iterable[bool | None]) -> Events:
        """Adds a column of truth values."""
        return self._add_values(name, DataType.BOOLEAN, values)

    def __len__(self) -> int:
        return self._rows or 0

    def _add_values(self, name: str, data_type: DataType, values: Iterable[Any]) -> Events:
        listed = list(values)
        if self._rows is None:
            self._rows = len(listed)
        if len(listed) != self._rows:
            raise ValueError(
                f"column `{name}` has {len(listed)} values where the columns before have {self._rows}"
            )
        self._fields.append(_Field(name, data_type, nullable=True))
        self._columns.append(_encode(data_type, listed))
        return self

    def _batch(self) -> _Batch:
        return _Batch(len(self), self._columns)


class Session:
    """An opened detector, for tests with more than one batch."""

    def __init__(
        self,
        detector: Callable[..., Any],
        events: Events,
        config: Mapping[str, Any] | None = None,
        plugin_config: Mapping[str, Any] | None = None,
        rule_id: str = "test",
    ) -> None:
        """Opens a detector, a class or a function, for a rule with this configuration and the columns of ``events``.

        Raises the exceptions of the detector; the same holds for the methods below.
        """
        self._schema = Schema(events._fields)
        rule = Rule(rule_id, dict(config or {}), dict(plugin_config or {}), self._schema)
        self._opened = open_detector(detector, rule)
        self._keys: dict[str, Memory] = {}

    @property
    def detector(self) -> Any:
        """The instance of the detector's class."""
        return self._opened.detector

    def batch(self, events: Events) -> list[Finding]:
        """Passes a batch to the detector, without state, and returns its findings. The columns are those of
        ``__init__``."""
        batch = Batch(self._schema, events._batch())
        findings = Findings(len(batch))
        try:
            self._opened.on_batch(batch, findings)
            return findings.finish()
        finally:
            batch.release()

    def keyed_batch(self, key: str, events: Events) -> list[Finding]:
        """Passes events of one partition key to the detector, in the order of their event time, and returns its
        findings.

        The state of the key is kept in memory, with the host's limits. As with a host, a call that
        fails changes no state.
        """
        return self._with_key(key, None, lambda: self.batch(events))

    def wake(self, key: str, time: int) -> list[Finding]:
        """Wakes a partition key at a time in microseconds since 1970-01-01T00:00:00Z, and returns the findings. A test
        calls it for each of :meth:`wakes`, or for any other time."""

        def call() -> list[Finding]:
            findings = Findings()
            self._opened.on_wake(time, findings)
            return findings.finish()

        return self._with_key(key, time, call)

    def wakes(self, key: str) -> list[int]:
        """Returns the times of the requested wake-ups of a partition key, in order."""
        return sorted(self._keys.get(key, Memory()).wakes)

    def _with_key(self, key: str, woken: int | None, call: Callable[[], list[Finding]]) -> list[Finding]:
        memory = self._keys.get(key, Memory()).copy(woken)
        state.keep_in(memory)
        try:
            found = call()
        finally:
            state.keep_in(None)
        self._keys[key] = memory
        return found

    def watermark(self, time: int) -> list[Finding]:
        """Calls the detector with a watermark, and returns its findings: no event before ``time``, in microseconds
        since 1970-01-01T00:00:00Z, can follow."""
        findings = Findings()
        self._opened.on_watermark(time, findings)
        return findings.finish()

    def snapshot(self) -> bytes:
        """Returns the detector's private state."""
        return bytes(self._opened.snapshot())

    def restore(self, kept: bytes) -> None:
        """Restores the snapshot of another session; like the host, not if it is empty."""
        if kept:
            self._opened.restore(kept)


def evaluate(
    detector: Callable[..., Any],
    events: Events,
    config: Mapping[str, Any] | None = None,
    plugin_config: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Opens a detector, a class or a function, and returns its findings about ``events``, in one batch.

    ``config`` is the rule's ``[rule.config]``, ``plugin_config`` the pack's ``[plugin.config]``. Findings are as a
    host receives them: facts are text, and absent ones are left out. Raises the exceptions of the detector.
    """
    return Session(detector, events, config, plugin_config).batch(events)


def _type_of(name: str, values: list[Any]) -> DataType:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return DataType.FLOAT64
    if not kinds:
        return DataType.TEXT
    found = _TYPES.get(kinds.pop()) if len(kinds) == 1 else None
    if found is None:
        raise TypeError(
            f"column `{name}` is to have values of one of the types str, int, float, bool, bytes and datetime"
        )
    return found


_TYPES = {
    str: DataType.TEXT,
    int: DataType.INT64,
    float: DataType.FLOAT64,
    bool: DataType.BOOLEAN,
    bytes: DataType.BINARY,
    datetime.datetime: DataType.TIME,
}


def _encode(data_type: DataType, values: list[Any]) -> _Column:
    validity = _bitmap([value is not None for value in values]) if None in values else b""
    match data_type:
        case DataType.TEXT | DataType.BINARY:
            offsets, parts = [0], []
            for value in values:
                part = b"" if value is None else value if isinstance(value, bytes) else value.encode()
                parts.append(part)
                offsets.append(offsets[-1] + len(part))
            return _Column(validity, struct.pack(f"<{len(offsets)}I", *offsets), b"".join(parts))
        case DataType.BOOLEAN:
            return _Column(validity, b"", _bitmap([value is True for value in values]))
        case DataType.FLOAT64:
            return _Column(validity, b"", struct.pack(f"<{len(values)}d", *(value or 0.0 for value in values)))
        case DataType.INT64 | DataType.TIME:
            return _Column(validity, b"", struct.pack(f"<{len(values)}q", *map(_integer, values)))


def _integer(value: int | datetime.datetime | None) -> int:
    if isinstance(value, datetime.datetime):
        # By whole microseconds: a quotient of seconds would be rounded.
        return (value - _EPOCH) // datetime.timedelta(microseconds=1)
    return value or 0


def _bitmap(bits: list[bool]) -> bytes:
    number = sum(1 << row for row, bit in enumerate(bits) if bit)
    return number.to_bytes((len(bits) + 7) // 8, "little")

"""Batches of events from the host, and one event of a batch."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from .errors import ColumnError, DataError
from .schema import Column, DataType, Schema
from .views import Binaries, Booleans, Numbers, RawColumn, Texts, View, view_of

Value = TypeVar("Value")
Default = TypeVar("Default")


class RawBatch(Protocol):
    """A batch of the contract."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    @property
    def columns(self) -> Sequence[RawColumn]:
        """The columns, in the order of the rule's schema."""


class Cells(dict[object, Any]):
    """The columns of a batch that were asked for, by name and by handle: a list of all values, or a view.

    A view decodes one value at a time, which costs some four times as much a value as decoding all at once, and nothing
    for the values that nobody reads. Small batches are decoded at once; in others a column starts as a view and becomes
    a list when an eighth of its values were asked for, and is one from the start in the later batches of the rule.
    """

    __slots__ = ("columns", "rows", "schema", "views")

    def __init__(self, schema: Schema, rows: int, columns: Sequence[RawColumn]) -> None:
        self.schema = schema
        self.rows = rows
        self.columns = columns
        self.views: list[View[Any] | None] = [None] * len(columns)

    def __missing__(self, key: object) -> Sequence[Any]:
        index = self.schema.index(key)
        view = self.view(index)
        if self.rows <= 16 or self.schema.dense[index]:
            cells: Sequence[Any] = view.to_list()
        else:
            cells = _Sparse(view, self, key, index)
        self[key] = cells
        return cells

    def view(self, index: int) -> View[Any]:
        """Returns the view of the column with this index."""
        view = self.views[index]
        if view is None:
            view = self.views[index] = view_of(self.schema.types[index], self.columns[index], self.rows)
        return view


class _Sparse(Sequence[Any]):
    """A view that makes room for a list in its :class:`Cells` when many of its values are asked for."""

    __slots__ = ("_cells", "_index", "_key", "_left", "_one", "_validity", "_view")

    def __init__(self, view: View[Any], cells: Cells, key: object, index: int) -> None:
        self._view = view
        self._cells = cells
        self._key = key
        self._index = index
        self._left = len(view) // 8
        self._validity = cells.columns[index].validity
        self._one = view.one

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, row: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            self._cells.schema.dense[self._index] = True
            self._cells[self._key] = self._view.to_list()
        validity = self._validity
        if validity and not validity[row >> 3] >> (row & 7) & 1:
            return None
        return self._one(row)


class Event(Mapping[str, Any]):
    """One event: a mapping from the names of the rule's columns to the event's values, ``None`` for absent values.

    ``event["user_type"]`` and ``event[handle]`` give ``str``, ``int``, ``float``, ``bool`` or ``bytes`` by the column's
    type, times as whole microseconds since 1970-01-01T00:00:00Z. A value is decoded only when you read it. You can
    keep an event: it stays unchanged, and keeps its batch in memory.
    """

    # By name values are `Any`, for the type checker cannot know the table's columns; by handle they have their type.

    __slots__ = ("_cells", "index")

    def __init__(self, cells: Cells, index: int) -> None:
        self._cells = cells
        self.index = index
        """The event's place in its batch, from zero."""

    @overload
    def __getitem__(self, column: str) -> Any: ...
    @overload
    def __getitem__(self, column: Column[Value]) -> Value | None: ...
    def __getitem__(self, column: object) -> Any:
        """Returns the value in a column, by name or handle; ``None`` if it is NULL.

        Raises :class:`ColumnError`, a :class:`KeyError`, if the rule does not list the column; the message lists its
        columns.
        """
        return self._cells[column][self.index]

    def get(self, column: Any, default: Any = None) -> Any:
        """Returns the value in a column; ``default`` if it is NULL or the rule does not list the column."""
        try:
            value = self._cells[column][self.index]
        except ColumnError:
            return default
        return default if value is None else value

    def time(self, column: str | Column[int]) -> datetime.datetime | None:
        """Returns the time in a column of times, in UTC; ``None`` if it is NULL.

        Raises :class:`ColumnError` if the rule does not list the column or it has another type, and
        :class:`OverflowError` for a time outside the years 1 to 9999.
        """
        schema = self._cells.schema
        found = schema.types[schema.index(column)]
        if found is not DataType.TIME:
            name = column if isinstance(column, str) else column.name
            raise ColumnError(f"column `{name}` is of type {found.contract_name} and holds no times")
        micros: int | None = self._cells[column][self.index]
        if micros is None:
            return None
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return epoch + datetime.timedelta(microseconds=micros)

    def __contains__(self, column: object) -> bool:
        return column in self._cells.schema.indexes

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells.schema.names)

    def __len__(self) -> int:
        return len(self._cells.schema.names)

    def __repr__(self) -> str:
        return f"Event({dict(self)!r})"


class Batch(Sequence[Event]):
    """Events in columns: the rows that match the rule's ``where``, with the columns that the rule lists.

    The same events may come in any number of batches. Values are decoded only when you read them.
    """

    __slots__ = ("_cells", "_rows")

    def __init__(self, schema: Schema, raw: RawBatch) -> None:
        """Takes the batch of the host, and checks that every column has enough bytes for the number of rows.

        Raises :class:`DataError` with the name of the column: host and plugin use different contracts.
        """
        if len(raw.columns) != len(schema.names):
            raise DataError(
                f"a batch has {len(raw.columns)} columns where the rule's schema has {len(schema.names)}"
            )
        for name, data_type, column in zip(schema.names, schema.types, raw.columns):
            _check(name, data_type, column, raw.rows)
        self._rows = raw.rows
        self._cells = Cells(schema, raw.rows, raw.columns)

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, row: int) -> Event: ...
    @overload
    def __getitem__(self, row: slice) -> list[Event]: ...
    def __getitem__(self, row: int | slice) -> Event | list[Event]:
        if isinstance(row, slice):
            return [Event(self._cells, index) for index in range(*row.indices(self._rows))]
        index = row + self._rows if row < 0 else row
        if not 0 <= index < self._rows:
            raise IndexError(f"row {row} of a batch of {self._rows}")
        return Event(self._cells, index)

    def __iter__(self) -> Iterator[Event]:
        """Returns the events in order."""
        cells = self._cells
        references = sys.getrefcount
        # To make an event costs more than to read one. As `zip` does with its tuples, an event that nobody holds any
        # more is used again. The last one may be in the caller's loop variable; the one before it must have only the
        # reference that it has here.
        event, last = Event(cells, 0), Event(cells, 0)
        alone = references(event)
        for index in range(self._rows):
            if references(event) != alone:
                event = Event(cells, 0)
            event.index = index
            yield event
            event, last = last, event

    @overload
    def column(self, column: Column[str]) -> Texts: ...
    # Truth values are integers to the type checker: theirs comes first, and it need not worry.
    @overload
    def column(self, column: Column[bool]) -> Booleans: ...  # type: ignore[overload-overlap]
    @overload
    def column(self, column: Column[int]) -> Numbers[int]: ...
    @overload
    def column(self, column: Column[float]) -> Numbers[float]: ...
    @overload
    def column(self, column: Column[bytes]) -> Binaries: ...
    @overload
    def column(self, column: str) -> View[Any]: ...
    def column(self, column: Any) -> View[Any]:
        """Returns the values of one column, by handle or name: the fastest way to read many events.

        Raises :class:`ColumnError` if the rule does not list the column.
        """
        return self._cells.view(self._cells.schema.index(column))

    def release(self) -> None:
        """Drops decoded values. Kept events decode them again when you read them."""
        self._cells.clear()
        self._cells.views = [None] * len(self._cells.columns)


def _check(name: str, data_type: DataType, column: RawColumn, rows: int) -> None:
    bits = (rows + 7) // 8
    values, offsets, validity = len(column.values), len(column.offsets), len(column.validity)
    match data_type:
        case DataType.BOOLEAN:
            fits = values >= bits
        case DataType.TEXT | DataType.BINARY:
            fits = offsets == (rows + 1) * 4
        case _:
            fits = values == rows * 8
    if not fits or 0 < validity < bits:
        raise DataError(
            f"column `{name}` of type {data_type.contract_name} came with {values} bytes of values,"
            f" {offsets} of offsets and {validity} of validity for {rows} rows"
        )

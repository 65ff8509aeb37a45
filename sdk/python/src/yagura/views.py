"""The values of one column in one batch, decoded when they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, compress, pairwise
from operator import index as to_index
from typing import Any, Generic, Protocol, TypeVar, overload

from .schema import DataType

Value = TypeVar("Value")

# For each byte its bits as truth values, least significant first, and the same negated.
_BITS = [tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256)]
_ZEROS = [tuple(not bit for bit in bits) for bits in _BITS]


class RawColumn(Protocol):
    """A column of the contract: little-endian bytes."""

    @property
    def validity(self) -> bytes:
        """One bit a row, least significant bit first, 1 for a value; empty when every row has one."""

    @property
    def offsets(self) -> bytes:
        """For text and binary columns: rows + 1 unsigned 32-bit integers."""

    @property
    def values(self) -> bytes:
        """The values' bytes."""


class View(Sequence["Value | None"], Generic[Value]):
    """The values of a column: ``None`` if a row is NULL.

    ``view[row]`` decodes one value; iterating, or :meth:`to_list`, decodes all of them, once in a batch. The latter is
    several times faster a value.
    """

    __slots__ = ("_length", "_list", "_raw")

    def __init__(self, raw: RawColumn, rows: int) -> None:
        self._raw = raw
        self._length = rows
        self._list: list[Value | None] | None = None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> Value | None: ...
    @overload
    def __getitem__(self, row: slice) -> list[Value | None]: ...
    def __getitem__(self, row: int | slice) -> Value | None | list[Value | None]:
        if self._list is not None:
            return self._list[row]
        if isinstance(row, slice):
            return self.to_list()[row]
        row = to_index(row)
        if row < 0:
            row += self._length
        if not 0 <= row < self._length:
            raise IndexError(f"row {row} of a batch of {self._length}")
        validity = self._raw.validity
        if validity and not validity[row >> 3] >> (row & 7) & 1:
            return None
        return self.one(row)

    def __iter__(self) -> Iterator[Value | None]:
        return iter(self.to_list())

    def is_null(self, row: int) -> bool:
        """Returns whether a row has no value. It reads one bit and decodes nothing.

        Raises :class:`IndexError` for a row outside the batch.
        """
        if not 0 <= row < self._length:
            raise IndexError(f"row {row} of a batch of {self._length}")
        validity = self._raw.validity
        return bool(validity) and not validity[row >> 3] >> (row & 7) & 1

    def to_list(self) -> list[Value | None]:
        """Returns all values, decoded at once. The list belongs to the batch: do not change it."""
        values = self._list
        if values is None:
            values = self._all()
            validity = self._raw.validity
            if validity:
                for row in compress(range(self._length), _flat(_ZEROS, validity)):
                    values[row] = None
            self._list = values
        return values

    def one(self, row: int) -> Value | None:
        """Returns the value of a row that is in the batch and not NULL."""
        raise NotImplementedError

    def _all(self) -> list[Value | None]:
        """Returns the values of all rows, with any value at all where a row is NULL."""
        raise NotImplementedError


class Numbers(View[Value]):
    """The values of a column of whole numbers, floating-point numbers, or times in microseconds since
    1970-01-01T00:00:00Z."""

    __slots__ = ("values",)

    def __init__(self, raw: RawColumn, rows: int, code: str) -> None:
        super().__init__(raw, rows)
        # The contract is little-endian, as is every machine that this runs on.
        self.values: memoryview = memoryview(raw.values).cast("B").cast(code)  # type: ignore[call-overload]
        """The host's own numbers, without a copy, with any value at all where a row is NULL."""

    def one(self, row: int) -> Value | None:
        value: Any = self.values[row]
        return value  # type: ignore[no-any-return]

    def _all(self) -> list[Value | None]:
        values: list[Any] = self.values.tolist()
        return values


class Booleans(View[bool]):
    """The values of a column of truth values."""

    __slots__ = ()

    def one(self, row: int) -> bool | None:
        return bool(self._raw.values[row >> 3] >> (row & 7) & 1)

    def _all(self) -> list[bool | None]:
        values: list[bool | None] = list(_flat(_BITS, self._raw.values))
        del values[self._length :]
        return values


class _Variable(View[Value]):
    """Values of any length, one after the other."""

    __slots__ = ("_offsets",)

    def __init__(self, raw: RawColumn, rows: int) -> None:
        super().__init__(raw, rows)
        self._offsets = memoryview(raw.offsets).cast("B").cast("I")

    def one(self, row: int) -> Value | None:
        return self._cut(self._offsets[row], self._offsets[row + 1])

    def _cut(self, start: int, end: int) -> Value | None:
        """Returns the value between two offsets; nothing when it is not within the bytes, or no value of its type."""
        raise NotImplementedError

    def _each(self) -> list[Value | None]:
        """Returns all values, looking at each by itself."""
        return [self._cut(start, end) for start, end in pairwise(self._offsets)]

    def _checked_offsets(self) -> list[int] | None:
        """Returns the offsets when all of them are in order and within the bytes."""
        offsets = self._offsets.tolist()
        # To sort what is sorted is the fastest look at all of it that there is.
        if offsets[-1] > len(self._raw.values) or offsets != sorted(offsets):
            return None
        return offsets


class Texts(_Variable[str]):
    """The values of a text column. A value that is not UTF-8, which the host never sends, is ``None`` too."""

    __slots__ = ()

    def _cut(self, start: int, end: int) -> str | None:
        values = self._raw.values
        if not start <= end <= len(values):
            return None
        try:
            return values[start:end].decode()
        except UnicodeDecodeError:
            return None

    def _all(self) -> list[str | None]:
        offsets = self._checked_offsets()
        if offsets is None:
            return self._each()
        values = self._raw.values
        if values.isascii():
            # Every byte is a character: one text is cut instead of many decoded.
            text = values.decode("ascii")
            return [text[start:end] for start, end in pairwise(offsets)]
        try:
            return [values[start:end].decode() for start, end in pairwise(offsets)]
        except UnicodeDecodeError:
            return self._each()


class Binaries(_Variable[bytes]):
    """The values of a column of bytes."""

    __slots__ = ()

    def _cut(self, start: int, end: int) -> bytes | None:
        return self._raw.values[start:end] if start <= end <= len(self._raw.values) else None

    def _all(self) -> list[bytes | None]:
        offsets = self._checked_offsets()
        if offsets is None:
            return self._each()
        values = self._raw.values
        return [values[start:end] for start, end in pairwise(offsets)]


def view_of(data_type: DataType, raw: RawColumn, rows: int) -> View[Any]:
    """Returns the view for a column of this type."""
    match data_type:
        case DataType.TEXT:
            return Texts(raw, rows)
        case DataType.INT64 | DataType.TIME:
            return Numbers[int](raw, rows, "q")
        case DataType.FLOAT64:
            return Numbers[float](raw, rows, "d")
        case DataType.BOOLEAN:
            return Booleans(raw, rows)
        case DataType.BINARY:
            return Binaries(raw, rows)


def _flat(table: list[tuple[bool, ...]], bits: bytes) -> chain[bool]:
    return chain.from_iterable(map(table.__getitem__, bits))

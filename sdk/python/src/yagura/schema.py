"""The columns of a rule: their names, their types, and the handles of detectors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from .errors import ColumnError, ConfigError

# A handle only gives values: one of a text column serves wherever one of anything does.
Value = TypeVar("Value", covariant=True)


class DataType(Enum):
    """The contract's types of columns, by their numbers there."""

    BOOLEAN = 0
    INT64 = 1
    FLOAT64 = 2
    TIME = 3
    TEXT = 4
    BINARY = 5

    @property
    def contract_name(self) -> str:
        """The type's name in messages, the same in the SDK of every language."""
        return _NAMES[self]


_NAMES = {
    DataType.BOOLEAN: "boolean",
    DataType.INT64: "int64",
    DataType.FLOAT64: "float64",
    DataType.TIME: "timestamp",
    DataType.TEXT: "utf8",
    DataType.BINARY: "binary",
}


class RawDataType(Protocol):
    """A member of the contract's enumeration of types, as the bindings have it."""

    @property
    def value(self) -> Any:
        """The member's number."""


class RawField(Protocol):
    """A field of a rule's schema, as the bindings have it."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def data_type(self) -> RawDataType:
        """The column's type."""


class Column(Generic[Value]):
    """A handle: a column of a rule by index and type. The methods of :class:`yagura.Rule` create it once.

    ``Value`` is the type of the column's values: ``str``, ``int`` (whole numbers, and times in microseconds since
    1970-01-01T00:00:00Z), ``float``, ``bool`` or ``bytes``.
    """

    __slots__ = ("data_type", "index", "name")

    def __init__(self, name: str, data_type: DataType, index: int) -> None:
        self.name = name
        """The name under which the rule lists the column."""
        self.data_type = data_type
        """The column's type."""
        self.index = index
        """The column's place in the rule's schema, from zero."""

    def __repr__(self) -> str:
        return f"Column({self.name!r}, {self.data_type.contract_name})"


class Schema:
    """What every batch of one rule holds, and what earlier batches taught about how it is read."""

    __slots__ = ("dense", "indexes", "names", "types")

    def __init__(self, fields: Iterable[RawField]) -> None:
        fields = list(fields)
        self.names: list[str] = [field.name for field in fields]
        self.types: list[DataType] = [DataType(field.data_type.value) for field in fields]
        self.indexes: dict[str, int] = {}
        for index, name in enumerate(self.names):
            # As in the other SDKs, the first of equal names counts.
            self.indexes.setdefault(name, index)
        # For each column whether detectors read most of its values, so that it pays to decode them all at once.
        self.dense: list[bool] = [False] * len(fields)

    def find(self, name: str, data_type: DataType) -> Column[Any]:
        """Returns the handle of the column of this name and type.

        Raises :class:`ConfigError` if the rule does not list the column, or its type is another.
        """
        index = self.indexes.get(name)
        if index is None:
            raise ConfigError(self._unknown(name))
        found = self.types[index]
        if found is not data_type:
            raise ConfigError(
                f"column `{name}` is of type {found.contract_name}"
                f" where the detector reads {data_type.contract_name}"
            )
        return Column(name, data_type, index)

    def index(self, key: object) -> int:
        """Returns the place of a column given by name or handle.

        Raises :class:`ColumnError` when the rule lists no such column.
        """
        if isinstance(key, Column):
            at = key.index
            # A handle of another rule must not read whatever lies in its place here.
            if at < len(self.names) and self.names[at] == key.name and self.types[at] is key.data_type:
                return at
            raise ColumnError(f"{key!r} is a column of another rule")
        if not isinstance(key, str):
            raise TypeError(f"a column is named by text or by its handle, not by {type(key).__name__}")
        found = self.indexes.get(key)
        if found is not None:
            return found
        near = difflib.get_close_matches(key, self.names, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ColumnError(self._unknown(key) + hint)

    def _unknown(self, name: str) -> str:
        known = ", ".join(f"`{known}`" for known in self.names)
        return f"the rule hands over no column `{name}`: add it to the rule's `columns`, which are {known}"

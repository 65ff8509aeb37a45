"""The rule that a detector is opened for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .errors import ConfigError
from .schema import Column, DataType, Schema


class Rule:
    """The rule that a detector serves: its id, its configuration and its columns.

    Columns have the names that the rule lists, dotted paths included. A path into JSON text
    (``request_parameters.policyDocument``) is a text column: strings without quotes, other values as JSON text.
    """

    __slots__ = ("_schema", "config", "id", "plugin_config")

    def __init__(
        self, id: str, config: dict[str, Any], plugin_config: dict[str, Any], schema: Schema
    ) -> None:
        self.id = id
        """The rule's id."""
        self.config = config
        """The rule's ``[rule.config]``."""
        self.plugin_config = plugin_config
        """The pack's ``[plugin.config]``, which all rules of the plugin share."""
        self._schema = schema

    @property
    def column_names(self) -> Sequence[str]:
        """The names of the rule's columns, in order."""
        return tuple(self._schema.names)

    def text(self, name: str) -> Column[str]:
        """Returns the handle of a text column.

        Raises :class:`yagura.ConfigError` if the rule does not list the column, or its type is another. The same
        holds for the methods below.
        """
        return self._schema.find(name, DataType.TEXT)

    def int64(self, name: str) -> Column[int]:
        """Returns the handle of a column of whole numbers."""
        return self._schema.find(name, DataType.INT64)

    def float64(self, name: str) -> Column[float]:
        """Returns the handle of a column of floating-point numbers."""
        return self._schema.find(name, DataType.FLOAT64)

    def boolean(self, name: str) -> Column[bool]:
        """Returns the handle of a column of truth values."""
        return self._schema.find(name, DataType.BOOLEAN)

    def time(self, name: str) -> Column[int]:
        """Returns the handle of a column of times, in microseconds since 1970-01-01T00:00:00Z."""
        return self._schema.find(name, DataType.TIME)

    def binary(self, name: str) -> Column[bytes]:
        """Returns the handle of a column of bytes."""
        return self._schema.find(name, DataType.BINARY)

    def config_strings(self, key: str) -> list[str]:
        """Returns a list of strings from ``[rule.config]``; empty if the key is absent.

        Raises :class:`yagura.ConfigError` if the key holds anything else. The same holds for the methods below.
        """
        return self._list(key, str, "a list of strings")

    def config_integers(self, key: str) -> list[int]:
        """Returns a list of whole numbers from ``[rule.config]``; empty if the key is absent."""
        return self._list(key, int, "a list of whole numbers")

    def config_int(self, key: str, default: int) -> int:
        """Returns a whole number from ``[rule.config]``, or ``default`` if the key is absent."""
        value = self.config.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "a whole number")
        return value

    def config_float(self, key: str, default: float) -> float:
        """Returns a number from ``[rule.config]``, or ``default`` if the key is absent."""
        value = self.config.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self._wrong(key, "a number")
        return float(value)

    def _list(self, key: str, kind: type, wanted: str) -> list[Any]:
        value = self.config.get(key, [])
        # A truth value is an integer to Python, and not to anybody who writes a rule.
        if not isinstance(value, list) or not all(type(element) is kind for element in value):
            raise self._wrong(key, wanted)
        return value

    def _wrong(self, key: str, wanted: str) -> ConfigError:
        found = json.dumps(self.config[key], ensure_ascii=False, separators=(",", ":"))
        return ConfigError(f"`rule.config.{key}` is {found} where {wanted} is wanted")

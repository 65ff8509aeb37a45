"""Lookup tables, for enrichers and reviewers: files of the pack, and tables that the manifest requests
(``[plugin.request]``) and the operator grants, such as assets or the geolocation of addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .errors import ConfigError, DataError
from .text import crossing


def get(table: str, key: str) -> Any:
    """Returns the row under a key, mostly a ``dict``; in a table of networks, the row of the network that contains
    the address. ``None`` if the table has no such row.

    Raises :class:`yagura.ConfigError` if the table or the grant is missing; the message has the line that would grant
    it.
    """
    row = _reader(crossing(table), crossing(key))
    if row is None:
        return None
    try:
        return json.loads(row)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the row `{key}` of the lookup table `{table}` is no JSON: {error}") from None


def read_by(reader: Callable[[str, str], str | None] | None) -> None:
    """Lets ``reader`` read tables: it returns JSON text. Only the component and unit tests call it."""
    global _reader
    _reader = reader or _absent


def _absent(table: str, key: str) -> str | None:
    raise ConfigError("a unit test has no lookup tables: give it some by yagura.testing.Lookups")


_reader: Callable[[str, str], str | None] = _absent

"""Lookup tables, for enrichers and reviewers: files of the pack, and what the operator grants by name where the manifest
asks for it (``[plugin.request]``), like assets, or the places of addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .errors import ConfigError, DataError
from .text import crossing


def get(table: str, key: str) -> Any:
    """Returns the row under a key, mostly a ``dict``; in a table of addresses, that of the network which holds it. ``None``
    where the table has none.

    Raises :class:`yagura.ConfigError` where there is no such table, or no grant for it; it says what would give one.
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

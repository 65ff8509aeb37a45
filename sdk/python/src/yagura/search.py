"""Search for events by observable and time, for enrichers, in tables that the manifest requests
(``[plugin.request]``) and the operator grants. The host limits rows and time. ::

    found = search.find(
        "dhcp", Observable.IP, address, *search.around(alert, before=DAY), columns=["event_time", "host"], limit=1
    )
    for event in found:
        enriched.attribute("host", event["host"], "dhcp")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .alert import Alert
from .batch import Batch
from .errors import ConfigError
from .findings import Observable
from .schema import Schema
from .state import DAY, HOUR, MINUTE, SECOND
from .text import crossing

__all__ = ["DAY", "HOUR", "MINUTE", "SECOND", "SearchResult", "Query", "around", "find"]


@dataclass(slots=True)
class Query:
    """A search, as the host receives it."""

    table: str
    observable: tuple[str, str]
    """Kind and value."""
    from_: int
    to: int
    columns: list[str]
    limit: int


class SearchResult(Batch):
    """The result of a search: a sequence of :class:`yagura.Event`, mappings from the selected columns to values."""

    __slots__ = ("is_truncated",)

    def __init__(self, raw: Any) -> None:
        super().__init__(Schema(raw.schema), raw.batch)
        self.is_truncated: bool = raw.truncated
        """Whether a limit cut the answer short."""


def find(
    table: str,
    kind: Observable | str,
    value: str,
    start: int,
    end: int,
    *,
    columns: Iterable[str],
    limit: int = 100,
) -> SearchResult:
    """Returns the events with a value in a column of its kind, from ``start`` to ``end`` in microseconds since
    1970-01-01T00:00:00Z.

    Raises :class:`yagura.ConfigError` if the table, the column or the grant is missing, with the line that would
    grant it, and :class:`yagura.RetryError` if the search took too long.
    """
    name = kind.value if isinstance(kind, Observable) else kind
    asked = [crossing(column) for column in columns]
    return SearchResult(_finder(Query(crossing(table), (crossing(name), crossing(value)), start, end, asked, limit)))


def around(alert: Alert, before: int = 0, after: int = 0) -> tuple[int, int]:
    """Returns the time range from some microseconds before an alert's first event to some after its last."""
    return alert.first_time - before, alert.last_time + after


def find_by(finder: Callable[[Query], Any] | None) -> None:
    """Lets ``finder`` run searches. Only the component and unit tests call it."""
    global _finder
    _finder = finder or _absent


def _absent(query: Query) -> Any:
    raise ConfigError("a unit test has no tables: give it some by yagura.testing.Tables")


_finder: Callable[[Query], Any] = _absent
